"""Operators that turn a keyframed camera into a rig, and a rig into a plain camera."""

from __future__ import annotations

import time

import bpy
from bpy.props import BoolProperty, FloatProperty, StringProperty
from bpy.types import Operator

from ... import rig
from ...core.errors import DreamzoomError
from ...results import render_settings
from ...rig import camera_sampling, camera_to_rig
from ...rig.camera_paths import markers as camera_markers
from .. import flight_properties, labels
from .common import Result, as_dreamzoom_error, in_object_mode, report, scene_is_own, select_only

AT_ONCE = 50
"""Fewer frames than this are sampled without a progress bar."""

STEP_SECONDS, LONGEST_STEP = 0.03, 0.25
"""How long frames are sampled between two redraws of the window; longer where drawing is slow."""


class CameraSamplingOperator:
    """An operator that samples a camera at every frame of the scene, in small steps where there is a window.

    A subclass chooses the camera in `start` and uses the samples in `finish`.
    """

    def execute(self, context) -> Result:
        try:
            return self._finished(context, list(self._sampling(context)))
        except DreamzoomError as error:
            return report(self, error)

    def invoke(self, context, event) -> Result:
        scene = context.scene
        if context.window is None or scene.frame_end - scene.frame_start < AT_ONCE:
            return self.execute(context)
        try:
            self._remaining, self._samples, self._step_end = self._sampling(context), [], time.monotonic()
        except DreamzoomError as error:
            return report(self, error)
        manager = context.window_manager
        self._timer = manager.event_timer_add(0.01, window=context.window)
        manager.progress_begin(0, scene.frame_end - scene.frame_start + 1)
        manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context, event) -> Result:
        if event.type == "ESC":
            self._end(context)
            return {"CANCELLED"}
        if event.type != "TIMER":
            return {"RUNNING_MODAL"}
        drawing = time.monotonic() - self._step_end
        until = time.monotonic() + min(max(drawing, STEP_SECONDS), LONGEST_STEP)
        sample = self._samples[-1] if self._samples else None
        try:
            while time.monotonic() < until:
                sample = next(self._remaining, None)
                if sample is None:
                    break
                self._samples.append(sample)
        except (DreamzoomError, ReferenceError, RuntimeError) as error:
            self._end(context)
            return report(self, as_dreamzoom_error(error))
        if sample is None:
            self._end(context)
            return self._finished(context, self._samples)
        self._step_end = time.monotonic()
        context.window_manager.progress_update(len(self._samples))
        context.workspace.status_text_set(f"Sampling frame {self._samples[-1].frame}. Esc: stop")
        return {"RUNNING_MODAL"}

    def _end(self, context):
        self._remaining.close()
        context.window_manager.event_timer_remove(self._timer)
        context.window_manager.progress_end()
        context.workspace.status_text_set(None)

    def _sampling(self, context):
        self._follows = False
        camera, root = self.start(context)
        scene = context.scene
        frames = range(scene.frame_start, scene.frame_end + 1)
        return camera_sampling.sample_camera(
            scene, context.view_layer, camera, frames, root, follow_markers=self._follows
        )

    def _finished(self, context, samples) -> Result:
        result = self.finish(context, samples)
        select_only(context, result)
        return {"FINISHED"}


class DREAMZOOM_OT_from_camera(CameraSamplingOperator, Operator):
    """Turn a keyframed camera into a rig that shows the same pictures, frame for frame"""

    bl_idname = "dreamzoom.from_camera"
    bl_label = "From Camera"
    bl_description = (
        "Turn a keyframed camera into a rig that shows the same pictures, frame for frame. All motion of the camera "
        "and its lens is kept, by keys, parents, constraints or drivers, and the cuts between cameras that are bound "
        "to timeline markers. The cameras themselves stay unchanged"
    )
    bl_options = {"REGISTER", "UNDO"}

    camera: StringProperty(
        name="Camera", description="The camera to turn into a rig. Empty: the active one, or the scene's"
    )
    target: StringProperty(
        name="Focus",
        description="The object that the camera flies to. Empty: what it focuses on or tracks, what its last frame "
        "shows in the middle, or the 3D cursor",
    )
    zoom_factor: FloatProperty(**flight_properties.FACTOR)
    follow_markers: BoolProperty(
        name="Follow Markers",
        description="Where timeline markers bind several cameras, follow them all in time, as a render does. "
        "Not where Camera names one",
        default=True,
    )
    take_selected: BoolProperty(
        name="Take Selected Along",
        description="Parent the selected objects to level 0, so that they look the same on every frame",
        default=True,
    )

    @classmethod
    def poll(cls, context):
        if not in_object_mode(cls, context):
            return False
        if source_camera(context) is None:
            cls.poll_message_set("Select a camera that is not in a rig yet")
            return False
        return True

    def start(self, context):
        scene = context.scene
        camera = scene.objects.get(self.camera) if self.camera else source_camera(context)
        if camera is None or camera.type != "CAMERA":
            raise DreamzoomError(f"There is no camera “{self.camera}” in this scene", "Choose another")
        target = scene.objects.get(self.target)
        if self.target and target is None:
            raise DreamzoomError(f"There is no object “{self.target}” in this scene", "Choose another Focus")
        shown = camera_markers.cameras_of(scene, scene.frame_start, scene.frame_end)
        self._follows = self.follow_markers and not self.camera and len(shown) > 1 and camera in (*shown, scene.camera)
        if self._follows:
            camera = shown[0]
            if any(rig.rig_of(other) is not None for other in shown):
                raise DreamzoomError(
                    "A marker binds the camera of a rig", "Choose one Camera, or switch Follow Markers off"
                )
        self._cameras = shown if self._follows else [camera]
        self._focus = camera_to_rig.find_focus(scene, context.view_layer, None if self._follows else camera, target)
        return camera, None

    def finish(self, context, samples):
        scene = context.scene
        chosen = list(context.selected_objects) if self.take_selected else []
        root = camera_to_rig.rig_from_camera(scene, self._cameras[0], samples, self._focus, self.zoom_factor)
        count = camera_to_rig.parent_to_level_0(root, chosen, self._cameras)
        markers = render_settings.use_flight(root, scene)
        along = f"; parented to level 0: {labels.counted(count, 'object')}" if count else ""
        bound = f"; it shows {len(self._cameras)} cameras that markers bind" if self._follows else ""
        bound += f"; {markers}" if markers else ""
        deepest = rig.zoom_curve(root).evaluate(scene.frame_end)
        levels = len(root.dreamzoom.levels)
        self.report(
            {"INFO"}, f"{root.name}: {labels.counted(levels, 'level')}, ends at zoom {deepest:.2f}{along}{bound}"
        )
        return root


class DREAMZOOM_OT_to_camera(CameraSamplingOperator, Operator):
    """Make a plain keyframed camera that shows what the rig shows, in the world as it is at zoom 0"""

    bl_idname = "dreamzoom.to_camera"
    bl_label = "To Camera"
    bl_description = (
        "Make a plain keyframed camera that flies as the rig does, in the world as it is at zoom 0: for objects that "
        "do not grow, and for other programs. Single precision limits the depth to about 10 doublings"
    )
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context):
        root = rig.active_rig(context)
        if root is None or root.dreamzoom.camera is None:
            cls.poll_message_set("Choose the rig's camera in the Flight panel" if root else "Create a rig first")
            return False
        return scene_is_own(cls, context)

    def start(self, context):
        self._root = rig.active_rig(context)
        return self._root.dreamzoom.camera, self._root

    def finish(self, context, samples):
        result = camera_to_rig.camera_from_rig(context.scene, self._root, samples)
        self.report({"INFO"}, f"{result.name} flies as {self._root.name} does, in the world at zoom 0")
        return result


def source_camera(context: bpy.types.Context) -> bpy.types.Object | None:
    """The camera to be turned into a rig: the active object, else the scene's; none that is in a rig already."""
    for obj in (context.view_layer.objects.active, context.scene.camera):
        if obj is not None and obj.type == "CAMERA" and rig.rig_of(obj) is None:
            return obj
    return None


CLASSES = (DREAMZOOM_OT_from_camera, DREAMZOOM_OT_to_camera)

register, unregister = bpy.utils.register_classes_factory(CLASSES)
