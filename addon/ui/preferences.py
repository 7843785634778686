"""The add-on's page in Blender's preferences."""

from __future__ import annotations

import bpy
from bpy.props import EnumProperty, StringProperty
from bpy.types import AddonPreferences

from .. import __package__ as base_package
from ..backend import launch, machine_report, readiness
from .panels.layout import paragraph, split
from .panels.setup import draw_kept, draw_set_up, draw_steps, draw_test

HARDWARE = (
    ("auto", "Find Out", "Look for a graphics card when installing"),
    ("cpu", "No Graphics Card", "The processor computes everything: the smallest installation, slow for diffusion"),
    ("cuda", "NVIDIA", "An NVIDIA card with its driver (CUDA)"),
    ("rocm", "AMD", "An AMD card with its driver (ROCm), on Linux"),
    ("mps", "Apple", "A Mac with Apple's own processor (Metal)"),
)


def _forget_test(_preferences, _context) -> None:
    machine_report.forget()


class DreamzoomPreferences(AddonPreferences):
    bl_idname = str(base_package)

    hardware: EnumProperty(
        name="What Have You Got",
        description="Decides which PyTorch is installed. Another choice installs it anew",
        items=HARDWARE,
        update=_forget_test,
    )
    server_python: StringProperty(
        name="Python",
        description="Python executable with the server's packages. Empty: the one that Install sets up",
        subtype="FILE_PATH",
        update=_forget_test,
    )
    server_command: StringProperty(
        name="Server Command",
        description="A complete command that starts the server, on another machine for example: "
        "ssh gpu-box python3 dreamzoom/scripts/dreamzoom.py serve. Where that machine does not see the jobs folder, "
        "pictures and results travel over the same connection",
        update=_forget_test,
    )
    executor: StringProperty(
        name="Steps Run In",
        description="local:N for N processes at once, ray or ray://HOST:PORT for a Ray cluster. Empty: one process",
        update=_forget_test,
    )
    storage: StringProperty(
        name="Storage",
        description="A place that all machines reach, as s3://bucket/folder, for files that they read and write. "
        "Empty: the jobs folder, or the files are sent to machines that do not see it",
        update=_forget_test,
    )
    jobs_folder: StringProperty(
        name="Jobs Folder",
        description="Where jobs are stored. Empty: beside the .blend file, or Blender's user folder if it is not saved",
        subtype="DIR_PATH",
    )
    environment_folder: StringProperty(
        name="Packages Folder",
        description="Where the server's packages are installed. Empty: Blender's user folder",
        subtype="DIR_PATH",
    )
    base_python: StringProperty(
        name="Install With",
        description="The Python 3.11 that Install makes the server's environment with. Empty: one that is found",
        subtype="FILE_PATH",
    )
    certificates: StringProperty(
        name="Certificates",
        description="A file with the certificates that downloads accept, in PEM form. Empty: the system's",
        subtype="FILE_PATH",
    )
    proxy: StringProperty(name="Proxy", description="The proxy for downloads, as http://name:port. Empty: the system's")

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        if readiness.is_ready():
            box = layout.box()
            box.label(text="Ready to dream.", icon="CHECKMARK")
            python = launch.server_python()
            if python and not self.server_command:
                paragraph(box, str(python))
            draw_test(box)
            draw_kept(box)
        else:
            draw_set_up(layout)
        column = split(layout)
        column.prop(self, "hardware")
        column.prop(self, "environment_folder", placeholder="Blender's user folder")
        column.prop(self, "base_python", placeholder="One that is found")
        column.separator()
        column.prop(self, "server_python", placeholder="The one that Install sets up")
        column.prop(self, "server_command", placeholder="Started on this machine")
        column.prop(self, "executor", placeholder="One process")
        if self.executor:
            column.prop(self, "storage", placeholder="Sent between the machines")
            draw_steps(column)
        column.prop(self, "jobs_folder", placeholder="Beside the .blend file")
        column.separator()
        column.prop(self, "proxy", placeholder="The system's")
        column.prop(self, "certificates", placeholder="The system's")


CLASSES = (DreamzoomPreferences,)

register, unregister = bpy.utils.register_classes_factory(CLASSES)
