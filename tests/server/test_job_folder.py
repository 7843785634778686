"""The job folder: whole files, one writer at a time, and random numbers that belong to a step."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.errors import NotWritten
from dreamzoom.pipeline.folder import Folder, FolderBusy
from dreamzoom.pipeline.rng import rng, seed_of

SERVER = Path(__file__).parents[2] / "server"


class TestFolder:
    def test_a_failed_write_leaves_what_was_there(self, tmp_path):
        folder = Folder(tmp_path)
        folder.write("levels/000/image.png", b"old")

        def fail(temporary):
            temporary.write_bytes(b"half")
            raise OSError("disk full")

        with pytest.raises(OSError, match="disk full"):
            folder.write_with("levels/000/image.png", fail)
        assert folder.read("levels/000/image.png") == b"old"
        assert [p.name for p in (tmp_path / "levels/000").iterdir()] == ["image.png"]

    def test_a_writer_sees_the_suffix_of_its_file(self, tmp_path):
        Folder(tmp_path).write_with("a/cloud.ply", lambda path: path.write_text(path.suffix))
        assert (tmp_path / "a/cloud.ply").read_text() == ".ply"

    @pytest.mark.parametrize("name", ["", "../x", "a/../../x", "/etc/x", "C:/x", "a\\..\\x", "."])
    def test_names_cannot_lead_out(self, tmp_path, name):
        with pytest.raises(ValueError, match="inside the job folder"):
            Folder(tmp_path).path(name)

    def test_json_refuses_nan(self, tmp_path):
        with pytest.raises(ValueError, match="JSON"):
            Folder(tmp_path).write_json("x.json", {"a": float("nan")})
        assert not Folder(tmp_path).exists("x.json")

    def test_digest_and_size(self, tmp_path):
        folder = Folder(tmp_path)
        folder.write("x", b"abc")
        assert folder.size("x") == 3
        assert folder.digest("x") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

    def test_free_is_what_holds_nothing_of_the_artist(self, tmp_path):
        assert Folder(tmp_path / "new").is_free()
        (tmp_path / ".lock").touch()
        (tmp_path / "Thumbs.db").touch()
        assert Folder(tmp_path).is_free()
        (tmp_path / "holiday.jpg").touch()
        assert not Folder(tmp_path).is_free()

    def test_what_a_job_that_was_ended_at_its_beginning_left_is_free(self, tmp_path):
        (tmp_path / "stages").mkdir()
        assert Folder(tmp_path).is_free()
        (tmp_path / "stages/.writing-12-0a1b2c3d-request.json").touch()
        assert Folder(tmp_path).is_free()
        (tmp_path / "inputs").mkdir()
        assert not Folder(tmp_path).is_free(), "inputs of a job are listed"
        (tmp_path / "inputs.json").touch()
        assert Folder(tmp_path).is_free()
        (tmp_path / "stages/my notes.txt").touch()
        assert not Folder(tmp_path).is_free()

    def test_any_language(self, tmp_path):
        folder = Folder(tmp_path / "Отпуск 山の夢 é")
        folder.write_json("request.json", {"prompt": "葉っぱ"})
        assert folder.read_json("request.json") == {"prompt": "葉っぱ"}


class TestLock:
    def test_one_at_a_time(self, tmp_path):
        with (
            Folder(tmp_path).lock(),
            pytest.raises(FolderBusy, match="another process"),
            Folder(tmp_path).lock(),
        ):
            raise AssertionError
        with Folder(tmp_path).lock():
            pass

    def test_another_process_holds_it_until_it_is_killed(self, tmp_path):
        hold = (
            "import sys,time; from pathlib import Path; from dreamzoom.pipeline.folder import Folder\n"
            "with Folder(Path(sys.argv[1])).lock():\n    print('held', flush=True); time.sleep(60)"
        )
        environment = os.environ | {"PYTHONPATH": str(SERVER)}
        other = subprocess.Popen([sys.executable, "-c", hold, tmp_path], stdout=subprocess.PIPE, env=environment)
        try:
            assert other.stdout.readline().strip() == b"held"
            with pytest.raises(FolderBusy), Folder(tmp_path).lock():
                raise AssertionError
        finally:
            other.kill()
            other.communicate()
        with Folder(tmp_path).lock():
            pass


class TestNumbers:
    def test_are_the_same_on_every_machine(self):
        assert rng(1, "levels/002/dream").integers(0, 2**32, 3).tolist() == [3233326102, 395079821, 426925522]
        assert seed_of(1, "levels/002/fit") == 4963347605737954919

    def test_differ_by_seed_and_by_name(self):
        draws = {rng(seed, name).integers(2**62) for seed in (0, 1, 2**31) for name in ("a", "b", "1")}
        assert len(draws) == 9


@pytest.mark.skipif(os.name == "nt", reason="Windows opens no files relative to folders")
def test_a_folder_that_is_exchanged_while_a_file_is_written_leads_nowhere(tmp_path):
    """A link that comes between check and use."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "image.png").write_bytes(b"mine")
    folder = Folder(tmp_path / "job")
    folder.write("levels/000/image.png", b"old")

    def writer(temporary):
        (folder.root / "levels/000").rename(folder.root / "levels/gone")
        (folder.root / "levels/000").symlink_to(outside)
        temporary.write_bytes(b"new")

    with pytest.raises(NotWritten):
        folder.write_with("levels/000/image.png", writer)
    assert (outside / "image.png").read_bytes() == b"mine"
    assert [path.name for path in outside.iterdir()] == ["image.png"]
    assert (folder.root / "levels/gone/image.png").read_bytes() == b"old"
