"""The panels of the level list and of the active level."""

from __future__ import annotations

import bpy
from bpy.app.translations import pgettext_iface as iface_
from bpy.types import Panel, UILayout, UIList

from ... import rig
from ...backend import current_job, job_folders
from ...core import prompt_words
from ...results import level_states, versions
from ...scene import assets, prompt_changes
from .. import labels, preview
from .. import text as texts
from .layout import RigPanel, line_width, paragraph, split

STATES = {
    prompt_changes.MISSING: ("RADIOBUT_OFF", "Not dreamed yet"),
    prompt_changes.STALE: ("FILE_REFRESH", "Out of date: Generate redoes it"),
    prompt_changes.DREAMED: ("CHECKMARK", "Dreamed"),
    prompt_changes.WAITING: ("SORTTIME", "Waiting for its turn"),
    prompt_changes.DREAMING: ("RENDER_ANIMATION", "Being dreamed now"),
    level_states.LOST: ("ERROR", "Dreamed, but its files can't be found or read: Generate makes them again"),
    level_states.EARLIER: ("RECOVER_LAST", "An earlier version is shown. Import shows the newest, if it is not locked"),
    level_states.LEFT: ("IMPORT", "Dreamed, not imported: press Import"),
    level_states.SHOWN: ("RECOVER_LAST", "Shown, but no job of it was finished: Generate goes on"),
}
"""State of a level → its icon, and what it is called."""

MAX_NAMED = 6
"""So many words or levels are named in a sentence."""

_states: list[str] = []
"""States of the levels that are being drawn."""

ROW = 132
"""Pixels of a row, at interface scale 1, that its prompt can't have: number, picture, symbols, buttons beside it."""


class DREAMZOOM_UL_levels(UIList):
    """The levels, from far to near: number, picture, prompt, state, eye and lock. The dot marks where the camera is."""

    bl_idname = "DREAMZOOM_UL_levels"

    def draw_item(self, context, layout, data, item, icon, active_data, active_property, index, flt_flag):
        index = index or 0
        root = item.id_data
        here = min(max(round(root.get("zoom", 0.0)), 0), len(data.levels) - 1) == index
        row = layout.row(align=True)
        number = row.row(align=True)
        number.ui_units_x = 1.5
        number.label(text=f"{index} •" if here else str(index), translate=False)
        picture = preview.icon(_picture_of(root, index))
        row.label(text="", icon_value=picture) if picture else row.label(text="", icon="IMAGE_REFERENCE")
        prompt = row.row(align=True)
        prompt.enabled = not item.lock
        prompt.prop(item, "prompt_line", text="", emboss=False, placeholder="What is seen here?")
        if item.image:
            row.label(text="", icon="IMAGE_DATA")
        row.label(text="", icon=STATES[_states[index]][0] if index < len(_states) else "BLANK1")
        row.prop(item, "hide", text="", emboss=False, icon="HIDE_ON" if item.hide else "HIDE_OFF")
        row.prop(item, "lock", text="", emboss=False, icon="LOCKED" if item.lock else "UNLOCKED")

    def draw_filter(self, context, layout):
        pass  # levels have an order: no sorting, no filter


class DREAMZOOM_PT_levels(RigPanel, Panel):
    bl_label = "Levels"

    def draw(self, context):
        layout = self.layout
        root = rig.active_rig(context)
        settings = root.dreamzoom
        _states[:] = level_states.of_rig(root, current_job.of_rig(root.session_uid))
        row = layout.row()
        row.template_list("DREAMZOOM_UL_levels", "", settings, "levels", settings, "active_level", rows=6)
        side = row.column(align=True)
        side.operator("dreamzoom.level_add", icon="ADD", text="")
        side.operator("dreamzoom.level_remove", icon="REMOVE", text="")
        side.separator()
        side.operator("dreamzoom.level_move", icon="TRIA_UP", text="").direction = "UP"
        side.operator("dreamzoom.level_move", icon="TRIA_DOWN", text="").direction = "DOWN"
        prompt = settings.levels[min(settings.active_level, len(settings.levels) - 1)].prompt
        scale = context.preferences.system.ui_scale
        if texts.width(prompt) > line_width() - ROW * scale:
            paragraph(layout, prompt, is_english=False)
        row = layout.row(align=True)
        row.operator("dreamzoom.level_redo", icon="FILE_REFRESH", text="Redo Level").following = False
        row.operator("dreamzoom.level_redo", icon="SORT_ASC", text="Redo from Here").following = True
        _draw_state(layout, settings)
        _draw_empty(layout, settings)


def _draw_state(layout: UILayout, settings) -> None:
    """The state of the active level, in words."""
    level = min(settings.active_level, len(settings.levels) - 1)
    icon, told = STATES[_states[level]]
    text = iface_("Level {number}: {state}").format(number=level, state=iface_(told))
    seconds = settings.levels[level].seconds
    if seconds and _states[level] not in (prompt_changes.WAITING, prompt_changes.DREAMING):
        text += " " + iface_("({time} the last time)").format(time=labels.of_seconds(seconds))
    paragraph(layout, text, icon=icon)


def _draw_empty(layout: UILayout, settings) -> None:
    """Say which levels have neither a prompt nor a picture."""
    empty = [str(level) for level, item in enumerate(settings.levels) if not item.prompt.strip() and not item.image]
    if not empty:
        return
    names = ", ".join(empty[:MAX_NAMED]) + (" …" if len(empty) > MAX_NAMED else "")
    told = iface_("Without a prompt, the engine decides what is seen: level {numbers}.")
    if len(empty) > 1:
        told = iface_("Without a prompt, the engine decides what is seen: levels {numbers}.")
    paragraph(layout, told.format(numbers=names), icon="INFO")


def _picture_of(root: bpy.types.Object, level: int) -> str:
    """Path of the small picture of a level as it was dreamed last; empty where there is none."""
    job = current_job.of_rig(root.session_uid)
    sent_as = prompt_changes.sent_as(root.dreamzoom, job.request)[level] if job is not None and job.is_active else -1
    if job is not None and sent_as in job.finished_levels:
        return str(job.folder / f"levels/{sent_as:03d}/preview.png")
    newest = next(iter(versions.of_rig(root)), None)
    if newest is not None:
        index = newest.index_of(root, level)
        return newest.preview(index) if index >= 0 else ""
    folder = job_folders.of_rig(root)
    known = any(other.dreamed_as >= 0 for other in root.dreamzoom.levels)
    index = root.dreamzoom.levels[level].dreamed_as if known else level
    return str(folder / f"levels/{index:03d}/preview.png") if folder is not None and index >= 0 else ""


class DREAMZOOM_PT_level(RigPanel, Panel):
    bl_label = ""
    bl_parent_id = "DREAMZOOM_PT_levels"
    bl_options = {"DEFAULT_CLOSED"}

    def draw_header(self, context):
        settings = rig.active_rig(context).dreamzoom
        level = min(settings.active_level, len(settings.levels) - 1)
        self.layout.label(text=iface_("Level {number} in Detail").format(number=level))

    def draw(self, context):
        root = rig.active_rig(context)
        settings = root.dreamzoom
        level = min(settings.active_level, len(settings.levels) - 1)
        item = settings.levels[level]
        column = self.layout.column(align=True)
        column.enabled = not item.lock
        column.prop(item, "prompt", text="", placeholder="What is seen here?")
        column.prop(item, "negative_prompt", text="", placeholder="What must not be seen?")
        if settings.engine == "procedural" and item.prompt.strip():
            _draw_words(self.layout, item.prompt)
        column = split(self.layout)
        column.enabled = not item.lock
        column.prop(item, "image")
        column.separator()
        row = column.row(heading="Own Seed", align=True)
        row.prop(item, "use_seed", text="")
        seed = row.row()
        seed.active = item.use_seed
        seed.prop(item, "seed", text="")
        if settings.engine == "diffusion":
            column.prop(item, "guidance")
        column.separator()
        column.prop(item, "focus")
        column.operator("dreamzoom.zoom_here", icon="EYEDROPPER")
        own = assets.of_level(root, level)
        row = self.layout.row(align=True)
        row.label(text=iface_("My Objects: {count}").format(count=len(own)), icon="OBJECT_DATA")
        row.operator("dreamzoom.level_place", text="Add Selected")
        _draw_versions(self.layout, root, level)
        self.layout.operator("dreamzoom.branch", icon="OUTLINER")


def _draw_words(layout: UILayout, prompt: str) -> None:
    """What the procedural engine makes of a prompt's words."""
    found = prompt_words.understood(prompt)
    told = [one for one in found if one.kind != prompt_words.UNKNOWN]
    words = [one.word if one.word == one.meaning else f"{one.word} → {iface_(one.meaning)}" for one in told]
    if words:
        paragraph(layout, iface_("Understood: {words}").format(words=", ".join(words)), icon="CHECKMARK")
    if not any(one.kind == prompt_words.PLACE for one in found):
        places = ", ".join(iface_(place) for place in prompt_words.PLACES)
        told = iface_("No place that this engine knows, so it draws one at random. It knows: {places}")
        paragraph(layout, told.format(places=places), icon="ERROR")
    unknown = list(dict.fromkeys(one.word for one in found if one.kind == prompt_words.UNKNOWN))
    if unknown:
        names = ", ".join(unknown[:MAX_NAMED]) + (" …" if len(unknown) > MAX_NAMED else "")
        told = iface_("Not known, these only vary colours and shapes: {words}")
        paragraph(layout, told.format(words=names), icon="QUESTION")


def _draw_versions(layout: UILayout, root: bpy.types.Object, level: int) -> None:
    """The results of the level on disk, to choose among."""
    found = [(version, version.index_of(root, level)) for version in versions.of_rig(root)]
    found = [(version, index) for version, index in found if index >= 0]
    if len(found) < 2:
        return
    column = layout.column(align=True)
    column.label(text="Versions", icon="RECOVER_LAST")
    for version, index in found:
        row = column.row(align=True)
        picture = preview.icon(version.preview(index))
        row.label(text="", icon_value=picture) if picture else row.label(text="", icon="IMAGE_REFERENCE")
        row.label(text=version.prompts[index] or iface_("(no prompt)"), translate=False)
        text = version.name.lstrip("0") if version.name else iface_("Newest")
        button = row.operator("dreamzoom.level_version", text=text)
        button.version, button.level = version.name, level


CLASSES = (DREAMZOOM_UL_levels, DREAMZOOM_PT_levels, DREAMZOOM_PT_level)

register, unregister = bpy.utils.register_classes_factory(CLASSES)
