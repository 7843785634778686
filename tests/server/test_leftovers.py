"""What Dreamzoom keeps on the disks is listed, and removed only where it was named and is its own."""

import json
from pathlib import Path

import pytest
from huggingface_hub import constants

from core.errors import BadRequest
from dreamzoom import cli, numba_cache
from dreamzoom.engines.diffusion import model_cache
from dreamzoom.machine import leftovers
from dreamzoom.pipeline.folder import Folder, FolderBusy


@pytest.fixture
def disk(tmp_path, monkeypatch):
    """Caches and a job, in folders of the test's own, and a file outside that links lead to."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(numba_cache, "home", lambda: tmp_path / "kernels")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "kernels" / "new"))
    monkeypatch.setenv("DREAMZOOM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(leftovers.sys, "prefix", str(tmp_path / "environments" / "server"))
    files = {
        "kernels/old/a.nbi": 1000, "kernels/new/a.nbi": 10, "hub/models--a--ours/blobs/x": 5000,
        f"hub/models--a--ours/{model_cache.MARK}": 0, "hub/models--b--theirs/blobs/x": 7, "outside/file": 3,
        "jobs/one/request.json": 2, "jobs/one/stages/x.json": 2, "jobs/one/levels/000/image.png": 300,
        "cache/store/ab/abc": 20, "jobs/one/notes.txt": 5, "jobs/other/file": 1,
        "environments/server/dreamzoom-environment.json": 2,
    }  # fmt: skip
    for name, size in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(bytes(size))
    return tmp_path


def listed(disk):
    return {str(one.path.relative_to(disk)): (one.kind, one.in_use) for one in leftovers.find([disk / "jobs"])}


def test_all_is_listed_with_size_and_age_and_nothing_is_removed(disk, capsys):
    assert listed(disk) == {
        "hub/models--a--ours": ("model", False),
        "kernels/old": ("kernels", False),
        "kernels/new": ("kernels", True),
        "jobs/one": ("job", False),
        "cache/store": ("files", False),
        "environments/server": ("environment", True),
    }
    assert cli.main(["clean", "--jobs", str(disk / "jobs"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["bytes"] for one in found][:2] == [5000, 1000]
    assert cli.main(["clean"]) == 0
    assert "nothing was removed" in capsys.readouterr().out
    assert (disk / "kernels/old").exists()


def test_what_is_named_is_removed_and_the_artists_files_stay(disk, capsys):
    chosen = [str(disk / name) for name in ("kernels/old", "hub/models--a--ours", "jobs/one", "cache/store")]
    assert cli.main(["clean", "--jobs", str(disk / "jobs"), "--remove", *chosen]) == 0
    assert "removed kernels" in capsys.readouterr().out
    assert set(listed(disk)) == {"kernels/new", "environments/server"}
    assert [path.name for path in (disk / "jobs" / "one").iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("name", ["kernels/new", "hub/models--b--theirs", "outside", "jobs/other", "jobs", "."])
def test_what_is_in_use_or_not_ours_is_refused_and_nothing_is_removed(disk, name):
    with pytest.raises(BadRequest):
        leftovers.remove([disk / "kernels/old", disk / name], [disk / "jobs"])
    assert (disk / "kernels/old").exists()


def test_links_are_not_followed(disk):
    for place in ("kernels/old", "jobs/one/levels", "hub/models--a--ours"):
        (disk / place / "link").symlink_to(disk / "outside", target_is_directory=True)
    (disk / "kernels" / "linked").symlink_to(disk / "outside", target_is_directory=True)
    (disk / "jobs" / "one" / "inputs").symlink_to(disk / "outside", target_is_directory=True)
    assert "kernels/linked" not in listed(disk)
    chosen = [disk / "kernels/old", disk / "hub/models--a--ours", disk / "jobs/one"]
    leftovers.remove(chosen, [disk / "jobs"])
    assert (disk / "outside" / "file").exists()
    assert (disk / "jobs" / "one" / "inputs").is_symlink(), "not what the job made"


def test_a_running_job_is_not_removed(disk):
    with Folder(disk / "jobs" / "one").lock(), pytest.raises(FolderBusy):
        leftovers.remove([disk / "jobs" / "one"], [disk / "jobs"])
    assert Path(disk / "jobs/one/request.json").exists()


def test_what_clients_on_other_machines_have_sent_is_listed_and_removed(disk):
    sent = disk / "jobs" / leftovers.STORE / "0123" / "photo.png"
    sent.parent.mkdir(parents=True)
    sent.write_bytes(b"photo")
    assert listed(disk)["jobs/.received"] == ("received", False)
    leftovers.remove([disk / "jobs" / leftovers.STORE], [disk / "jobs"])
    assert not sent.exists() and (disk / "jobs/one/request.json").exists()
