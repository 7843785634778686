"""Objects as a render shows them: evaluated with their modifiers, also where the viewport hides them, with their
instances, and with the present state of edit mode.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import bpy
import numpy as np

from . import applied_transforms, billboards, viewport_decimation

AIDS = (billboards.MODIFIER, viewport_decimation.MODIFIER)
"""Modifiers by which an object shows its splats in some view; the splats themselves are without them."""


@dataclass(frozen=True)
class ShownObject:
    """An object or an instance of one.

    Attributes:
        key: Identifies it among the instances of all objects.
        evaluated: The evaluated object.
        matrix_world: (4, 4) float64.
    """

    key: tuple
    evaluated: bpy.types.Object
    matrix_world: np.ndarray


@contextmanager
def as_rendered(view_layer: bpy.types.ViewLayer, objects: Iterable[bpy.types.Object]) -> Iterator[bpy.types.Depsgraph]:
    """The evaluated scene, in which `objects` and their modifiers are as a render shows them; restored afterwards."""
    objects = list(objects)
    changed = False
    hidden = [(obj, obj.hide_viewport, _is_hidden(obj, view_layer)) for obj in objects]
    modifiers = [(modifier, modifier.show_viewport) for obj in objects for modifier in obj.modifiers]
    try:
        for obj, disabled, eye in hidden:
            changed |= _set_hidden(obj, view_layer, False, False, disabled or eye)
        for modifier, shown in modifiers:
            wanted = modifier.show_render and modifier.name not in AIDS
            if shown != wanted:
                modifier.show_viewport, changed = wanted, True
        for obj in view_layer.objects:
            if obj.mode == "EDIT":
                obj.update_from_editmode()
        for obj in objects:
            if obj.data is not None and applied_transforms.REFERENCE_POINTS in obj.data and obj.data.is_editable:
                applied_transforms.repair(obj.data)
            if obj.data is not None:
                obj.data.update_tag()  # a script may have changed it without
        view_layer.update()
        graph: Any = view_layer.depsgraph
        yield graph
    finally:
        for modifier, shown in modifiers:
            modifier.show_viewport = shown
        for obj, disabled, eye in hidden:
            _set_hidden(obj, view_layer, disabled, eye, disabled or eye)
        if changed:
            view_layer.update()


def shown_objects(graph: bpy.types.Depsgraph, objects: set[bpy.types.Object]) -> Iterator[ShownObject]:
    """The evaluated `objects` and the instances that they make, in the order of the scene.

    What is yielded must be used before the next is asked for: Blender reuses it.
    """
    for instance in graph.object_instances:
        owner = instance.parent if instance.is_instance else instance.object
        if owner is None or owner.original not in objects or instance.object.type == "EMPTY":
            continue
        number = tuple(instance.persistent_id) if instance.is_instance else ()
        key = owner.original.session_uid, instance.object.original.session_uid, instance.object.type, number
        yield ShownObject(key, instance.object, np.array(instance.matrix_world, np.float64))


@contextmanager
def mesh_of(evaluated: bpy.types.Object) -> Iterator[bpy.types.Mesh | None]:
    """The mesh of an evaluated object, that of edit mode too; None where the object has no surface."""
    data = evaluated.data
    if isinstance(data, bpy.types.Mesh) and "position" in data.attributes:
        yield data
        return
    try:
        mesh = evaluated.to_mesh()
    except RuntimeError:
        mesh = None
    try:
        yield mesh
    finally:
        if mesh is not None:
            evaluated.to_mesh_clear()


def _is_hidden(obj: bpy.types.Object, view_layer: bpy.types.ViewLayer) -> bool:
    return obj.name in view_layer.objects and obj.hide_get(view_layer=view_layer)


def _set_hidden(
    obj: bpy.types.Object, view_layer: bpy.types.ViewLayer, disabled: bool, eye: bool, needed: bool
) -> bool:
    """Set how an object is hidden in the viewport, if that is needed; returns `needed`."""
    if needed:
        obj.hide_viewport = disabled
        if obj.name in view_layer.objects:
            obj.hide_set(eye, view_layer=view_layer)
    return needed
