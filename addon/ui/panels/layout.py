"""What the panels share: their place in the sidebar, paragraphs of text, columns of properties and error boxes."""

from __future__ import annotations

import bpy
from bpy.types import UILayout

from ... import rig

CATEGORY = "Dreamzoom"
LETTER_WIDTH = 6.4
"""Mean width of a letter in pixels, at interface scale 1."""


class SidebarPanel:
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = CATEGORY


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


def paragraph(layout: UILayout, text: str, icon: str = "NONE") -> None:
    """Draw text, broken into as many lines as it needs."""
    column = layout.column(align=True)
    column.scale_y = 0.8
    room = _letters() - (0 if icon == "NONE" else 4)
    line = ""
    lines = []
    for word in text.replace("\n", " ").split():
        if line and len(line) + len(word) >= room:
            lines.append(line)
            line = ""
        line = f"{line} {word}".strip()
    for index, shown in enumerate([*lines, line]):
        column.label(text=shown, icon=icon if index == 0 else ("NONE" if icon == "NONE" else "BLANK1"))


def _letters() -> int:
    """How many letters fit on one line of the region that is being drawn."""
    region = bpy.context.region
    scale = bpy.context.preferences.system.ui_scale
    return max(20, int((region.width / scale - 40) / LETTER_WIDTH)) if region else 36


def draw_error(
    layout: UILayout, message: str, remedy: str, operator: str = "", dismiss: str = "dreamzoom.dismiss"
) -> None:
    """Draw a box with an error and its remedy.

    Args:
        layout: Where to draw.
        message: What is wrong.
        remedy: What to do.
        operator: If not empty, the remedy is a button that calls this operator.
        dismiss: The operator that closes the box.
    """
    box = layout.box()
    head = box.row(align=True)
    warning = head.row()
    warning.alert = True
    warning.label(text="Error", icon="ERROR")
    head.operator(dismiss, text="", icon="X", emboss=False)
    paragraph(box, message)
    if operator:
        box.operator(operator, text=remedy or None)
    elif remedy:
        paragraph(box, remedy, icon="LIGHT")
