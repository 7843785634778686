"""Stores: a real S3-compatible server with faults injected, and the file system."""

import os
import socket
import subprocess
import sys
import time
from contextlib import closing

import pytest
from faulty_s3 import FaultyS3
from small_jobs import contents, small_request
from small_stages import Listener

from core.errors import BadRequest, Cancelled, DreamzoomError
from dreamzoom import cluster
from dreamzoom.cluster import cache
from dreamzoom.cluster import store as stores
from dreamzoom.cluster.cache import Damaged
from dreamzoom.cluster.store import Store
from dreamzoom.pipeline.folder import Folder
from dreamzoom.pipeline.generate import generate
from dreamzoom.progress import Report, reporting_to


@pytest.fixture(scope="module")
def proxy():
    """An S3 server of a process of its own, with one bucket, behind a proxy that makes faults."""
    reason = 'the S3 server of moto is not installed (pip install "moto[server]")'
    pytest.importorskip("moto", reason=reason)
    boto3 = pytest.importorskip("boto3", reason=reason)
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    code = f"from moto.server import main; main(['-p{port}'])"
    server = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    between = FaultyS3("127.0.0.1", port)
    variables = {
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": between.url,
        "FSSPEC_S3_ENDPOINT_URL": between.url,
    }
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    _wait_for(port)
    buckets = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}")
    for bucket in ("films", "versions"):
        buckets.create_bucket(Bucket=bucket)
    buckets.put_bucket_versioning(Bucket="versions", VersioningConfiguration={"Status": "Enabled"})
    yield between
    between.close()
    server.kill()
    for name, value in before.items():
        os.environ.pop(name, None) if value is None else os.environ.update({name: value})


def _wait_for(port):
    for _ in range(600):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise TimeoutError(port)


@pytest.fixture
def s3(proxy):
    """The URL of a folder on the server."""
    proxy.faults.clear()
    proxy.met.clear()
    return "s3://films/job"


@pytest.fixture(params=["file", "memory", "s3"], ids=str)
def store(request, tmp_path):
    if request.param == "s3":
        return Store(request.getfixturevalue("s3"))
    return Store({"file": f"file://{tmp_path}/store", "memory": "memory://store"}[request.param])


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DREAMZOOM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(stores, "FIRST_PAUSE", 0.01)


def a_file(tmp_path, data=None):
    """A file whose content no other test has stored."""
    path = tmp_path / "file.ply"
    path.write_bytes(str(tmp_path).encode() * 1000 if data is None else data)
    return path


def cached(store, digest):
    """The file in this machine's cache, from the store if it is not there."""
    return cache.fetched(digest, lambda path: store.get(digest, path))


def test_what_is_put_can_be_fetched(store, tmp_path):
    digest = store.put(a_file(tmp_path))
    store.get(digest, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == a_file(tmp_path).read_bytes()
    assert store.put(a_file(tmp_path)) == digest


def test_a_partial_write_is_noticed_and_done_again(store, tmp_path, monkeypatch):
    files, faults = store._files, [1, 1]

    def partly(local, key, **options):
        if faults:
            faults.pop()
            (tmp_path / "half").write_bytes(a_file(tmp_path).read_bytes()[:100])
            return type(files).put_file(files, str(tmp_path / "half"), key, **options)
        return type(files).put_file(files, local, key, **options)

    monkeypatch.setattr(files, "put_file", partly, raising=False)
    digest = store.put(a_file(tmp_path))
    store.get(digest, tmp_path / "back")
    assert not faults
    assert (tmp_path / "back").read_bytes() == a_file(tmp_path).read_bytes()


@pytest.mark.parametrize(
    "error", [TimeoutError("timed out"), ConnectionResetError("reset"), FileNotFoundError("stale")]
)
def test_time_outs_and_stale_listings_are_outlasted(store, tmp_path, monkeypatch, error):
    digest, files, faults = store.put(a_file(tmp_path)), store._files, [1, 1, 1]

    def fails(key, local, **options):
        if faults:
            faults.pop()
            raise error
        return type(files).get_file(files, key, local, **options)

    monkeypatch.setattr(files, "get_file", fails, raising=False)
    store.get(digest, tmp_path / "back")
    assert not faults
    assert (tmp_path / "back").read_bytes() == a_file(tmp_path).read_bytes()


def test_a_damaged_file_is_never_taken(store, tmp_path):
    digest = store.put(a_file(tmp_path))
    store._files.pipe_file(store._key(digest), b"other splats" * 1000)
    with pytest.raises(DreamzoomError, match="damaged"):
        store.get(digest, tmp_path / "back")
    with pytest.raises(DreamzoomError):
        cached(store, digest)
    assert not list((tmp_path / "cache").rglob("*.*"))


def test_damage_in_the_cache_is_fetched_again(store, tmp_path):
    digest = store.put(a_file(tmp_path))
    cached(store, digest).write_bytes(b"flipped")
    assert cached(store, digest).read_bytes() == a_file(tmp_path).read_bytes()


def test_a_machine_keeps_what_it_fetched_up_to_a_limit(store, tmp_path):
    digests = [store.put(a_file(tmp_path, bytes([n]) * 1000)) for n in range(4)]
    for digest in digests:
        path = cached(store, digest)
        os.utime(path, (digests.index(digest), digests.index(digest)))
    cache.shorten(2500)
    kept = sorted(path.name for path in (tmp_path / "cache").rglob("*") if path.is_file())
    assert kept == sorted(digests[2:])


def test_unknown_stores_are_refused():
    with pytest.raises(BadRequest, match="storage"):
        Store("teleport://x")


WRITING = [
    [("PUT", "/partial/", "503")] * 2,
    [("PUT", "/partial/", "reset")],
    [("PUT", "/partial/", "slow")],
    [("PUT", "/partial/", "torn")],
    [("PUT", "/partial/", "lost")],
    [("PUT", "/partial/", "500")],
    [("PUT", "/partial/", "etag"), ("HEAD", "/partial/", "etag")],
    [("HEAD", "/partial/", "404")] * 2,
    [("HEAD", "/partial/", "503"), ("HEAD", "/partial/", "reset")],
    [("POST", "delete", "503"), ("POST", "delete", "reset")],
]
READING = [
    [("GET", "/{}", "503")] * 2,
    [("GET", "/{}", "reset"), ("HEAD", "/{}", "reset")],
    [("GET", "/{}", "slow")],
    [("GET", "/{}", "half")],
    [("GET", "/{}", "404"), ("HEAD", "/{}", "404")],
    [("GET", "/{}", "etag"), ("HEAD", "/{}", "etag")],
]


@pytest.mark.parametrize("faults", WRITING, ids=lambda faults: "-".join(f"{one[0]}{one[2]}" for one in faults))
def test_faults_of_a_storage_while_it_is_written(s3, proxy, tmp_path, faults):
    store, path = Store(s3), a_file(tmp_path)
    proxy.faults[:] = faults
    digest = store.put(path)
    assert not proxy.faults
    store.get(digest, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("faults", READING, ids=lambda faults: "-".join(f"{one[0]}{one[2]}" for one in faults))
def test_faults_of_a_storage_while_it_is_read(s3, proxy, tmp_path, faults):
    store = Store(s3)
    digest = store.put(a_file(tmp_path))
    proxy.faults[:] = [(method, part.format(digest), what) for method, part, what in faults]
    store.get(digest, tmp_path / "back")
    assert proxy.met
    assert (tmp_path / "back").read_bytes() == a_file(tmp_path).read_bytes()


def test_clocks_that_differ_are_said(s3, proxy, tmp_path):
    store = Store(s3)
    proxy.faults[:] = [("PUT", "/partial/", "403")] * 9
    with pytest.raises(DreamzoomError) as failure:
        store.put(a_file(tmp_path))
    assert "clock" in failure.value.remedy


def test_a_bucket_that_keeps_versions(s3, tmp_path):
    store = Store("s3://versions/job")
    digest = store.put(a_file(tmp_path))
    store._files.pipe_file(store._key(digest), b"other splats" * 1000)
    with pytest.raises(Damaged):
        store.get(digest, tmp_path / "back")
    store.put(a_file(tmp_path))
    store.get(digest, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == a_file(tmp_path).read_bytes()


def test_a_storage_that_does_not_answer_can_be_left(store, tmp_path, monkeypatch):
    class Left(Report):
        def check(self):
            raise Cancelled

    began = time.monotonic()
    monkeypatch.setattr(store._files, "put_file", lambda *_, **__: time.sleep(30), raising=False)
    with pytest.raises(Cancelled), reporting_to(Left()):
        store.put(a_file(tmp_path))
    assert time.monotonic() - began < 20


def test_nothing_is_left_behind_by_what_failed(store, tmp_path, monkeypatch):
    def fails(local, key, **options):
        store._files.pipe_file(key, b"half")
        raise TimeoutError("timed out")

    monkeypatch.setattr(store._files, "put_file", fails, raising=False)
    with pytest.raises(DreamzoomError, match="timed out"):
        store.put(a_file(tmp_path))
    store._files.invalidate_cache()
    assert not [name for name in store._files.find(store._root) if "/partial/" in name]


def test_damage_in_the_store_is_mended_while_the_job_runs(store, tmp_path, monkeypatch, local_job):
    damaged = []

    class Spoils(Listener):
        """Damages what the store holds once, when the second level begins."""

        def progress(self, progress):
            if progress.stage == "splat" and not damaged:
                for key in store._files.find(store._root):
                    if "/partial/" not in key:
                        store._files.pipe_file(key, b"x" * store._files.info(key)["size"])
                        damaged.append(key)
                for path in (tmp_path / "cache").rglob("*"):
                    if path.is_file():
                        path.unlink()

    if store.url.startswith("memory"):
        pytest.skip("other processes do not see this one's memory")
    with closing(cluster.make("local:1", store.url)) as executor:
        generate(small_request(3), Folder(tmp_path / "job"), Spoils(), executor=executor)
    assert damaged
    assert contents(tmp_path / "job") == local_job


def test_a_job_over_s3_gives_the_same_bytes(s3, tmp_path, local_job):
    with closing(cluster.make("local:2", s3)) as executor:
        generate(small_request(3), Folder(tmp_path / "job"), executor=executor)
    assert contents(tmp_path / "job") == local_job
