"""A scene becomes the request that the server takes."""

import json
import os
import subprocess

import bpy
import numpy as np
import pytest

from addon.backend import launch
from addon.core.errors import DreamzoomError
from addon.scene import request

CHECK = "import sys; from dreamzoom.request.validation import decode_request; decode_request(sys.stdin.buffer.read())"


def build(root):
    return request.build_request(root, bpy.context.scene, bpy.context.view_layer)


class TestBuildRequest:
    def test_the_server_takes_it(self, root, server_python, tmp_path):
        picture = tmp_path / "picture.png"
        picture.write_bytes(b"")
        root.dreamzoom.levels[1].image = str(picture)
        root.dreamzoom.levels[1].negative_prompt = "people"
        root.dreamzoom.levels[2].use_seed = True
        root.dreamzoom.levels[2].seed = 9
        root.dreamzoom.levels[2].focus = (0.1, 0, 0)
        built = json.dumps(build(root), allow_nan=False)
        done = subprocess.run(
            [server_python, "-c", CHECK],
            input=built.encode(),
            capture_output=True,
            env=os.environ | {"PYTHONPATH": str(launch.code_folder())},
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()

    def test_says_what_the_artist_wrote(self, root):
        built = build(root)
        assert [level["prompt"] for level in built["levels"]] == [f"prompt {k}" for k in range(4)]
        assert (built["width"], built["height"]) == (640, 360)
        assert built["engine"] == {"name": "procedural"}
        assert [key["frame"] for key in built["cameras"]] == list(range(1, 38))
        assert [key["zoom"] for key in built["cameras"]][::12] == pytest.approx([0, 1, 2, 3])

    def test_leaves_the_current_frame(self, root):
        scene = bpy.context.scene
        scene.frame_set(7, subframe=0.25)
        build(root)
        assert (scene.frame_current, scene.frame_subframe) == (7, 0.25)

    def test_the_rig_s_own_place_turn_and_scale_mean_nothing(self, root):
        before = [key["camera_to_gauge"] for key in build(root)["cameras"]]
        root.location, root.rotation_euler, root.scale = (3, -2, 1), (0.3, 0.2, 0.1), (5, 5, 5)
        bpy.context.view_layer.update()
        after = [key["camera_to_gauge"] for key in build(root)["cameras"]]
        assert np.allclose(after, before, atol=1e-5)

    def test_sees_parents_constraints_and_a_keyed_lens(self, root):
        camera = root.dreamzoom.camera
        target = bpy.data.objects.new("target", None)
        target.location = (0.5, 0, 0)
        bpy.context.scene.collection.objects.link(target)
        follow = camera.constraints.new("TRACK_TO")
        follow.target, follow.track_axis, follow.up_axis = target, "TRACK_NEGATIVE_Z", "UP_Y"
        for frame, lens in ((1, 35), (37, 70)):
            camera.data.lens = lens
            camera.data.keyframe_insert("lens", frame=frame)
        keys = build(root)["cameras"]
        assert keys[-1]["fx"] == pytest.approx(2 * keys[0]["fx"], rel=1e-5)
        for key in (keys[0], keys[-1]):
            pose = np.array(key["camera_to_gauge"])
            towards = (0.5, 0, 0) - pose[:3, 3]
            assert np.allclose(pose[:3, 2], towards / np.linalg.norm(towards), atol=1e-4)

    def test_a_zoom_beyond_the_levels_is_refused_with_its_frame(self, root):
        bpy.context.scene.frame_end = 60
        root.id_properties_ui("zoom").update(max=99.0)
        root["zoom"] = 9.0
        root.keyframe_insert('["zoom"]', frame=60)
        root.update_tag()
        with pytest.raises(DreamzoomError, match=r"frame \d+") as caught:
            build(root)
        assert caught.value.remedy

    def test_a_missing_picture_is_refused(self, root):
        root.dreamzoom.levels[1].image = "//nowhere.png"
        with pytest.raises(DreamzoomError, match="level 1"):
            build(root)

    def test_a_missing_camera_is_refused(self, root):
        bpy.data.objects.remove(root.dreamzoom.camera)
        with pytest.raises(DreamzoomError, match="camera"):
            build(root)
