"""Every panel is drawn, in every state of a rig, its job and its folder, without an error."""

import bpy
import pytest

from addon.backend import current_job, error_messages
from addon.core.errors import DreamzoomError
from addon.core.protocol import messages
from addon.results import importer, versions
from addon.ui.panels.layout import draw_error

from ..results.test_edits_are_kept import dream
from .drawing import Layout, all_drawn


@pytest.fixture
def dreamed(root, tmp_path):
    """A rig with an imported result and an earlier version."""
    dream(tmp_path / "job")
    dream(tmp_path / "job/versions/0001", seed=50)
    root.dreamzoom.job_folder = str(tmp_path / "job")
    importer.import_job(root, tmp_path / "job")
    versions.forget()
    return root


def test_without_a_rig(dreamzoom):
    found = all_drawn()
    assert found["DREAMZOOM_PT_rig"].texts and found["DREAMZOOM_PT_levels"] is None


@pytest.mark.parametrize("engine", ["procedural", "spectral", "diffusion"])
def test_with_each_engine(root, engine):
    root.dreamzoom.engine = engine
    root.dreamzoom.diffusion.loras.add()
    found = all_drawn()
    assert ("dreamzoom.generate", "Generate") in found["DREAMZOOM_PT_dream"].buttons
    assert (found["DREAMZOOM_PT_diffusion"] is not None) == (engine == "diffusion")


def test_versions_are_offered(dreamed):
    buttons = [text for name, text in all_drawn()["DREAMZOOM_PT_level"].buttons if name == "dreamzoom.level_version"]
    assert buttons == ["Newest", "1"]


def test_with_a_job(dreamed, tmp_path):
    for status in (*current_job.ACTIVE, "done", "cancelled", "failed"):
        for method in (messages.GENERATE, messages.VERIFY, messages.EXPORT):
            add_jobs(dreamed, tmp_path / "job", status, method)
            found, running = all_drawn(), status in current_job.ACTIVE
            assert (("dreamzoom.generate", "Generate") in found["DREAMZOOM_PT_dream"].buttons) != running, status
            assert bool(found["draw_in_header"].texts) == running, status
            assert "other, not in this file" in found["DREAMZOOM_PT_jobs"].texts, status


def add_jobs(root, folder, status, method):
    """A job of a rig, and one of a rig that is not there."""
    error = DreamzoomError("It failed", "Go On", error_messages.GO_ON) if status == "failed" else None
    for uid, name in ((root.session_uid, root.name), (-1, "other")):
        job = current_job.Job(uid, folder, True, status=status, method=method, error=error, levels=4, rig_name=name)
        job.level, job.stage, job.seconds, job.note, job.warning = 1, "dream", 2.0, "note", "take care"
        job.kept, job.made_ready, job.outcome = ["a"], ["4 samples"], "written"
        current_job.add(job)


def gone(root, folder):
    folder.rename(folder.with_name("elsewhere"))


def a_file(root, folder):
    folder.rename(folder.with_name("elsewhere"))
    folder.write_bytes(b"")


def damaged(root, folder):
    (folder / "result.json").write_bytes(b"\0")


def no_levels(root, folder):
    for obj in list(root.children_recursive):
        bpy.data.objects.remove(obj)


def odd_folder(root, folder):
    root.dreamzoom.job_folder = "//" + "x" * 900


@pytest.mark.parametrize("harm", [gone, a_file, damaged, no_levels, odd_folder])
def test_with_something_missing(dreamed, tmp_path, harm):
    harm(dreamed, tmp_path / "job")
    versions.forget()
    assert all_drawn()["DREAMZOOM_PT_levels"].texts


def test_a_button_that_opens_the_preferences_is_not_offered_within_them(dreamzoom):
    window = bpy.context.window_manager.windows[0]
    area = window.screen.areas[0]
    for kind in ("VIEW_3D", "PREFERENCES"):
        area.type = kind
        layout = Layout()
        with bpy.context.temp_override(window=window, area=area):
            draw_error(layout, "It is wrong", "Check it", "dreamzoom.open_preferences")
        assert (("dreamzoom.open_preferences", "Check it") in layout.buttons) == (kind == "VIEW_3D")
