"""The add-on's preferences: what belongs to the machine and must never stand in a .blend file."""

from __future__ import annotations

import bpy
from bpy.props import StringProperty
from bpy.types import AddonPreferences

DEFAULTS = {"server_python": "", "server_command": "", "jobs_folder": ""}


class DreamzoomPreferences(AddonPreferences):
    bl_idname = str(__package__)

    server_python: StringProperty(
        name="Python",
        description="Python executable with the server's packages. Empty: the one that Install makes",
        subtype="FILE_PATH",
    )
    server_command: StringProperty(
        name="Server Command",
        description="A whole command to start the server with, on another machine for example: "
        "ssh gpu-box python -m dreamzoom serve. It must see the job folders under the same paths",
    )
    jobs_folder: StringProperty(
        name="Jobs Folder",
        description="Where jobs are kept. Empty: beside the .blend file, or Blender's user folder if it is not saved",
        subtype="DIR_PATH",
    )

    def draw(self, context: bpy.types.Context) -> None:
        from . import panels

        panels.draw_preferences(self, self.layout)


CLASSES = (DreamzoomPreferences,)


def get(name: str) -> str:
    """A preference's value; the default where the add-on runs without being an installed one."""
    addon = bpy.context.preferences.addons.get(__package__)
    return getattr(addon.preferences, name, DEFAULTS[name]) if addon and addon.preferences else DEFAULTS[name]


register, unregister = bpy.utils.register_classes_factory(CLASSES)
