"""Duplicating and deleting a rig with all of its children."""

from __future__ import annotations

from typing import Any

import bpy

from .edits import KEPT, close_eye, layer_collections


def duplicate(
    scene: bpy.types.Scene, root: bpy.types.Object, *, own: bool = True, own_data: bool = False
) -> bpy.types.Object:
    """Copy a rig with all of its children, hidden ones too, to the same position.

    The copy has its own keys, drivers, constraints and collections; splats and materials are shared.

    Args:
        scene: Which contains the rig.
        root: The rig.
        own: Whether the artist's own objects under it are copied too.
        own_data: Whether these get meshes of their own, as by Blender's Shift D; else they share those of the first.

    Returns:
        The root of the copy.
    """
    copies: dict[Any, Any] = {}
    for obj in [root, *root.children_recursive]:
        is_own = not _is_own(root, obj)
        if is_own and not own:
            continue
        copies[obj] = obj.copy()
        if obj.data is not None and (obj.type in ("CAMERA", "LIGHT") or (is_own and own_data and KEPT not in obj)):
            copies[obj].data = obj.data.copy()
            _copy_action(copies[obj].data)
        _copy_action(copies[obj])
    home = root.dreamzoom.collection
    if home is not None:
        _copy_collections(scene, home, copies)
    for original, clone in [pair for pair in copies.items() if isinstance(pair[0], bpy.types.Object)]:
        for collection in original.users_collection:
            copies.get(collection, collection).objects.link(clone)
        _remap_references(clone, copies)
    if root.dreamzoom.job_folder and root.dreamzoom.folder_origin == "OWN":
        copies[root].dreamzoom.folder_origin = "COPIED"
    return copies[root]


def delete(root: bpy.types.Object) -> list[bpy.types.Object]:
    """Delete a rig with its camera, its imported content, and the data that is unused then.

    The artist's own objects under it keep their position in the world and lose their parent.

    Returns:
        The objects that were kept.
    """
    own = {obj for obj in [root, *root.children_recursive] if _is_own(root, obj)}
    kept = [obj for obj in root.children_recursive if obj not in own]
    home = root.dreamzoom.collection
    collections = [] if home is None else [*home.children_recursive, home]
    for obj in kept:
        if obj.parent in own:
            matrix = obj.matrix_world.copy()
            obj.parent = None
            obj.matrix_world = matrix
    for obj in {obj for collection in collections for obj in collection.objects} - own:
        parents = [parent for parent in bpy.data.collections if home is not None and home.name in parent.children]
        _keep_in_scene(obj, collections, parents)
    data = {obj.data for obj in own} | {_action(obj) for obj in own} | {_action(obj.data) for obj in own}
    bpy.data.batch_remove([*own, *collections])
    bpy.data.batch_remove([block for block in data if block is not None and block.users == 0])
    return kept


def _is_own(root: bpy.types.Object, obj: bpy.types.Object) -> bool:
    """Whether an object is part of the rig, not one of the artist's own."""
    if KEPT in obj:
        return False
    return obj in (root, root.dreamzoom.camera) or any(name.startswith("dreamzoom_") for name in obj.keys())  # noqa: SIM118


def _keep_in_scene(obj: bpy.types.Object, collections: list, parents: list) -> None:
    """Link an object elsewhere if all of its collections are going to be removed."""
    if all(collection in collections for collection in obj.users_collection):
        scenes = [scene for scene in bpy.data.scenes if obj.name in scene.objects]
        for collection in parents or [scene.collection for scene in scenes]:
            collection.objects.link(obj)


def _action(owner: bpy.types.ID | None) -> bpy.types.Action | None:
    animation = getattr(owner, "animation_data", None)
    return animation.action if animation else None


def _copy_action(clone: bpy.types.ID) -> None:
    """Give a copy its own keys; it shares those of the original."""
    action = _action(clone)
    if action is not None:
        slot = clone.animation_data.action_slot
        clone.animation_data.action = action.copy()
        if slot is not None:
            clone.animation_data.action_slot = clone.animation_data.action.slots[slot.identifier]


def _copy_collections(scene: bpy.types.Scene, home: bpy.types.Collection, copies: dict) -> None:
    """Copy the rig's collections, empty and with the same visibility, and link them beside the originals."""
    for collection in [home, *home.children_recursive]:
        clone = copies[collection] = bpy.data.collections.new(collection.name)
        clone.hide_viewport, clone.hide_render = collection.hide_viewport, collection.hide_render
        clone.color_tag = collection.color_tag
    for collection in [home, *home.children_recursive]:
        for child in collection.children:
            copies[collection].children.link(copies[child])
    beside = [parent for parent in (scene.collection, *bpy.data.collections) if home.name in parent.children]
    for parent in beside or [scene.collection]:
        parent.children.link(copies[home])
    for collection in [home, *home.children_recursive]:
        if any(entry.hide_viewport for entry in layer_collections(collection)):
            close_eye(copies[collection])


def _remap_references(clone: bpy.types.Object, copies: dict) -> None:
    """Let a copy refer to the copies of what the original refers to."""
    if clone.parent in copies:
        inverse = clone.matrix_parent_inverse.copy()
        clone.parent = copies[clone.parent]
        clone.matrix_parent_inverse = inverse
    structs = [*clone.constraints, *clone.modifiers, clone.dreamzoom]
    if clone.type == "CAMERA":
        structs.append(clone.data.dof)
    for struct in structs:
        _remap_pointers(struct, copies)
    for constraint in clone.constraints:
        for target in getattr(constraint, "targets", ()):  # of armature constraints
            _remap_pointers(target, copies)
    for modifier in clone.modifiers:
        _remap_inputs(modifier, copies)
    for owner in (clone, clone.data):
        animation = getattr(owner, "animation_data", None)
        for curve in animation.drivers if animation and owner is not None else ():
            for variable in curve.driver.variables:
                for target in variable.targets:
                    if target.id in copies:
                        target.id = copies[target.id]


def _remap_pointers(struct: bpy.types.bpy_struct, copies: dict) -> None:
    for prop in struct.bl_rna.properties:
        if prop.type == "POINTER" and not prop.is_readonly:
            value = getattr(struct, prop.identifier)
            if isinstance(value, bpy.types.ID) and value in copies:
                setattr(struct, prop.identifier, copies[value])


def _remap_inputs(modifier: bpy.types.Modifier, copies: dict) -> None:
    """The same for the inputs of a modifier of geometry nodes."""
    if modifier.type != "NODES" or modifier.node_group is None:
        return
    for item in modifier.node_group.interface.items_tree:
        if item.item_type != "SOCKET" or item.in_out != "INPUT":
            continue
        if hasattr(modifier, "properties"):  # Blender 5.2 and later
            holder: Any = getattr(modifier.properties.inputs, item.identifier, None)
            value = getattr(holder, "value", None)
            if isinstance(value, bpy.types.ID) and value in copies:
                holder.value = copies[value]
        else:
            value = modifier.get(item.identifier)
            if isinstance(value, bpy.types.ID) and value in copies:
                modifier[item.identifier] = copies[value]
