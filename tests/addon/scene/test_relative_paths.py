"""Pictures and jobs are found again after the file was saved in another folder."""

import os

import bpy
import pytest

from addon import splats
from addon.backend import job_folders, preferences
from addon.core.errors import DreamzoomError

from .. import splat_pictures as pictures


@pytest.fixture
def saved(root, tmp_path):
    """A saved rig with a picture and a job folder beside the file, and a LoRA."""
    first = tmp_path / "first"
    first.mkdir()
    (first / "photo.png").write_bytes(b"")
    bpy.ops.wm.save_as_mainfile(filepath=str(first / "shot.blend"))
    settings = root.dreamzoom
    settings.levels[1].image = "//photo.png"
    settings.levels[2].image = str(first / "photo.png")
    settings.diffusion.loras.add().file = "//lora.safetensors"
    job_folders.ensure(root)
    assert settings.job_folder.startswith("//")
    return root


def absolute(root):
    settings = root.dreamzoom
    paths = settings.job_folder, settings.levels[1].image, settings.levels[2].image, settings.diffusion.loras[0].file
    return [os.path.normpath(bpy.path.abspath(path)) for path in paths]


@pytest.mark.parametrize("folder", ["second", "first/deeper/安", "."])
def test_saved_elsewhere_they_are_the_same(saved, tmp_path, folder):
    before = absolute(saved)
    place = tmp_path / folder
    place.mkdir(parents=True, exist_ok=True)
    bpy.ops.wm.save_as_mainfile(filepath=str(place / "other.blend"))
    assert absolute(bpy.data.objects[saved.name]) == before
    bpy.ops.wm.open_mainfile(filepath=str(place / "other.blend"))
    assert absolute(bpy.data.objects["Dreamzoom"]) == before
    assert bpy.data.objects["Dreamzoom"].dreamzoom.levels[1].image.startswith("//")


def test_a_copy_has_them_and_the_file_keeps_its_own(saved, tmp_path):
    before, image = absolute(saved), saved.dreamzoom.levels[1].image
    (tmp_path / "copies").mkdir()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "copies/copy.blend"), copy=True)
    assert absolute(saved) == before and saved.dreamzoom.levels[1].image == image
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "copies/copy.blend"))
    assert absolute(bpy.data.objects["Dreamzoom"]) == before


def test_a_save_that_fails_changes_nothing(saved, tmp_path):
    before = absolute(saved)
    with pytest.raises(RuntimeError):
        bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "no such folder/other.blend"))
    assert absolute(saved) == before


class TestNotSaved:
    """Nothing is written into the folder in which Blender happens to work."""

    @pytest.fixture(autouse=True)
    def working_folder(self, root, tmp_path, monkeypatch):
        (tmp_path / "here").mkdir()
        monkeypatch.chdir(tmp_path / "here")
        yield
        assert not list((tmp_path / "here").iterdir())

    @pytest.mark.parametrize("folder", ["//jobs", "jobs", "../jobs", "//"])
    def test_a_relative_job_folder_is_refused(self, root, folder):
        root.dreamzoom.job_folder = folder
        with pytest.raises(DreamzoomError, match="not saved"):
            job_folders.ensure(root)
        assert job_folders.of_rig(root) is None and not bpy.ops.dreamzoom.import_job.poll()

    @pytest.mark.parametrize("folder", ["//jobs", "jobs"])
    def test_saved_it_lies_beside_the_file(self, root, tmp_path, folder):
        root.dreamzoom.job_folder = folder
        bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
        assert job_folders.ensure(root) == tmp_path / "jobs"

    @pytest.mark.parametrize("folder", ["//jobs", "jobs", "~/jobs"])
    def test_a_relative_folder_of_the_preferences_lies_in_the_home_folder(self, root, tmp_path, monkeypatch, folder):
        monkeypatch.setattr(preferences, "get", lambda name: {"jobs_folder": folder}.get(name, ""))
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
        assert job_folders.ensure(root).is_relative_to(tmp_path / "home/jobs")

    @pytest.mark.parametrize("operator", ["export_splats", "export_cameras", "import_splats", "import_cameras"])
    def test_files_relative_to_it_are_refused(self, root, operator):
        (obj,) = splats.show_splats(pictures.random_splats(9, 1), "s", bpy.context.scene.collection, "surfels")
        obj.select_set(True)
        for path in ("//out.ply", ""):
            with pytest.raises(RuntimeError, match="not saved|No file was chosen"):
                getattr(bpy.ops.dreamzoom, operator)(filepath=path)

    def test_a_file_is_exported_beside_a_saved_one(self, root, tmp_path):
        (obj,) = splats.show_splats(pictures.random_splats(9, 1), "s", bpy.context.scene.collection, "surfels")
        bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
        obj.select_set(True)
        assert bpy.ops.dreamzoom.export_splats(filepath="//out.ply") == {"FINISHED"}
        assert (tmp_path / "out.ply").is_file()


@pytest.mark.parametrize("is_saved", [True, False])
def test_an_appended_rig_finds_its_pictures(saved, tmp_path, is_saved):
    before, name = absolute(saved)[1:], saved.name
    bpy.ops.wm.save_mainfile()
    bpy.ops.wm.read_factory_settings(use_empty=True)
    (tmp_path / "second").mkdir()
    if is_saved:
        bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "second/other.blend"))
    bpy.ops.wm.append(directory=str(tmp_path / "first/shot.blend/Object"), filename=name)
    assert absolute(bpy.data.objects[name])[1:] == before
    assert bpy.data.objects[name].dreamzoom.levels[1].image.startswith("//") == is_saved
