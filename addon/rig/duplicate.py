"""A rig as a whole, with all that hangs under it: copied, and taken away."""

from __future__ import annotations

import bpy


def duplicate(scene: bpy.types.Scene, root: bpy.types.Object) -> bpy.types.Object:
    """A second rig beside the first, at the same place, independent of it; hidden levels too.

    Keys, drivers, constraints and collections are its own; splats, meshes and materials are shared.
    """
    copies: dict[bpy.types.ID, bpy.types.ID] = {}
    for obj in [root, *root.children_recursive]:
        copies[obj] = obj.copy()
        if obj.type in ("CAMERA", "LIGHT") and obj.data is not None:
            copies[obj].data = obj.data.copy()
            _own_action(copies[obj].data)
        _own_action(copies[obj])
    home = root.dreamzoom.collection
    if home is not None:
        _copy_collections(scene, home, copies)
    for original, made in [pair for pair in copies.items() if isinstance(pair[0], bpy.types.Object)]:
        for collection in original.users_collection:
            copies.get(collection, collection).objects.link(made)
        _follow(made, copies)
    return copies[root]  # pyright: ignore[reportReturnType]  # an object's copy is an object


def delete(root: bpy.types.Object) -> list[bpy.types.Object]:
    """Take a rig away with its camera, its imported content, and what nobody else uses then.

    What the artist hung under it stays where it is seen now, without parent.

    Returns:
        The objects that stayed.
    """
    own = {obj for obj in [root, *root.children_recursive] if _is_own(root, obj)}
    kept = [obj for obj in root.children_recursive if obj not in own]
    home = root.dreamzoom.collection
    collections = [] if home is None else [*home.children_recursive, home]
    for obj in kept:
        if obj.parent in own:
            place = obj.matrix_world.copy()
            obj.parent = None
            obj.matrix_world = place
    for obj in {obj for collection in collections for obj in collection.objects} - own:
        parents = [parent for parent in bpy.data.collections if home is not None and home.name in parent.children]
        _leave(obj, collections, parents)
    loose = {obj.data for obj in own} | {_action(obj) for obj in own} | {_action(obj.data) for obj in own}
    bpy.data.batch_remove([*own, *collections])
    bpy.data.batch_remove([data for data in loose if data is not None and data.users == 0])
    return kept


def _is_own(root: bpy.types.Object, obj: bpy.types.Object) -> bool:
    """Whether an object of the hierarchy is part of the rig, not the artist's."""
    return obj in (root, root.dreamzoom.camera) or any(name.startswith("dreamzoom_") for name in obj.keys())  # noqa: SIM118


def _leave(obj: bpy.types.Object, collections: list, parents: list) -> None:
    """Keep an object in the scene whose collections go."""
    if all(collection in collections for collection in obj.users_collection):
        scenes = [scene for scene in bpy.data.scenes if obj.name in scene.objects]
        for collection in parents or [scene.collection for scene in scenes]:
            collection.objects.link(obj)


def _action(owner: bpy.types.ID | None) -> bpy.types.Action | None:
    animation = getattr(owner, "animation_data", None)
    return animation.action if animation else None


def _own_action(made: bpy.types.ID) -> None:
    """Keys of its own for a copy, which shares those of the original."""
    action = _action(made)
    if action is not None:
        slot = made.animation_data.action_slot
        made.animation_data.action = action.copy()
        if slot is not None:
            made.animation_data.action_slot = made.animation_data.action.slots[slot.identifier]


def _copy_collections(scene: bpy.types.Scene, home: bpy.types.Collection, copies: dict) -> None:
    """The rig's collections again, empty, shown and hidden likewise, beside the first."""
    for collection in [home, *home.children_recursive]:
        made = copies[collection] = bpy.data.collections.new(collection.name)
        made.hide_viewport, made.hide_render = collection.hide_viewport, collection.hide_render
        made.color_tag = collection.color_tag
    for collection in [home, *home.children_recursive]:
        for child in collection.children:
            copies[collection].children.link(copies[child])
    beside = [parent for parent in (scene.collection, *bpy.data.collections) if home.name in parent.children]
    for parent in beside or [scene.collection]:
        parent.children.link(copies[home])


def _follow(made: bpy.types.Object, copies: dict) -> None:
    """Let all that a copy refers to be the copies."""
    if made.parent in copies:
        inverse = made.matrix_parent_inverse.copy()
        made.parent = copies[made.parent]
        made.matrix_parent_inverse = inverse
    structs = [*made.constraints, *made.modifiers, made.dreamzoom]
    if made.type == "CAMERA":
        structs.append(made.data.dof)
    for struct in structs:
        _swap_pointers(struct, copies)
    for owner in (made, made.data):
        animation = getattr(owner, "animation_data", None)
        for curve in animation.drivers if animation and owner is not None else ():
            for variable in curve.driver.variables:
                for target in variable.targets:
                    if target.id in copies:
                        target.id = copies[target.id]


def _swap_pointers(struct: bpy.types.bpy_struct, copies: dict) -> None:
    for prop in struct.bl_rna.properties:
        if prop.type == "POINTER" and not prop.is_readonly:
            value = getattr(struct, prop.identifier)
            if isinstance(value, bpy.types.ID) and value in copies:
                setattr(struct, prop.identifier, copies[value])
