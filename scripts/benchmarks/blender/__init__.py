"""What Blender shows, measured in processes of its own."""
