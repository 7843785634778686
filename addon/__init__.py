"""Dreamzoom: zoom without end into scenes dreamed from prompts. This package is the add-on, which runs inside Blender.

    translations   the interface in other languages
    splats         splats as Blender objects: meshes, point clouds, materials
    backend        the server: its installation, its process, its messages
    rig            the zoom rig: its objects, drivers and keys, and conversion from and to cameras
    scene          the scene to the server's request
    results        the server's results to objects, and render settings
    jobs           Generate and Import, from the button to the end
    ui             properties, operators, panels, preferences

Each imports only from those above it, and from `core`, which is shared with the server.
"""

from . import translations
from .jobs import lifecycle, undo_steps
from .splats import applied_transforms
from .ui import guide, operators, panels, preferences, properties

MODULES = (translations, preferences, properties, operators, panels, guide, undo_steps, lifecycle, applied_transforms)


def register() -> None:
    for module in MODULES:
        module.register()


def unregister() -> None:
    for module in reversed(MODULES):
        module.unregister()
