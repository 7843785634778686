"""Dreamzoom: zoom without end into scenes dreamed from prompts.

The room of what runs inside Blender. What it is made of is said in each module's first lines.
"""

from pathlib import Path

_HERE = Path(__file__).resolve().parent
_SERVER = _HERE / "server" if (_HERE / "server").is_dir() else _HERE.parent / "server"
# `core`, what both sides must agree on, lies with the server's code: inside the extension, beside `addon/` in a clone
__path__.append(str(_SERVER))

from .jobs import lifecycle  # noqa: E402
from .splats import applied_transforms  # noqa: E402
from .ui import operators, panels, preferences, properties  # noqa: E402

MODULES = (preferences, properties, operators, panels, lifecycle, applied_transforms)


def register() -> None:
    for module in MODULES:
        module.register()


def unregister() -> None:
    for module in reversed(MODULES):
        module.unregister()
