"""The operators: each gathers its inputs, calls a function that does not depend on the interface, and reports."""

from __future__ import annotations

from pathlib import Path

import bpy

from ...translations import translated
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
    viewer_export,
    zoom_into,
    zoom_stack,
)
from .common import reports_errors

MODULES = (
    rigs,
    example,
    flight_check,
    zoom_into,
    camera_conversion,
    camera_files,
    levels,
    jobs,
    level_dreams,
    models,
    setup,
    splat_files,
    viewer_export,
    zoom_stack,
)
for _module in MODULES:
    for _cls in _module.CLASSES:
        if issubclass(_cls, bpy.types.Operator):
            reports_errors(_cls)


ADDON = str(Path(__file__).resolve().parents[2])
"""The add-on's folder, which holds Blender presets in `presets`."""


def _speak(cls: type[bpy.types.Operator]) -> None:
    """Let what an operator reports, and why it can't be pressed, be in the language of the interface."""
    refuse = cls.poll_message_set

    def report(self, kind, message: str) -> None:
        bpy.types.Operator.report(self, kind, translated(message))

    cls.report = report
    cls.poll_message_set = staticmethod(lambda message: refuse(translated(message)))


for _cls in [cls for module in MODULES for cls in module.CLASSES if issubclass(cls, bpy.types.Operator)]:
    _speak(_cls)


def register() -> None:
    bpy.utils.register_preset_path(ADDON)
    for module in MODULES:
        module.register()


def unregister() -> None:
    for module in reversed(MODULES):
        module.unregister()
    bpy.utils.unregister_preset_path(ADDON)
