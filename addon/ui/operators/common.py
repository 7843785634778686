"""What operators have in common: when they can be pressed, what they select, how they report errors."""

from __future__ import annotations

from typing import Literal

import bpy
from bpy.types import Operator

from ... import rig
from ...backend import readiness
from ...core.errors import DreamzoomError

Result = set[Literal["RUNNING_MODAL", "CANCELLED", "FINISHED", "PASS_THROUGH", "INTERFACE"]]
"""What an operator returns."""


def has_rig(cls: type[Operator], context: bpy.types.Context) -> bool:
    """Whether the scene has a rig; else the operator's tooltip says so."""
    if rig.active_rig(context) is None:
        cls.poll_message_set("Create a rig first")
        return False
    return True


def can_change(cls: type[Operator], context: bpy.types.Context) -> bool:
    """Whether there is a rig and it belongs to this file; else the operator's tooltip says why not."""
    if not has_rig(cls, context):
        return False
    locked = rig.why_locked(rig.active_rig(context))
    if locked:
        cls.poll_message_set(locked)
    return not locked


def can_use_server(cls: type[Operator]) -> bool:
    """Whether the server can be used; else the operator's tooltip says why not and what to do."""
    error = readiness.current().error
    if error is not None:
        cls.poll_message_set(f"{error}. {error.remedy}" if error.remedy else str(error))
    return error is None


def in_object_mode(cls: type[Operator], context: bpy.types.Context) -> bool:
    """Whether objects can be added; else the operator's tooltip says why not."""
    if context.mode != "OBJECT":
        cls.poll_message_set("Leave the edit mode first")
        return False
    return True


def select_only(context: bpy.types.Context, *objects: bpy.types.Object) -> None:
    """Select these objects and nothing else; the first becomes the active one."""
    for other in context.selected_objects:
        other.select_set(False)
    for obj in objects:
        obj.select_set(True)
    context.view_layer.objects.active = objects[0]


def report(operator: Operator, error: DreamzoomError, kind: Literal["ERROR", "WARNING"] = "ERROR") -> Result:
    """Report an error with its remedy; what the operator returns then."""
    operator.report({kind}, f"{error}. {error.remedy}" if error.remedy else str(error))
    return {"CANCELLED"}
