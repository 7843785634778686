"""The settings of a rig's flight: its length, direction and easing."""

from __future__ import annotations

from typing import Any

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, IntProperty

from .. import rig

FACTOR = {
    "name": "Zoom Factor",
    "description": "How many times larger the world appears from one level to the next",
    "default": 2.0,
    "min": 1.25,
    "max": 16.0,
    "soft_max": 4.0,
}
SPEED = {
    "name": "Frames per Level",
    "description": "Frames from one level to the next: fewer fly faster",
    "default": 48,
    "min": 1,
    "soft_max": 240,
}
DIRECTIONS = (
    ("IN", "Zoom In", "From the first level to the last"),
    ("OUT", "Zoom Out", "From the last level to the first"),
)
KEEPS = (
    ("SPEED", "Speed", "Levels that are added make the flight longer"),
    ("LENGTH", "Length", "Levels that are added make the flight faster"),
)
MAX_FRAMES = 100_000


def _changed(settings: Any, context: bpy.types.Context) -> None:
    root = settings.id_data
    if rig.is_rig(root):
        rig.stretch_flight(root)


def _keep_changed(settings: Any, context: bpy.types.Context) -> None:
    if settings.keep == "LENGTH":
        frames = rig.frame_range(settings.id_data)
        settings.length = frames[1] - frames[0] + 1 if frames else settings.length
    _changed(settings, context)


def _loop_changed(settings: Any, context: bpy.types.Context) -> None:
    root = settings.id_data
    if rig.is_rig(root):
        rig.sync_levels(root)
        rig.stretch_flight(root)


def frame_rate(scene: bpy.types.Scene) -> float:
    """Frames per second of a scene."""
    return scene.render.fps / scene.render.fps_base


def _seconds(settings: Any) -> float:
    return settings.length / frame_rate(bpy.context.scene)


def _set_seconds(settings: Any, seconds: float) -> None:
    settings.length = max(2, round(seconds * frame_rate(bpy.context.scene)))


class FlightSettings:
    """How the zoom is keyed: a part of `RigSettings`."""

    keep: EnumProperty(
        name="Keep",
        description="What stays as it is when levels are added or removed",
        items=KEEPS,
        update=_keep_changed,
    )
    frames_per_level: IntProperty(**SPEED, update=_changed)
    length: IntProperty(
        name="Frames",
        description="Length of the whole flight in frames",
        default=144,
        min=2,
        max=MAX_FRAMES,
        update=_changed,
    )
    seconds: FloatProperty(
        name="Seconds",
        description="Length of the whole flight in seconds, at the scene's frame rate",
        min=0.1,
        soft_max=60.0,
        subtype="TIME_ABSOLUTE",
        get=_seconds,
        set=_set_seconds,
        options={"SKIP_SAVE"},
    )
    direction: EnumProperty(
        name="Direction", description="Whether the flight goes in or out", items=DIRECTIONS, update=_changed
    )
    ease_in: FloatProperty(
        name="Ease In",
        description="Share of the flight in which it speeds up from rest",
        min=0.0,
        max=1.0,
        subtype="FACTOR",
        update=_changed,
    )
    ease_out: FloatProperty(
        name="Ease Out",
        description="Share of the flight in which it slows down to rest",
        min=0.0,
        max=1.0,
        subtype="FACTOR",
        update=_changed,
    )
    hold: IntProperty(
        name="Hold",
        description="Frames for which the flight rests at each level between the first and the last",
        min=0,
        soft_max=120,
        max=MAX_FRAMES,
        update=_changed,
    )
    loop: BoolProperty(
        name="Loop",
        description=(
            "Let the first level follow the last, so that the flight repeats without an end. Needs two levels or more"
        ),
        update=_loop_changed,
    )
