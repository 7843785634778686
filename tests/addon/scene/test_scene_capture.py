"""Generate captures the scene in slices, between which the scene is the artist's; the same as at once."""

import time
from pathlib import Path

import bpy
import numpy as np
import pytest

from addon import rig, splats
from addon.backend import current_job, main_loop
from addon.backend.connection import connection
from addon.core.errors import DreamzoomError
from addon.jobs import generation
from addon.scene.scene_capture import SceneCapture
from addon.scene.time_slicing import SLICE_SECONDS

from ..splat_pictures import random_splats
from .test_assets import SQUARE, place


def capture_of(root, seconds=0.0):
    return SceneCapture(root, bpy.context.scene, bpy.context.view_layer, seconds)


@pytest.fixture
def furnished(root, tmp_path):
    """The rig with objects of the artist's under two levels, an array among them, and splats."""
    place(root, 0, *SQUARE)
    place(root, 0, *SQUARE, location=(1, 0, 0)).modifiers.new("array", "ARRAY").count = 3
    place(root, 2, *SQUARE, scale=(0.5, 0.5, 0.5))
    (obj,) = splats.show_splats(random_splats(50, 3), "own splats", bpy.context.scene.collection)
    obj.parent = rig.level_empties(root)[2]
    root.dreamzoom.job_folder = str(tmp_path / "job")
    bpy.context.view_layer.update()
    return root


def files(found):
    return {path: Path(path).read_bytes() for level in found["levels"] for path in level.get("assets", ())}


class TestSceneCapture:
    def test_in_slices_is_as_at_once(self, furnished):
        whole = capture_of(furnished, float("inf")).run()
        written = files(whole)
        assert len(written) == 3
        for path in written:
            Path(path).unlink()
        capture, steps, fractions = capture_of(furnished), 0, [0.0]
        while not capture.step():
            steps += 1
            fractions.append(capture.fraction)
        assert steps > len(whole["cameras"]) + 4
        assert fractions == sorted(fractions) and fractions[-1] <= 1
        assert capture.request == whole
        assert files(capture.request) == written

    def test_between_slices_the_scene_is_as_before(self, furnished):
        scene, curve = bpy.context.scene, rig.zoom_curve(furnished)
        scene.frame_set(7, subframe=0.25)
        before = furnished["zoom"], np.array(furnished.dreamzoom.camera.matrix_world)
        capture = capture_of(furnished)
        while not capture.step():
            assert (scene.frame_current, scene.frame_subframe) == (7, 0.25)
            assert (furnished["zoom"], curve.mute) == (pytest.approx(before[0]), False)
            assert np.allclose(furnished.dreamzoom.camera.matrix_world, before[1], atol=1e-6)

    def test_a_slice_ends_when_its_time_is_over(self, root):
        seen = []

        def slow(*_):
            seen.append(bpy.context.scene.frame_current)
            time.sleep(0.01)

        bpy.app.handlers.frame_change_post.append(slow)
        try:
            capture = capture_of(root, 0.035)
            capture.step()
        finally:
            bpy.app.handlers.frame_change_post.remove(slow)
        assert seen[0] == 1 and seen[-1] == bpy.context.scene.frame_current
        assert 2 <= len(seen) - 1 <= 4

    def test_undo_meanwhile_puts_other_objects_there_and_it_goes_on(self, root):
        bpy.ops.ed.undo_push(message="before")
        bpy.context.scene.collection.objects.link(bpy.data.objects.new("other", None))
        bpy.ops.ed.undo_push(message="after")
        capture = capture_of(root)
        for _ in range(5):
            capture.step()
        bpy.ops.ed.undo()
        while not capture.step():
            pass
        assert len(capture.request["cameras"]) == 37

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda root: bpy.data.objects.remove(root), "rig was removed"),
            (lambda root: bpy.data.objects.remove(root.dreamzoom.camera), "no camera"),
            (lambda root: bpy.ops.wm.read_homefile(app_template="", use_empty=True), "scene of this rig is gone"),
        ],
    )
    def test_a_scene_that_makes_no_sense_any_more_is_named(self, root, change, message):
        capture = capture_of(root)
        for _ in range(5):
            capture.step()
        bpy.context.scene.frame_set(9)
        change(root)
        now = bpy.context.scene.frame_current
        with pytest.raises(DreamzoomError, match=message) as caught:
            while not capture.step():
                pass
        assert caught.value.remedy
        assert bpy.context.scene.frame_current == now

    def test_levels_removed_meanwhile_are_named(self, furnished):
        capture = capture_of(furnished)
        while capture.fraction < 0.55:
            capture.step()
        bpy.ops.dreamzoom.level_remove()
        with pytest.raises(DreamzoomError, match="Levels were added or removed"):
            while not capture.step():
                pass


class TestGenerate:
    @pytest.fixture
    def pressed(self, furnished, monkeypatch, server_python):
        """The rig, Generate just pressed: what the operator's `invoke` does, which Blender calls in a window only."""
        monkeypatch.setenv("DREAMZOOM_SERVER_PYTHON", server_python)
        generation.generate(furnished, bpy.context.scene, bpy.context.view_layer, seconds=SLICE_SECONDS / 10)
        return furnished

    def test_the_button_returns_at_once_and_tells_how_far_it_is(self, pressed):
        assert (current_job.get().status, connection.client) == ("capturing", None)
        assert not bpy.ops.dreamzoom.generate.poll()
        fractions = []
        while current_job.get().status == "capturing":
            fractions.append(current_job.get().fraction)
            main_loop.pump()
        assert fractions == sorted(fractions) and fractions[-1] > 0.5
        assert current_job.get().status == "starting"
        assert connection.client is not None

    def test_cancel(self, pressed):
        bpy.context.scene.frame_set(5)
        main_loop.pump()
        assert bpy.ops.dreamzoom.cancel() == {"FINISHED"}
        assert current_job.get().status == "cancelled" and current_job.get().work is None
        assert bpy.context.scene.frame_current == 5 and not rig.zoom_curve(pressed).mute
        assert not main_loop.pump()
        assert bpy.ops.dreamzoom.generate.poll()

    def test_what_is_found_late_fails_the_job(self, pressed):
        bpy.data.objects.remove(pressed)
        main_loop.pump()
        assert current_job.get().status == "failed"
        assert "removed" in str(current_job.get().error)
        assert connection.client is None
