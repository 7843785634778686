"""What the panels share: their place in the sidebar, paragraphs of text, columns of properties and error boxes."""

from __future__ import annotations

import bpy
from bpy.types import UILayout

from ... import rig
from ...translations import CONTEXT, translated
from .. import text as texts

CATEGORY = "Dreamzoom"
MARGIN, ICON = 74, 20
"""Pixels at interface scale 1: what a region has beside the text of a box in a panel (its tabs, and the margins of
panel, box and label), and an icon."""

WIDEST = 640
"""Widest line in pixels at interface scale 1, for regions that are wider than is good to read."""


class SidebarPanel:
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = CATEGORY
    bl_translation_context = CONTEXT


class RigPanel(SidebarPanel):
    """A panel that is drawn only if the scene has a rig."""

    @classmethod
    def poll(cls, context):
        return rig.active_rig(context) is not None


def split(layout: UILayout) -> UILayout:
    """A column of properties with their names on the left."""
    column = layout.column()
    column.use_property_split = True
    column.use_property_decorate = False
    return column


def paragraph(layout: UILayout, text: str, icon: str = "NONE", *, is_english: bool = True) -> None:
    """Draw text, broken into as many lines as it needs.

    Args:
        layout: Where to draw.
        text: The text.
        icon: Drawn before the first line.
        is_english: Whether it is a text of the interface, which is translated; not so what the artist wrote.
    """
    column = layout.column(align=True)
    column.scale_y = 0.8
    scale = bpy.context.preferences.system.ui_scale
    room = line_width() - (0 if icon == "NONE" else ICON * scale)
    for index, line in enumerate(texts.lines(translated(text) if is_english else text, room)):
        column.label(text=line, translate=False, icon=icon if index == 0 else ("NONE" if icon == "NONE" else "BLANK1"))


def line_width() -> float:
    """How many pixels a line of text may have in the region that is being drawn."""
    region = bpy.context.region
    scale = bpy.context.preferences.system.ui_scale
    shown = (region.width / scale if region else 280) - MARGIN
    return min(max(shown, 80), WIDEST) * scale


def in_preferences() -> bool:
    """Whether what is being drawn is part of Blender's preferences."""
    return bpy.context.area is not None and bpy.context.area.type == "PREFERENCES"


def can_open(operator: str) -> bool:
    """Whether a button does something here: that which opens the preferences does not within them."""
    return operator != "dreamzoom.open_preferences" or not in_preferences()


def icon_scale() -> float:
    """The scale of a picture that is as wide as the region that is being drawn."""
    return line_width() / (ICON * bpy.context.preferences.system.ui_scale)


def optional(column: UILayout, settings: bpy.types.PropertyGroup, name: str, switch: str, text: str = "") -> None:
    """A property with a switch before it; while that is off the value is chosen by itself.

    Args:
        column: Of properties with their names on the left.
        settings: What has both properties.
        name: The property.
        switch: The property that says whether it counts.
        text: Its name in the panel, if not its own.
    """
    label = text or settings.bl_rna.properties[name].name
    row = column.row(heading=label, align=True)
    row.prop(settings, switch, text="")
    value = row.row(align=True)
    if getattr(settings, switch):
        value.prop(settings, name, text="")
    else:
        value.label(text="Automatic")


def draw_error(
    layout: UILayout,
    message: str,
    remedy: str,
    operator: str = "",
    dismiss: str = "dreamzoom.dismiss",
    log: str = "SERVER",
    title: str = "Error",
) -> UILayout:
    """Draw a box with an error and its remedy; its text and its log are one click away.

    Args:
        layout: Where to draw.
        message: What is wrong.
        remedy: What to do.
        operator: If not empty, the remedy is a button that calls this operator.
        dismiss: The operator that closes the box; empty where it stays until the cause is gone.
        log: Whose log tells more, "SERVER" or "INSTALL"; empty where none does.
        title: The cause in a few words.

    Returns:
        The box, for further buttons.
    """
    box = layout.box()
    head = box.row(align=True)
    warning = head.row()
    warning.alert = True
    warning.label(text=title, icon="ERROR")
    copy = head.operator("dreamzoom.copy_error", text="", icon="COPYDOWN", emboss=False)
    copy.message, copy.log = f"{message}\n{remedy}" if remedy else message, log or "NONE"
    if log:
        head.operator("dreamzoom.open_log", text="", icon="TEXT", emboss=False).log = log
    if dismiss:
        head.operator(dismiss, text="", icon="X", emboss=False)
    paragraph(box, message)
    if operator and can_open(operator):
        box.operator(operator, text=remedy or None)
    elif remedy:
        paragraph(box, remedy, icon="LIGHT")
    return box
