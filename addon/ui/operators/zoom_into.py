"""The operator that makes a flight into the artist's own splats."""

from __future__ import annotations

import bpy
from bpy.props import BoolProperty, FloatProperty, IntProperty
from bpy.types import Operator

from ... import splats
from ...scene import splat_scene
from .. import flight_properties
from .common import Result, in_object_mode, select_only, use_flight


class DREAMZOOM_OT_zoom_into(Operator):
    """Make a flight into the selected splats, a scan for example"""

    bl_idname = "dreamzoom.zoom_into"
    bl_label = "Zoom Into This"
    bl_description = (
        "Make a flight into the selected splats, a scan for example. They become level 0 and are kept; finer levels "
        "are dreamed into them where the 3D cursor is"
    )
    bl_options = {"REGISTER", "UNDO"}

    levels: IntProperty(
        name="Levels", description="Count of levels, each with its own prompt", default=4, min=2, max=64
    )
    zoom_factor: FloatProperty(**flight_properties.FACTOR)
    frames_per_level: IntProperty(**flight_properties.SPEED)
    use_frame_range: BoolProperty(
        name="Set Frame Range",
        description="Let the scene's frame range end with the flight, and use the rig's camera",
        default=True,
    )

    @classmethod
    def poll(cls, context):
        if not in_object_mode(cls, context):
            return False
        obj = context.view_layer.objects.active
        if obj is None or not splats.holds_splats(obj):
            cls.poll_message_set("Select an object that shows splats, and put the 3D cursor on the place to zoom into")
            return False
        return True

    def execute(self, context) -> Result:
        obj = context.view_layer.objects.active
        root = splat_scene.zoom_into(
            context.scene,
            context.view_layer,
            obj,
            splat_scene.viewpoint_of(context),
            levels=self.levels,
            factor=self.zoom_factor,
            frames_per_level=self.frames_per_level,
        )
        if self.use_frame_range:
            use_flight(self, root, context.scene)
        select_only(context, root)
        self.report(
            {"INFO"},
            f"{root.name} zooms into {obj.name}: write prompts for the levels from 1 on, then press Generate",
        )
        return {"FINISHED"}


CLASSES = (DREAMZOOM_OT_zoom_into,)

register, unregister = bpy.utils.register_classes_factory(CLASSES)
