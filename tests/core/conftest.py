"""What both sides share is tested in the server's Python, and in each Blender's as the add-on imports it.

The tests import `core`. In the server's Python that is the server's own; in Blender's it is the add-on's `.core`, all
modules of it, under the same names.
"""

import importlib
import importlib.util
import pkgutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

if importlib.util.find_spec("bpy"):
    sys.path.insert(0, str(ROOT))
    import addon.core

    sys.modules["core"] = addon.core
    for module in pkgutil.walk_packages(addon.core.__path__, "addon.core."):
        sys.modules[module.name.removeprefix("addon.")] = importlib.import_module(module.name)
else:
    import dreamzoom  # noqa: F401 - registers what decodes pictures, as the add-on does
