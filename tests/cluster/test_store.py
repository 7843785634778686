"""Stores: a real S3-compatible server with faults injected, and the file system."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import closing

import pytest
from small_jobs import contents, small_request

from core.errors import BadRequest, DreamzoomError
from dreamzoom import cluster
from dreamzoom.cluster import cache
from dreamzoom.cluster import store as stores
from dreamzoom.cluster.store import Store
from dreamzoom.pipeline.folder import Folder
from dreamzoom.pipeline.generate import generate


@pytest.fixture(scope="module")
def s3(tmp_path_factory):
    """An S3 server of a process of its own, with one bucket."""
    pytest.importorskip("moto", reason='the S3 server of moto is not installed (pip install "moto[server]")')
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    code = f"from moto.server import main; main(['-p{port}'])"
    server = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    variables = {
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": url,
        "FSSPEC_S3_ENDPOINT_URL": url,
    }
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    for _ in range(300):
        try:
            urllib.request.urlopen(urllib.request.Request(f"{url}/films", method="PUT"))
            break
        except OSError:
            time.sleep(0.1)
    yield "s3://films/job"
    server.kill()
    for name, value in before.items():
        os.environ.pop(name, None) if value is None else os.environ.update({name: value})


@pytest.fixture(params=["file", "memory", "s3"])
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


def test_a_job_over_s3_gives_the_same_bytes(s3, tmp_path, local_job):
    with closing(cluster.make("local:2", s3)) as executor:
        generate(small_request(3), Folder(tmp_path / "job"), executor=executor)
    assert contents(tmp_path / "job") == local_job
