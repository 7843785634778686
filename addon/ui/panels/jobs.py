"""The jobs of all rigs: their list in the sidebar, and a line in the status bar and the viewport's header."""

from __future__ import annotations

import bpy
from bpy.app.translations import pgettext_iface as iface_
from bpy.types import Panel

from ... import rig
from ...backend import current_job, installation, preferences
from ...backend.connection import connection
from ...backend.current_job import Job
from ...core.disk import size_text
from ...jobs import importing
from .. import labels
from ..registration import with_menus
from .layout import SidebarPanel, paragraph


class DREAMZOOM_PT_jobs(SidebarPanel, Panel):
    """Jobs of other rigs than the active one, which has its own in the Dream panel."""

    bl_label = "Other Jobs"

    @classmethod
    def poll(cls, context):
        return bool(_others(context))

    def draw(self, context):
        for job in _others(context):
            box = self.layout.box()
            row = box.row(align=True)
            row.label(text=_whose(job), icon="EMPTY_AXIS")
            if job.is_active:
                row.operator("dreamzoom.cancel", text="", icon="CANCEL").rig_uid = str(job.rig_uid)
            else:
                row.operator("dreamzoom.dismiss", text="", icon="X", emboss=False).rig_uid = str(job.rig_uid)
            if job.is_active:
                box.progress(factor=job.total, text=f"{job.total * 100:.0f} %")
            paragraph(box, activity(job))
            if job.error is not None and job.error.remedy:
                paragraph(box, job.error.remedy, icon="LIGHT")


def _others(context: bpy.types.Context) -> list[Job]:
    """Running and failed jobs of other rigs, and ended ones of rigs that are no longer there."""
    root = rig.active_rig(context)
    uid = root.session_uid if root is not None else -1
    jobs = [job for job in current_job.all_jobs() if job.rig_uid != uid]
    return [job for job in jobs if job.is_active or job.status == "failed" or importing.rig_of(job) is None]


def _whose(job: Job) -> str:
    root = importing.rig_of(job)
    if root is not None:
        return f"{root.name} ({job.scene_name})" if job.scene_name else root.name
    if any(obj.session_uid == job.rig_uid for obj in bpy.data.objects):
        return iface_("{name}, in no scene").format(name=job.rig_name or iface_("A rig"))
    return iface_("{name}, not in this file").format(name=job.rig_name or iface_("A rig"))


def activity(job: Job) -> str:
    """What is being done for a job, or how it ended, in one line."""
    if job.status == "capturing":
        return iface_("Capturing the scene, {percent:.0f} %").format(percent=job.fraction * 100)
    named = {
        "queued": iface_("Waiting for the other jobs"),
        "sending": iface_("Sending files"),
        "fetching": iface_("Fetching the result"),
        "starting": iface_("Starting"),
        "cancelling": iface_("Stopping"),
        "done": job.outcome or iface_("Done: Import it with its rig"),
        "cancelled": iface_("Cancelled"),
    }
    if job.status in named:
        return named[job.status]
    if job.status == "failed":
        return str(job.error)
    stage = labels.of_stage(job.stage) or iface_("Working")
    if job.level is None:
        return stage
    return iface_("{stage}, level {level} of {last}").format(stage=stage, level=job.level, last=job.levels - 1)


def still_to_come(job: Job) -> str:
    """How much has travelled of what is known to travel, as a line; empty where nothing does."""
    transfer = job.transfer
    if transfer is None or not transfer.is_remote:
        return ""
    if job.status == "sending" and transfer.to_send:
        told, done, whole = iface_("{done} of {whole} sent"), transfer.sent, transfer.to_send
    elif transfer.to_fetch:
        told, done, whole = iface_("{done} of {whole} fetched"), transfer.fetched, transfer.to_fetch
    else:
        return ""
    return told.format(done=size_text(done), whole=size_text(max(whole, done)))


def where() -> str:
    """Which machine the server runs on, as a line; empty where nobody chose another than this one."""
    if not preferences.get("server_command") or not connection.host:
        return ""
    return iface_("Runs on {host}").format(host=connection.host)


def time_left(job: Job) -> str:
    """How long the server needs, as a line; empty where that is not known."""
    seconds = job.seconds_left
    if seconds is None or job.status != "running":
        return ""
    return iface_("About {time} left").format(time=labels.of_seconds(seconds))


def draw_in_header(header, _context) -> None:
    """The running job, or installation, in one line, where it is seen outside the sidebar."""
    running = [job for job in current_job.all_jobs() if job.is_active]
    if not running:
        _draw_installation(header.layout)
        return
    job = current_job.get() or running[0]
    row = header.layout.row(align=True)
    row.ui_units_x = 10
    left = job.seconds_left if job.status == "running" else None
    parts = ["Dreamzoom", f"{job.total * 100:.0f} %", labels.of_seconds(left) if left is not None else ""]
    parts.append(iface_("{count} waiting").format(count=len(running) - 1) if len(running) > 1 else "")
    row.progress(factor=job.total, text="  ".join(part for part in parts if part))
    row.operator("dreamzoom.cancel", text="", icon="CANCEL").rig_uid = str(job.rig_uid)


def _draw_installation(layout) -> None:
    running = installation.state.running
    if running is not None:
        row = layout.row(align=True)
        row.ui_units_x = 10
        fraction = running.standing.get("fraction", 0.0)
        row.progress(
            factor=fraction, text=iface_("Installing Dreamzoom {percent:.0f} %").format(percent=fraction * 100)
        )
        row.operator("dreamzoom.cancel_install", text="", icon="CANCEL")


CLASSES = (DREAMZOOM_PT_jobs,)

register, unregister = with_menus(
    CLASSES, [("STATUSBAR_HT_header", draw_in_header), ("VIEW3D_HT_header", draw_in_header)]
)
