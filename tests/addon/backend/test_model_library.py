"""The diffusion engine's settings in the request; models listed, offered and downloaded by a real server."""

import hashlib
import http.server
import json
import threading
import time

import bpy
import pytest

from addon.backend import main_loop, model_library
from addon.backend.connection import connection
from addon.scene import request

COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILES = {
    "model_index.json": json.dumps({"_class_name": "OtherPipeline"}).encode(),
    "unet/config.json": b"{}",
    "unet/diffusion_pytorch_model.safetensors": bytes(12_000_000),
}


def engine_of(root):
    return request.build_request(root, bpy.context.scene, bpy.context.view_layer)["engine"]


class TestRequest:
    def test_other_engines_have_no_options(self, root):
        assert engine_of(root) == {"name": "procedural"}
        root.dreamzoom.engine = "spectral"
        assert engine_of(root) == {"name": "spectral"}
        root.dreamzoom.second_pass = "OFF"
        assert engine_of(root) == {"name": "spectral", "refine": False}

    def test_what_is_left_alone_is_left_out(self, root):
        root.dreamzoom.engine = "diffusion"
        assert engine_of(root) == {"name": "diffusion", "detail": 0.55}

    def test_all_that_is_set(self, root, tmp_path):
        lora = tmp_path / "ink.safetensors"
        lora.write_bytes(b"x")
        root.dreamzoom.engine, own = "diffusion", root.dreamzoom.diffusion
        own.model, own.depth_model, own.style = "someone/tiny", str(tmp_path), "in ink"
        own.steps, own.guidance, own.scheduler, own.joint, own.offload = 12, 5.5, "dpm++", False, "model"
        root.dreamzoom.levels[2].guidance, root.dreamzoom.second_pass = 9.0, "ON"
        assert bpy.ops.dreamzoom.lora_add() == {"FINISHED"}
        own.loras[0].file, own.loras[0].weight = str(lora), 0.5
        assert engine_of(root) == {
            "name": "diffusion", "model": "someone/tiny", "depth_model": str(tmp_path), "style": "in ink",
            "steps": 12, "guidance": 5.5, "level_guidance": [None, None, 9.0, None], "scheduler": "dpm++",
            "joint": False, "offload": "model", "detail": 0.55, "refine": True,
            "loras": [{"file": str(lora), "weight": 0.5}],
        }  # fmt: skip
        assert bpy.ops.dreamzoom.lora_remove(index=0) == {"FINISHED"}
        assert "loras" not in engine_of(root)

    def test_a_lora_for_outpainting_is_known_by_its_name_and_can_be_told(self, root, tmp_path):
        root.dreamzoom.engine, own = "diffusion", root.dreamzoom.diffusion
        for name in ("ink", "Klein-Outpaint"):
            file = tmp_path / f"{name}.safetensors"
            file.write_bytes(b"x")
            own.loras.add().file = str(file)
        assert [item.outpaint for item in own.loras] == [False, True]
        assert all("outpaint" not in lora for lora in engine_of(root)["loras"])
        own.loras[0].outpaint, own.loras[1].outpaint = True, False
        assert [lora["outpaint"] for lora in engine_of(root)["loras"]] == [True, False]

    def test_the_panel_tells_of_a_model_that_edits(self):
        model_library.library.entries = [
            {"name": "a/edit", "abilities": ["paint", "edit"]},
            {"name": "a/klein", "abilities": ["paint", "edit with a LoRA for outpainting"]},
        ]
        assert [model_library.can(name, "edit") for name in ("a/edit", "a/klein", "", "gone")] == [True] + [False] * 3

    def test_a_lora_that_is_gone_is_named(self, root):
        root.dreamzoom.engine = "diffusion"
        root.dreamzoom.diffusion.loras.add().file = "//gone.safetensors"
        with pytest.raises(request.DreamzoomError, match="gone.safetensors"):
            engine_of(root)


class TestLicences:
    def test_a_chosen_model_that_is_not_for_commercial_use_is_known(self, root, monkeypatch):
        entries = [
            {"name": "someone/free", "use": "depth", "licence": "apache-2.0"},
            {"name": "someone/limited", "use": "depth", "licence": "cc-by-nc-4.0"},
        ]
        monkeypatch.setattr(model_library.library, "entries", entries)
        found = [model_library.is_non_commercial(name) for name in ("someone/free", "someone/limited", "other", "")]
        assert found == [False, True, False, False]

    def test_depth_models_are_offered_one_by_one(self, dreamzoom):
        choice = bpy.ops.dreamzoom.get_models.get_rna_type().properties["choice"]
        offered = set(choice.enum_items.keys())
        assert {"moge", "da3-mono", "prompt-depth", "8gb", "another"} <= offered
        assert "sdxl" not in offered, "picture models come in sets"


class Hub(http.server.BaseHTTPRequestHandler):
    """The part of the hub's interface that a download uses, for one model that can't be used here."""

    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self.answer(False)

    def do_GET(self):
        self.answer(True)

    def answer(self, body):
        name = self.path.partition(f"/resolve/{COMMIT}/")[2]
        data = FILES[name] if name else self.facts()
        self.send_response(200)
        self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if body:
            self.wfile.write(data)

    @staticmethod
    def facts():
        siblings = []
        for name, data in FILES.items():
            lfs = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 100}
            siblings.append({"rfilename": name, "size": len(data)} | ({"lfs": lfs} if "model.saf" in name else {}))
        facts = {"id": "someone/tiny", "sha": COMMIT, "siblings": siblings, "cardData": {"license": "openrail"}}
        return json.dumps(facts).encode()

    def log_message(self, *_):
        pass


@pytest.fixture
def hub(root, server_python, monkeypatch, tmp_path):
    """A hub for the server, whose cache is a folder of the test's own."""
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=running.serve_forever)
    thread.start()
    monkeypatch.setenv("DREAMZOOM_SERVER_PYTHON", server_python)
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{running.server_port}")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    for name in ("HF_HUB_OFFLINE", "HF_HUB_CACHE", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    model_library.library.__init__()
    yield tmp_path / "cache"
    running.shutdown()
    running.server_close()
    thread.join()
    model_library.library.__init__()


def pump_until(condition, seconds=60):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, model_library.library
        main_loop.pump()
        connection.wait(0.05)


def ready():
    return not model_library.is_busy()


class TestModels:
    def test_choosing_diffusion_looks_for_models(self, root, hub):
        root.dreamzoom.engine = "diffusion"
        assert model_library.library.activity == "listing"
        pump_until(ready)
        assert model_library.library.entries == []
        assert model_library.library.memory > 0

    def test_offer_then_download(self, root, hub):
        if not bpy.app.online_access:
            bpy.context.preferences.system.use_online_access = True
        assert bpy.ops.dreamzoom.get_models(choice="another", repository="someone/tiny") == {"FINISHED"}
        pump_until(ready)
        assert model_library.library.error is None
        [offer] = model_library.library.offers
        assert (offer["licence"], offer["bytes"]) == ("openrail", sum(map(len, FILES.values())))
        assert not list(hub.rglob("*.safetensors"))
        assert bpy.ops.dreamzoom.download_models() == {"FINISHED"}
        pump_until(lambda: ready() and model_library.library.entries is not None)
        assert model_library.library.error is None and not model_library.library.offers
        assert len(list(hub.rglob("*.safetensors"))) == 1
        assert [name for name, _ in model_library.unusable()] == ["someone/tiny"]  # its class is none of the tables'

    def test_a_name_that_is_none_is_told(self, root, hub):
        model_library.request_offer("nothing")
        pump_until(ready)
        assert "nothing" in str(model_library.library.error)
        bpy.ops.dreamzoom.cancel_models()
        assert model_library.library.error is None

    def test_generate_without_a_model_leads_to_the_download(self, root, hub, tmp_path):
        root.dreamzoom.engine, root.dreamzoom.job_folder = "diffusion", str(tmp_path / "job")
        pump_until(ready)
        assert not bpy.ops.dreamzoom.generate.poll()
        with pytest.raises(RuntimeError, match="Get Models"):
            bpy.ops.dreamzoom.generate()

    def test_a_server_that_ends_is_told(self, root, hub):
        model_library.refresh()
        connection.client._process.kill()
        pump_until(ready)
        assert model_library.library.error is not None
