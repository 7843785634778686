"""The installation of the server and its state, as the panels and the preferences draw them."""

from __future__ import annotations

import bpy
from bpy.types import UILayout

from ... import __package__ as base_package
from ...backend import installation, machine_report, readiness, remedies
from ...backend.error_messages import sentence
from ...core.disk import size_text
from ...core.installation import STEPS, Failure
from ...translations import translated
from .. import labels
from .jobs import where
from .layout import can_open, draw_error, in_preferences, paragraph

KEPT_LABELS = {
    "job": "Job",
    "received": "Sent files",
    "model": "Model",
    "kernels": "Compiled code",
    "files": "Fetched files",
    "environment": "Packages",
}

STEP_LABELS = {
    "check": "Looking for a Python",
    "environment": "Making a folder for packages",
    "plan": "Choosing packages",
    "download": "Downloading",
    "install": "Installing",
    "try": "Trying it out",
    "compile": "Compiling code for this machine",
}


def draw_set_up(layout: UILayout) -> None:
    """What keeps the server from being used, and what to do: install, go on, update, or choose another Python."""
    found = readiness.current()
    if found.state == readiness.INSTALLING and installation.state.running is not None:
        _draw_progress(layout.box(), installation.state.running)
    elif found.state == readiness.BROKEN and installation.state.was_stopped:
        box = layout.box()
        paragraph(box, "Stopped. What was downloaded is kept.", icon="PAUSE")
        _draw_install(box, "Go On")
    elif found.state == readiness.BROKEN and found.failure is not None:
        _draw_failure(layout, found.failure)
    elif found.state == readiness.WRONG_PYTHON and found.error is not None:
        box = draw_error(layout, str(found.error), found.error.remedy, found.error.operator, "", "")
        box.operator("dreamzoom.forget_python")
    elif found.state == readiness.LOOKING and found.error is not None:
        paragraph(layout, f"{found.error}.", icon="TIME")
    elif found.error is not None:
        _draw_offer(layout.box(), found)


def draw_test(layout: UILayout) -> None:
    """The Test button, and what the last test found."""
    report = machine_report.report
    _draw_question(layout, report, "dreamzoom.test_server", "Testing", report.lines)
    column = layout.column(align=True)
    column.scale_y = 0.9
    if report.lines and where():
        column.label(text=where(), translate=False)
    for subject, text in report.lines:
        parts = column.split(factor=0.25)
        parts.label(text=subject)
        parts.label(text=translated(text), translate=False)


def draw_steps(layout: UILayout) -> None:
    """A button that tries where steps run, and what it found."""
    steps = machine_report.steps
    _draw_question(layout, steps, "dreamzoom.try_steps", "Trying", steps.text)
    if steps.error is None and steps.text:
        paragraph(layout, steps.text)


def _draw_question(
    layout: UILayout, question: machine_report.Question, operator: str, running: str, found: object
) -> None:
    """The button of a question to the server, the one that closes what it found, and its error."""
    row = layout.row(align=True)
    row.operator(operator, text=running if question.is_running else None, icon="CHECKMARK")
    if found or question.error:
        row.operator("dreamzoom.forget_test", text="", icon="X")
    if question.error is not None:
        error = question.error
        draw_error(layout, str(error), error.remedy, error.operator, "dreamzoom.forget_test")


def draw_kept(layout: UILayout) -> None:
    """What is kept on disk, with a button for each that can go."""
    kept = machine_report.kept
    row = layout.row(align=True)
    row.operator("dreamzoom.find_kept", text="Looking" if kept.is_running else None, icon="DISK_DRIVE")
    if kept.found is not None or kept.error:
        row.operator("dreamzoom.forget_kept", text="", icon="X")
    if kept.error is not None:
        draw_error(layout, str(kept.error), kept.error.remedy, kept.error.operator, "dreamzoom.forget_kept")
    column = layout.column(align=True)
    if kept.found is not None and where():
        column.label(text=where(), translate=False)
    if kept.found == []:
        column.label(text="Nothing is kept.")
    for one in kept.found or ():
        parts = column.row(align=True)
        parts.label(text=KEPT_LABELS.get(str(one.get("kind")), ""))
        parts.label(text=f"{size_text(int(one.get('bytes') or 0))}", translate=False)
        path = parts.row()
        path.alignment = "LEFT"
        path.label(text=str(one["path"]), translate=False)
        if one.get("in_use"):
            parts.label(text="In use")
        else:
            parts.operator("dreamzoom.remove_kept", text="", icon="TRASH").path = str(one["path"])


def draw_hardware(layout: UILayout) -> None:
    """The question that decides which PyTorch is installed."""
    addon = bpy.context.preferences.addons.get(str(base_package))
    if addon is not None and addon.preferences is not None:
        column = layout.column(align=True)
        column.label(text="What have you got?")
        column.prop(addon.preferences, "hardware", text="")


def _draw_offer(box: UILayout, found: readiness.Readiness) -> None:
    """How to install, or to update, where nothing went wrong."""
    if found.state == readiness.OUTDATED:
        paragraph(box, "This version needs other packages than those that are installed.", icon="FILE_REFRESH")
        paragraph(box, "What has not changed is kept: a minute or two.")
    else:
        paragraph(box, "The server's packages are not installed yet.", icon="INFO")
        paragraph(
            box,
            "They are installed once, into a folder of their own: a few minutes and about 2.5 GB, for an NVIDIA card "
            "about 9 GB.",
        )
        if not in_preferences():
            draw_hardware(box)
    _draw_install(box, "Update" if found.state == readiness.OUTDATED else "Install")
    if not in_preferences():
        box.operator("dreamzoom.open_preferences", text="More Choices", icon="PREFERENCES")


def _draw_install(layout: UILayout, label: str) -> None:
    if not bpy.app.online_access:
        paragraph(layout, "Blender may not use the network yet. The packages come from it.")
        layout.operator("dreamzoom.allow_online_access", icon="INTERNET")
    row = layout.row()
    row.scale_y = 1.3
    row.operator("dreamzoom.install_server", text=label, icon="IMPORT")


def _draw_progress(box: UILayout, running: installation.Installation) -> None:
    standing = running.standing
    step = standing.get("step", STEPS[0])
    row = box.row(align=True)
    row.scale_y = 1.3
    row.progress(factor=standing.get("fraction", 0.0), text=f"{standing.get('fraction', 0.0) * 100:.0f} %")
    row.operator("dreamzoom.cancel_install", text="", icon="CANCEL")
    column = box.column(align=True)
    column.scale_y = 0.9
    label = STEP_LABELS.get(step, step)
    column.label(text=translated(f"Step {STEPS.index(step) + 1} of {len(STEPS)}: {label}"), translate=False)
    detail = standing.get("text", "")
    if step == "download" and standing.get("total"):
        column.label(
            text=translated(f"{standing['done'] / 1e6:.0f} of {standing['total'] / 1e6:.0f} MB") + f"  {detail}",
            translate=False,
        )
    elif detail:
        column.label(text=detail, translate=False)
    column.label(text=translated(f"{labels.of_seconds(running.seconds)} so far. Blender stays usable"), translate=False)


def _draw_failure(layout: UILayout, failure: Failure) -> None:
    """The cause, the line that says so, and the buttons that mend it and go on."""
    remedy = remedies.of(failure)
    box = draw_error(layout, sentence(failure.message), remedy.text, "", "", "INSTALL", remedy.title)
    if failure.detail and failure.detail not in failure.message:
        told = box.column()
        told.active = False
        paragraph(told, failure.detail)
    if failure.command:
        paragraph(box, failure.command, icon="CONSOLE")
    if remedy.operator and can_open(remedy.operator):
        box.operator(remedy.operator, text=remedy.button)
    row = box.row()
    row.scale_y = 1.3
    row.operator("dreamzoom.install_server", text="Go On", icon="IMPORT")
