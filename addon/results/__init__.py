"""What the server has made, in Blender: imported levels and zoom stacks, and the settings that render them rightly."""
