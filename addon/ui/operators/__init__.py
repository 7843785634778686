"""What the artist can press. An operator gathers, calls a function that knows nothing of the interface, and reports."""

from __future__ import annotations

from . import camera_conversion, jobs, levels, models, rigs, setup, splat_files, zoom_stack

MODULES = (rigs, camera_conversion, levels, jobs, models, setup, splat_files, zoom_stack)


def register() -> None:
    for module in MODULES:
        module.register()


def unregister() -> None:
    for module in reversed(MODULES):
        module.unregister()
