"""The Dream panel: the options of a job, the Generate button, and the job's progress."""

from __future__ import annotations

import bpy
from bpy.types import Panel, UILayout

from ... import rig
from ...backend import current_job, error_messages, model_library, readiness
from ...backend.connection import connection
from ...backend.current_job import Job
from ...scene import prompt_changes
from .. import labels, preview
from .layout import RigPanel, draw_error, paragraph, split
from .setup import draw_set_up


class DREAMZOOM_PT_dream(RigPanel, Panel):
    bl_label = "Dream"

    def draw(self, context):
        layout = self.layout
        settings = rig.active_rig(context).dreamzoom
        column = split(layout)
        column.enabled = not current_job.is_busy()
        column.prop(settings, "engine")
        column.prop(settings, "quality")
        column.prop(settings, "size")
        column.prop(settings, "seed")
        column.prop(settings, "see_assets")
        if settings.engine in ("spectral", "diffusion"):
            column.prop(settings, "second_pass")
        if not readiness.is_ready():
            draw_set_up(layout)
        draw_job(layout, settings)


def draw_job(layout: UILayout, settings) -> None:
    """The Generate button with the outcome of the last job, or the progress of the running one."""
    current = current_job.get()
    if current is not None and current.is_active:
        _draw_progress(layout, current)
        draw_hung(layout)
        return
    notice = prompt_changes.notice(settings)
    if notice:
        paragraph(layout, notice, icon="FILE_REFRESH")
    row = layout.row()
    row.scale_y = 1.5
    row.operator("dreamzoom.generate", icon="PLAY")
    if settings.engine == "diffusion":
        lacking = model_library.missing(settings.diffusion.model, settings.diffusion.depth_model)
        if lacking:
            paragraph(layout, f"{lacking}.", icon="INFO")
    column = layout.column()
    column.use_property_split, column.use_property_decorate = False, False
    column.prop(settings, "import_when_done")
    if current is None:
        return
    if current.status == "failed":
        draw_error(layout, str(current.error), current.error.remedy, current.error.operator)
    elif current.status == "cancelled":
        _draw_note(layout, "CANCEL", "Cancelled. Generate continues from there.")
    elif current.seconds:
        is_new = current.seconds >= 1
        text = f"Done in {labels.of_seconds(current.seconds)}." if is_new else "Done: nothing had changed."
        _draw_note(layout, "CHECKMARK", text)
    _draw_warning(layout, current)


def _draw_progress(layout: UILayout, current: Job) -> None:
    column = layout.column(align=True)
    row = column.row(align=True)
    row.scale_y = 1.5
    row.progress(factor=current.fraction, text=f"{current.fraction * 100:.0f} %")
    row.operator("dreamzoom.cancel", text="", icon="CANCEL")
    lines = layout.column(align=True)
    lines.label(text=_activity(current))
    if current.seconds_left is not None and current.status == "running":
        lines.label(text=f"About {labels.of_seconds(current.seconds_left)} left")
    if current.note:
        paragraph(layout, error_messages.sentence(current.note), icon="INFO")
    _draw_warning(layout, current)
    icon = preview.icon(current.preview, current.preview_count)
    if icon:
        layout.template_icon(icon_value=icon, scale=8.0)


def draw_hung(layout: UILayout) -> None:
    """A warning where the server does not answer, with the button that restarts it."""
    seconds = connection.hung_seconds
    if not seconds:
        return
    box = layout.box()
    paragraph(box, f"The server has not answered for {seconds:.0f} seconds. It may be loading, or hung.", icon="ERROR")
    box.operator("dreamzoom.restart_server", icon="FILE_REFRESH")


def _draw_warning(layout: UILayout, current: Job) -> None:
    if current.warning:
        paragraph(layout, error_messages.sentence(current.warning), icon="ERROR")


def _activity(current: Job) -> str:
    if current.status == "capturing":
        return f"Capturing the scene, {current.fraction * 100:.0f} %"
    if current.status == "starting":
        return "Starting"
    if current.status == "cancelling":
        return "Stopping"
    activity = labels.of_stage(current.stage) or "Working"
    return activity if current.level is None else f"{activity}, level {current.level} of {current.levels - 1}"


def _draw_note(layout: UILayout, icon: str, text: str) -> None:
    row = layout.row()
    row.label(text=text, icon=icon)
    row.operator("dreamzoom.dismiss", text="", icon="X", emboss=False)


CLASSES = (DREAMZOOM_PT_dream,)

register, _unregister_classes = bpy.utils.register_classes_factory(CLASSES)


def unregister() -> None:
    _unregister_classes()
    preview.clear()
