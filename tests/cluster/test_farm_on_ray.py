"""A film rendered by Blender on a Ray cluster of which a node is killed half way."""

import contextlib
import hashlib
import os
import time
from contextlib import closing
from pathlib import Path

import pytest
from benchmarks.cluster import film

from core.errors import Cancelled
from dreamzoom import cluster
from dreamzoom.cluster import farm
from dreamzoom.progress import Report

FRAMES = range(1, 7)


@pytest.fixture(scope="module")
def blender():
    found = film.blender()
    if found is None:
        pytest.skip("Blender 5.3 as a Python module is not there (python scripts/environments.py bpy53)")
    return found


@pytest.fixture(scope="module")
def scene(blender, tmp_path_factory):
    path = tmp_path_factory.mktemp("scene") / "scene.blend"
    film.make_scene(blender, path)
    return path


@pytest.fixture(scope="module")
def alone(scene, blender, tmp_path_factory):
    """The SHA-256 of the frames as one worker of this machine renders them."""
    wanted = farm.Film(scene, FRAMES, tmp_path_factory.mktemp("alone"), str(blender))
    with closing(cluster.make("local:1")) as pool:
        farm.render(wanted, pool, Report())
    return digests(wanted)


def digests(made):
    return [hashlib.sha256(made.picture(frame).read_bytes()).hexdigest() for frame in made.frames]


def test_all_frames_are_there_bit_by_bit_though_a_node_died(nodes, scene, blender, alone, tmp_path):
    wanted = farm.Film(scene, FRAMES, tmp_path, str(blender))
    report = film.HalfWay(lambda: nodes.kill(nodes.nodes[-1]))
    with closing(cluster.make(f"ray://{nodes.address}")) as pool:
        farm.render(wanted, pool, report)
    nodes.nodes.append(nodes.add())
    assert report.action is None
    assert digests(wanted) == alone
    assert sorted(path.name for path in tmp_path.iterdir() if ".part-" not in path.name) == [
        *(wanted.picture(frame).name for frame in FRAMES),
        farm.NOTE,
    ]


@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="a file system of its own needs Linux and its root")
def test_machines_that_do_not_see_the_folder_send_their_frames(bare, scene, blender, alone, tmp_path):
    (tmp_path / "out").mkdir()
    wanted = farm.Film(scene, FRAMES, tmp_path / "out", str(blender))
    with (
        bare.apart(wanted.out, tmp_path / "first"),
        closing(cluster.make(f"ray://{bare.address}")) as pool,
    ):
        farm.render(wanted, pool, Report())
        assert pool.moved["sent"] == scene.stat().st_size
    assert digests(wanted) == alone


def test_cancelling_ends_blender(nodes, scene, blender, tmp_path):
    class AtFirstFrame(Report):
        is_cancelled = False

        def check(self):
            if self.is_cancelled:
                raise Cancelled

        def progress(self, fraction, message=""):
            self.is_cancelled = self.is_cancelled or fraction > 0
            self.check()

    wanted = farm.Film(scene, range(1, 2000), tmp_path, str(blender))
    with closing(cluster.make(f"ray://{nodes.address}")) as pool, pytest.raises(Cancelled):
        farm.render(wanted, pool, AtFirstFrame())
    until = time.monotonic() + 20
    while works_in(tmp_path) and time.monotonic() < until:
        time.sleep(0.1)
    assert not works_in(tmp_path)


def works_in(folder):
    """Whether a process has this folder as its own."""
    for place in Path("/proc").glob("[0-9]*/cwd"):
        with contextlib.suppress(OSError):
            if place.readlink() == folder:
                return True
    return False
