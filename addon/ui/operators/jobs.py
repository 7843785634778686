"""Operators that start, cancel and import jobs."""

from __future__ import annotations

import math

import bpy
from bpy.types import Operator

from ... import rig
from ...backend import current_job, installation, job_folders
from ...core.errors import DreamzoomError
from ...core.protocol import result
from ...jobs import generation, importing
from ...scene.time_slicing import SLICE_SECONDS
from .common import Result, can_change, has_rig, report


class DREAMZOOM_OT_generate(Operator):
    """Dream all levels along the camera's path. Finished steps whose inputs are unchanged are not computed again"""

    bl_idname = "dreamzoom.generate"
    bl_label = "Generate"

    @classmethod
    def poll(cls, context):
        if not can_change(cls, context):
            return False
        if current_job.is_busy():
            cls.poll_message_set("A job is running")
            return False
        return True

    def invoke(self, context, event) -> Result:
        """From a button: Blender stays usable while the scene is captured."""
        return self._generate(context, SLICE_SECONDS)

    def execute(self, context) -> Result:
        """From a script: the scene has been captured when this returns."""
        return self._generate(context, math.inf)

    def _generate(self, context, seconds: float) -> Result:
        try:
            generation.generate(rig.active_rig(context), context.scene, context.view_layer, seconds=seconds)
        except DreamzoomError as error:
            return _refuse(self, error)
        return {"FINISHED"}


class DREAMZOOM_OT_cancel(Operator):
    """Stop the job. Finished steps are kept, and Generate continues from there"""

    bl_idname = "dreamzoom.cancel"
    bl_label = "Cancel"

    @classmethod
    def poll(cls, context):
        if not current_job.is_busy():
            cls.poll_message_set("No job is running")
            return False
        return current_job.get().status != "cancelling"

    def execute(self, context) -> Result:
        generation.cancel()
        return {"FINISHED"}


class DREAMZOOM_OT_import_job(Operator):
    """Import the finished points and splats, in place of those imported before"""

    bl_idname = "dreamzoom.import_job"
    bl_label = "Import"

    @classmethod
    def poll(cls, context):
        if not can_change(cls, context):
            return False
        if current_job.is_busy():
            cls.poll_message_set("A job is running")
            return False
        folder = job_folders.of_rig(rig.active_rig(context))
        if folder is None or not (result.newest(folder) / result.NAME).is_file():
            cls.poll_message_set("There is no finished job yet: press Generate")
            return False
        return True

    def execute(self, context) -> Result:
        try:
            importing.start_import(rig.active_rig(context))
        except DreamzoomError as error:
            return _refuse(self, error)
        return {"FINISHED"}


class DREAMZOOM_OT_open_job_folder(Operator):
    """Open the folder with this rig's pictures, points and splats"""

    bl_idname = "dreamzoom.open_job_folder"
    bl_label = "Open Job Folder"

    @classmethod
    def poll(cls, context):
        if not has_rig(cls, context):
            return False
        folder = job_folders.of_rig(rig.active_rig(context))
        if folder is None or not folder.is_dir():
            cls.poll_message_set("There is no job folder yet: press Generate")
            return False
        return True

    def execute(self, context) -> Result:
        bpy.ops.wm.path_open(filepath=str(job_folders.of_rig(rig.active_rig(context))))
        return {"FINISHED"}


class DREAMZOOM_OT_dismiss(Operator):
    """Close this message"""

    bl_idname = "dreamzoom.dismiss"
    bl_label = "Dismiss"

    def execute(self, context) -> Result:
        if not current_job.is_busy():
            current_job.replace(None)
        installation.state.error = ""
        return {"FINISHED"}


def _refuse(operator: Operator, error: DreamzoomError) -> Result:
    """Show the error in the panel and in the status bar."""
    current_job.refuse(error)
    return report(operator, error, "WARNING")


CLASSES = (
    DREAMZOOM_OT_generate,
    DREAMZOOM_OT_cancel,
    DREAMZOOM_OT_import_job,
    DREAMZOOM_OT_open_job_folder,
    DREAMZOOM_OT_dismiss,
)

register, unregister = bpy.utils.register_classes_factory(CLASSES)
