"""The zoom rig: the objects that turn the zoom into motion, their drivers, the keys of the flight, and the camera."""

from .builder import attach, create_rig, reorder_levels, sync_levels, sync_showing
from .edits import KEPT, is_edited, mark_as_made, remove_content
from .flight import (
    flight_depth,
    flight_frames,
    flight_range,
    frame_range,
    is_driven,
    is_keyed_by_artist,
    key_flight,
    loops,
    stretch_flight,
    zoom_curve,
)
from .lookup import CONTENT, LEVEL, ORBIT, ZOOM, active_rig, contents, is_rig, level_empties, rig_of, why_locked

__all__ = [
    "CONTENT",
    "KEPT",
    "LEVEL",
    "ORBIT",
    "ZOOM",
    "active_rig",
    "attach",
    "contents",
    "create_rig",
    "flight_depth",
    "flight_frames",
    "flight_range",
    "frame_range",
    "is_driven",
    "is_edited",
    "is_keyed_by_artist",
    "is_rig",
    "key_flight",
    "level_empties",
    "loops",
    "mark_as_made",
    "remove_content",
    "reorder_levels",
    "rig_of",
    "stretch_flight",
    "sync_levels",
    "sync_showing",
    "why_locked",
    "zoom_curve",
]
