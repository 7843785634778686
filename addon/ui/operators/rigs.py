"""Operators that create, copy and delete a rig, key its flight, and set up the render."""

from __future__ import annotations

import bpy
from bpy.app.translations import pgettext_rpt as rpt_
from bpy.props import BoolProperty, EnumProperty, FloatVectorProperty, IntProperty, StringProperty
from bpy.types import Operator
from mathutils import Vector

from ... import rig
from ...backend import current_job
from ...results import render_settings
from ...rig import branch, duplicate
from ...scene import occluders
from .. import flight_properties, labels, scene_properties
from .common import Result, can_change, has_rig, in_object_mode, scene_is_own, select_only, use_flight


class DREAMZOOM_OT_create_rig(Operator):
    """Create the zoom rig with its camera, levels and a flight of constant speed"""

    bl_idname = "dreamzoom.create_rig"
    bl_label = "Create Rig"
    bl_options = {"REGISTER", "UNDO"}

    target: StringProperty(
        name="Focus", description="The object to zoom into. Empty: the 3D cursor", options={"SKIP_SAVE"}
    )
    levels: IntProperty(
        name="Levels", description="Count of levels, each with its own prompt", default=6, min=1, max=64
    )
    zoom_factor: bpy.props.FloatProperty(**flight_properties.FACTOR)
    frames_per_level: IntProperty(**flight_properties.SPEED)
    use_frame_range: BoolProperty(
        name="Set Frame Range",
        description="Let the scene's frame range end with the flight, and use the rig's camera",
        default=True,
    )

    @classmethod
    def poll(cls, context):
        return in_object_mode(cls, context)

    def execute(self, context) -> Result:
        scene = context.scene
        target = scene.objects.get(self.target)
        if self.target and target is None:
            self.report({"ERROR"}, f"There is no object “{self.target}” in this scene")
            return {"CANCELLED"}
        location = target.matrix_world.translation if target else scene.cursor.location
        root = rig.create_rig(scene, location, self.levels, self.zoom_factor, self.frames_per_level)
        if self.use_frame_range:
            use_flight(self, root, scene)
        select_only(context, root)
        return {"FINISHED"}


class DREAMZOOM_OT_key_flight(Operator):
    """Replace the keys of the zoom by a flight through all levels"""

    bl_idname = "dreamzoom.key_flight"
    bl_label = "Key Flight"
    bl_description = (
        "Replace the keys of the zoom by a flight through all levels, as long, eased and directed as the settings above"
    )
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context):
        if not has_rig(cls, context):
            return False
        if rig.active_rig(context).library is not None:
            cls.poll_message_set(rig.why_locked(rig.active_rig(context)))
            return False
        if rig.is_driven(rig.active_rig(context)):
            cls.poll_message_set("A driver sets the zoom: remove it first")
            return False
        return scene_is_own(cls, context)

    def invoke(self, context, event) -> Result:
        """Ask before keys that the artist has set are replaced."""
        if not rig.is_keyed_by_artist(rig.active_rig(context)):
            return self.execute(context)
        return context.window_manager.invoke_confirm(
            self, event, title="Key Flight", message="This replaces the zoom's keys that you have set"
        )

    def execute(self, context) -> Result:
        root = rig.active_rig(context)
        rig.key_flight(root, context.scene.frame_start)
        use_flight(self, root, context.scene)
        return {"FINISHED"}


class DREAMZOOM_OT_duplicate_rig(Operator):
    """Copy the rig with all its levels, hidden ones too, to an independent rig"""

    bl_idname = "dreamzoom.duplicate_rig"
    bl_label = "Duplicate Flight"
    bl_description = (
        "Copy the rig with all its levels, hidden ones too, to an independent rig beside it. "
        "Splats are shared, so that it needs no memory; your own objects are copied with their meshes"
    )
    bl_options = {"REGISTER", "UNDO"}

    own_objects: BoolProperty(
        name="Copy My Objects", description="Copy your own objects under the levels along", default=True
    )
    offset: FloatVectorProperty(
        name="Offset", description="From this rig to the copy", size=3, subtype="TRANSLATION", unit="LENGTH"
    )

    @classmethod
    def poll(cls, context):
        return can_change(cls, context) and in_object_mode(cls, context)

    def invoke(self, context, event) -> Result:
        """From a button the copy lies beside the rig, where it can be told from it."""
        root = rig.active_rig(context)
        self.offset = (branch.BESIDE * max(root.matrix_world.to_scale()), 0.0, 0.0)
        return self.execute(context)

    def execute(self, context) -> Result:
        root = rig.active_rig(context)
        result = duplicate.duplicate(context.scene, root, own=self.own_objects, own_data=True)
        result.location = root.location + Vector(self.offset)
        context.scene.dreamzoom.rig = result
        select_only(context, result)
        return {"FINISHED"}


class DREAMZOOM_OT_delete_rig(Operator):
    """Delete the rig with its camera, levels and imported content. Your own objects keep their position"""

    bl_idname = "dreamzoom.delete_rig"
    bl_label = "Delete Flight"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context):
        if not can_change(cls, context):
            return False
        if current_job.is_busy(rig.active_rig(context).session_uid):
            cls.poll_message_set("Its job is running: cancel it first")
            return False
        return in_object_mode(cls, context)

    def invoke(self, context, event) -> Result:
        return context.window_manager.invoke_confirm(self, event)

    def execute(self, context) -> Result:
        root = rig.active_rig(context)
        name, kept = root.name, duplicate.delete(root)
        stay = f"; kept of your own: {labels.counted(len(kept), 'object')}" if kept else ""
        self.report({"INFO"}, f"Deleted {name}{stay}")
        return {"FINISHED"}


class DREAMZOOM_OT_hide_in_the_way(Operator):
    """Hide the objects that are in the middle of the flight and belong to no level, in the viewport and in renders"""

    bl_idname = "dreamzoom.hide_in_the_way"
    bl_label = "Hide"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context):
        if not has_rig(cls, context):
            return False
        if not occluders.find(rig.active_rig(context), context.scene):
            cls.poll_message_set("No object is in the middle of the flight")
            return False
        return True

    def execute(self, context) -> Result:
        found = occluders.find(rig.active_rig(context), context.scene)
        hidden = [obj for obj in found if obj.is_editable]
        for obj in hidden:
            rig.hide(obj)
        if len(hidden) < len(found):
            names = ", ".join(obj.name for obj in found if obj not in hidden)
            self.report({"WARNING"}, f"Linked from another file: {names}. Hide their collection, or press Ignore")
        else:
            self.report({"INFO"}, f"Hidden: {', '.join(obj.name for obj in hidden) or 'nothing'}")
        return {"FINISHED"}


class DREAMZOOM_OT_render_settings(Operator):
    """Set up the scene so that a render shows what was dreamed"""

    bl_idname = "dreamzoom.render_settings"
    bl_label = "Set Up Render"
    bl_description = (
        "Set up the scene so that a render shows what was dreamed: unchanged colours, rays that pass all splats, "
        "the rig's camera and frame range, viewports that stand still meanwhile"
    )
    bl_options = {"REGISTER", "UNDO"}

    engine: EnumProperty(**scene_properties.RENDER_ENGINE)
    samples: IntProperty(**scene_properties.RENDER_SAMPLES)
    output: EnumProperty(**scene_properties.RENDER_OUTPUT, default="KEEP")
    transparent: BoolProperty(**scene_properties.RENDER_TRANSPARENT)

    @classmethod
    def poll(cls, context):
        return has_rig(cls, context) and scene_is_own(cls, context)

    def execute(self, context) -> Result:
        root = rig.active_rig(context)
        samples = self.samples or render_settings.samples_for(context.scene, root, self.engine)
        follows = not self.samples and self.engine == "CYCLES"
        render_settings.set_up(context.scene, self.engine, samples, self.output, self.transparent, follows)
        bound = use_flight(self, root, context.scene)
        if bound:
            return {"FINISHED"}
        if bpy.data.filepath or self.output == "KEEP":
            self.report({"INFO"}, "The render is set up: press F12, or Ctrl F12 for the flight")
        else:
            where = rpt_("The file is not saved, so Ctrl F12 writes to {path}").format(
                path=context.scene.render.filepath
            )
            self.report({"WARNING"}, where)
        return {"FINISHED"}


CLASSES = (
    DREAMZOOM_OT_create_rig,
    DREAMZOOM_OT_key_flight,
    DREAMZOOM_OT_duplicate_rig,
    DREAMZOOM_OT_delete_rig,
    DREAMZOOM_OT_hide_in_the_way,
    DREAMZOOM_OT_render_settings,
)

register, unregister = bpy.utils.register_classes_factory(CLASSES)
