"""The add-on under test is the folder `addon` at the repository's root; every test starts in an empty scene."""

import os
import sys
from pathlib import Path

import bpy
import pytest

ROOT = Path(__file__).resolve().parents[2]
WITHOUT_BLENDER = ["backend/test_client.py", "backend/test_transfer.py", "rig/test_zoom_path.py"]
"""Tests of what calls nothing of Blender: the oldest and the newest of its Pythons are enough."""

collect_ignore_glob = [] if bpy.app.version >= (5, 3, 0) else ["*native.py"]  # tests of what those Blenders lack
collect_ignore = WITHOUT_BLENDER if (5, 0, 0) <= bpy.app.version < (5, 3, 0) else []
sys.path.insert(0, str(ROOT))


@pytest.fixture(autouse=True)
def empty_scene():
    """An empty scene; preferences, four times as slow, are read again only after a test that changed them."""
    if bpy.context.preferences.is_dirty:  # so says Blender when it has read them, too
        bpy.ops.wm.read_factory_settings(use_empty=True)
        bpy.context.preferences.is_dirty = False
    else:
        bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)


@pytest.fixture(scope="session")
def registered():
    """The add-on, registered as Blender does it."""
    import addon

    addon.register()
    yield addon
    addon.unregister()


@pytest.fixture
def dreamzoom(registered, tmp_path, monkeypatch):
    """The registered add-on, writing into a folder of the test's own; no job outlives the test."""
    from addon.backend import launch
    from addon.jobs import lifecycle

    monkeypatch.setattr(launch, "user_folder", lambda: tmp_path / "user")
    yield registered
    lifecycle.end_all()


@pytest.fixture
def root(dreamzoom):
    """A rig of four levels, 12 frames each, made by the operator."""
    bpy.ops.dreamzoom.create_rig(levels=4, frames_per_level=12)
    root = bpy.context.view_layer.objects.active
    for index, level in enumerate(root.dreamzoom.levels):
        level.prompt = f"prompt {index}"
    return root


@pytest.fixture(scope="session")
def server_python():
    """The server's Python, which is another one than Blender's."""
    path = os.environ.get("DREAMZOOM_SERVER_PYTHON") or str(ROOT / ".envs/server/bin/python")
    if not Path(path).is_file():
        pytest.skip("no environment of the server here: set DREAMZOOM_SERVER_PYTHON")
    return path


_exit_code = []


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(exitstatus):
    _exit_code.append(int(exitstatus))


@pytest.hookimpl(trylast=True)
def pytest_unconfigure():
    if _exit_code:  # Blender 4.5 as a module can hang for ever in its own clean-up
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(_exit_code[-1])
