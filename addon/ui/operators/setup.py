"""Operators that set up this machine: installing and restarting the server, the preferences."""

from __future__ import annotations

import bpy
from bpy.types import Operator

from ... import __package__ as base_package
from ...backend import installation
from ...backend.connection import connection
from .common import Result


class DREAMZOOM_OT_install_server(Operator):
    """Install the server's packages"""

    bl_idname = "dreamzoom.install_server"
    bl_label = "Install"
    bl_description = (
        "Install the server's packages into a folder of their own, once. Takes a few minutes and some gigabytes; "
        "Blender stays usable meanwhile"
    )

    @classmethod
    def poll(cls, context):
        if not bpy.app.online_access:
            cls.poll_message_set("Allow Online Access in the preferences, under System, first")
            return False
        if installation.state.running is not None:
            cls.poll_message_set("The installation is running")
            return False
        return True

    def execute(self, context) -> Result:
        try:
            installation.start()
        except OSError as error:
            self.report({"ERROR"}, f"The installation can't be started: {error}")
            return {"CANCELLED"}
        return {"FINISHED"}


class DREAMZOOM_OT_open_preferences(Operator):
    """Open Dreamzoom's preferences"""

    bl_idname = "dreamzoom.open_preferences"
    bl_label = "Open Preferences"

    def execute(self, context) -> Result:
        bpy.ops.preferences.addon_show(module=str(base_package))
        return {"FINISHED"}


class DREAMZOOM_OT_restart_server(Operator):
    """End a server that does not answer"""

    bl_idname = "dreamzoom.restart_server"
    bl_label = "Restart Server"
    bl_description = (
        "End the server, which does not answer, and all that it runs. Finished steps are kept, and the next job or "
        "download starts another server"
    )

    @classmethod
    def poll(cls, context):
        if connection.client is None:
            cls.poll_message_set("The server is not running")
            return False
        return True

    def execute(self, context) -> Result:
        connection.kill()
        return {"FINISHED"}


CLASSES = (DREAMZOOM_OT_install_server, DREAMZOOM_OT_open_preferences, DREAMZOOM_OT_restart_server)

register, unregister = bpy.utils.register_classes_factory(CLASSES)
