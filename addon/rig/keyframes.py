"""Animation curves and keys of properties."""

from __future__ import annotations

from collections.abc import Sequence

import bpy
import numpy as np
from bpy_extras import anim_utils

CONSTANT, LINEAR = 0, 1
"""Blender's numbers of kinds of interpolation."""


def curve_of(owner: bpy.types.ID, data_path: str, index: int = 0) -> bpy.types.FCurve | None:
    """The animation curve of a property; None where it has no keys."""
    curves = _curves(owner)
    return curves.find(data_path, index=index) if curves is not None else None


def curves_of(owner: bpy.types.ID) -> list[bpy.types.FCurve]:
    """All animation curves of a data-block."""
    return list(_curves(owner) or ())


def _curves(owner: bpy.types.ID):
    animation = owner.animation_data
    if animation is None or animation.action is None or animation.action_slot is None:
        return None
    bag = anim_utils.action_get_channelbag_for_slot(animation.action, animation.action_slot)
    return bag.fcurves if bag else None


def set_keys(
    owner: bpy.types.ID, data_path: str, frames: Sequence[int], values: np.ndarray, cuts: Sequence[int] = ()
) -> None:
    """Replace a property's keys by one key per frame, interpolated linearly.

    Args:
        owner: Whose property it is.
        data_path: Of the property.
        frames: The frames that are keyed.
        values: (frames,) or (frames, components).
        cuts: Indices of frames after which the value jumps: it is held up to the next frame.
    """
    kinds = np.full(len(frames), LINEAR, np.int32)
    kinds[list(cuts)] = CONSTANT
    owner.keyframe_insert(data_path, frame=frames[0])
    for index, column in enumerate(np.asarray(values, np.float32).reshape(len(frames), -1).T):
        curve = curve_of(owner, data_path, index)
        points = curve.keyframe_points
        points.clear()
        points.add(len(frames))
        points.foreach_set("co", np.column_stack([frames, column]).astype(np.float32).ravel())
        points.foreach_set("interpolation", kinds)
        curve.update()


def set_values(
    owner: bpy.types.ID, data_path: str, frames: Sequence[int], values: Sequence[float], cuts: Sequence[int] = ()
) -> None:
    """Set a number, with keys only if it changes from frame to frame. The property must have no keys yet."""
    holder, _, name = data_path.rpartition(".")
    setattr(owner.path_resolve(holder) if holder else owner, name, float(values[0]))
    if any(value != values[0] for value in values):
        set_keys(owner, data_path, frames, np.array(values), cuts)
