"""The panels of the zoom rig and its flight."""

from __future__ import annotations

import math

import bpy
from bpy.app.translations import pgettext_iface as iface_
from bpy.types import Panel, UILayout

from ... import rig
from ...backend import readiness
from ...rig import coverage
from ...scene import occluders
from ..flight_properties import frame_rate
from .layout import RigPanel, SidebarPanel, paragraph, split
from .setup import draw_set_up


class DREAMZOOM_PT_rig(SidebarPanel, Panel):
    bl_label = "Zoom Rig"

    def draw(self, context):
        layout = self.layout
        root = rig.active_rig(context)
        if root is None:
            if not readiness.is_ready():  # before there is a rig, no other panel can say it
                draw_set_up(layout)
            paragraph(layout, "Start with a rig: a camera that zooms through levels of prompts.", icon="INFO")
            draw_new_rig(context.scene.dreamzoom, layout)
            return
        row = layout.row(align=True)
        row.label(text=root.name, icon="EMPTY_AXIS")
        row.operator("dreamzoom.duplicate_rig", text="", icon="DUPLICATE", emboss=False)
        row.operator("dreamzoom.delete_rig", text="", icon="TRASH", emboss=False)
        locked = rig.why_locked(root)
        if locked:
            paragraph(layout, locked, icon="LINKED")
        column = split(layout)
        column.prop(root, rig.ZOOM, text="Zoom", slider=True)
        draw_occluders(layout, root, context.scene)
        draw_coverage(layout, root, context.scene)


class DREAMZOOM_PT_flight(RigPanel, Panel):
    bl_label = "Flight"
    bl_parent_id = "DREAMZOOM_PT_rig"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context):
        layout = self.layout
        root = rig.active_rig(context)
        settings = root.dreamzoom
        column = split(layout)
        column.prop(settings, "camera")
        column.prop(settings, "splat_scene")
        column.prop(root, rig.ORBIT, text="Orbit per Level")
        column.separator()
        column.prop(settings, "zoom_factor")
        row = column.row()
        row.active = len(settings.levels) > 1
        row.prop(settings, "loop")
        column.separator()
        _draw_timing(column, root, context.scene)
        if rig.is_keyed_by_artist(root):
            text = "The zoom's keys are yours: these settings do not change them. Key Flight replaces them."
            paragraph(layout, text, icon="KEYFRAME_HLT")
        if len(coverage.dreamed_path(root)):
            row = layout.row(align=True)
            row.operator("dreamzoom.check_flight", icon="VIEWZOOM")
            row.prop(settings, "show_guide", text="", icon="HIDE_OFF" if settings.show_guide else "HIDE_ON")
        column = layout.column(align=True)
        column.operator("dreamzoom.key_flight", icon="KEYFRAME")
        column.operator("dreamzoom.to_camera", icon="OUTLINER_DATA_CAMERA")
        column.operator("dreamzoom.export_cameras", icon="EXPORT")


def draw_coverage(layout: UILayout, root: bpy.types.Object, scene: bpy.types.Scene) -> None:
    """What to do where the camera is not where the levels were dreamed, now or on other frames."""
    camera = root.dreamzoom.camera
    found = coverage.deviation(root, camera) if camera is not None else None
    if found is None:
        return
    limit = math.degrees(coverage.FAR)
    told = root.dreamzoom.outside
    if told and root.dreamzoom.outside_of != coverage.flight_stamp(scene, root):
        told = ""  # of another flight, or of one that was dreamed meanwhile
    if not found.is_covered:
        here = iface_("This view is {angle:.0f}° from what was dreamed; up to {limit:.0f}° looks right.")
        if found.angle <= coverage.FAR:
            here = iface_("This view is {closer:.1f} times as close as what was dreamed.")
        told = here.format(angle=math.degrees(found.angle), limit=limit, closer=found.closer)
    if told:
        box = layout.box()
        paragraph(box, told, icon="ERROR")
        box.operator("dreamzoom.generate", text="Dream What Is Missing", icon="PLAY")


def _draw_timing(column: UILayout, root: bpy.types.Object, scene: bpy.types.Scene) -> None:
    """Direction, length and easing of the flight."""
    settings = root.dreamzoom
    column.row().prop(settings, "direction", expand=True)
    column.row().prop(settings, "keep", expand=True)
    if settings.keep == "LENGTH":
        column.prop(settings, "seconds")
        column.prop(settings, "length")
    else:
        column.prop(settings, "frames_per_level", text="Frames / Level")
    part = column.column(align=True)
    part.active = not rig.loops(root)
    part.prop(settings, "ease_in")
    part.prop(settings, "ease_out")
    part.prop(settings, "hold")
    frames = rig.flight_frames(root)
    seconds = frames / frame_rate(scene)
    row = column.row()
    row.active = False
    row.label(text=iface_("Flight: {seconds:.1f} s, frames: {frames}").format(seconds=seconds, frames=frames))


class DREAMZOOM_PT_new_rig(RigPanel, Panel):
    bl_label = "Another Rig"
    bl_parent_id = "DREAMZOOM_PT_rig"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context):
        draw_new_rig(context.scene.dreamzoom, self.layout)


def draw_new_rig(new, layout: UILayout) -> None:
    """The example flight; the settings of a new rig and the buttons that create it."""
    column = layout.column(align=True)
    row = column.row(align=True)
    row.menu("DREAMZOOM_MT_flights", text=bpy.types.DREAMZOOM_MT_flights.bl_label, icon="PRESET")
    row.operator("dreamzoom.flight_preset", text="", icon="ADD")
    row.operator("dreamzoom.flight_preset", text="", icon="REMOVE").remove_active = True
    row = column.row()
    row.scale_y = 1.4
    row.enabled = readiness.is_ready()
    row.operator("dreamzoom.example_flight", icon="PLAY")
    layout.separator()
    column = split(layout)
    column.prop(new, "target", text="Focus", placeholder="3D Cursor")
    column.prop(new, "levels")
    column.prop(new, "zoom_factor")
    column.prop(new, "frames_per_level", text="Frames / Level")
    row = layout.row()
    row.scale_y = 1.4
    button = row.operator("dreamzoom.create_rig", icon="ADD")
    button.target = new.target.name if new.target else ""
    button.levels, button.zoom_factor, button.frames_per_level = new.levels, new.zoom_factor, new.frames_per_level
    button = layout.operator("dreamzoom.from_camera", icon="OUTLINER_OB_CAMERA")
    button.camera = ""
    button.target, button.zoom_factor = new.target.name if new.target else "", new.zoom_factor
    layout.operator("dreamzoom.zoom_into", icon="VIEW_ZOOM")
    layout.operator("dreamzoom.import_cameras", icon="IMPORT")


def draw_occluders(layout: UILayout, root: bpy.types.Object, scene: bpy.types.Scene) -> None:
    """Which objects hide the dream, as the cube of a new file does, and the button that hides them."""
    found = [obj.name for obj in occluders.find(root, scene)]
    if not found:
        return
    names = ", ".join(found[:3]) + (f" and {len(found) - 3} more" if len(found) > 3 else "")
    box = layout.box()
    told = f"{names} is in the middle of the flight, in front of the splats. Hide it, or add it to a level."
    if len(found) > 1:
        told = f"{names} are in the middle of the flight, in front of the splats. Hide them, or add them to a level."
    paragraph(box, told, icon="INFO")
    row = box.row(align=True)
    row.operator("dreamzoom.hide_in_the_way", icon="HIDE_ON")
    row.prop(root.dreamzoom, "let_stand", text="Ignore", toggle=True)


CLASSES = (DREAMZOOM_PT_rig, DREAMZOOM_PT_flight, DREAMZOOM_PT_new_rig)

register, unregister = bpy.utils.register_classes_factory(CLASSES)
