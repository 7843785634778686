"""The panels of the imported result and of the render settings."""

from __future__ import annotations

import bpy
from bpy.types import Panel, UILayout

from ... import rig
from ...translations import translated
from .layout import RigPanel, optional, paragraph, split

SHOWN = 4
"""Notes that are shown at once; more are shown when asked for."""


class DREAMZOOM_PT_result(RigPanel, Panel):
    bl_label = "Result"

    def draw(self, context):
        layout = self.layout
        settings = rig.active_rig(context).dreamzoom
        if settings.splats_collection or settings.points_collection:
            column = layout.column(align=True)
            _draw_kind(column, settings.splats_collection, "Splats", "OUTLINER_OB_LIGHTPROBE")
            _draw_kind(column, settings.points_collection, "Points", "OUTLINER_OB_POINTCLOUD")
            shading = getattr(context.space_data, "shading", None)
            if shading and shading.type in ("SOLID", "WIREFRAME"):
                column.prop_enum(shading, "type", "MATERIAL", text="Show Colours")
            row = layout.row()
            row.prop(settings, "cast_shadows")
            row.prop(settings, "holdout")
            layout.separator()
        if settings.notes:
            _draw_notes(layout, settings.notes.split("\n"))
        row = layout.row(align=True)
        row.operator("dreamzoom.import_job", icon="IMPORT")
        row.operator("dreamzoom.open_job_folder", icon="FILE_FOLDER", text="Open Folder")
        row.operator("dreamzoom.repair", icon="CHECKMARK", text="")
        layout.operator("dreamzoom.export_for_viewers", icon="EXPORT")
        column = layout.column(align=True)
        column.operator("dreamzoom.import_stack", icon="IMAGE_DATA")
        note = column.column()
        note.active = False
        paragraph(note, "A zoom stack is the same zoom as flat pictures, made by the command line without 3D.")
        column = split(layout)
        column.prop(settings, "job_folder", text="Folder")


class DREAMZOOM_PT_render(RigPanel, Panel):
    bl_label = "Render"

    def draw(self, context):
        layout = self.layout
        choice = context.scene.dreamzoom
        column = split(layout)
        column.row().prop(choice, "render_engine", expand=True)
        optional(column, choice, "render_samples", "use_samples", "Samples")
        column.prop(choice, "render_output")
        column.prop(choice, "render_transparent")
        row = layout.row()
        row.scale_y = 1.3
        button = row.operator("dreamzoom.render_settings", icon="SHADING_RENDERED")
        button.engine, button.samples = choice.render_engine, choice.render_samples
        button.output, button.transparent = choice.render_output, choice.render_transparent
        column = layout.column(align=True)
        column.active = False
        column.label(text="Then F12, or Ctrl F12 for the flight.")


def _draw_notes(layout: UILayout, notes: list[str]) -> None:
    """What was guessed or changed in the artist's files, each in a line that begins with its level."""
    header, body = layout.panel("dreamzoom_notes", default_closed=len(notes) > SHOWN)
    told = translated(f"Your Files: {len(notes)} Notes") if len(notes) > 1 else "Your Files: 1 Note"
    header.label(text=told, icon="INFO", translate=len(notes) == 1)
    if body is not None:
        for line in notes:
            paragraph(body, line, is_english=False)


def _draw_kind(layout: UILayout, collection: bpy.types.Collection | None, name: str, icon: str) -> None:
    if collection is None:
        return
    row = layout.row(align=True)
    row.label(text=name, icon=icon)
    entries = [entry for entry in rig.layer_collections(collection) if entry.id_data == bpy.context.scene]
    if collection.hide_viewport:  # as earlier versions hid the points: its eye alone would not show them
        row.prop(collection, "hide_viewport", text="", emboss=False)
    elif entries:
        row.prop(entries[0], "hide_viewport", text="", emboss=False)
    row.prop(collection, "hide_render", text="", emboss=False)


CLASSES = (DREAMZOOM_PT_result, DREAMZOOM_PT_render)

register, unregister = bpy.utils.register_classes_factory(CLASSES)
