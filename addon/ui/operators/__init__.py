"""The operators: each gathers its inputs, calls a function that does not depend on the interface, and reports."""

from __future__ import annotations

import bpy

from . import camera_conversion, camera_files, jobs, levels, models, rigs, setup, splat_files, zoom_stack
from .common import reports_errors

MODULES = (rigs, camera_conversion, camera_files, levels, jobs, models, setup, splat_files, zoom_stack)
for _module in MODULES:
    for _cls in _module.CLASSES:
        if issubclass(_cls, bpy.types.Operator):
            reports_errors(_cls)


def register() -> None:
    for module in MODULES:
        module.register()


def unregister() -> None:
    for module in reversed(MODULES):
        module.unregister()
