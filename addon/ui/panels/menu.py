"""The menu Object › Dreamzoom: every operator has its place there, so that Blender's search (F3) finds it."""

from __future__ import annotations

import bpy
from bpy.types import Menu

from ..registration import with_menus

GROUPS = (
    ("example_flight", "create_rig", "from_camera", "to_camera", "duplicate_rig", "delete_rig", "hide_in_the_way"),
    ("key_flight", "check_flight", "zoom_here", "zoom_into", "branch"),
    ("level_add", "level_remove", "level_place", "level_redo"),
    ("generate", "go_on", "cancel", "import_job", "open_job_folder", "repair", "dismiss"),
    (
        *("render_settings", "import_splats", "export_splats", "export_for_viewers"),
        *("import_stack", "import_cameras", "export_cameras"),
    ),
    ("get_models", "refresh_models", "download_models", "cancel_models", "lora_add"),
    (
        *(
            "install_server",
            "cancel_install",
            "test_server",
            "forget_test",
            "try_steps",
            "find_kept",
            "forget_kept",
            "allow_online_access",
            "choose_python",
        ),
        *(
            "forget_python",
            "choose_environment_folder",
            "choose_certificates",
            "copy_command",
            "copy_error",
            "open_log",
        ),
        *("restart_server", "open_preferences"),
    ),
)
"""Names of the operators, in groups. Those that need to be told which row of a list they are for are not here."""


class DREAMZOOM_MT_all(Menu):
    bl_label = "Dreamzoom"

    def draw(self, context):
        layout = self.layout
        layout.operator_context = "INVOKE_DEFAULT"
        for group in GROUPS:
            for name in group:
                if hasattr(bpy.types, f"DREAMZOOM_OT_{name}"):
                    layout.operator(f"dreamzoom.{name}")
            layout.separator()
        for direction in ("UP", "DOWN"):
            text = "Move Level Up" if direction == "UP" else "Move Level Down"
            layout.operator("dreamzoom.level_move", text=text).direction = direction


def draw_entry(menu, _context) -> None:
    """Add the menu to Object."""
    menu.layout.separator()
    menu.layout.menu("DREAMZOOM_MT_all")


CLASSES = (DREAMZOOM_MT_all,)

register, unregister = with_menus(CLASSES, [("VIEW3D_MT_object", draw_entry)])
