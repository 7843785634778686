"""The server as this Blender uses it: its installation, its process and its messages, without rigs and scenes."""
