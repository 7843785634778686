"""The add-on's page in Blender's preferences."""

from __future__ import annotations

import bpy
from bpy.props import StringProperty
from bpy.types import AddonPreferences

from .. import __package__ as base_package
from ..backend import launch
from .panels.layout import paragraph, split
from .panels.setup import draw_set_up


class DreamzoomPreferences(AddonPreferences):
    bl_idname = str(base_package)

    server_python: StringProperty(
        name="Python",
        description="Python executable with the server's packages. Empty: the one that Install sets up",
        subtype="FILE_PATH",
    )
    server_command: StringProperty(
        name="Server Command",
        description="A complete command that starts the server, on another machine for example: "
        "ssh gpu-box python -m dreamzoom serve. That machine must see the job folders under the same paths",
    )
    jobs_folder: StringProperty(
        name="Jobs Folder",
        description="Where jobs are stored. Empty: beside the .blend file, or Blender's user folder if it is not saved",
        subtype="DIR_PATH",
    )

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        box = layout.box()
        python = launch.server_python()
        if launch.is_set_up():
            box.label(text="Ready to dream.", icon="CHECKMARK")
            if python and not self.server_command:
                paragraph(box, str(python))
        else:
            draw_set_up(box)
        column = split(layout)
        column.prop(self, "server_python", placeholder="The one that Install sets up")
        column.prop(self, "server_command", placeholder="Started on this machine")
        column.prop(self, "jobs_folder", placeholder="Beside the .blend file")


CLASSES = (DreamzoomPreferences,)

register, unregister = bpy.utils.register_classes_factory(CLASSES)
