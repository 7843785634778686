"""Every way in which an installation fails names its cause, keeps it, and leaves a state from which it can go on."""

import json
import os
import subprocess
import sys
from pathlib import Path

import install
import package_index
import pytest

from core import installation
from core.installation import Failure
from installer import causes, disk, packages, pythons
from installer.causes import InstallError
from installer.progress import Progress

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def requirements(tmp_path):
    file = tmp_path / "requirements.txt"
    file.write_text("dreamzoom-stand-in\n")
    return file


@pytest.fixture
def index(tmp_path, monkeypatch):
    """Starts an index that this environment's pip takes for its only one."""
    begun = []

    def begin(*wheels, **options):
        begun.append(package_index.Index(*wheels, **options))
        for name, value in begun[-1].variables(tmp_path / "cache").items():
            monkeypatch.setenv(name, value)
        for name in ("PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"):
            monkeypatch.delenv(name, raising=False)
        return begun[-1]

    yield begin
    for one in begun:
        one.close()


def failure_of(requirements):
    """Why this environment's pip does not install the requirements."""
    pip = packages.Installation(Path(sys.executable), requirements, Progress(), lambda line: None)
    with pytest.raises(InstallError) as caught:
        pip.install([requirements], None, requirements.parent)
    return caught.value.failure


@pytest.mark.slow
class TestNetwork:
    def test_no_network(self, index, requirements):
        index().close()
        found = failure_of(requirements)
        assert found.cause == installation.NO_NETWORK
        assert "refused" in found.detail and "0x" not in found.detail

    def test_a_certificate_that_is_not_accepted(self, index, requirements, tmp_path):
        certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
        certificate.write_text(package_index.CERTIFICATE)
        key.write_text(package_index.KEY)
        index(certificate=(certificate, key))
        found = failure_of(requirements)
        assert found.cause == installation.TLS
        assert "self-signed" in found.detail or "self signed" in found.detail

    def test_a_proxy_that_does_not_answer(self, index, requirements, monkeypatch):
        index()
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.setenv(name, "")
        monkeypatch.setenv("PIP_PROXY", "http://127.0.0.1:1")
        monkeypatch.setenv("PIP_INDEX_URL", "https://127.0.0.1:9/simple")
        found = failure_of(requirements)
        assert found.cause == installation.PROXY, found

    def test_a_package_that_does_not_exist(self, index, requirements):
        index()
        found = failure_of(requirements)
        assert found.cause == installation.PACKAGE
        assert "dreamzoom-stand-in" in found.detail

    def test_sizes_are_those_of_the_files(self, index):
        name, data = package_index.wheel("alpha", size=12345)
        running = index((name, data))
        assert packages.size_of(running.url.replace("simple", f"files/{name}")) == len(data)
        assert packages.size_of(running.url.replace("simple", "files/none")) == 0


class TestDisk:
    def test_too_little_space_is_found_before_anything_is_begun(self, tmp_path, requirements, monkeypatch):
        monkeypatch.setenv("DREAMZOOM_FREE_BYTES", "1000000000")
        folder = tmp_path / "environment"
        with pytest.raises(InstallError, match=r"1\.0 GB free"):
            install.make(folder, HERE, [requirements], "pass", torch=True, device="cpu")
        found = installation.read_failure(folder)
        assert found is not None and found.cause == installation.DISK_FULL
        assert found.bytes == disk.NEEDED["cpu"] * disk.GB + disk.RESERVE - 1e9
        assert not folder.exists()

    @pytest.mark.slow
    @pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="a small disk needs root and Linux")
    def test_a_disk_that_fills_up_meanwhile(self, tmp_path, requirements, monkeypatch):
        monkeypatch.setenv("DREAMZOOM_FREE_BYTES", str(10**12))
        small = tmp_path / "small"
        small.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", small], check=False).returncode:
            pytest.skip("no small disk can be mounted here")
        try:
            folder = small / "environment"
            with pytest.raises(InstallError) as caught:
                install.make(folder, HERE, [requirements], "pass")
            assert caught.value.failure.cause == installation.DISK_FULL
            assert installation.state(folder, "any") == "partial"
        finally:
            subprocess.run(["umount", small], check=True)

    @pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may write anywhere")
    def test_a_folder_that_may_not_be_written(self, tmp_path, requirements):
        closed = tmp_path / "closed"
        closed.mkdir(mode=0o500)
        with pytest.raises(InstallError) as caught:
            install.make(closed / "environment", HERE, [requirements], "pass")
        assert caught.value.failure.cause == installation.NOT_WRITABLE

    def test_a_file_where_the_folder_should_be(self, tmp_path, requirements):
        (tmp_path / "file").write_text("")
        with pytest.raises(InstallError) as caught:
            install.make(tmp_path / "file" / "environment", HERE, [requirements], "pass")
        assert caught.value.failure.cause == installation.NOT_WRITABLE


class TestPython:
    @pytest.mark.parametrize("kind", ["missing", "no python", "another version"])
    def test_a_wrong_one_is_named_with_what_it_is(self, tmp_path, requirements, kind):
        chosen = tmp_path / "python"
        if kind != "missing":
            chosen.write_text("#!/bin/sh\n" + ("echo 3.8 True True\n" if kind == "another version" else "exit 1\n"))
            chosen.chmod(0o755)
        with pytest.raises(InstallError) as caught:
            install.make(tmp_path / "environment", HERE, [requirements], "pass", base=chosen)
        found = caught.value.failure
        assert found.cause == installation.NO_PYTHON and str(chosen) in found.message
        expected = {"missing": "does not exist", "no python": "is no Python", "another version": "is Python 3.8"}
        assert expected[kind] in found.message
        assert installation.read_failure(tmp_path / "environment") == found

    def test_without_ensurepip_the_command_is_told(self, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, "ensurepip", None)
        with pytest.raises(InstallError) as caught:
            pythons.make_environment(pythons.Found(Path(sys.executable), False), tmp_path / "environment", "3.11")
        found = caught.value.failure
        assert (found.cause, found.command) == (installation.NO_ENSUREPIP, "sudo apt install python3.11-venv")

    @pytest.mark.slow
    def test_without_ensurepip_that_of_this_python_serves(self, tmp_path):
        base = pythons.Found(Path(sys.executable), False)
        python = pythons.make_environment(base, tmp_path / "environment", HERE)
        told = subprocess.run([python, "-m", "pip", "--version"], capture_output=True, text=True, check=True)
        assert str(tmp_path / "environment") in told.stdout


class TestCauses:
    @pytest.mark.parametrize(
        ("line", "cause"),
        [
            ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "disk_full"),
            ("OSError: [WinError 112] There is not enough space on the disk", "disk_full"),
            ("OSError: [Errno 122] Disk quota exceeded", "disk_full"),
            ("socket.gaierror: [Errno -3] Temporary failure in name resolution", "no_network"),
            ("pip._vendor.urllib3.exceptions.ReadTimeoutError: HTTPSConnectionPool: Read timed out.", "no_network"),
            ("ERROR: HTTP error 503 while getting ...: 503 Server Error", "no_network"),
            ("  × Download failed: IncompleteRead(3 bytes read)", "no_network"),
            ("ssl.SSLCertVerificationError: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed", "tls"),
            ("OSError: Tunnel connection failed: 407 Proxy Authentication Required", "proxy"),
            ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.", "damaged"),
            ("PermissionError: [Errno 13] Permission denied: '/opt/x'", "not_writable"),
            ("The virtual environment was not created because ensurepip is not available.", "no_ensurepip"),
            ("ERROR: Failed building wheel for x", "package"),
        ],
    )
    def test_what_is_printed_tells_the_cause(self, line, cause):
        output = ["Collecting x", "WARNING: something else", line, "[notice] A new release of pip is available"]
        found = causes.failed("it failed", output).failure
        assert found.cause == cause
        assert found.detail and found.detail in line

    def test_what_pip_tries_again_is_told_without_its_wrapping(self):
        inner = (
            "NewConnectionError('<pip._vendor.X object at 0x7f2>: Failed to establish a new connection: [Errno 111]')"
        )
        line = f"WARNING: Retrying (Retry(total=4)) after connection broken by '{inner}': /simple/numpy/"
        found = causes.failed("it failed", [line, "ERROR: No matching distribution found for numpy"]).failure
        assert found == Failure(
            "no_network", "it failed", "NewConnectionError('Failed to establish a new connection: [Errno 111]')"
        )


class TestState:
    def test_an_environment_counts_only_with_its_stamp(self, tmp_path):
        folder = tmp_path / "environment"
        assert installation.state(folder, "a") == "absent"
        python = installation.environment_python(folder)
        python.parent.mkdir(parents=True)
        python.write_text("")
        assert installation.state(folder, "a") == "partial"
        installation.write_stamp(folder, "a", "cpu")
        assert installation.state(folder, "a") == "ready"
        assert installation.state(folder, "a", "cuda") == "outdated"
        assert installation.state(folder, "b") == "outdated"
        python.unlink()
        assert installation.state(folder, "a") == "partial"

    @pytest.mark.parametrize("content", ["", "[]", "{", '{"cause": "magic"}', '{"cause": 3}'])
    def test_a_damaged_failure_file_is_none(self, tmp_path, content):
        installation.failure_file(tmp_path / "e").write_text(content)
        assert installation.read_failure(tmp_path / "e") is None

    def test_a_failure_is_kept_and_forgotten(self, tmp_path):
        told = Failure("tls", "a message", "a line", "a command", 7)
        installation.write_failure(tmp_path / "环境 one", told)
        assert installation.read_failure(tmp_path / "环境 one") == told
        installation.write_failure(tmp_path / "环境 one", None)
        assert installation.read_failure(tmp_path / "环境 one") is None

    def test_stamps_of_earlier_versions_still_count(self, tmp_path):
        python = installation.environment_python(tmp_path)
        python.parent.mkdir(parents=True)
        python.write_text("")
        (tmp_path / installation.STAMP).write_text(json.dumps({"digest": "a", "nvidia": True}))
        assert installation.state(tmp_path, "a", "cuda") == "ready"


class TestPace:
    def test_packages_count_as_they_are_unpacked_and_the_next_by_the_time_it_had(self):
        pace = packages.Pace({"a": 1.0, "b": 1.0, "torch": 8.0})
        assert pace.share(set(), 100.0) == 0.0
        assert pace.share({"a"}, 101.0) == pytest.approx(0.1)
        assert pace.share({"a", "b"}, 102.0) == pytest.approx(0.2)
        assert pace.share({"a", "b"}, 106.0) == pytest.approx(0.6)
        assert pace.share({"a", "b"}, 999.0) == pytest.approx(0.2 + 0.9 * 0.8)
        assert pace.share({"a", "b", "torch"}, 1000.0) == 1.0


class TestProgress:
    def test_the_bar_is_divided_by_the_work_that_is_left(self):
        told = []
        progress = Progress(told.append)
        progress.at("plan", 1)
        progress.expect(0.0, 10.0)
        progress.at("download", 1)
        assert told[-1]["fraction"] == pytest.approx(0.12, abs=0.001)
        progress.at("install", 1)
        assert told[-1]["fraction"] == pytest.approx(0.82)

    def test_the_bar_never_goes_back(self):
        told = []
        progress = Progress(told.append)
        for step, share in (
            ("check", 1),
            ("plan", 0.5),
            ("download", 0.9),
            ("download", 0.2),
            ("install", 0),
            ("try", 1),
            ("compile", 2),
        ):
            progress.at(step, share, text=str(share))
        fractions = [standing["fraction"] for standing in told]
        assert fractions == sorted(fractions) and fractions[-1] == 1.0
