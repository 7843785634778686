"""The server's results in Blender: import of levels and zoom stacks, and the render settings that they need."""
