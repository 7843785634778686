"""Pictures and versions that panels show are looked up by threads, and only pictures of a size that can be."""

import os
import struct
import threading
import time

import bpy
import pytest

from addon.backend import main_loop
from addon.core.safety import limits
from addon.results import disk_looks, versions
from addon.ui import preview


@pytest.fixture(autouse=True)
def forgotten(registered):
    preview.clear()
    yield
    preview.clear()
    main_loop.stop_all()


def shown(path):
    """What tells the picture that is shown from an earlier one, empty for none, once the thread that looks is done.
    Without a window Blender has no icons, whose numbers would tell the same.
    """
    preview.icon(str(path))
    until = time.monotonic() + 60
    while main_loop.pump():
        assert time.monotonic() < until
        time.sleep(0.01)
    return preview._keys.get(str(path))


def write(path, width=8, height=8):
    image = bpy.data.images.new("made", width, height)
    image.filepath_raw, image.file_format = str(path), "PNG"
    image.save()
    bpy.data.images.remove(image)
    return path


class TestPictures:
    def test_one_is_shown_and_again_when_it_has_changed(self, tmp_path, monkeypatch):
        monkeypatch.setattr(preview._keys, "_seconds", 0.0)
        path = write(tmp_path / "a.png")
        assert preview._keys.get(str(path)) == ""
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


class TestLooks:
    def test_a_disk_that_does_not_answer_keeps_nobody_waiting(self):
        answers = threading.Event()

        def look(key):
            assert answers.wait(30)
            return key

        looks = disk_looks.DiskLooks(look, "nothing", 60.0)
        began = time.monotonic()
        assert [looks.get(str(number)) for number in range(100)] == ["nothing"] * 100
        assert time.monotonic() - began < 5
        assert sum(thread.name == "dreamzoom-look" for thread in threading.enumerate()) == disk_looks.MOST_THREADS
        answers.set()
        until = time.monotonic() + 30
        while looks.get("0") != "0":
            assert time.monotonic() < until
            time.sleep(0.01)

    def test_errors_stand_for_nothing(self):
        def look(key):
            raise OSError(key)

        looks = disk_looks.DiskLooks(look, [], 60.0)
        looks.get("x")
        while main_loop.pump():
            time.sleep(0.01)
        assert looks.get("x") == []

    def test_panels_do_not_read_results(self, root, tmp_path, monkeypatch):
        root.dreamzoom.job_folder = str(tmp_path)
        asked = []
        monkeypatch.setattr(versions._looks, "_look", lambda folder: asked.append(threading.current_thread()) or [])
        assert versions.shown(root) == []
        while main_loop.pump():
            time.sleep(0.01)
        assert len(asked) == 1 and asked[0] is not threading.main_thread()
