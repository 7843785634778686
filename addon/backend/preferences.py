"""The values of the add-on's preferences: what belongs to the machine and must never be saved in a .blend file."""

from __future__ import annotations

from pathlib import Path

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


def folder(name: str) -> Path | None:
    """A preference that is a folder; None where it is not set. A relative one lies in the folder of the saved .blend
    where it begins with //, else in the user's home: never in the one in which Blender happens to work.
    """
    value = get(name).strip()
    if not value:
        return None
    if value.startswith("//") and bpy.data.filepath:
        return Path(bpy.path.abspath(value))
    given = Path(value.removeprefix("//")).expanduser()
    return given if given.is_absolute() else Path.home() / given
