"""The extension as an artist gets it: built, and installed from its zip into a Blender with a fresh user folder.

Blender reads its user folder's place when it starts, and the bpy module starts when it is imported: so the folder is
made here, before any test imports bpy.
"""

import atexit
import importlib
import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
USER = Path(tempfile.mkdtemp(prefix="dreamzoom-")).resolve()
atexit.register(shutil.rmtree, USER, ignore_errors=True)
os.environ["BLENDER_USER_RESOURCES"] = str(USER)
os.environ.pop("PYTHONPATH", None)
sys.path.insert(0, str(ROOT / "scripts"))

import environments  # noqa: E402


@pytest.fixture(scope="session")
def zip_file(tmp_path_factory):
    """The built zip."""
    import build_extension

    return build_extension.build(tmp_path_factory.mktemp("zip") / "dreamzoom.zip")


class Installed:
    """The installed extension.

    Attributes:
        folder: Where Blender put it.
    """

    name = "bl_ext.user_default.dreamzoom"
    folder = USER / "extensions" / "user_default" / "dreamzoom"

    def part(self, name):
        """One of its modules."""
        return importlib.import_module(f"{self.name}.{name}")

    def choose_server(self, bpy):
        """Set the server's Python in the preferences."""
        bpy.context.preferences.addons[self.name].preferences.server_python = str(environments.need("server"))


@pytest.fixture(scope="session")
def installed(zip_file):
    """The extension, enabled, with the server's Python chosen."""
    import bpy

    os.environ.pop("DREAMZOOM_SERVER_PYTHON", None)
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.extensions.package_install_files(filepath=str(zip_file), repo="user_default", enable_on_install=True)
    extension = Installed()
    extension.choose_server(bpy)
    yield extension
    bpy.ops.preferences.addon_disable(module=extension.name)
