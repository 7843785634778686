"""What the artist can press. An operator gathers, calls a function that knows nothing of the interface, and reports."""

from __future__ import annotations

from . import jobs, levels, rigs, setup

MODULES = (rigs, levels, jobs, setup)


def register() -> None:
    for module in MODULES:
        module.register()


def unregister() -> None:
    for module in reversed(MODULES):
        module.unregister()
