"""Operators that make a rig and its flight, and set the render up."""

from __future__ import annotations

import bpy
from bpy.props import BoolProperty, EnumProperty, IntProperty, StringProperty
from bpy.types import Operator

from .. import properties, render, rig


class DREAMZOOM_OT_create_rig(Operator):
    """Create the zoom rig with its camera, levels and a flight of constant speed"""

    bl_idname = "dreamzoom.create_rig"
    bl_label = "Create Rig"
    bl_options = {"REGISTER", "UNDO"}

    target: StringProperty(
        name="Focus", description="The object to zoom into. Empty: the 3D cursor", options={"SKIP_SAVE"}
    )
    levels: IntProperty(
        name="Levels", description="How many powers of the zoom, each with its own prompt", default=6, min=1, max=64
    )
    zoom_factor: bpy.props.FloatProperty(**properties.FACTOR)
    frames_per_level: IntProperty(**properties.SPEED)
    use_frame_range: BoolProperty(
        name="Set Frame Range",
        description="Let the scene's frame range end with the flight, and use the rig's camera",
        default=True,
    )

    @classmethod
    def poll(cls, context):
        if context.mode != "OBJECT":
            cls.poll_message_set("Leave the edit mode first")
            return False
        return True

    def execute(self, context):
        scene = context.scene
        target = scene.objects.get(self.target)
        if self.target and target is None:
            self.report({"ERROR"}, f"There is no object “{self.target}” in this scene")
            return {"CANCELLED"}
        location = target.matrix_world.translation if target else scene.cursor.location
        root = rig.create_rig(scene, location, self.levels, self.zoom_factor, self.frames_per_level)
        if self.use_frame_range:
            render.use_flight(root, scene)
        for obj in context.selected_objects:
            obj.select_set(False)
        context.view_layer.objects.active = root
        root.select_set(True)
        return {"FINISHED"}


class DREAMZOOM_OT_key_flight(Operator):
    """Replace the keys of the zoom by a flight of constant speed through all levels"""

    bl_idname = "dreamzoom.key_flight"
    bl_label = "Key Constant Flight"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context):
        return _has_rig(cls, context)

    def execute(self, context):
        root = rig.active_rig(context)
        rig.key_flight(root, context.scene.frame_start)
        render.use_flight(root, context.scene)
        return {"FINISHED"}


class DREAMZOOM_OT_render_settings(Operator):
    """Set the scene up so that a render shows what was dreamed"""

    bl_idname = "dreamzoom.render_settings"
    bl_label = "Set Up Render"
    bl_description = (
        "Set the scene up so that a render shows what was dreamed: unchanged colours, rays that pass all splats, "
        "the rig's camera and frame range"
    )
    bl_options = {"REGISTER", "UNDO"}

    engine: EnumProperty(
        name="Engine",
        description="What renders",
        items=(
            ("CYCLES", "Cycles", "The exact picture, on any machine"),
            ("EEVEE", "EEVEE", "Quick on a graphics card"),
        ),
    )
    samples: IntProperty(
        name="Samples",
        description="Samples per pixel. Splats shine by themselves, so few are enough",
        default=16,
        min=1,
        soft_max=256,
    )

    @classmethod
    def poll(cls, context):
        return _has_rig(cls, context)

    def execute(self, context):
        root = rig.active_rig(context)
        render.set_up(context.scene, self.engine, self.samples)
        render.use_flight(root, context.scene)
        self.report({"INFO"}, "The render is set up: press F12, or Ctrl F12 for the flight")
        return {"FINISHED"}


def _has_rig(cls, context) -> bool:
    if rig.active_rig(context) is None:
        cls.poll_message_set("Create a rig first")
        return False
    return True


CLASSES = (DREAMZOOM_OT_create_rig, DREAMZOOM_OT_key_flight, DREAMZOOM_OT_render_settings)


def register() -> None:
    for cls in CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
