"""A finished job as one file of splats for other viewers: all levels in one frame, refitted to what these show."""
