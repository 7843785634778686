"""The panels of the Dreamzoom tab in the 3D viewport's sidebar, from top to bottom in the order of use."""

from __future__ import annotations

from . import diffusion, dream, jobs, levels, menu, result, rig

MODULES = (rig, levels, dream, diffusion, result, jobs, menu)


def register() -> None:
    for module in MODULES:
        module.register()


def unregister() -> None:
    for module in reversed(MODULES):
        module.unregister()
