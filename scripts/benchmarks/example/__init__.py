"""The example flight, measured in Blender as a Python module."""
