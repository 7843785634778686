"""Listing models, and downloading them from a hub: a real one in small, on this machine."""

import contextlib
import hashlib
import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import models
import pytest
from huggingface_hub import constants

from dreamzoom import cli
from dreamzoom.engines.diffusion import catalogue, memory
from dreamzoom.engines.diffusion.download import File, wanted_files
from dreamzoom.engines.diffusion.offline import OnlineWhileLoading, offline
from dreamzoom.request.example import example

pytestmark = pytest.mark.slow

SERVER = Path(__file__).parents[2] / "server"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    models.stable_diffusion(folder / "sd")
    models.depth_anything(folder / "depth", metric=True)
    (folder / "sd" / "README.md").write_text("---\nlicense: creativeml-openrail-m\ntags:\n- x\n---\nA model.\n")
    return folder


class Hub(http.server.BaseHTTPRequestHandler):
    """The part of the hub's interface that the client uses: a model's facts, and its files with ranges."""

    folder: Path
    asked: list
    paths: list  # of every request, with or without a body
    break_off: set  # names of files of which the first answer ends early
    lie: set  # names of files that arrive changed
    slow: set  # names of files that arrive in pieces, with pauses
    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self.answer(False)

    def do_GET(self):
        self.answer(True)

    def answer(self, body):
        self.paths.append(self.path)
        if self.path.startswith("/api/models/"):
            return self.facts()
        name = self.path.partition(f"/resolve/{COMMIT}/")[2]
        file = self.folder / name
        data = file.read_bytes()
        etag = hashlib.sha256(data).hexdigest()
        if name in self.lie:
            data = data[:-1] + bytes([data[-1] ^ 1])
        begin = int((self.headers.get("Range") or "bytes=0-").partition("=")[2].rstrip("-") or 0)
        if body:
            self.asked.append((name, begin))
        self.send_response(206 if begin else 200)
        self.send_header("ETag", f'"{etag}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Accept-Ranges", "bytes")
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - begin))
        self.end_headers()
        if body:
            if name in self.break_off:
                self.break_off.discard(name)
                self.wfile.write(data[begin : begin + len(data) // 2])
                self.wfile.flush()
                self.close_connection = True
                return None
            step = len(data) // 24 if name in self.slow else len(data)
            with contextlib.suppress(OSError):  # the other side had enough
                for start in range(begin, len(data), max(step, 1)):
                    self.wfile.write(data[start : start + step])
                    time.sleep(0.25 if name in self.slow else 0)
        return None

    def facts(self):
        siblings = []
        for file in sorted(path for path in self.folder.rglob("*") if path.is_file()):
            entry = {"rfilename": file.relative_to(self.folder).as_posix(), "size": file.stat().st_size}
            if file.suffix == ".safetensors":
                digest = hashlib.sha256(file.read_bytes()).hexdigest()
                entry["lfs"] = {"sha256": digest, "size": file.stat().st_size, "pointerSize": 100}
            siblings.append(entry)
        facts = {"id": "someone/tiny", "sha": COMMIT, "siblings": siblings, "cardData": {"license": "openrail"}}
        data = json.dumps(facts).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture
def hub(made):
    own = {"folder": made / "sd", "asked": [], "paths": [], "break_off": set(), "lie": set(), "slow": set()}
    kind = type("OneHub", (Hub,), own)
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind)
    thread = threading.Thread(target=running.serve_forever)
    thread.start()
    kind.address = f"http://127.0.0.1:{running.server_port}"
    yield kind
    running.shutdown()
    running.server_close()
    thread.join()


def variables_of(hub, home):
    """The environment of a process that takes `hub` for the hub."""
    variables = {key: value for key, value in os.environ.items() if key != "HF_HUB_OFFLINE"}
    variables |= {
        "HF_ENDPOINT": hub.address,
        "HF_HOME": str(home),
        "PYTHONPATH": str(SERVER),
        "HF_HUB_DISABLE_XET": "1",
    }
    variables |= {"no_proxy": "127.0.0.1", "NO_PROXY": "127.0.0.1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    return variables


def get(hub, home, *options):
    variables = variables_of(hub, home)
    command = [sys.executable, "-m", "dreamzoom", "models", "get", "someone/tiny", *options]
    return subprocess.run(
        command, env=variables, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False, timeout=120
    )


class TestGet:
    def test_size_and_licence_are_shown_and_nothing_comes_unasked(self, hub, tmp_path):
        done = get(hub, tmp_path)
        assert done.returncode == 2
        assert "someone/tiny at 0123456789ab" in done.stdout
        assert "licence openrail" in done.stdout
        assert "--yes" in done.stderr
        assert hub.asked == []

    def test_what_came_is_pinned_whole_and_found_offline(self, hub, tmp_path, monkeypatch):
        large = "tokenizer/many_words.txt"  # what is below 10 MB is not worth going on with to the client
        hub.break_off.add(large)
        (hub.folder / large).write_bytes(bytes(24_000_000))
        done = get(hub, tmp_path, "--yes")
        (hub.folder / large).unlink()
        assert done.returncode == 0, done.stderr
        begins = [begin for name, begin in hub.asked if name == large]
        assert len(begins) == 2  # broken off, and gone on with
        assert begins[1] > 0
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        folder = catalogue.best("picture")
        assert folder.name == COMMIT
        assert [entry.name for entry in catalogue.entries()] == ["someone/tiny"]

    def test_a_file_that_is_not_what_the_hub_says_is_removed(self, hub, tmp_path):
        hub.lie.add("vae/diffusion_pytorch_model.safetensors")
        done = get(hub, tmp_path, "--yes")
        assert done.returncode == 1
        assert "damaged" in done.stderr
        assert not list(tmp_path.rglob("snapshots/*/vae/*.safetensors"))


class TestFromBlender:
    def test_offer_download_list(self, hub, started, tmp_path):
        server = started(variables_of(hub, tmp_path))
        [offer] = server.ask(1, "models.offer", name="someone/tiny")["result"]["offers"]
        assert (offer["repository"], offer["revision"], offer["licence"]) == ("someone/tiny", COMMIT, "openrail")
        assert offer["missing"] == offer["bytes"] > 0
        assert hub.asked == []
        answer = server.ask(2, "models.get", offers=[offer])
        assert [Path(folder).name for folder in answer["result"]["folders"]] == [COMMIT]
        assert server.ask(3, "models.offer", name="someone/tiny")["result"]["offers"][0]["missing"] == 0
        found = server.ask(4, "models")["result"]
        assert [(model["name"], model["family"]) for model in found["models"]] == [("someone/tiny", "sd")]
        assert set(found["sets"]) == {"8gb", "12gb", "24gb"}
        told = [note["params"] for note in server.notifications if note["method"] == "progress"]
        assert {note["stage"] for note in told} == {"download"}
        assert told[-1]["fraction"] == 1.0

    def test_a_cancelled_download_goes_on_later(self, hub, started, tmp_path):
        large = "unet/more.safetensors"
        hub.slow.add(large)
        (hub.folder / large).write_bytes(bytes(24_000_000))
        server = started(variables_of(hub, tmp_path))
        server.ask(0, "models")  # what it imports is there, so that the next one is answered at once
        try:
            offers = server.ask(1, "models.offer", name="someone/tiny")["result"]["offers"]
            server.send(2, "models.get", offers=offers)
            while large not in str(server.next()) or large not in str(server.next()):
                pass  # until its second piece is there
            assert "result" in server.ask(9, "models")  # answered meanwhile
            assert "download" in server.ask(10, "generate", out=str(tmp_path / "job"), request={})["error"]["message"]
            server.send(3, "cancel", id=2)
            answers = [server.answer(), server.answer()]
            assert {answer["id"]: "error" in answer for answer in answers} == {2: True, 3: False}
            hub.slow.clear()
            assert "result" in server.ask(4, "models.get", offers=offers)
        finally:
            (hub.folder / large).unlink()
        begins = [begin for name, begin in hub.asked if name == large]
        assert begins[0] == 0 < begins[1]

    def test_after_models_were_listed_and_loaded_more_can_be_fetched(self, hub, started, made, tmp_path):
        depth = tmp_path / "hub" / "models--someone--depth" / "snapshots" / COMMIT
        shutil.copytree(made / "depth", depth)
        server = started(variables_of(hub, tmp_path))
        assert len(server.ask(1, "models")["result"]["models"]) == 1
        offers = server.ask(2, "models.offer", name="someone/tiny")["result"]["offers"]
        assert "result" in server.ask(3, "models.get", offers=offers)
        hub.paths.clear()
        request = example(1, (64, 48)) | {"quality": "draft", "engine": {"name": "diffusion", "steps": 2}}
        answer = server.ask(4, "generate", out=str(tmp_path / "job"), request=request)
        assert "result" in answer, answer
        assert hub.paths == [], "loading never goes online"
        shutil.rmtree(tmp_path / "hub" / "models--someone--tiny")
        [offer] = server.ask(5, "models.offer", name="someone/tiny")["result"]["offers"]
        assert offer["missing"] == offer["bytes"]
        server.notifications.clear()
        assert "result" in server.ask(6, "models.get", offers=[offer])
        assert [note["params"]["stage"] for note in server.notifications if note["method"] == "progress"]

    def test_what_can_not_be_asked_is_said(self, server):
        assert server.ask(1, "models.offer", name=3)["error"]["data"]["field"] == "name"
        assert "no model is called" in server.ask(2, "models.offer", name="nothing")["error"]["message"]
        assert server.ask(3, "models.get", offers=[{"repository": "a/b"}])["error"]["data"]["field"] == "offers"
        assert server.ask(4, "models", folder="x")["error"]["data"]["field"] == "folder"


class TestOffline:
    def test_only_the_thread_that_loads_stays_off_the_network(self, hub, monkeypatch):
        """A library that asked although it was told not to would be refused; other threads go on."""
        from huggingface_hub import get_session

        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        url = f"{hub.address}/api/models/someone/tiny"
        answers = []
        with offline():
            with pytest.raises(OnlineWhileLoading):
                get_session().get(url)
            thread = threading.Thread(target=lambda: answers.append(get_session().get(url).status_code))
            thread.start()
            thread.join()
        assert hub.paths == ["/api/models/someone/tiny"]
        assert answers == [200]
        assert get_session().get(url).status_code == 200


class TestWanted:
    def test_no_code_no_pickles_and_one_precision(self):
        names = [
            "README.md", "model_index.json", "pipeline.py", "v1-5.ckpt", "v1-5.safetensors", "unet/config.json",
            "unet/diffusion_pytorch_model.bin", "unet/diffusion_pytorch_model.safetensors",
            "unet/diffusion_pytorch_model.fp16.safetensors", "vae/diffusion_pytorch_model.safetensors",
            "safety_checker/model.safetensors", "tokenizer/vocab.json", "unet/code.py", "vae_1_0/model.safetensors",
        ]  # fmt: skip
        found = [file.name for file in wanted_files([File(name, 1, "") for name in names])]
        assert found == [
            "README.md", "model_index.json", "unet/config.json", "unet/diffusion_pytorch_model.fp16.safetensors",
            "vae/diffusion_pytorch_model.safetensors", "tokenizer/vocab.json",
        ]  # fmt: skip


class TestList:
    def test_each_model_is_told_with_family_size_licence_and_precision(self, made, capsys):
        assert cli.main(["models", "--folder", str(made), "--json"]) == 0
        found = {Path(entry["name"]).name: entry for entry in json.loads(capsys.readouterr().out)}
        assert found["sd"]["family"] == "sd"
        assert found["sd"]["licence"] == "creativeml-openrail-m"
        assert found["sd"]["precision"] == "float32"
        assert found["sd"]["abilities"] == ["paint", "joint"]
        assert found["sd"]["bytes"] > 100_000
        assert found["depth"]["abilities"] == ["depth (metric)"]

    def test_what_can_not_be_used_is_listed_with_the_reason(self, tmp_path, capsys):
        (tmp_path / "odd").mkdir()
        (tmp_path / "odd" / "model_index.json").write_text('{"_class_name": "OddPipeline"}')
        assert cli.main(["models", "--folder", str(tmp_path)]) == 0
        assert "OddPipeline" in capsys.readouterr().out


class TestPlan:
    def test_a_small_card_gets_offload_and_a_large_one_none(self, made, monkeypatch):
        import torch

        from dreamzoom.engines.diffusion import model_validation
        from dreamzoom.engines.diffusion.loading import Placement

        model = model_validation.picture_model(made / "sd")
        sizes = memory.part_bytes(model, torch.float16)
        assert sizes["unet"] == 2 * sum(
            parameter.numel() for parameter in models._unet(4, 64).parameters()
        )  # half of float32
        where, work = (
            Placement(torch.device("cuda"), torch.float16),
            memory.working_bytes(model, torch.float16, 4096, 1),
        )
        for free, wanted in (
            (1 << 40, "none"),
            (round(1.2 * (max(sizes.values()) + work)), "model"),
            (1000, "sequential"),
        ):
            monkeypatch.setattr(memory, "free_bytes", lambda device, free=free: free)
            assert memory.plan(model, where, "auto", 4096, 1).offload == wanted
        assert memory.plan(model, Placement(torch.device("cpu"), torch.float32), "model", 4096, 1).offload == "none"
