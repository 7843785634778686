"""The operators: each gathers its inputs, calls a function that does not depend on the interface, and reports."""

from __future__ import annotations

from pathlib import Path

import bpy

from . import (
    camera_conversion,
    camera_files,
    example,
    flight_check,
    jobs,
    level_dreams,
    levels,
    models,
    rigs,
    setup,
    splat_files,
    zoom_stack,
)
from .common import reports_errors

MODULES = (
    rigs,
    example,
    flight_check,
    camera_conversion,
    camera_files,
    levels,
    jobs,
    level_dreams,
    models,
    setup,
    splat_files,
    zoom_stack,
)
for _module in MODULES:
    for _cls in _module.CLASSES:
        if issubclass(_cls, bpy.types.Operator):
            reports_errors(_cls)


ADDON = str(Path(__file__).resolve().parents[2])
"""The add-on's folder, which holds Blender presets in `presets`."""


def register() -> None:
    bpy.utils.register_preset_path(ADDON)
    for module in MODULES:
        module.register()


def unregister() -> None:
    for module in reversed(MODULES):
        module.unregister()
    bpy.utils.unregister_preset_path(ADDON)
