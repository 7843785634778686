"""Which imported objects the artist has changed since, and how those are kept when their level is imported again."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator
from typing import Any

import bpy
import numpy as np

from .lookup import CONTENT, contents, rig_of

MADE = "dreamzoom_made"
"""Custom property of an imported object: a digest of how it was made."""

KEPT = "dreamzoom_kept"
"""Custom property of an object that was imported and then changed by the artist, and has been replaced since."""

VISIBILITY = ("visible_camera", "visible_diffuse", "visible_glossy", "visible_transmission", "hide_select")


def mark_as_made(obj: bpy.types.Object) -> None:
    """Remember how an imported object is now, to notice later changes."""
    obj[MADE] = _digest(obj)


def is_edited(obj: bpy.types.Object) -> bool:
    """Whether an imported object was renamed, moved, changed in its shape or its material since it was made.

    Objects that were imported before this was noted count as unchanged.
    """
    return MADE in obj and obj[MADE] != _digest(obj)


def remove_content(empty: bpy.types.Object, only: Collection[bpy.types.Object] | None = None) -> list[str]:
    """Remove the imported objects of a level. Those that the artist has changed are kept in a hidden collection; the
    artist's own objects stay.

    Args:
        empty: The level's empty.
        only: If given, only these of its objects.

    Returns:
        The names of the objects that were kept.
    """
    root, kept = empty.parent, []
    for obj in contents(empty):
        if only is not None and obj not in only:
            continue
        if root is not None and is_edited(obj):
            keep(root, obj)
            kept.append(obj.name)
            continue
        data = obj.data
        bpy.data.objects.remove(obj)
        if data is not None and data.users == 0:
            bpy.data.batch_remove([data])
    return kept


def keep(root: bpy.types.Object, obj: bpy.types.Object) -> None:
    """Make an imported object the artist's own: it moves into the rig's collection of kept objects, which is hidden."""
    settings = root.dreamzoom
    if settings.kept_collection is None:
        settings.kept_collection = bpy.data.collections.new(f"{root.name} Kept")
    if settings.collection is not None and settings.kept_collection.name not in settings.collection.children:
        settings.collection.children.link(settings.kept_collection)
        hide(settings.kept_collection)
    for collection in (settings.points_collection, settings.splats_collection):
        if collection is not None and obj.name in collection.objects:
            collection.objects.unlink(obj)
    if obj.name not in settings.kept_collection.objects:
        settings.kept_collection.objects.link(obj)
    del obj[CONTENT]
    obj[KEPT] = True


def layer_collections(collection: bpy.types.Collection) -> Iterator[bpy.types.LayerCollection]:
    """What each view layer of all scenes knows of a collection, its eye for example."""
    for scene in bpy.data.scenes:
        for layer in scene.view_layers:
            found = _within(layer.layer_collection, collection)
            if found is not None:
                yield found


def close_eye(block: bpy.types.Object | bpy.types.Collection) -> None:
    """Hide an object or a collection by its eye in the Outliner, so that the artist opens it there: that which Blender
    calls `hide_viewport` of the block itself is not seen in an Outliner as it comes.
    """
    if isinstance(block, bpy.types.Collection):
        for entry in layer_collections(block):
            entry.hide_viewport = True
        return
    for scene in bpy.data.scenes:
        for layer in scene.view_layers:
            if layer.objects.get(block.name) == block:
                block.hide_set(True, view_layer=layer)


def hide(block: bpy.types.Object | bpy.types.Collection) -> None:
    """Hide an object or a collection in renders, and in viewports by its eye."""
    block.hide_render = True
    close_eye(block)


def _within(root: bpy.types.LayerCollection, collection: bpy.types.Collection) -> bpy.types.LayerCollection | None:
    if root.collection == collection:
        return root
    return next((found for child in root.children if (found := _within(child, collection)) is not None), None)


def _digest(obj: bpy.types.Object) -> str:
    """A digest of what an artist can change of an imported object. What drivers set does not count."""
    told: list[Any] = [
        re.sub(r"\.\d{3,}$", "", obj.name),  # which Blender appends by itself where a name is taken
        [round(value, 5) for row in obj.matrix_basis for value in row],
        [round(value, 5) for row in obj.matrix_parent_inverse for value in row],
        [round(value, 4) for value in tuple(obj.color)[:3]],
        [getattr(obj, name) for name in VISIBILITY],
        [(modifier.name, modifier.type) for modifier in obj.modifiers],
        [constraint.type for constraint in obj.constraints],
        [_of_material(slot.material) for slot in obj.material_slots],
        len(obj.users_collection),
        bool(obj.animation_data and obj.animation_data.action),
        sorted(name for name in obj.keys() if not name.startswith("dreamzoom_") and name != "cycles"),  # noqa: SIM118
        _of_attributes(obj.data),
        *_never_made(obj),
    ]
    return hashlib.sha256(repr(told).encode()).hexdigest()[:16]


def _never_made(obj: bpy.types.Object) -> list[str]:
    """What no import makes; nothing of it for an object as it was made."""
    found = []
    root, homes = rig_of(obj), obj.users_collection
    home = None if root is None else root.dreamzoom.collection
    if MADE in obj and home is not None and homes:
        own = {home, *home.children_recursive}
        found += [] if own.intersection(homes) else ["sorted elsewhere"]
    found += [f"group {group.name}" for group in obj.vertex_groups]
    found += ["shape keys"] if getattr(obj.data, "shape_keys", None) else []
    return found


def _of_material(material: bpy.types.Material | None) -> Any:
    """A material's nodes, links and numbers."""
    if material is None or material.node_tree is None:
        return None
    nodes = []
    for node in material.node_tree.nodes:
        values = [getattr(socket, "default_value", None) for socket in node.inputs]
        nodes.append([node.bl_idname, node.mute, [round(value, 5) for value in values if isinstance(value, float)]])
    name = re.sub(r"\.\d{3,}$", "", material.name)
    return [name, nodes, len(material.node_tree.links)]


FIELDS = {"FLOAT": ("value", 1), "FLOAT_VECTOR": ("vector", 3), "FLOAT_COLOR": ("color", 4)}


def _of_attributes(data: Any) -> Any:
    """Sums over the bits of an object's attributes: exact, and quick for millions of values."""
    found = []
    for attribute in getattr(data, "attributes", ()):
        if attribute.data_type in FIELDS and not attribute.name.startswith("."):
            field, width = FIELDS[attribute.data_type]
            values = np.empty(len(attribute.data) * width, np.float32)
            attribute.data.foreach_get(field, values)
            found.append((attribute.name, len(values), int(values.view(np.uint32).sum(dtype=np.uint64))))
    return sorted(found)
