"""The operator that imports a zoom stack as planes under the rig."""

from __future__ import annotations

from bpy.props import BoolProperty, StringProperty
from bpy.types import Operator
from bpy_extras.io_utils import ImportHelper

from ... import rig
from ...core.errors import DreamzoomError
from ...results import zoom_stack_import
from ...translations import translated
from .. import labels
from ..registration import with_menus
from .common import Result, chosen_path, in_object_mode, report, select_only, use_flight


class DREAMZOOM_OT_import_stack(Operator, ImportHelper):  # pyright: ignore[reportIncompatibleMethodOverride]
    """Import the pictures of a zoom stack as nested planes under the rig: the zoom without 3D"""

    bl_idname = "dreamzoom.import_stack"
    bl_label = "Import Zoom Stack"
    bl_options = {"REGISTER", "UNDO", "PRESET"}

    filter_glob: StringProperty(default="*.json", options={"HIDDEN"})
    still: BoolProperty(
        name="Stop Orbit",
        description="Set the rig's orbit to zero, so that its camera keeps facing the planes",
        default=True,
    )
    use_frame_range: BoolProperty(
        name="Set Frame Range",
        description="Let the scene's frame range end with the flight, and use the rig's camera",
        default=True,
    )

    @classmethod
    def poll(cls, context):
        return in_object_mode(cls, context)

    def execute(self, context) -> Result:
        before = rig.active_rig(context)
        try:
            path = chosen_path(self.filepath)
            root = zoom_stack_import.import_stack(context.scene, path, before, self.still)
        except DreamzoomError as error:
            return report(self, error)
        if self.use_frame_range:
            use_flight(self, root, context.scene)
        select_only(context, root)
        count = len(root.dreamzoom.levels)
        note = "" if root == before else ", under a new rig"
        self.report({"INFO"}, f"{labels.counted(count, 'picture')}{note}")
        return {"FINISHED"}


def draw_import(menu, _context) -> None:
    """Add the entry in File > Import."""
    menu.layout.operator(
        DREAMZOOM_OT_import_stack.bl_idname, text=translated(f"Dreamzoom Zoom Stack ({zoom_stack_import.NAME})")
    )


CLASSES = (DREAMZOOM_OT_import_stack,)

register, unregister = with_menus(CLASSES, [("TOPBAR_MT_file_import", draw_import)])
