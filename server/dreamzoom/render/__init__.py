"""What a finished job looks like: its flight, its quality, and the film of a zoom without 3D."""
