"""What the server and the add-on must agree on: the standard library alone, so that Blender's Python runs it too."""
