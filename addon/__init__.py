"""Dreamzoom: zoom without end into scenes dreamed from prompts.

The room of what runs inside Blender. What it is made of is said in each module's first lines.
"""

from .jobs import lifecycle
from .splats import applied_transforms
from .ui import operators, panels, preferences, properties

MODULES = (preferences, properties, operators, panels, lifecycle, applied_transforms)


def register() -> None:
    for module in MODULES:
        module.register()


def unregister() -> None:
    for module in reversed(MODULES):
        module.unregister()
