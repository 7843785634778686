"""Making an environment: once, whole, and never twice at a time. Real environments, without packages."""

import subprocess
import sys
import threading
from pathlib import Path

import install
import pytest

from core import installation
from installer import pythons
from installer.progress import Progress

pytestmark = pytest.mark.slow

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture(scope="module")
def requirements(tmp_path_factory):
    file = tmp_path_factory.mktemp("requirements") / "requirements.txt"
    file.write_text("# nothing\n")
    return file


@pytest.fixture(scope="module")
def made(tmp_path_factory, requirements):
    """A finished environment, and what was said while two starts made it at once."""
    folder = tmp_path_factory.mktemp("environments") / "one"
    said, pythons = [], []

    def start():
        pythons.append(install.make(folder, HERE, [requirements], "import venv", say=said.append))

    starts = [threading.Thread(target=start) for _ in range(2)]
    for thread in starts:
        thread.start()
    for thread in starts:
        thread.join()
    return folder, said, pythons


class TestMake:
    def test_two_starts_at_once_make_it_once(self, made):
        folder, said, pythons = made
        assert pythons == [install.environment_python(folder)] * 2
        assert sum("making it with" in line for line in said) == 1
        assert sum("another start is making it" in line for line in said) == 1

    def test_it_is_of_the_version_asked_for(self, made):
        probe = [str(made[2][0]), "-c", "import sys; print('%d.%d' % sys.version_info[:2], sys.prefix)"]
        out = subprocess.run(probe, capture_output=True, text=True, check=True).stdout.split()
        assert out == [HERE, str(made[0])]

    def test_a_second_start_says_and_does_nothing(self, made, requirements):
        folder = made[0]
        before = (folder / installation.STAMP).stat().st_mtime_ns
        said = []
        install.make(folder, HERE, [requirements], "raise SystemExit(1)", say=said.append)
        assert not said
        assert (folder / installation.STAMP).stat().st_mtime_ns == before

    def test_changed_requirements_are_installed_on_top(self, made, tmp_path):
        folder = made[0]
        (folder / "kept").write_text("")
        other = tmp_path / "requirements.txt"
        other.write_text("# other\n")
        said = []
        install.make(folder, HERE, [other], "pass", say=said.append)
        assert "has changed" in said[0]
        assert (folder / "kept").exists()

    def test_an_interrupted_installation_is_done_again_from_nothing(self, made, requirements):
        folder = made[0]
        (folder / installation.STAMP).unlink()
        (folder / "half").write_text("")
        install.make(folder, HERE, [requirements], "pass", say=lambda line: None)
        assert not (folder / "half").exists()
        assert (folder / installation.STAMP).exists()

    def test_a_failed_installation_tells_why_and_leaves_no_stamp(self, made, tmp_path):
        folder = made[0]
        wrong = tmp_path / "requirements.txt"
        wrong.write_text("./no-such-folder-here\n")
        with pytest.raises(install.InstallError, match="no-such-folder-here"):
            install.make(folder, HERE, [wrong], "pass", say=lambda line: None)
        assert not (folder / installation.STAMP).exists()

    def test_a_constraints_file_counts_for_what_is_wanted(self, tmp_path):
        (tmp_path / "requirements.txt").write_text("-c constraints.txt\nnumpy\n")
        (tmp_path / "constraints.txt").write_text("numpy==1\n")
        before = installation.digest(HERE, [tmp_path / "requirements.txt"])
        (tmp_path / "constraints.txt").write_text("numpy==2\n")
        assert installation.digest(HERE, [tmp_path / "requirements.txt"]) != before


class TestFindPython:
    def test_finds_this_one(self):
        found = pythons.find(HERE)
        assert found is not None
        assert pythons.is_usable(found.path, HERE)

    def test_knows_that_there_is_none(self):
        assert pythons.find("3.1") is None


class TestPins:
    def test_every_requirement_is_pinned(self):
        lines = (install.HERE / "constraints.txt").read_text().splitlines()
        pinned = {line.partition("==")[0].lower() for line in lines if "==" in line}
        tests = install.HERE.parent / "tests" / "requirements.txt"
        for file in (*install.SERVER_REQUIREMENTS, tests):
            names = {line.lower() for line in file.read_text().splitlines() if line and line[0] not in "#-"}
            assert names <= pinned


class TestCompile:
    """The last step: the first job of a user finds compiled code."""

    def follow(self, python):
        said, told = [], []
        install._compile(Path(python), said.append, Progress(told.append))
        return said, told

    def test_small_jobs_compile_what_jobs_need_with_a_bar(self, monkeypatch):
        from dreamzoom.machine import compiling

        monkeypatch.setattr(compiling, "QUALITIES", ("draft",))
        fractions = []
        compiling.compile_kernels(fractions.append)
        assert fractions == sorted(fractions) and fractions[-1] == 1.0 and len(fractions) > 5

    def test_one_that_fails_fails_no_installation(self):
        said, told = self.follow("/nowhere/python")
        assert "the first job does it" in said[-1] and told[-1]["step"] == "compile"
