"""What the artist can press. An operator gathers, calls a function that knows nothing of the interface, and reports."""

from __future__ import annotations

from . import conversions, jobs, levels, models, rigs, setup, splat_files, stack

MODULES = (rigs, conversions, levels, jobs, models, setup, splat_files, stack)


def register() -> None:
    for module in MODULES:
        module.register()


def unregister() -> None:
    for module in reversed(MODULES):
        module.unregister()
