"""Operators of single levels' dreams: redo, versions, where the next level lies, and branches."""

from __future__ import annotations

import random

import bpy
from bpy.app.translations import pgettext_rpt as rpt_
from bpy.props import BoolProperty, FloatVectorProperty, IntProperty, StringProperty
from bpy.types import Operator
from bpy_extras import view3d_utils
from mathutils import Vector

from ... import rig
from ...backend import job_folders
from ...core.errors import DreamzoomError
from ...jobs import importing, undo_steps
from ...results import importer, versions
from ...rig import branch
from .common import Result, can_change, report, select_only
from .jobs import is_busy

MAX_SEED = 2**31 - 1


def _active(root: bpy.types.Object) -> int:
    return min(root.dreamzoom.active_level, len(root.dreamzoom.levels) - 1)


class DREAMZOOM_OT_level_redo(Operator):
    """Dream the active level anew, with another seed"""

    bl_idname = "dreamzoom.level_redo"
    bl_label = "Redo Level"
    bl_description = (
        "Dream the active level anew with another seed, or all levels from it on that are not locked. "
        "The result so far is kept as a version"
    )
    bl_options = {"REGISTER", "UNDO"}

    following: BoolProperty(name="From Here", description="Redo the finer levels too", options={"SKIP_SAVE"})

    @classmethod
    def poll(cls, context):
        return can_change(cls, context) and not is_busy(cls, context) and bpy.ops.dreamzoom.generate.poll()

    def execute(self, context) -> Result:
        settings = rig.active_rig(context).dreamzoom
        first = _active(rig.active_rig(context))
        chosen = settings.levels[first:] if self.following else settings.levels[first : first + 1]
        free = [item for item in chosen if not item.lock]
        if not free:
            self.report({"WARNING"}, "The level is locked")
            return {"CANCELLED"}
        for item in free:
            item.use_seed, item.seed = True, random.randrange(MAX_SEED)
        context_of_call = "EXEC_DEFAULT" if bpy.app.background else "INVOKE_DEFAULT"
        return {"FINISHED"} if "FINISHED" in bpy.ops.dreamzoom.generate(context_of_call) else {"CANCELLED"}


class DREAMZOOM_OT_level_version(Operator):
    """Show this version of the level. An earlier one is locked, so that the next import does not replace it"""

    bl_idname = "dreamzoom.level_version"
    bl_label = "Use Version"

    version: StringProperty(name="Version", description="Number of an earlier result; empty for the newest")
    level: IntProperty(name="Level", description="The level that is imported", min=0)

    @classmethod
    def poll(cls, context):
        return can_change(cls, context) and not is_busy(cls, context)

    def invoke(self, context, event) -> Result:
        """From a button: Blender stays usable while the files are checked. The import is one step of undo then."""
        root = rig.active_rig(context)
        known = next((version for version in versions.of_rig(root) if version.name == self.version), None)
        index = self._index(root, known)
        if known is None or index < 0:
            return self.execute(context)
        importing.start_version(root, known, index, self.level)
        return {"FINISHED"}

    def execute(self, context) -> Result:
        """From a script: the level is imported when this returns."""
        root = rig.active_rig(context)
        found = versions.find(root, self.version)
        index = self._index(root, found)
        if found is None or index < 0:
            self.report({"WARNING"}, "This version is no longer on disk")
            return {"CANCELLED"}
        try:
            importer.check_version(found.folder, index)
            kept = importing.use_version(root, found, index, self.level)
        except DreamzoomError as error:
            return report(self, error)
        if kept:
            told = rpt_("{names}: changed by you, so kept hidden in the rig's collection “Kept”")
            self.report({"INFO"}, told.format(names=", ".join(kept)))
        return {"FINISHED"}

    def _index(self, root: bpy.types.Object, version: versions.Version | None) -> int:
        """Which level of a version the level of the rig is; -1 for none."""
        known = version is not None and self.level < len(root.dreamzoom.levels)
        return version.index_of(root, self.level) if known else -1


class DREAMZOOM_OT_zoom_here(Operator):
    """Click where the next level lies"""

    bl_idname = "dreamzoom.zoom_here"
    bl_label = "Zoom Here"
    bl_description = "Click a point in the viewport or camera view: the next level will lie there, in the level in view"
    bl_options = {"REGISTER", "UNDO"}

    point: FloatVectorProperty(
        name="Point", description="In the world, at the present zoom", size=3, subtype="TRANSLATION", unit="LENGTH"
    )

    @classmethod
    def poll(cls, context):
        if not can_change(cls, context):
            return False
        if len(rig.active_rig(context).dreamzoom.levels) < 2:
            cls.poll_message_set("The rig has one level only: add another, to zoom into")
            return False
        return True

    def invoke(self, context, event) -> Result:
        if context.window is None:
            return self.execute(context)
        undo_steps.restore_levels(rig.active_rig(context))
        context.window.cursor_modal_set("EYEDROPPER")
        context.workspace.status_text_set("Click where the next level lies. Esc: stop")
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context, event) -> Result:
        if event.type in ("ESC", "RIGHTMOUSE"):
            self._end(context)
            return {"CANCELLED"}
        if event.type != "LEFTMOUSE" or event.value != "PRESS":
            return {"PASS_THROUGH"}
        self._end(context)
        hit = _clicked(context, event)
        if hit is None:
            self.report({"WARNING"}, "Click into a 3D viewport, on the level's ground")
            return {"CANCELLED"}
        self.point = hit
        return self.execute(context)

    def execute(self, context) -> Result:
        root = rig.active_rig(context)
        level = _level_in_view(root)
        rig.restore_levels(root)
        place = rig.level_empty(root, level).matrix_world.inverted_safe() @ Vector(self.point)
        if max(abs(place.x), abs(place.y)) > 1:
            self.report({"WARNING"}, "That is outside of the level's picture")
            return {"CANCELLED"}
        root.dreamzoom.active_level = level
        root.dreamzoom.levels[level].focus = (place.x, place.y, 0.0)
        told = rpt_("Level {next} will lie here, in level {level}")
        self.report({"INFO"}, told.format(next=level + 1, level=level))
        return {"FINISHED"}

    def _end(self, context):
        context.window.cursor_modal_restore()
        context.workspace.status_text_set(None)


def _level_in_view(root: bpy.types.Object) -> int:
    """The level whose picture fills the view at the present zoom, among those that have a next one."""
    last = len(root.dreamzoom.levels) - (1 if rig.loops(root) else 2)
    return min(max(round(root.get("zoom", 0.0)), 0), max(last, 0))


def _clicked(context: bpy.types.Context, event: bpy.types.Event) -> Vector | None:
    """Where a click meets the ground of the level in view (z = 0 in its frame), in the world; None where it misses."""
    for area in context.window.screen.areas:
        region = next((region for region in area.regions if region.type == "WINDOW"), None)
        if area.type != "VIEW_3D" or region is None:
            continue
        x, y = event.mouse_x - region.x, event.mouse_y - region.y
        if 0 <= x < region.width and 0 <= y < region.height:
            view = area.spaces.active.region_3d
            origin = view3d_utils.region_2d_to_origin_3d(region, view, (x, y))
            along = view3d_utils.region_2d_to_vector_3d(region, view, (x, y))
            return on_ground(rig.active_rig(context), origin, along)
    return None


def on_ground(root: bpy.types.Object, origin: Vector, along: Vector) -> Vector | None:
    """Where a ray of the world meets the ground of the level in view; None where it does not, or only behind."""
    matrix = rig.level_empty(root, _level_in_view(root)).matrix_world
    inverse = matrix.inverted_safe()
    start, direction = inverse @ origin, inverse.to_3x3() @ along
    if abs(direction.z) < 1e-9 or -start.z / direction.z <= 0:
        return None
    return matrix @ (start - direction * (start.z / direction.z))


class DREAMZOOM_OT_branch(Operator):
    """Begin a second flight out of the active level"""

    bl_idname = "dreamzoom.branch"
    bl_label = "Branch Here"
    bl_description = (
        "Begin a second flight out of the active level, beside this one: it shares the levels up to the active one, "
        "which are not dreamed again where the new ones can't be seen in them, and its finer levels are new"
    )
    bl_options = {"REGISTER", "UNDO"}

    offset: FloatVectorProperty(
        name="Offset", description="From this rig to the branch", size=3, subtype="TRANSLATION", unit="LENGTH"
    )

    @classmethod
    def poll(cls, context):
        if not can_change(cls, context) or is_busy(cls, context):
            return False
        if _active(rig.active_rig(context)) >= len(rig.active_rig(context).dreamzoom.levels) - 1:
            cls.poll_message_set("Choose a level that is not the last: the finer ones will be new")
            return False
        return True

    def invoke(self, context, event) -> Result:
        root = rig.active_rig(context)
        self.offset = (branch.BESIDE * max(root.matrix_world.to_scale()), 0.0, 0.0)
        return self.execute(context)

    def execute(self, context) -> Result:
        root = rig.active_rig(context)
        made = branch.branch(context.scene, root, _active(root))
        made.location = root.location + Vector(self.offset)
        try:
            job_folders.share(root, made)
        except OSError as error:
            told = rpt_("The branch will dream all of its levels anew: {error}")
            self.report({"WARNING"}, told.format(error=error))
        context.scene.dreamzoom.rig = made
        select_only(context, made)
        return {"FINISHED"}


CLASSES = (
    DREAMZOOM_OT_level_redo,
    DREAMZOOM_OT_level_version,
    DREAMZOOM_OT_zoom_here,
    DREAMZOOM_OT_branch,
)

register, unregister = bpy.utils.register_classes_factory(CLASSES)
