"""The panel says before Generate which levels a change of prompts will redo, and the server redoes just those."""

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


class TestPictures:
    """The artist's own pictures count by their content, as they do for the server."""

    @pytest.fixture
    def pictured(self, settings, tmp_path):
        (tmp_path / "a.png").write_bytes(b"one")
        settings.levels[5].image = str(tmp_path / "a.png")
        request = {"levels": [{"prompt": item.prompt} for item in settings.levels], "seed": 0, "quality": "preview"}
        request["levels"][5]["image"] = str(tmp_path / "a.png")
        request |= {"width": 256, "height": 144, "zoom_factor": 16.0, "engine": {"name": "procedural"}}
        prompt_changes.note_sent(settings)
        prompt_changes.note_dreamed(settings, request, [])
        assert prompt_changes.changed(settings) == set()
        return settings

    def test_one_that_was_painted_over(self, pictured, tmp_path):
        (tmp_path / "a.png").write_bytes(b"other")
        prompt_changes._pictures.forget()
        assert prompt_changes.changed(pictured) == {5} and "levels 2 to 5" in prompt_changes.notice(pictured)
        assert prompt_changes.states(pictured, None)[5] == "stale"

    def test_one_that_was_added_or_taken_away_or_exchanged(self, pictured, tmp_path):
        pictured.levels[3].image = str(tmp_path / "a.png")
        assert prompt_changes.changed(pictured) == {3}
        pictured.levels[3].image = pictured.levels[5].image = ""
        assert prompt_changes.changed(pictured) == {5}
        (tmp_path / "b.png").write_bytes(b"another")
        pictured.levels[5].image = str(tmp_path / "b.png")
        assert prompt_changes.changed(pictured) == {5}

    def test_one_that_is_elsewhere_now_is_the_same(self, pictured, tmp_path):
        (tmp_path / "moved").mkdir()
        (tmp_path / "a.png").rename(tmp_path / "moved/a.png")
        pictured.levels[5].image = str(tmp_path / "moved/a.png")
        assert prompt_changes.changed(pictured) == set()

    def test_one_that_is_missing_is_left_to_generate(self, pictured, tmp_path):
        (tmp_path / "a.png").unlink()
        prompt_changes._pictures.forget()
        assert prompt_changes.changed(pictured) == set()

    def test_painted_over_while_the_job_ran(self, settings, tmp_path):
        (tmp_path / "a.png").write_bytes(b"one")
        settings.levels[5].image = str(tmp_path / "a.png")
        settings.dreamed = prompt_changes.prompts_of(settings)
        prompt_changes.note_sent(settings)
        (tmp_path / "a.png").write_bytes(b"other")
        for item in settings.levels:
            item.dreamed_as, item.dreamed_picture = item.sent_as, item.sent_picture
        assert prompt_changes.changed(settings) == {5}
