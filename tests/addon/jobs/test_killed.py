"""Blender is killed while it imports the levels of a running job: opened again, the file offers to go on."""

import os
import subprocess
import sys
from pathlib import Path

import bpy
import pytest

from addon import rig
from addon.backend import current_job, job_folders
from addon.results import importer

from .test_job import pump_until

pytestmark = pytest.mark.skipif(os.name == "nt", reason="SIGKILL is of POSIX")

ROOT = Path(__file__).resolve().parents[3]
LEVELS = 3

KILLED = """
import os, signal, sys
import bpy
sys.path.insert(0, sys.argv[1])
import addon
from addon.backend import launch, main_loop
from addon.backend.connection import connection
from addon.results import importer
from pathlib import Path
bpy.ops.wm.read_factory_settings(use_empty=True)
addon.register()
launch.user_folder = lambda: Path(sys.argv[2], "user")
bpy.ops.dreamzoom.create_rig(levels=int(sys.argv[4]), frames_per_level=4)
settings = bpy.context.view_layer.objects.active.dreamzoom
for item in settings.levels:
    item.prompt = "a forest"
settings.quality, settings.size = "draft", 64
file = str(Path(sys.argv[2], "shot.blend"))
bpy.ops.wm.save_as_mainfile(filepath=file)
show, count = importer.splats.import_splats, 0

def kill_in_the_second(*arguments):
    global count
    count += 1
    if count == 2:
        if sys.argv[3] == "saved":
            bpy.ops.wm.save_mainfile()
        os.kill(os.getpid(), signal.SIGKILL)
    return show(*arguments)

importer.splats.import_splats = kill_in_the_second
bpy.ops.dreamzoom.generate()
while True:
    main_loop.pump()
    connection.wait(0.05)
"""


@pytest.fixture(params=["saved", "not saved"])
def file(request, dreamzoom, server_python, monkeypatch, tmp_path):
    """The file of a Blender that was killed when the points of the second level were there, and its splats not yet.

    It was saved before the job, or also in that very moment, as Blender does by itself every two minutes.
    """
    monkeypatch.setenv("DREAMZOOM_SERVER_PYTHON", server_python)
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    command = [sys.executable, str(script), str(ROOT), str(tmp_path), request.param, str(LEVELS)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == -9, ended.stdout + ended.stderr
    return tmp_path / "shot.blend"


def test_go_on_is_offered_and_brings_every_level_once(file):
    bpy.ops.wm.open_mainfile(filepath=str(file))
    root = rig.active_rig(bpy.context)
    pump_until(lambda: job_folders.state_of(root).is_known)
    assert job_folders.state_of(root).is_unfinished and bpy.ops.dreamzoom.go_on.poll()
    assert bpy.ops.dreamzoom.go_on() == {"FINISHED"}
    job = current_job.of_rig(root.session_uid)
    pump_until(lambda: not job.is_active)
    assert (job.status, job.error) == ("done", None)
    for empty in rig.level_empties(root):
        kinds = sorted(importer.kind_of(obj) for obj in rig.contents(empty) if not obj.name.endswith("superseded"))
        assert kinds == ["cloud", "splats"], empty.name
    pump_until(lambda: not job_folders.state_of(root).is_unfinished)
    assert not bpy.ops.dreamzoom.go_on.poll()
