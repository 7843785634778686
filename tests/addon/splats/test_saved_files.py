"""Splats last: saved, opened, appended and linked they render as they did, without the add-on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import bpy
import numpy as np
import pytest

from addon import splats
from addon.splats import native, surfels

from .. import splat_pictures as pictures

REPRESENTATIONS = ["surfels", "triangles", "flat", "gaussians", "viewers", *["native"] * native.available()]

OPENED = """
import os, sys
import bpy
bpy.ops.wm.open_mainfile(filepath=sys.argv[1], use_scripts=False)
bpy.context.scene.render.filepath = sys.argv[2]
bpy.ops.render.render(write_still=True)
assert not [name for name in sys.modules if "dreamzoom" in name or name.split(".")[0] == "addon"]
sys.stdout.flush()
os._exit(0)
"""


@pytest.fixture
def scene_of_all(monkeypatch):
    """One object of every representation, side by side, faded by a driver."""
    for place, representation in enumerate(REPRESENTATIONS):
        values = pictures.random_splats(20, place, 1, flat=representation in ("surfels", "triangles"))
        values.means[:] = values.means * np.float32(0.3) + np.array([place * 0.5 - 1.2, 0, 0], np.float32)
        monkeypatch.setattr(surfels, "TRIANGLES_FROM", 1 if representation == "triangles" else 1 << 19)
        kind = "surfels" if representation == "triangles" else representation
        (obj,) = splats.show_splats(values, representation, bpy.context.scene.collection, kind)
        obj.driver_add("color", 3).driver.expression = "0.5 + frame / 10"
    pictures.camera_at((0.5, -3.5, 1.0))
    bpy.context.scene.frame_set(3)


def written(path: Path) -> np.ndarray:
    image = bpy.data.images.load(str(path))
    pixels = np.empty(len(image.pixels), np.float32)
    image.pixels.foreach_get(pixels)
    bpy.data.images.remove(image)
    return pixels


@pytest.mark.usefixtures("scene_of_all")
class TestLasting:
    def test_without_the_add_on(self, tmp_path):
        was = pictures.rendered(tmp_path, 16)
        assert all(was[:, column, 3].max() > 0.1 for column in range(4, 28, 4))
        file = tmp_path / "splats.blend"
        bpy.ops.wm.save_as_mainfile(filepath=str(file))
        command = [sys.executable, "-c", OPENED, str(file), str(tmp_path / "opened.exr")]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
        opened = written(tmp_path / "opened.exr").reshape(was[::-1].shape)
        assert np.allclose(opened[::-1], was, atol=1e-5)

    @pytest.mark.parametrize("link", [False, True])
    def test_appended_and_linked(self, tmp_path, link):
        was = pictures.rendered(tmp_path, 16)
        file = str(tmp_path / "splats.blend")
        bpy.ops.wm.save_as_mainfile(filepath=file)
        bpy.ops.wm.read_factory_settings(use_empty=True)
        with bpy.data.libraries.load(file, link=link) as (there, here):
            here.objects = [name for name in there.objects if name in REPRESENTATIONS]
        assert len(here.objects) == len(REPRESENTATIONS)
        for obj in here.objects:
            bpy.context.scene.collection.objects.link(obj)
        pictures.camera_at((0.5, -3.5, 1.0))
        bpy.context.scene.frame_set(3)
        assert pictures.decibels(pictures.rendered(tmp_path, 16), was) > 45
