"""The operator that exports a flight for other viewers, which show splats unlike Blender."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
from bpy.props import BoolProperty, IntProperty
from bpy.types import Operator

from ... import rig
from ...backend import job_folders
from ...core import formats
from ...core.errors import DreamzoomError
from ...core.protocol import messages
from ...jobs import generation
from ..registration import with_menus
from .common import Result, can_use_server, chosen_path, has_rig, report
from .jobs import is_busy
from .splat_files import SplatTarget


class DREAMZOOM_OT_export_for_viewers(Operator, SplatTarget):  # pyright: ignore[reportIncompatibleMethodOverride]
    """Write a copy of the whole flight that looks in other viewers as it does here"""

    bl_idname = "dreamzoom.export_for_viewers"
    bl_label = "Export for Viewers"
    bl_description = (
        "Write all levels of the flight as one file for SuperSplat, web viewers and game engines. These blend splats "
        "in another way than Blender, so a copy is fitted until they show the flight as it is here. It takes minutes, "
        "in the background"
    )
    bl_options = {"PRESET"}

    with_cameras: BoolProperty(
        name="Cameras",
        description="Also write the flight's cameras in the same world, as NAME.cameras.json, for SuperSplat",
        default=True,
    )
    rounds: IntProperty(
        name="Rounds",
        description="How often the fit looks at each view of the flight: more come closer, and take longer",
        default=messages.REFIT_ROUNDS,
        min=1,
        max=1000,
    )
    wait: BoolProperty(
        name="Wait",
        description="Return when the file is written: for scripts without a window",
        options={"SKIP_SAVE", "HIDDEN"},
    )

    @classmethod
    def poll(cls, context):
        if not has_rig(cls, context) or is_busy(cls, context):
            return False
        known = job_folders.state_of(rig.active_rig(context))
        if known is None or not known.can_import:
            cls.poll_message_set("There is no finished job yet: press Generate")
            return False
        return can_use_server(cls)

    def invoke(self, context, event) -> Any:
        if not self.filepath:
            self.filepath = bpy.path.clean_name(rig.active_rig(context).name) + self.filename_ext
        return SplatTarget.invoke(self, context, event)

    def draw(self, context) -> None:
        SplatTarget.draw(self, context)
        self.layout.prop(self, "rounds")
        self.layout.prop(self, "with_cameras")

    def execute(self, context) -> Result:
        root = rig.active_rig(context)
        self.filepath = str(chosen_path(self.filepath))
        path = self.target_path()
        if not path.parent.is_dir():
            return report(self, DreamzoomError(f"There is no folder {path.parent}", "Choose a folder that exists"))
        cameras = cameras_beside(path) if self.with_cameras else None
        job = generation.export_for_viewers(root, context.scene, path, self.up(), cameras, self.rounds)
        if self.wait:
            generation.wait_for(job)
            if job.error is not None:
                return report(self, job.error)
            self.report({"INFO"}, job.outcome)
        return {"FINISHED"}


def cameras_beside(path: Path) -> Path:
    """The file of the cameras that belongs to a file of splats."""
    suffix = formats.format_of(path).suffix
    return path.with_name(f"{path.name[: -len(suffix)]}.cameras.json")


def draw_export(menu, _context) -> None:
    """Add the entry in File > Export."""
    menu.layout.operator(DREAMZOOM_OT_export_for_viewers.bl_idname, text="Dreamzoom Flight for Viewers")


CLASSES = (DREAMZOOM_OT_export_for_viewers,)

register, unregister = with_menus(CLASSES, [("TOPBAR_MT_file_export", draw_export)])
