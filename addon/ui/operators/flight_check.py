"""The operator that checks whether the flight stays where the levels were dreamed."""

from __future__ import annotations

import math

import bpy
from bpy.app.translations import pgettext_rpt as rpt_
from bpy.types import Operator

from ... import rig
from ...rig import coverage
from .common import Result, has_rig

MAX_FRAMES = 40
"""So many frames are looked at, evenly chosen and the last among them."""


class DREAMZOOM_OT_check_flight(Operator):
    """Look along the whole flight for views that were not dreamed"""

    bl_idname = "dreamzoom.check_flight"
    bl_label = "Check Flight"

    @classmethod
    def poll(cls, context):
        if not has_rig(cls, context):
            return False
        root = rig.active_rig(context)
        if root.dreamzoom.camera is None or not len(coverage.dreamed_path(root)):
            cls.poll_message_set("There is nothing dreamed yet")
            return False
        return True

    def execute(self, context) -> Result:
        root = rig.active_rig(context)
        outside = views_outside(context.scene, context.view_layer, root)
        root.dreamzoom.outside, root.dreamzoom.outside_of = _told(outside), coverage.flight_stamp(context.scene, root)
        if outside:
            self.report({"WARNING"}, root.dreamzoom.outside)
        else:
            self.report({"INFO"}, "All views of the flight were dreamed")
        return {"FINISHED"}


def views_outside(
    scene: bpy.types.Scene, view_layer: bpy.types.ViewLayer, root: bpy.types.Object
) -> list[tuple[int, coverage.Deviation]]:
    """Frames of the scene's range whose view was not dreamed, of `MAX_FRAMES` that are looked at."""
    first, last = scene.frame_start, scene.frame_end
    frames = sorted({*range(first, last + 1, max(1, math.ceil((last - first) / MAX_FRAMES))), last})
    before = scene.frame_current, scene.frame_subframe
    found = []
    try:
        for frame in frames:
            scene.frame_set(frame)
            graph = view_layer.depsgraph
            seen = coverage.deviation(root.evaluated_get(graph), root.dreamzoom.camera.evaluated_get(graph))
            if seen is not None and not seen.is_covered:
                found.append((frame, seen))
    finally:
        scene.frame_set(before[0], subframe=before[1])
    return found


def _told(outside: list[tuple[int, coverage.Deviation]]) -> str:
    """A sentence about the views outside; empty where there are none."""
    if not outside:
        return ""
    frame, worst = max(outside, key=lambda found: found[1].angle)
    told = rpt_("Frames {first} to {last} leave what was dreamed, by {angle:.0f}° at frame {frame}")
    angle = math.degrees(worst.angle)
    return told.format(first=outside[0][0], last=outside[-1][0], angle=angle, frame=frame)


CLASSES = (DREAMZOOM_OT_check_flight,)

register, unregister = bpy.utils.register_classes_factory(CLASSES)
