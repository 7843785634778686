"""Files of a client whose folders the server does not see: what it may send and fetch, and what is refused."""

import hashlib
import io
import json
import os

import numpy as np
import pytest
from PIL import Image
from server_process import ServerProcess
from small_jobs import small

from core.protocol import error_codes, framing
from core.transfer.packing import Packer, unpack

pytestmark = pytest.mark.slow


class Client(ServerProcess):
    """Speaks about files."""

    def __init__(self, folder):
        super().__init__(folder, {**os.environ, "XDG_DATA_HOME": str(folder)})
        self.home, self._count = folder / "dreamzoom/jobs", 0
        self._body = None

    def next(self):
        self._body = self._reader.read()
        return None if self._body is None else json.loads(self._body)

    def call(self, method, attachment=b"", **params):
        self._count += 1
        self.raw(framing.encode({"id": self._count, "method": method, "params": params}, attachment))
        answer = self.answer()
        assert answer["id"] == self._count
        return answer

    def result(self, method, attachment=b"", **params):
        answer = self.call(method, attachment, **params)
        assert "result" in answer, answer
        return answer["result"]

    def refused(self, method, attachment=b"", **params):
        return self.call(method, attachment, **params)["error"]

    def put(self, job, data, name, ask=None):
        packed = Packer(name, "zlib").pack(data)
        params = {"job": job, "sha256": sha256(data), "bytes": len(data), "name": name, "offset": 0}
        return (ask or self.result)("files.put", packed.data, **params, chunk=packed.fields())

    def get(self, job, name, digest, offset=0):
        answer = self.result("files.get", job=job, name=name, sha256=digest, offset=offset, packing="zlib")
        return unpack(self._body.attachment, answer["chunk"])


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def showing(image):
    """A request whose level shows a picture."""
    return small() | {"levels": [{"prompt": "a field", "image": image}]}


def png(seed=0):
    """A picture of 48×32 pixels."""
    pixels = np.random.default_rng(seed).integers(0, 255, (32, 48, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    running = Client(tmp_path_factory.mktemp("data"))
    yield running
    running.process.kill()
    running.process.wait()


@pytest.fixture(scope="module")
def job(client):
    """A job whose picture was sent."""
    assert client.result("files.open", job="flight-1", files=[])["has_job"] is False
    client.put("flight-1", png(), "my photo.png")
    request = showing(f"received/{sha256(png())}/my photo.png")
    answer = client.result("generate", job="flight-1", request=request)
    assert answer["out"] == str(client.home / "flight-1")
    return "flight-1"


class TestAJob:
    def test_its_picture_is_its_own_and_no_path_of_the_client_stands_in_it(self, client, job):
        assert (client.home / job / f"inputs/{sha256(png())[:16]}/my photo.png").read_bytes() == png()
        text = (client.home / job / "request.json").read_text(encoding="utf-8")
        assert "received/" not in text and f"inputs/{sha256(png())[:16]}/my photo.png" in text

    def test_what_is_finished_is_listed_and_can_be_fetched(self, client, job):
        listed = client.result("files.list", job=job)["files"]
        assert listed[0][0] == "request.json" and listed[-1][0] == "result.json"
        assert {"levels/000/splats.ply", "levels/000/cloud.ply", "levels/000/preview.png"} < {one[0] for one in listed}
        assert not [name for name, _, _ in listed if "parts" in name or "stages" in name or "inputs" in name]
        for name, size, digest in listed:
            data = b""
            while len(data) < size:
                data += client.get(job, name, digest, len(data))
            assert sha256(data) == digest and data == (client.home / job / name).read_bytes()

    @pytest.mark.parametrize("name", ["journal.jsonl", "../flight-1/request.json", "/etc/passwd", ".serving", "inputs"])
    def test_nothing_else_can_be_fetched(self, client, job, name):
        client.result("files.list", job=job)
        assert "not offered" in client.refused("files.get", job=job, name=name, sha256="0" * 64, offset=0)["message"]

    def test_it_goes_on_by_its_name_and_is_repaired_by_it(self, client, job):
        path = client.home / job / "levels/000/cloud.ply"
        before = path.read_bytes()
        path.write_bytes(before[:-1] + b"?")
        assert "levels/000/cloud.ply" not in {one[0] for one in client.result("files.list", job=job)["files"]}
        found = client.result("verify", job=job, repair=True)
        assert [one["file"] for one in found["damaged"]] == ["levels/000/cloud.ply"] and path.read_bytes() == before
        assert client.result("generate", job=job, resume=True)["seconds"] < 5
        assert client.result("files.open", job=job, files=[])["has_job"] is True

    def test_a_picture_that_it_has_need_not_be_sent_again(self, client, job):
        files = [{"sha256": sha256(png(seed)), "bytes": len(png(seed)), "name": "my photo.png"} for seed in (0, 1)]
        assert client.result("files.open", job="flight-2", files=files)["missing"] == {sha256(png(1)): 0}

    def test_a_copy_takes_over_what_is_finished(self, client, job):
        client.result("files.open", job="copy-1", source=job, files=[])
        request = showing(f"received/{sha256(png())}/my photo.png")
        client.result("generate", job="copy-1", request=request)
        events = [line for line in (client.home / "copy-1/journal.jsonl").read_text().splitlines() if '"done"' in line]
        assert not events
        assert client.result("files.open", job="copy-2", source="nobody", files=[])["has_job"] is False


class TestWhatIsRefused:
    @pytest.mark.parametrize("name", ["", "..", "../x", "a/b", "/x", "a b", ".x", "con", "x" * 81, "ü", None, 7, ["x"]])
    def test_names_of_jobs_that_lead_elsewhere(self, client, name):
        for method in ("files.open", "files.list", "generate"):
            assert client.refused(method, job=name)["code"] == error_codes.BAD_REQUEST

    @pytest.mark.parametrize(
        "change",
        [
            {"sha256": "../" + "0" * 61},
            {"sha256": "0" * 63},
            {"bytes": -1},
            {"bytes": 1 << 60},
            {"bytes": True},
            {"name": "../x.png"},
            {"name": "a/x.png"},
            {"name": "nul"},
            {"offset": 1},
            {"offset": -1},
            {"chunk": None},
            {"chunk": {"size": 5, "sha256": "0" * 64}},
        ],
    )
    def test_files_that_can_not_be(self, client, change):
        data = b"hello"
        good = {"sha256": sha256(data), "bytes": 5, "name": "x.png", "offset": 0}
        params = {"job": "flight-3", **good, "chunk": Packer("x", "").pack(data).fields()} | change
        assert client.refused("files.put", data, **params)["code"] in (error_codes.BAD_REQUEST, error_codes.OTHER)
        assert not list(client.home.glob(f".received/{sha256(data)}/*"))

    def test_a_file_that_is_not_what_was_announced(self, client):
        data = png(5)
        packed = Packer("x.png", "").pack(data)
        params = {"job": "flight-7", "sha256": sha256(b"other"), "bytes": len(data), "name": "x.png", "offset": 0}
        refused = client.refused("files.put", packed.data, **params, chunk=packed.fields())
        assert "arrived damaged" in refused["message"]
        assert not list(client.home.glob(f".received/{sha256(b'other')}/*"))
        assert not list((client.home / "flight-7").glob(".receiving-*"))

    @pytest.mark.parametrize("image", ["/etc/passwd", "inputs/0123456789abcdef/x.png", "received/x/y", "../x.png"])
    def test_requests_that_name_other_files(self, client, image):
        request = showing(image)
        refused = client.refused("generate", job="flight-4", request=request)
        assert refused["data"]["field"] == "levels[0].image" and "that was sent" in refused["message"]

    def test_a_picture_that_is_none_leaves_nothing_in_the_job(self, client):
        client.result("files.open", job="flight-5", files=[])
        client.put("flight-5", b"no picture", "x.png")
        request = showing(f"received/{sha256(b'no picture')}/x.png")
        assert client.refused("generate", job="flight-5", request=request)["data"]["field"] == "levels[0].image"
        assert {path.name for path in (client.home / "flight-5").iterdir()} <= {".serving", ".lock"}

    def test_a_folder_and_a_job_at_once(self, client, tmp_path):
        refused = client.refused("generate", job="flight-6", out=str(tmp_path), request=small())
        assert refused["data"]["field"] == "out"


class TestWhetherTheFolderIsSeen:
    def ask(self, client, folder, name="here", nonce="0123456789abcdef"):
        return client.result("files.seen", folder=str(folder), name=name, nonce=nonce)["seen"]

    def test_a_file_just_written_is_found(self, client, tmp_path):
        (tmp_path / "here").write_text("0123456789abcdef")
        assert self.ask(client, tmp_path) is True

    def test_another_content_or_place_is_not(self, client, tmp_path):
        (tmp_path / "here").write_text("fedcba9876543210")
        (tmp_path / "link").symlink_to(tmp_path / "here")
        assert not any(self.ask(client, *one) for one in ((tmp_path,), (tmp_path / "x",), (tmp_path, "../here")))
        assert not self.ask(client, tmp_path, "link", "fedcba9876543210") and not self.ask(client, tmp_path, nonce="")
