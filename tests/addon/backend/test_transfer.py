"""Files travel between this machine and one that does not see its folders: a real server with a root of its own, behind
a slow connection.
"""

import json
import os
import time

import numpy as np
import pytest
from distant_server import distant

from addon.backend import client
from addon.backend.remote import link, mirror, transfer
from addon.core.errors import DreamzoomError, RefusedFile

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def far(tmp_path_factory):
    """The root of the other machine."""
    if not distant.can_change_root():
        pytest.skip("no process can have a root of its own here: that needs Linux, unshare and user namespaces")
    return tmp_path_factory.mktemp("far")


@pytest.fixture(scope="module")
def connect(far, server_python, tmp_path_factory):
    """Starts servers there, each behind a connection of its own."""
    started, logs = [], tmp_path_factory.mktemp("logs")

    def begin(*options):
        words = distant.server_command(server_python, far, *options)
        found = client.Client(words, dict(os.environ), logs / str(len(started)))
        started.append(found)
        return found

    yield begin
    for found in started:
        found.close()


@pytest.fixture(scope="module")
def lasting(connect):
    """A connection for all tests that do not cut it."""
    return connect()


@pytest.fixture
def here(tmp_path):
    """The job folder on this machine."""
    (tmp_path / "job").mkdir()
    return tmp_path / "job"


@pytest.fixture
def there(here, far):
    """The same job's folder there, begun."""
    mirrored = mirror.Mirror(here)
    mirrored.save()
    folder = far / distant.JOBS / mirrored.job
    folder.mkdir(parents=True)
    (folder / "request.json").write_text("{}")
    return folder


def noise(size, seed=1):
    return np.random.default_rng(seed).bytes(size)


def wait(moved, *phases, seconds=60):
    until = time.monotonic() + seconds
    while moved.phase not in phases:
        assert time.monotonic() < until, moved.phase
        assert transfer.FAILED in phases or moved.phase != transfer.FAILED, moved.error
        time.sleep(0.005)
    return moved


def begin(server, folder, *pictures):
    """A transfer whose files, pictures of the request, have been sent."""
    return wait(transfer.Transfer(server, folder, request_of(*pictures)), transfer.SENT)


def request_of(*pictures):
    levels = [{"prompt": "", "image": str(path)} for path in pictures]
    return {"levels": levels, "engine": {"name": "procedural"}}


class TestSending:
    def test_a_cut_connection_goes_on_and_nothing_is_sent_twice(self, connect, lasting, far, here, tmp_path):
        photo, copied = tmp_path / "photo.exr", tmp_path / "same.exr"
        for path in (photo, copied):
            path.write_bytes(noise(4_000_000))
        first = wait(
            transfer.Transfer(connect("--cut-up", 2_000_000), here, request_of(photo, copied)), transfer.FAILED
        )
        assert isinstance(first.error, link.ConnectionCut) and first.to_send == 4_000_000
        arrived = next((far / distant.JOBS).glob("job-*/.receiving-*")).stat().st_size
        assert 1_000_000 < arrived < 2_000_000

        second = begin(lasting, here, photo, copied)
        assert second.to_send == second.sent == 4_000_000 - arrived
        (received,) = (far / distant.JOBS).glob(".received/*/*")
        assert received.read_bytes() == photo.read_bytes() and received.name == "photo.exr"
        assert (far / distant.JOBS).stat().st_mode & 0o777 == 0o700
        names = [level["image"] for level in second.request["levels"]]
        assert names == [f"received/{received.parent.name}/photo.exr"] * 2
        assert begin(lasting, here, copied).to_send == 0, "an unchanged picture is not sent again"
        assert not list(here.glob(".here-*"))

    def test_the_last_connection_takes_over(self, connect, lasting, here):
        before = connect()
        begin(before, here)
        begin(lasting, here)
        until = time.monotonic() + 20
        while before.is_alive and time.monotonic() < until:
            time.sleep(0.05)
        assert not before.is_alive


class TestFetching:
    def test_levels_arrive_one_by_one_and_a_cut_connection_goes_on(self, connect, lasting, here, there):
        header = b"ply\nformat binary_little_endian 1.0\nelement vertex 9000\nproperty float x\nend_header\n"
        splats = header + np.random.default_rng(2).normal(size=9000).astype("<f4").tobytes()
        first = {"splats.ply": splats, "cloud.ply": header, "preview.png": noise(900), "depth.npz": noise(3_000_000)}
        distant.finish(there, {f"levels/000/{name}": data for name, data in first.items()})
        moved = begin(connect("--cut-down", 2_000_000), here)
        moved.announce(0)
        seen = set()
        until = time.monotonic() + 60
        while moved.phase != transfer.FAILED and time.monotonic() < until:
            seen |= moved.arrived()
            time.sleep(0.005)
        assert seen == {0}, "what shows the level is fetched first"
        assert moved.picture == str(here / "levels/000/preview.png")
        assert (here / "levels/000/splats.ply").read_bytes() == splats
        arrived = next(here.glob(".receiving-*")).stat().st_size
        assert 1_000_000 < arrived < 2_000_000 and not (here / "levels/000/depth.npz").exists()

        same = {"levels/001/cloud.ply": b"x", "levels/001/preview.png": b"x"}
        distant.finish(there, {"levels/001/splats.ply": b"", **same}, "levels/001/export", 2.0)
        distant.finish(there, {"result.json": b"{}"}, "result", 3.0)
        again = begin(lasting, here)
        again.announce(0)
        again.finish()
        wait(again, transfer.WHOLE)
        assert again.fetched == 3_000_000 + 2 + 2 and again.arrived() >= {0}
        names = {path.relative_to(there).as_posix() for path in there.rglob("*") if path.is_file()}
        names = {name for name in names if not name.startswith((".", "stages"))}
        assert len(names) == 9 and all((here / name).read_bytes() == (there / name).read_bytes() for name in names)
        assert {path.name for path in here.glob(".*")} == {".remote.json"}

    def test_pings_and_so_cancellations_do_not_wait_behind_files(self, lasting, here, there):
        distant.finish(there, {"levels/000/depth.npz": noise(24_000_000)})
        moved = begin(lasting, here)
        moved.finish()
        other, answered = link.Link(lasting), 0
        while moved.phase != transfer.WHOLE:
            other.ask("ping", {})
            answered += 1
        assert answered > 1, "the first was answered before the file had come"

    def test_a_file_that_changes_meanwhile_is_fetched_as_it_is_then(self, lasting, here, there):
        distant.finish(there, {"levels/000/depth.npz": noise(2_000_000)})
        moved = begin(lasting, here)
        moved.finish()
        while moved.phase != transfer.WHOLE and moved.fetched < 300_000:
            time.sleep(0.002)
        distant.finish(there, {"levels/000/depth.npz": noise(1_000_000, 7)}, at=5.0)
        wait(moved, transfer.WHOLE)
        assert (here / "levels/000/depth.npz").stat().st_size in (1_000_000, 2_000_000)

    def test_the_result_of_another_request_becomes_a_version(self, lasting, here, there):
        before = finished_result(here)
        (there / "request.json").write_text('{"another": 1}')
        moved = begin(lasting, here)
        moved.finish()
        wait(moved, transfer.WHOLE)
        assert not (here / "result.json").exists() and "another" in (here / "request.json").read_text()
        assert all((here / "versions/0001" / name).read_bytes() == data for name, data in before.items())


def finished_result(folder):
    """Write a small finished job; its files."""
    from addon.core.safety.seal import sealed

    level = {"index": 0, "splats": "levels/000/splats.ply", "cloud": "levels/000/cloud.ply"}
    files = dict.fromkeys((level["splats"], level["cloud"]), "x")
    found = json.dumps(sealed({"version": 2, "zoom_factor": 2.0, "levels": [level], "files": files}))
    texts = {**files, "request.json": "{}", "result.json": found}
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return {name: text.encode() for name, text in texts.items()}


class TestWhatTheServerSays:
    """The other machine is not trusted with names, sizes or contents."""

    @pytest.mark.parametrize(
        "one",
        [
            ["../x.json", 1, "0" * 64],
            ["/etc/passwd", 1, "0" * 64],
            ["levels/000/../../x.ply", 1, "0" * 64],
            ["levels/000/splats.exe", 1, "0" * 64],
            [".remote.json", 1, "0" * 64],
            ["request.json\n", 1, "0" * 64],
            ["levels/000/splats.ply", -1, "0" * 64],
            ["levels/000/splats.ply", True, "0" * 64],
            ["levels/000/splats.ply", 1 << 60, "0" * 64],
            ["result.json", 1 << 30, "0" * 64],
            ["levels/000/splats.ply", 1, "../" + "0" * 61],
            ["levels/000/splats.ply", 1],
            "levels/000/splats.ply",
            None,
        ],
    )
    def test_only_files_of_a_job_are_taken(self, one):
        with pytest.raises(DreamzoomError, match="offers a file that no job has"):
            mirror.checked({"files": [one]})

    @pytest.mark.parametrize("files", [None, "x", [["plan.json", 1, "0" * 64]] * 2, [[]] * 10_001])
    def test_only_a_list_of_different_files_is_taken(self, files):
        with pytest.raises(DreamzoomError):
            mirror.checked({"files": files})

    def test_a_link_in_the_job_folder_is_not_followed(self, tmp_path):
        (tmp_path / "job").mkdir()
        (tmp_path / "out").mkdir()
        (tmp_path / "job/levels").symlink_to(tmp_path / "out", target_is_directory=True)
        found = mirror.Mirror(tmp_path / "job")
        one = mirror.Offered(
            "levels/000/splats.ply", 1, "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
        )
        with pytest.raises(RefusedFile, match="link"):
            found.missing([one])
        arriving = found.partial(one)
        arriving.add(0, b"x")
        with pytest.raises(RefusedFile, match="link"):
            found.put(one, arriving)
        assert not list((tmp_path / "out").iterdir())
