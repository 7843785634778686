"""Panels show only pictures of a size that can be, and read no result twice."""

import json
import os
import struct

import bpy
import pytest

from addon.backend import main_loop
from addon.core.protocol import result
from addon.core.safety import limits
from addon.results import versions
from addon.ui import preview


@pytest.fixture(autouse=True)
def forgotten(registered):
    preview.clear()
    yield
    preview.clear()
    main_loop.stop_all()


def shown(path):
    """What tells the picture that is shown from an earlier one; empty for none. Without a window Blender has no icons,
    whose numbers would tell the same.
    """
    preview.icon(str(path))
    return preview._stamps.get(str(path))


def write(path, width=8, height=8):
    image = bpy.data.images.new("made", width, height)
    image.filepath_raw, image.file_format = str(path), "PNG"
    image.save()
    bpy.data.images.remove(image)
    return path


class TestPictures:
    def test_one_is_shown_and_again_when_it_has_changed(self, tmp_path, monkeypatch):
        monkeypatch.setattr(preview._stamps, "_seconds", 0.0)
        path = write(tmp_path / "a.png")
        first = shown(path)
        assert first and not shown(tmp_path / "none.png")
        os.utime(path, (1, 1))
        assert shown(path) not in ("", first)

    @pytest.mark.parametrize("size", [(30_000, 30_000), (1, limits.SHOWN_PIXELS + 1), (0, 0)])
    def test_a_size_that_can_not_be_is_not_decoded(self, tmp_path, size):
        path = write(tmp_path / "a.png")
        data = bytearray(path.read_bytes())
        data[16:24] = struct.pack(">II", *size)
        path.write_bytes(data)
        assert not shown(path)

    @pytest.mark.skipif(os.name == "nt", reason="Windows has no such files")
    @pytest.mark.parametrize("kind", ["pipe", "device", "link", "link above", "text"])
    def test_what_is_no_picture_is_not_opened(self, tmp_path, kind):
        write(tmp_path / "outside.png")
        folder, path = tmp_path / "levels/000", tmp_path / "levels/000/preview.png"
        if kind == "link above":
            (tmp_path / "levels").mkdir()
            folder.symlink_to(tmp_path)
            path = folder / "outside.png"
        else:
            folder.mkdir(parents=True)
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "text":
            path.write_text("no picture")
        elif kind != "link above":
            path.symlink_to("/dev/zero" if kind == "device" else tmp_path / "outside.png")
        assert not shown(path)


class TestVersions:
    def test_a_result_is_read_once(self, root, tmp_path, monkeypatch):
        finished = {"version": 1, "zoom_factor": 2.0, "levels": [{"index": 0, "cloud": "a.ply", "splats": "b.ply"}]}
        (tmp_path / "result.json").write_text(json.dumps(finished), encoding="utf-8")
        reads = []
        monkeypatch.setattr(result, "read", lambda folder: reads.append(folder) or finished)
        versions.forget()
        for _ in range(3):
            assert [version.name for version in versions._read_all(tmp_path)] == [""]
        assert len(reads) == 1
        os.utime(tmp_path / "result.json", (1, 1))
        versions._read_all(tmp_path)
        assert len(reads) == 2
