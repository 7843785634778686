"""Operators of the level list."""

from __future__ import annotations

import bpy
from bpy.props import EnumProperty
from bpy.types import Operator

from ... import rig
from .. import labels
from .common import Result, can_change

MAX_LEVELS = 64


class DREAMZOOM_OT_level_add(Operator):
    """Add a level after the active one, and lengthen the flight"""

    bl_idname = "dreamzoom.level_add"
    bl_label = "Add Level"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context):
        root = rig.active_rig(context)
        if not can_change(cls, context):
            return False
        if len(root.dreamzoom.levels) >= MAX_LEVELS:
            cls.poll_message_set(f"There can be {MAX_LEVELS} levels at most")
            return False
        return True

    def execute(self, context) -> Result:
        root = rig.active_rig(context)
        settings = root.dreamzoom
        settings.levels.add().key = rig.new_key()
        last = len(settings.levels) - 1
        index = min(settings.active_level + 1, last)
        settings.levels.move(last, index)
        settings.active_level = index
        return _levels_changed(root, [*range(index), None, *range(index, last)])


class DREAMZOOM_OT_level_remove(Operator):
    """Remove the active level, and shorten the flight"""

    bl_idname = "dreamzoom.level_remove"
    bl_label = "Remove Level"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context):
        root = rig.active_rig(context)
        if not can_change(cls, context):
            return False
        if len(root.dreamzoom.levels) < 2:
            cls.poll_message_set("A rig keeps at least one level")
            return False
        return True

    def execute(self, context) -> Result:
        root = rig.active_rig(context)
        settings = root.dreamzoom
        count = len(settings.levels)
        index = min(settings.active_level, count - 1)
        settings.levels.remove(index)
        settings.active_level = min(index, count - 2)
        return _levels_changed(root, [level for level in range(count) if level != index])


class DREAMZOOM_OT_level_move(Operator):
    """Move the active level further from or nearer to the focus"""

    bl_idname = "dreamzoom.level_move"
    bl_label = "Move Level"
    bl_options = {"REGISTER", "UNDO"}

    direction: EnumProperty(
        name="Direction",
        description="Towards smaller or larger zooms",
        items=(("UP", "Up", "To a smaller zoom"), ("DOWN", "Down", "To a larger zoom")),
    )

    @classmethod
    def poll(cls, context):
        return can_change(cls, context) and len(rig.active_rig(context).dreamzoom.levels) > 1

    def execute(self, context) -> Result:
        root = rig.active_rig(context)
        settings = root.dreamzoom
        before = settings.active_level
        index = before + (1 if self.direction == "DOWN" else -1)
        if not 0 <= index < len(settings.levels):
            return {"CANCELLED"}
        settings.levels.move(before, index)
        settings.active_level = index
        order: list[int | None] = list(range(len(settings.levels)))
        order[before], order[index] = index, before
        rig.reorder_levels(root, order)
        return {"FINISHED"}


class DREAMZOOM_OT_level_place(Operator):
    """Parent the selected objects to the active level"""

    bl_idname = "dreamzoom.level_place"
    bl_label = "Add Selected to Level"
    bl_description = (
        "Parent the selected objects to the active level, at their present position: they grow with it from then on, "
        "and Generate sends them along with it"
    )
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context):
        if not can_change(cls, context):
            return False
        if not _placeable(context):
            cls.poll_message_set("Select objects of this file that are in no rig yet")
            return False
        return True

    def execute(self, context) -> Result:
        root = rig.active_rig(context)
        settings = root.dreamzoom
        level = min(settings.active_level, len(settings.levels) - 1)
        rig.restore_levels(root)
        home = rig.level_empty(root, level)
        placed = _placeable(context)
        for obj in placed:
            matrix = obj.matrix_world.copy()
            obj.parent = home
            obj.matrix_parent_inverse = home.matrix_world.inverted_safe()
            obj.matrix_world = matrix
        self.report({"INFO"}, f"Parented to level {level}: {labels.counted(len(placed), 'object')}")
        return {"FINISHED"}


def _placeable(context: bpy.types.Context) -> list[bpy.types.Object]:
    """The selected objects whose parent is not selected too and that are in no rig."""
    chosen = set(context.selected_objects)
    free = [obj for obj in chosen if obj.parent not in chosen and rig.rig_of(obj) is None]
    return [obj for obj in free if obj.type != "CAMERA" and (obj.library is None and obj.is_editable)]


def _levels_changed(root: bpy.types.Object, order: list) -> Result:
    rig.reorder_levels(root, order)
    rig.stretch_flight(root)
    return {"FINISHED"}


CLASSES = (DREAMZOOM_OT_level_add, DREAMZOOM_OT_level_remove, DREAMZOOM_OT_level_move, DREAMZOOM_OT_level_place)

register, unregister = bpy.utils.register_classes_factory(CLASSES)
