"""The values of the add-on's preferences: what belongs to the machine and must never be saved in a .blend file."""

from __future__ import annotations

import bpy

from .. import __package__ as base_package

DEFAULTS = {
    "server_python": "",
    "server_command": "",
    "jobs_folder": "",
    "executor": "",
    "storage": "",
    "hardware": "auto",
    "base_python": "",
    "environment_folder": "",
    "certificates": "",
    "proxy": "",
}


def get(name: str) -> str:
    """A preference's value; its default where the add-on runs without being installed as an extension."""
    addon = bpy.context.preferences.addons.get(str(base_package))
    return getattr(addon.preferences, name, DEFAULTS[name]) if addon and addon.preferences else DEFAULTS[name]


def path(name: str) -> str:
    """A preference that is a path, absolute; empty where it is not set."""
    value = get(name)
    return bpy.path.abspath(value) if value else ""
