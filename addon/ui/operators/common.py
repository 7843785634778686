"""What operators have in common: when they can be pressed, what they select, how they report errors."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import bpy
from bpy.types import Operator

from ... import rig
from ...backend import readiness
from ...core.errors import DreamzoomError, explained
from ...results import render_settings

PACKAGE = __name__.partition(".ui.")[0]

Result = set[Literal["RUNNING_MODAL", "CANCELLED", "FINISHED", "PASS_THROUGH", "INTERFACE"]]
"""What an operator returns."""


def reports_errors(cls: type[Operator]) -> None:
    """Let an operator's own methods turn whatever fails in them into a report; a scene can be in states that no check
    foresees: data removed or replaced by an undo, a window that Blender needs and has not.
    """
    for name in ("execute", "invoke", "modal"):
        method = getattr(cls, name, None)
        if callable(method) and method.__module__.startswith(PACKAGE):
            setattr(cls, name, _reporting(method))


def _reporting(method):
    def run(self, *arguments) -> Result:
        try:
            return method(self, *arguments)
        except (DreamzoomError, OSError, MemoryError, RuntimeError, ReferenceError) as error:
            return report(self, as_dreamzoom_error(error))

    def execute(self, context) -> Result:
        return run(self, context)

    def with_event(self, context, event) -> Result:
        return run(self, context, event)

    return execute if method.__name__ == "execute" else with_event  # Blender counts the arguments


def as_dreamzoom_error(error: Exception) -> DreamzoomError:
    """An error of Blender or of the system as one that says what to do."""
    if isinstance(error, DreamzoomError):
        return error
    if isinstance(error, ReferenceError):
        return DreamzoomError("Something that this needs was removed meanwhile", "Undo its removal, or choose again")
    if isinstance(error, RuntimeError):
        message = str(error).strip().removeprefix("Error: ").rstrip(".")
        return DreamzoomError(
            f"Blender refuses this here: {message}", "Undo, and try it in object mode in a 3D viewport"
        )
    message, remedy = explained(error)
    return DreamzoomError(message, remedy)


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


def offered_if(is_of_use: Callable[[], object], reason: str) -> Any:
    """A `poll` for operators that are only of use at times; else the tooltip says why they are not."""

    def poll(cls, context) -> bool:  # noqa: ARG001
        if not is_of_use():
            cls.poll_message_set(reason)
            return False
        return True

    return classmethod(poll)


def in_object_mode(cls: type[Operator], context: bpy.types.Context) -> bool:
    """Whether objects can be added; else the operator's tooltip says why not."""
    if context.mode != "OBJECT":
        cls.poll_message_set("Leave the edit mode first")
        return False
    return scene_is_own(cls, context)


def scene_is_own(cls: type[Operator], context: bpy.types.Context) -> bool:
    """Whether the scene belongs to this file; else the operator's tooltip says so."""
    if not context.scene.is_editable:
        cls.poll_message_set("This scene is linked from another file: open that file, or choose a scene of this one")
        return False
    return True


def chosen_path(filepath: str) -> Path:
    """The path of a file that was chosen, or that a script gives.

    Raises:
        DreamzoomError: None was given, or one that is relative to a .blend that is not saved.
    """
    if not filepath.strip():
        raise DreamzoomError("No file was chosen", "Choose one")
    if filepath.startswith("//") and not bpy.data.filepath:
        raise DreamzoomError(f"{filepath} is relative to a file that is not saved yet", "Save it, or give a whole path")
    return Path(bpy.path.abspath(filepath))


def home_of(context: bpy.types.Context) -> bpy.types.Collection:
    """The collection for new objects: the active one, or the scene's own where that is linked or excluded.

    Raises:
        DreamzoomError: The scene is linked.
    """
    active = context.view_layer.active_layer_collection
    if active is not None and not active.exclude and _takes_objects(active.collection):
        return active.collection
    if not _takes_objects(context.scene.collection):
        raise DreamzoomError("This scene is linked from another file", "Open that file, or choose a scene of this one")
    return context.scene.collection


def _takes_objects(collection: bpy.types.Collection) -> bool:
    return collection.library is None and collection.override_library is None and collection.is_editable


def select_only(context: bpy.types.Context, *objects: bpy.types.Object) -> None:
    """Select these objects and nothing else; the first becomes the active one. Those of hidden collections can't be."""
    for other in context.selected_objects:
        other.select_set(False)
    shown = []
    for obj in objects:
        with suppress(RuntimeError):
            obj.select_set(True)
            shown.append(obj)
    if shown:
        context.view_layer.objects.active = shown[0]


def use_flight(operator: Operator, root: bpy.types.Object, scene: bpy.types.Scene) -> bool:
    """Use the rig's camera and frame range, and report where markers had to change; whether that was so."""
    markers = render_settings.use_flight(root, scene)
    if markers:
        operator.report({"WARNING"}, f"{markers[:1].upper()}{markers[1:]}, which a render of the flight shows")
    return bool(markers)


def report(operator: Operator, error: DreamzoomError, kind: Literal["ERROR", "WARNING"] = "ERROR") -> Result:
    """Report an error with its remedy; what the operator returns then."""
    operator.report({kind}, f"{error}. {error.remedy[:1].upper()}{error.remedy[1:]}" if error.remedy else str(error))
    return {"CANCELLED"}
