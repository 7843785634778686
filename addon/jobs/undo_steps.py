"""Steps of undo for what a timer changes, which Blender does not make by itself.

Without one, the next undo frees objects that it does not know of while others still refer to them, and Blender crashes
(measured in 4.5 and 5.3).

A timer has no window, and a step of undo needs none. The context is not overridden either: Blender 4.5 and 5.0, which
run Python 3.11, look into an override without holding Python's lock while an operator runs, and crash now and then if
another thread runs Python.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Literal

import bpy
from bpy.types import Operator

from .. import rig


class DREAMZOOM_OT_note_import(Operator):
    """Make what was imported a step of undo: one with the import that was noted last, if nothing was done since"""

    bl_idname = "dreamzoom.note_import"
    bl_label = "Import Dreamzoom"
    bl_options = {"INTERNAL", "UNDO_GROUPED"}
    bl_undo_group = "Import Dreamzoom"

    def execute(self, context) -> set[Literal["RUNNING_MODAL", "CANCELLED", "FINISHED", "PASS_THROUGH", "INTERFACE"]]:
        return {"FINISHED"}


def is_wanted() -> bool:
    """Whether somebody can press undo."""
    return not bpy.app.background


@contextlib.contextmanager
def step(message: str) -> Iterator[None]:
    """Whatever is changed in the block is a step of the undo history, also where the block ends with an error."""
    try:
        yield
    finally:
        if is_wanted():
            bpy.ops.ed.undo_push(message=message)


@contextlib.contextmanager
def import_step() -> Iterator[None]:
    """A level is imported in the block. Levels that are imported one after the other are one step of undo."""
    try:
        yield
    finally:
        if is_wanted():
            bpy.ops.dreamzoom.note_import("EXEC_DEFAULT", True)


def restore_levels(root: bpy.types.Object) -> None:
    """Make the level empties anew that the artist deleted by hand, as a step of undo."""
    if rig.lacks_levels(root):
        with step("Restore Levels"):
            rig.restore_levels(root)


register, unregister = bpy.utils.register_classes_factory((DREAMZOOM_OT_note_import,))
