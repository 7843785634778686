"""A film rendered by a farm of two nodes, of which one is killed half way."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import environments

from benchmarks.cluster.nodes import executor_of, nodes
from benchmarks.shared.table import Table
from dreamzoom.cluster import farm
from dreamzoom.cluster.pool import WorkerPool
from dreamzoom.progress import Report

FRAMES = range(1, 25)
SCENE = """
import sys, bpy
bpy.ops.wm.read_factory_settings(use_empty=True)
scene = bpy.context.scene
bpy.ops.mesh.primitive_monkey_add()
monkey = bpy.context.object
monkey.keyframe_insert("rotation_euler", frame=1)
monkey.rotation_euler.z = 3
monkey.keyframe_insert("rotation_euler", frame=24)
bpy.ops.object.light_add(type="SUN")
bpy.ops.object.camera_add(location=(0, -6, 0), rotation=(1.5708, 0, 0))
scene.camera = bpy.context.object
scene.render.engine, scene.cycles.samples = "CYCLES", 4
scene.render.resolution_x, scene.render.resolution_y = 192, 128
bpy.ops.wm.save_as_mainfile(filepath=sys.argv[-1])
"""


def blender() -> Path | None:
    """Blender 5.3 as a Python module; None if its environment is not there."""
    places = ("bin/python", "Scripts/python.exe")
    found = (environments.ENVIRONMENTS / "bpy53" / place for place in places)
    return next((path for path in found if path.is_file()), None)


def make_scene(python: Path, path: Path) -> None:
    """Save a scene with a turning head."""
    plain = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run([python, "-c", SCENE, path], check=True, env=plain, stdout=subprocess.DEVNULL)


class HalfWay(Report):
    """Does something once, when half of the frames are there."""

    def __init__(self, action: Callable[[], None]):
        self.action: Callable[[], None] | None = action

    def progress(self, fraction: float, message: str = "") -> None:
        """Look how far it is."""
        if fraction >= 0.5 and self.action is not None:
            action, self.action = self.action, None
            action()


def measure_farm(table: Table, scratch: Path) -> None:
    """Render on one worker without Ray, and on two nodes; compare the files."""
    python = blender()
    if python is None:
        sys.exit("dreamzoom: Blender 5.3 as a Python module is needed (python scripts/environments.py bpy53)")
    make_scene(python, scratch / "scene.blend")
    films = [farm.Film(scratch / "scene.blend", FRAMES, scratch / name, str(python)) for name in ("alone", "farm")]
    with closing(WorkerPool(1, None, print)) as pool:
        farm.render(films[0], pool, Report())
    with nodes(2) as found, executor_of(found) as pool:
        report = HalfWay(lambda: found.kill(found.nodes[-1]))
        farm.render(films[1], pool, report)
    same = [film.picture(frame).read_bytes() for film in films for frame in FRAMES]
    met = report.action is None and same[: len(FRAMES)] == same[len(FRAMES) :]
    table.add(f"farm: {len(FRAMES)} frames, a node killed half way: equal files", "yes" if met else "no", "yes", met)
    table.figures["farm_equal"] = met
