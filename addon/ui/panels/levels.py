"""The panels of the level list and of the active level."""

from __future__ import annotations

import bpy
from bpy.types import Panel, UIList

from ... import rig
from ...scene import assets
from ...translations import translated
from .. import text as texts
from .layout import RigPanel, line_width, paragraph, split

ROW = 76
"""Pixels of a row of the list, at interface scale 1, that its prompt can't have: number, margins, buttons beside it."""


class DREAMZOOM_UL_levels(UIList):
    """The levels, from far to near; the dot marks where the camera is."""

    bl_idname = "DREAMZOOM_UL_levels"

    def draw_item(self, context, layout, data, item, icon, active_data, active_property, index, flt_flag):
        root = item.id_data
        here = min(max(round(root.get("zoom", 0.0)), 0), len(data.levels) - 1) == index
        row = layout.row(align=True)
        number = row.row(align=True)
        number.ui_units_x = 2.2
        number.label(text=str(index), icon="RADIOBUT_ON" if here else "RADIOBUT_OFF")
        row.prop(item, "prompt", text="", emboss=False, placeholder="What is seen here?")
        if item.image:
            row.label(text="", icon="IMAGE_DATA")

    def draw_filter(self, context, layout):
        pass  # levels have an order: no sorting, no filter


class DREAMZOOM_PT_levels(RigPanel, Panel):
    bl_label = "Levels"

    def draw(self, context):
        layout = self.layout
        settings = rig.active_rig(context).dreamzoom
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


class DREAMZOOM_PT_level(RigPanel, Panel):
    bl_label = ""
    bl_parent_id = "DREAMZOOM_PT_levels"
    bl_options = {"DEFAULT_CLOSED"}

    def draw_header(self, context):
        settings = rig.active_rig(context).dreamzoom
        level = min(settings.active_level, len(settings.levels) - 1)
        self.layout.label(text=translated(f"Level {level} in Detail"), translate=False)

    def draw(self, context):
        settings = rig.active_rig(context).dreamzoom
        item = settings.levels[min(settings.active_level, len(settings.levels) - 1)]
        column = self.layout.column(align=True)
        column.prop(item, "prompt", text="", placeholder="What is seen here?")
        column.prop(item, "negative_prompt", text="", placeholder="What must not be seen?")
        column = split(self.layout)
        column.prop(item, "image")
        column.separator()
        row = column.row(heading="Own Seed", align=True)
        row.prop(item, "use_seed", text="")
        seed = row.row()
        seed.active = item.use_seed
        seed.prop(item, "seed", text="")
        if item.id_data.dreamzoom.engine == "diffusion":
            column.prop(item, "guidance")
        column.separator()
        column.prop(item, "focus")
        root = item.id_data
        own = assets.of_level(root, min(settings.active_level, len(settings.levels) - 1))
        row = self.layout.row(align=True)
        row.label(text=translated(f"My Objects: {len(own)}"), icon="OBJECT_DATA", translate=False)
        row.operator("dreamzoom.level_place", text="Add Selected")


CLASSES = (DREAMZOOM_UL_levels, DREAMZOOM_PT_levels, DREAMZOOM_PT_level)

register, unregister = bpy.utils.register_classes_factory(CLASSES)
