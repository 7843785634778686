"""The panel says before Generate which levels a change of prompts will redo, and the server redoes just those."""

from pathlib import Path

import bpy
import pytest

from addon.core import reach
from addon.scene import prompt_changes


@pytest.fixture
def settings(dreamzoom):
    bpy.ops.dreamzoom.create_rig(levels=6, zoom_factor=16.0)
    settings = bpy.context.view_layer.objects.active.dreamzoom
    for index, item in enumerate(settings.levels):
        item.prompt = f"prompt {index}"
    settings.engine, settings.size = "procedural", 256
    settings.dreamed = prompt_changes.prompts_of(settings)
    return settings


def test_nothing_is_said_where_nothing_changed_or_nothing_was_dreamed(settings):
    assert prompt_changes.notice(settings) == ""
    settings.levels[2].prompt, settings.dreamed = "other", ""
    assert prompt_changes.notice(settings) == ""


def test_a_changed_level_is_named_with_those_in_which_it_is_seen(settings):
    settings.levels[5].prompt = "other"
    assert list(reach.seen_from(3, 6, 16.0, 256))[-1] == 5
    notice = prompt_changes.notice(settings)
    assert "level 5 has changed" in notice and "levels 2 to 5" in notice


def test_the_seed_and_other_engines_redo_all(settings):
    settings.seed += 1
    assert "all levels" in prompt_changes.notice(settings)
    settings.seed -= 1
    settings.engine, settings.levels[5].prompt = "spectral", "other"
    assert "all levels" in prompt_changes.notice(settings)


def test_a_new_level_is_one_that_changed(settings):
    settings.levels.add().prompt = "new"
    assert "level 6 has changed" in prompt_changes.notice(settings)


@pytest.mark.parametrize("engine", ["procedural", "spectral"])
def test_a_request_as_the_server_stores_it_is_the_same_as_what_was_sent(settings, engine):
    from addon.scene import request

    settings.engine = engine
    sent = request.build_request(settings.id_data, bpy.context.scene, bpy.context.view_layer)
    defaults = {"distortion": True} if engine == "procedural" else {"contrast": 0.12, "relief": 0.2, "steps": 40}
    stored = sent | {"engine": sent["engine"] | defaults | {"refine": None}, "loop": False, "preset": None}
    prompt_changes.note_sent(settings)
    prompt_changes.note_dreamed(settings, stored, [])
    assert prompt_changes.notice(settings) == ""


def test_panels_do_not_look_for_the_files_that_a_blend_names(root, monkeypatch):
    """A path may lead to a network, or to another's machine."""
    settings = root.dreamzoom
    settings.engine = "diffusion"
    settings.diffusion.model, settings.diffusion.depth_model = "/nowhere/model", "owner/name"
    settings.diffusion.loras.add().file = "/nowhere/lora.safetensors"
    settings.levels[0].image = "/nowhere/picture.png"

    def refuse(path, *_, **__):
        raise AssertionError(f"{path} was looked at")

    for name in ("stat", "lstat", "is_dir", "is_file", "exists"):
        monkeypatch.setattr(Path, name, refuse)
    told = prompt_changes.prompts_of(settings)
    assert "/nowhere/model" in told and "owner/name" in told and "/nowhere/lora.safetensors" in told
