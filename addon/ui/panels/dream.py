"""The Dream panel: the options of a job, the Generate button, and the job's progress."""

from __future__ import annotations

import bpy
from bpy.app.translations import pgettext_iface as iface_
from bpy.types import Panel, UILayout

from ... import rig
from ...backend import current_job, error_messages, job_folders, model_library, readiness
from ...backend.connection import connection
from ...backend.current_job import Job
from ...core.protocol import messages
from ...scene import estimate, prompt_changes
from .. import labels, preview
from . import jobs
from .layout import RigPanel, draw_error, icon_scale, paragraph, split
from .setup import draw_set_up


class DREAMZOOM_PT_dream(RigPanel, Panel):
    bl_label = "Dream"

    def draw(self, context):
        layout = self.layout
        root = rig.active_rig(context)
        settings = root.dreamzoom
        column = split(layout)
        column.enabled = not current_job.is_busy(root.session_uid)
        column.prop(settings, "engine")
        column.prop(settings, "quality")
        column.prop(settings, "size")
        column.prop(settings, "seed")
        column.prop(settings, "see_assets")
        if settings.engine in ("spectral", "diffusion"):
            column.prop(settings, "second_pass")
        if not readiness.is_ready():
            draw_set_up(layout)
        draw_job(layout, root, context.scene)


def draw_job(layout: UILayout, root: bpy.types.Object, scene: bpy.types.Scene) -> None:
    """The Generate button with the outcome of the rig's last job, or the progress of its running one."""
    settings = root.dreamzoom
    current = current_job.of_rig(root.session_uid)
    if current is not None and current.is_active:
        _draw_progress(layout, current)
        draw_hung(layout)
        return
    _draw_stopped(layout, root)
    notice = prompt_changes.notice(settings)
    if notice:
        paragraph(layout, notice, icon="FILE_REFRESH")
    _draw_estimate(layout, root, scene)
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
    if current is not None:
        _draw_outcome(layout, current)


def _draw_estimate(layout: UILayout, root: bpy.types.Object, scene: bpy.types.Scene) -> None:
    """How long the job will take; a warning if that is long."""
    found = estimate.of_rig(root, scene)
    if found.seconds is None:
        return
    told = iface_("{width} × {height} pixels, levels: {levels}. About {time} on this machine.")
    if not found.is_measured:
        told = iface_("{width} × {height} pixels, levels: {levels}. About {time}; measured once a job has run.")
    time = labels.of_seconds(found.seconds)
    text = told.format(levels=found.levels, width=found.width, height=found.height, time=time)
    if found.is_long:
        box = layout.box()
        paragraph(box, text + " " + iface_("Draft or a smaller size is faster."), icon="ERROR")
    else:
        paragraph(layout, text, icon="TIME")


def _draw_stopped(layout: UILayout, root: bpy.types.Object) -> None:
    """Offer to go on with a job that was stopped, by a crash for example, in this or an earlier session."""
    last, known = current_job.of_rig(root.session_uid), job_folders.state_of(root)
    is_offered = last is not None and last.error is not None and last.error.operator == error_messages.GO_ON
    if known is None or not known.is_known or is_offered or not job_folders.is_stopped(root):
        return
    box = layout.box()
    paragraph(
        box, iface_("The job of this flight was stopped before its end. What is finished is kept."), icon="RECOVER_LAST"
    )
    box.operator("dreamzoom.go_on", icon="PLAY")


def _draw_outcome(layout: UILayout, current: Job) -> None:
    if current.status == "failed":
        draw_error(layout, str(current.error), current.error.remedy, current.error.operator)
    elif current.status == "cancelled":
        exported = current.method == messages.EXPORT
        told = "Cancelled. No file was written." if exported else "Cancelled. Generate continues from there."
        _draw_note(layout, "CANCEL", iface_(told))
    elif current.seconds:
        is_new = current.seconds >= 1
        done = iface_("Done in {time}.").format(time=labels.of_seconds(current.seconds))
        _draw_note(layout, "CHECKMARK", done if is_new else iface_("Done: nothing had changed."))
    if current.outcome:
        paragraph(layout, current.outcome, icon="EXPORT")
    if current.kept:
        told = iface_("Kept, hidden, in the rig's collection “Kept”, since you had changed them: {count}.")
        paragraph(layout, told.format(count=len(current.kept)), icon="OBJECT_DATA")
    if current.made_ready:
        told = iface_("The file is ready to render: {changes}.")
        paragraph(layout, told.format(changes=", ".join(map(iface_, current.made_ready))), icon="RENDER_STILL")
    _draw_warning(layout, current)


def draw_hung(layout: UILayout) -> None:
    """A warning where the server does not answer, with the button that restarts it."""
    seconds = connection.hung_seconds
    if not seconds:
        return
    told = iface_("The server has not answered for {count} seconds. It may be loading, or hung.")
    box = layout.box()
    paragraph(box, told.format(count=int(seconds)), icon="ERROR")
    box.operator("dreamzoom.restart_server", icon="FILE_REFRESH")


def _draw_progress(layout: UILayout, current: Job) -> None:
    column = layout.column(align=True)
    row = column.row(align=True)
    row.scale_y = 1.5
    row.progress(factor=current.total, text=f"{current.total * 100:.0f} %")
    button = row.row(align=True)
    button.enabled = current.status != "cancelling"
    button.operator("dreamzoom.cancel", text="", icon="CANCEL").rig_uid = str(current.rig_uid)
    lines = layout.column(align=True)
    for line in (jobs.activity(current), jobs.time_left(current), jobs.still_to_come(current), jobs.where()):
        if line:
            lines.label(text=line)
    if current.note:
        paragraph(layout, error_messages.sentence(current.note), icon="INFO")
    _draw_warning(layout, current)
    icon = preview.icon(current.preview)
    if icon:
        layout.template_icon(icon_value=icon, scale=icon_scale())


def _draw_warning(layout: UILayout, current: Job) -> None:
    if current.warning:
        paragraph(layout, error_messages.sentence(current.warning), icon="ERROR")


def _draw_note(layout: UILayout, icon: str, text: str) -> None:
    row = layout.row()
    row.label(text=text, icon=icon)
    row.operator("dreamzoom.dismiss", text="", icon="X", emboss=False)


CLASSES = (DREAMZOOM_PT_dream,)

register, _unregister_classes = bpy.utils.register_classes_factory(CLASSES)


def unregister() -> None:
    _unregister_classes()
    preview.clear()
