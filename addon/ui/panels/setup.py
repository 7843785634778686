"""The installation of the server and its state, as the panels and the preferences draw them."""

from __future__ import annotations

import bpy
from bpy.types import UILayout

from ...backend import installation
from ...backend.connection import connection
from .layout import draw_error, paragraph


def draw_set_up(layout: UILayout) -> None:
    """How to install the server where it is not installed yet, or the progress of its installation."""
    running = installation.state.running
    box = layout.box()
    if running is not None:
        paragraph(box, "Installing. Blender stays usable.", icon="TIME")
        paragraph(box, running.line)
        return
    paragraph(box, "The server's packages are not installed yet.", icon="INFO")
    paragraph(box, "They are installed once, into a folder of their own: a few minutes, some gigabytes.")
    row = box.row()
    row.scale_y = 1.3
    row.operator("dreamzoom.install_server", icon="IMPORT")
    if not bpy.app.online_access:
        paragraph(box, "Allow Online Access first: Preferences, System, Network.")
    box.operator("dreamzoom.open_preferences", text="Use a Python of My Own", icon="PREFERENCES")
    if installation.state.error:
        draw_error(layout, installation.state.error, "Check the network and press Install again")


def draw_hung(layout: UILayout) -> None:
    """A warning where the server does not answer, with the button that restarts it."""
    seconds = connection.hung_seconds
    if not seconds:
        return
    box = layout.box()
    paragraph(box, f"The server has not answered for {seconds:.0f} seconds. It may be loading, or hung.", icon="ERROR")
    box.operator("dreamzoom.restart_server", icon="FILE_REFRESH")
