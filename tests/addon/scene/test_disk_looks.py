"""Panels never wait for a disk."""

import os
import threading
import time

import bpy
import pytest

from addon.backend import job_folders, main_loop
from addon.results import versions
from addon.scene import disk_looks, prompt_changes
from addon.ui import preview


@pytest.fixture(autouse=True)
def no_tasks(dreamzoom):
    yield
    main_loop.stop_all()


class TestThread:
    def test_a_disk_that_hangs_holds_nobody_up(self):
        gate = threading.Event()

        def look(key):
            gate.wait(20)
            return key.upper()

        looks = disk_looks.DiskLooks(look, 60.0, in_thread=True)
        began = time.monotonic()
        for _ in range(1000):
            assert looks.get("a") is None and looks.get("b") is None
        assert time.monotonic() - began < 5
        gate.set()
        until = time.monotonic() + 20
        while main_loop.pump() and time.monotonic() < until:
            time.sleep(0.01)
        assert (looks.get("a"), looks.get("b")) == ("A", "B")

    def test_panels_are_drawn_again_only_for_news(self, monkeypatch):
        drawn, found = [], ["x", "x", "y"]
        monkeypatch.setattr(main_loop, "redraw", lambda: drawn.append(1))
        looks = disk_looks.DiskLooks(lambda key: found.pop(0), 0.0, in_thread=True)
        counts = []
        for _ in range(3):
            looks.get("k")
            until = time.monotonic() + 20
            while main_loop.pump() and time.monotonic() < until:
                time.sleep(0.01)
            counts.append(len(drawn))
        assert counts == [1, 1, 2]

    def test_an_error_of_the_system_is_nothing_found(self):
        def look(key):
            raise PermissionError

        assert disk_looks.DiskLooks(look, 1.0).get("k") is None


class TestPanels:
    """In a window each look is by a thread; here a thread that never runs shows that drawing does not look itself."""

    @pytest.fixture
    def hung(self, monkeypatch):
        for one in (preview._stamps, versions._looks, prompt_changes._pictures):
            monkeypatch.setattr(one, "_in_thread", True)
            monkeypatch.setattr(one, "_look", lambda key: time.sleep(30))
            one.forget()

    def test_pictures_versions_and_states_do_not_wait(self, hung, root, tmp_path):
        settings = root.dreamzoom
        settings.job_folder = str(tmp_path)
        settings.levels[0].image, settings.levels[0].dreamed_picture = str(tmp_path / "photo.png"), "1 1"
        settings.dreamed = prompt_changes.prompts_of(settings)
        began = time.monotonic()
        assert preview.icon(str(tmp_path / "picture.png")) == 0 and versions.of_rig(root) == []
        assert prompt_changes.changed(settings) == set()
        assert time.monotonic() - began < 5

    def test_a_path_on_another_machine_is_not_looked_at(self, root, monkeypatch):
        monkeypatch.setattr(job_folders, "is_trusted_place", lambda folder: False)
        monkeypatch.setattr(preview._stamps, "_look", lambda key: pytest.fail("looked"))
        assert preview.icon("/there/picture.png") == 0
        root.dreamzoom.job_folder = "/there"
        assert versions.of_rig(root) == [] and versions.find(root, "") is None


def test_the_file_s_picture_is_shown_and_read_again_when_it_changes(dreamzoom, tmp_path):
    picture = bpy.data.images.new("picture", 8, 8)
    picture.filepath_raw, picture.file_format = str(tmp_path / "p.png"), "PNG"
    picture.save()
    preview.icon(str(tmp_path / "p.png"))
    (first,) = preview._pictures.keys()
    os.utime(tmp_path / "p.png", ns=(1, 1))
    preview._stamps.forget()
    preview.icon(str(tmp_path / "p.png"))
    assert len(preview._pictures) == 2 and first in preview._pictures
    preview.clear()
    (tmp_path / "p.png").unlink()
    preview._stamps.forget()
    assert preview.icon(str(tmp_path / "p.png")) == 0 and preview._pictures is None
