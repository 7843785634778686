"""Dreamzoom: zoom without end into scenes dreamed from prompts.

The room of what runs inside Blender. What it is made of is said in each module's first lines.
"""

from . import job, model_panel, operators, panels, preferences, properties
from .splats import applied

MODULES = (preferences, properties, operators, panels, model_panel, job, applied)


def register() -> None:
    for module in MODULES:
        module.register()


def unregister() -> None:
    for module in reversed(MODULES):
        module.unregister()
