"""What Blender registers for the artist: settings, operators, panels and preferences."""
