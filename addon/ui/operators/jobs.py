"""Operators that start, cancel and import jobs."""

from __future__ import annotations

import math
import os

import bpy
from bpy.props import BoolProperty, StringProperty
from bpy.types import Operator

from ... import rig
from ...backend import current_job, job_folders, model_library
from ...backend.connection import connection
from ...core.errors import DreamzoomError
from ...jobs import generation, importing, remote
from ...scene.time_slicing import SLICE_SECONDS
from .common import Result, can_change, can_use_server, has_rig, offered_if, report


class DREAMZOOM_OT_generate(Operator):
    """Dream all levels along the camera's path. Finished steps whose inputs are unchanged are not computed again"""

    bl_idname = "dreamzoom.generate"
    bl_label = "Generate"

    wait: BoolProperty(
        name="Wait",
        description="Return when the job has ended and its result is imported: for scripts without a window",
        options={"SKIP_SAVE", "HIDDEN"},
    )

    @classmethod
    def poll(cls, context):
        if not can_change(cls, context):
            return False
        if is_busy(cls, context):
            return False
        missing = _missing_model(rig.active_rig(context))
        if missing:
            cls.poll_message_set(missing)
            return False
        return can_use_server(cls)

    def invoke(self, context, event) -> Result:
        """From a button: Blender stays usable while the scene is captured."""
        return self._generate(context, SLICE_SECONDS)

    def execute(self, context) -> Result:
        """From a script: the scene has been captured when this returns."""
        return self._generate(context, math.inf)

    def _generate(self, context, seconds: float) -> Result:
        try:
            job = generation.generate(rig.active_rig(context), context.scene, context.view_layer, seconds=seconds)
        except DreamzoomError as error:
            return _refuse(self, error, rig.active_rig(context))
        if self.wait:
            generation.wait_for(job)
            if job.error is not None:
                return report(self, job.error)
        return {"FINISHED"}


class DREAMZOOM_OT_go_on(Operator):
    """Go on with the job of this flight that was stopped, from its last finished step"""

    bl_idname = "dreamzoom.go_on"
    bl_label = "Go On"

    @classmethod
    def poll(cls, context):
        if not can_change(cls, context) or is_busy(cls, context):
            return False
        root = rig.active_rig(context)
        if not job_folders.is_stopped(root) and not remote.can_resend(current_job.of_rig(root.session_uid)):
            cls.poll_message_set("This flight has no job that was stopped")
            return False
        return can_use_server(cls)

    def execute(self, context) -> Result:
        root = rig.active_rig(context)
        try:
            generation.go_on(root, context.scene)
        except DreamzoomError as error:
            return _refuse(self, error, root)
        return {"FINISHED"}


class DREAMZOOM_OT_cancel(Operator):
    """Stop the job. Finished steps are kept, and Generate continues from there"""

    bl_idname = "dreamzoom.cancel"
    bl_label = "Cancel"

    rig_uid: StringProperty(
        name="Rig",
        description="Number of the rig whose job is stopped. Empty: that of the active rig, or the running one",
        options={"SKIP_SAVE", "HIDDEN"},
    )

    @classmethod
    def poll(cls, context):
        if not current_job.is_busy():
            cls.poll_message_set("No job is running")
            return False
        return True

    def execute(self, context) -> Result:
        root = rig.active_rig(context)
        job = current_job.of_rig(int(self.rig_uid) if self.rig_uid else root.session_uid if root else -1)
        generation.cancel(job if self.rig_uid or (job and job.is_active) else None)
        return {"FINISHED"}


class DREAMZOOM_OT_import_job(Operator):
    """Import the finished points and splats, in place of those imported before"""

    bl_idname = "dreamzoom.import_job"
    bl_label = "Import"

    @classmethod
    def poll(cls, context):
        if not can_change(cls, context):
            return False
        if is_busy(cls, context):
            return False
        known = job_folders.state_of(rig.active_rig(context))
        if known is None or not known.can_import:
            cls.poll_message_set("There is no finished job yet: press Generate")
            return False
        return True

    def execute(self, context) -> Result:
        try:
            importing.start_import(rig.active_rig(context))
        except DreamzoomError as error:
            return _refuse(self, error, rig.active_rig(context))
        return {"FINISHED"}


class DREAMZOOM_OT_repair(Operator):
    """Check every file of this rig's job, make again just what is damaged, and import it"""

    bl_idname = "dreamzoom.repair"
    bl_label = "Check and Repair"

    @classmethod
    def poll(cls, context):
        if not can_change(cls, context):
            return False
        if current_job.is_busy():
            cls.poll_message_set("A job is running")
            return False
        if job_folders.of_rig(rig.active_rig(context)) is None:
            cls.poll_message_set("There is no job yet: press Generate")
            return False
        return True

    def execute(self, context) -> Result:
        try:
            generation.repair(rig.active_rig(context), context.scene)
        except DreamzoomError as error:
            return _refuse(self, error, rig.active_rig(context))
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
        if folder is None or not job_folders.state(folder).has_job:
            cls.poll_message_set("There is no job folder yet: press Generate")
            return False
        return True

    def execute(self, context) -> Result:
        folder = job_folders.of_rig(rig.active_rig(context))
        try:
            job_folders.check_can_open(folder)
        except DreamzoomError as error:
            return report(self, error)
        # with a separator at the end, Windows does not take it for a program of the same name
        bpy.ops.wm.path_open(filepath=f"{folder}{os.sep}")
        return {"FINISHED"}


class DREAMZOOM_OT_dismiss(Operator):
    """Close this message"""

    bl_idname = "dreamzoom.dismiss"
    bl_label = "Dismiss"

    poll = offered_if(lambda: not all(job.is_active for job in current_job.all_jobs()), "There is no message")

    rig_uid: StringProperty(
        name="Rig",
        description="Number of the rig whose message is closed. Empty: that of the active rig, and of those that are "
        "not here",
        options={"SKIP_SAVE", "HIDDEN"},
    )

    def execute(self, context) -> Result:
        for job in current_job.all_jobs():
            if not job.is_active and self._is_meant(job, rig.active_rig(context)):
                current_job.remove(job.rig_uid)
        return {"FINISHED"}

    def _is_meant(self, job: current_job.Job, root: bpy.types.Object | None) -> bool:
        if self.rig_uid:
            return job.rig_uid == int(self.rig_uid)
        return root is None or job.rig_uid == root.session_uid or importing.rig_of(job) is None


def is_busy(cls: type[Operator], context: bpy.types.Context) -> bool:
    """Whether the active rig's job is running; then the operator's tooltip says so."""
    busy = current_job.is_busy(rig.active_rig(context).session_uid)
    if busy:
        cls.poll_message_set("The job of this flight is running")
    return busy


def _missing_model(root: bpy.types.Object) -> str:
    """Which model the Diffusion engine lacks, empty where it lacks none, or where the models are not listed yet."""
    settings = root.dreamzoom
    if settings.engine != "diffusion":
        return ""
    return model_library.missing(settings.diffusion.model, settings.diffusion.depth_model)


class DREAMZOOM_OT_restart_server(Operator):
    """End a server that does not answer"""

    bl_idname = "dreamzoom.restart_server"
    bl_label = "Restart Server"
    bl_description = (
        "End the server, which does not answer, and all that it runs. Finished steps are kept, and the next job or "
        "download starts another server"
    )

    @classmethod
    def poll(cls, context):
        if connection.client is None:
            cls.poll_message_set("The server is not running")
            return False
        return True

    def execute(self, context) -> Result:
        connection.kill()
        return {"FINISHED"}


def _refuse(operator: Operator, error: DreamzoomError, root: bpy.types.Object) -> Result:
    """Show the error in the panel and in the status bar."""
    current_job.refuse(error, root.session_uid)
    return report(operator, error, "WARNING")


CLASSES = (
    DREAMZOOM_OT_generate,
    DREAMZOOM_OT_go_on,
    DREAMZOOM_OT_cancel,
    DREAMZOOM_OT_import_job,
    DREAMZOOM_OT_repair,
    DREAMZOOM_OT_open_job_folder,
    DREAMZOOM_OT_dismiss,
    DREAMZOOM_OT_restart_server,
)

register, unregister = bpy.utils.register_classes_factory(CLASSES)
