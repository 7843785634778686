"""The zoom rig: the objects that turn the zoom into motion, their drivers, the keys of the flight, and the camera."""

from .builder import attach, create_rig, remove_content, sync_levels, sync_showing
from .flight import flight_depth, flight_range, frame_range, key_flight, loops, stretch_flight, zoom_curve
from .lookup import CONTENT, LEVEL, ORBIT, ZOOM, active_rig, contents, is_rig, level_empties, rig_of, why_locked

__all__ = [
    "CONTENT",
    "LEVEL",
    "ORBIT",
    "ZOOM",
    "active_rig",
    "attach",
    "contents",
    "create_rig",
    "flight_depth",
    "flight_range",
    "frame_range",
    "is_rig",
    "key_flight",
    "level_empties",
    "loops",
    "remove_content",
    "rig_of",
    "stretch_flight",
    "sync_levels",
    "sync_showing",
    "why_locked",
    "zoom_curve",
]
