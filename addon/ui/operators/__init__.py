"""The operators: each gathers its inputs, calls a function that does not depend on the interface, and reports."""

from __future__ import annotations

from . import camera_conversion, jobs, levels, models, rigs, setup, splat_files, zoom_stack

MODULES = (rigs, camera_conversion, levels, jobs, models, setup, splat_files, zoom_stack)


def register() -> None:
    for module in MODULES:
        module.register()


def unregister() -> None:
    for module in reversed(MODULES):
        module.unregister()
