"""Pictures and jobs are found again after the file was saved in another folder."""

import os

import bpy
import pytest

from addon.backend import job_folders


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
