"""Models that edit pictures: continued by instruction, moved back, in the colours of what is known."""

import importlib
import json

import models
import numpy as np
import pytest
import torch
from photographs import photograph
from PIL import Image
from shifting_models import COLOURS, ShiftingModel, in_other_colours, moved, seam_step, unknown_db

from core.errors import BadRequest, Cancelled, EngineUnavailable
from dreamzoom.engines import registry
from dreamzoom.engines.diffusion import catalogue, memory, model_validation, painter
from dreamzoom.engines.diffusion.editing import colour_carry, extend, registration
from dreamzoom.geometry.view import COARSE, KNOWN, UNKNOWN, View
from dreamzoom.progress import Report
from dreamzoom.request import validation
from dreamzoom.request.example import example

torch.set_num_threads(1)

WAYS = extend.Ways(256, 16, scales=False, from_nothing=True, marking=extend.GREY)


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    """A picture (192, 256, 3)."""
    file = photograph(tmp_path_factory.mktemp("photo") / "photo.png", (256, 192))
    return np.asarray(Image.open(file), np.float32) / 255


@pytest.fixture(scope="module")
def known():
    """Its middle quarter."""
    inside = np.zeros((192, 256), bool)
    inside[48:144, 64:192] = True
    return inside


def given(truth, known):
    return np.where(known[..., None], truth, 0.5).astype(np.float32)


class TestRegistration:
    @pytest.mark.parametrize(
        ("offset", "scale"), [((0, 0), 1.0), ((2, -3), 1.0), ((0.4, 1.7), 0.985), ((-14, 9), 1.0), ((3, 3), 1.03)]
    )
    def test_offset_and_scale_are_found_also_in_other_colours(self, truth, known, offset, scale):
        painted = moved(in_other_colours(truth, "gradient"), offset, scale)
        found = registration.movement(painted, given(truth, known), known)
        assert found.is_same_picture
        assert np.allclose(found.offset, offset, atol=0.15)
        assert np.allclose(found.scale, scale, atol=2e-3)

    def test_a_picture_moved_and_moved_back_is_the_same(self, truth, known):
        painted = moved(truth, (2, -3), 1.01)
        back = registration.undone(painted, registration.movement(painted, given(truth, known), known))
        assert unknown_db(back, truth, ~known) > 38

    @pytest.mark.parametrize("other", ["noise", "another photo", "mirrored", "flat"])
    def test_another_picture_is_told(self, truth, known, other, tmp_path):
        painted = {
            "noise": np.random.default_rng(0).random(truth.shape, dtype=np.float32),
            "another photo": np.asarray(Image.open(photograph(tmp_path / "p.png", (256, 192), 5)), np.float32) / 255,
            "mirrored": truth[:, ::-1],
            "flat": np.full_like(truth, 0.5),
        }[other]
        assert not registration.movement(painted, given(truth, known), known).is_same_picture

    def test_a_known_part_without_texture_or_of_few_pixels_tells_nothing(self, truth, known):
        flat = np.full_like(truth, 0.4)
        few = np.zeros_like(known)
        few[90:94, 100:104] = True
        assert not registration.movement(truth, flat, known).measured
        assert not registration.movement(truth, truth, few).measured


class TestColours:
    @pytest.mark.parametrize("colours", COLOURS)
    def test_a_change_of_colours_is_removed_and_known_pixels_stay(self, truth, known, colours):
        painted = in_other_colours(truth, colours)
        found = colour_carry.carried(painted, given(truth, known), known, reach=8)
        assert np.array_equal(found[known], truth[known])
        assert seam_step(found, truth, known) < 1
        assert unknown_db(found, truth, known) > unknown_db(painted, truth, known) + 3

    def test_what_is_right_is_left_as_it_is(self, truth, known):
        found = colour_carry.carried(truth, given(truth, known), known, reach=8)
        assert np.abs(found - truth).max() < 2e-3

    def test_a_little_known_part_changes_no_colours_wildly(self, truth):
        """One red corner says nothing of a blue sky."""
        few = np.zeros(truth.shape[:2], bool)
        few[:6, :6] = True
        painted = truth.copy()
        painted[:6, :6] = (0.9, 0.1, 0.1)
        found = colour_carry.carried(painted, painted + np.float32(0.03), few, reach=8)
        assert np.abs(found - painted)[~few].max() < 0.12


class TestExtend:
    @pytest.mark.parametrize("colours", COLOURS)
    def test_a_model_that_shifts_leaves_no_seam(self, truth, known, colours):
        model, said = ShiftingModel(truth, colours), []
        raw = np.where(known[..., None], truth, model.answer(None, "", known.shape, 0))
        found = extend.extended(given(truth, known), known, WAYS, model.answer, lambda *line: said.append(line))
        assert found is not None
        assert np.array_equal(found[known], truth[known])
        assert seam_step(found, truth, known) < 1.2 < 4 < seam_step(raw, truth, known)
        assert unknown_db(found, truth, known) > unknown_db(raw, truth, known) + 6
        assert any("moved the picture by" in line for line, _ in said)

    def test_the_unknown_part_is_marked_and_known_pixels_are_shown(self, truth, known):
        model = ShiftingModel(truth)
        extend.extended(given(truth, known), known, WAYS, model.answer, lambda *line: None)
        assert np.allclose(model.shown[-1][~known], 0.5)
        assert np.allclose(model.shown[-1][known], truth[known], atol=1e-6)
        assert "grey" in model.told[-1]
        assert "{prompt}" in model.told[-1]

    def test_where_nothing_is_known_the_prompt_alone_is_told(self, truth):
        model, none = ShiftingModel(truth, ""), np.zeros(truth.shape[:2], bool)
        assert extend.extended(truth, none, WAYS, model.answer, lambda *line: None) is not None
        assert (model.shown[-1], model.told[-1]) == (None, "{prompt}")
        blank = extend.Ways(256, 16, scales=True, from_nothing=False, marking=extend.GREY)
        extend.extended(truth, none, blank, model.answer, lambda *line: None)
        assert np.allclose(model.shown[-1], 0.5)
        assert "grey" in model.told[-1]

    @pytest.mark.parametrize("fault", ["redraws", "leaves the mark"])
    def test_an_answer_of_no_use_is_asked_for_again_then_said(self, truth, known, fault):
        asked, said = [], []

        def answer(picture, instruction, size, attempt):
            asked.append(attempt)
            return picture.copy() if fault == "leaves the mark" else truth[::-1]

        assert extend.extended(given(truth, known), known, WAYS, answer, lambda *line: said.append(line)) is None
        assert asked == [0, 1]
        assert [level for _, level in said] == ["info", "warning"]
        assert "within the mask" in said[-1][0]

    @pytest.mark.parametrize(
        ("size", "scales", "wanted"),
        [
            ((1024, 1024), True, (1024, 1024)),
            ((576, 1024), True, (768, 1376)),
            ((64, 64), True, (1024, 1024)),
            ((2160, 3840), False, (768, 1360)),
            ((512, 768), False, (512, 768)),
            ((40, 80), False, (64, 128)),
        ],
    )
    def test_the_size_of_the_canvas(self, size, scales, wanted):
        ways = extend.Ways(1024, 16, scales, from_nothing=True, marking=extend.GREY)
        assert extend.canvas_size(size, ways) == wanted


class CancelAfter(Report):
    """Cancels at the n-th time it is asked."""

    def __init__(self, count):
        self.left = count

    def check(self):
        self.left -= 1
        if self.left < 0:
            raise Cancelled

    def progress(self, fraction, message=""):
        self.check()


class Listening(Report):
    def __init__(self):
        self.lines = []

    def log(self, message, *, level="info"):
        self.lines.append(message)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Makes models when they are asked for, each once."""
    folder, there = tmp_path_factory.mktemp("models"), {}

    def make(name):
        if name not in there:
            there[name] = (models.PAINTERS | models.EDITORS | models.DEPTHS)[name](folder / name)
        return str(there[name])

    return make


@pytest.fixture
def small(monkeypatch):
    """Pipelines that scale every picture to a megapixel scale it to 64 × 64 here; all else of them is as it is."""
    module = "diffusers.pipelines.qwenimage.pipeline_qwenimage_"
    edit, plus, inpaint = (importlib.import_module(module + name) for name in ("edit", "edit_plus", "edit_inpaint"))
    scaled = edit.calculate_dimensions
    for one in (edit, inpaint):
        monkeypatch.setattr(one, "calculate_dimensions", lambda area, ratio: scaled(64 * 64, ratio))
    monkeypatch.setattr(plus, "VAE_IMAGE_SIZE", 64 * 64)
    monkeypatch.setattr(plus, "CONDITION_IMAGE_SIZE", 56 * 56)
    monkeypatch.setattr(painter, "native_side", lambda pipe, family: 64)


def request_of(made, model, levels=1, **options):
    request = example(levels, (64, 64)) | {"quality": "draft"}
    engine = {"name": "diffusion", "model": made(model), "depth_model": made("depth-anything"), "steps": 2}
    return request | {"engine": engine | options}


def engine_of(made, model, **options):
    return registry.make(validation.convert_request(request_of(made, model, **options)))


def view_of(size):
    camera = validation.convert_request(example(1, (size[1], size[0]))).path().camera(0.0, 0)
    return View("000/anchor", 0, 0.0, camera)


def half_known():
    rgb = np.random.default_rng(0).random((64, 64, 3), dtype=np.float32)
    mask = np.full((64, 64), KNOWN, np.uint8)
    mask[:, 40:] = UNKNOWN
    mask[:20, :40] = COARSE
    return np.where((mask == UNKNOWN)[..., None], np.nan, rgb).astype(np.float32), mask


@pytest.mark.slow
class TestPipelines:
    """Real pipelines with random weights, in the format on disk that such models have."""

    @pytest.mark.parametrize("family", models.EDITORS)
    def test_every_family_that_edits_paints(self, made, small, family):
        """Random weights redraw everything, so that it is painted within the mask at last, and said."""
        engine, heard = engine_of(made, family), Listening()
        rgb, mask = half_known()
        for given_mask in (np.full_like(mask, UNKNOWN), mask):
            found = engine.paint(view_of((64, 64)), rgb, given_mask, "a forest", "fog", 1, heard)
            assert np.isfinite(found).all()
            assert found.std() > 0.01
        assert np.array_equal(found[mask == KNOWN], rgb[mask == KNOWN])
        assert engine.identity()["edits"]
        assert any("continues pictures by instruction" in line for line in heard.lines)
        assert any("painted within the mask instead" in line for line in heard.lines)

    def test_a_model_that_shifts_in_the_painter(self, made, truth, known):
        engine = engine_of(made, "flux-kontext")
        worker = engine.painter(Report())
        worker.editor = ShiftingModel(truth)
        mask = np.where(known, KNOWN, UNKNOWN).astype(np.uint8)
        rgb = np.where(known[..., None], truth, np.nan).astype(np.float32)
        found = engine.paint(view_of(known.shape), rgb, mask, "a {red} hill", "", 1, Report())
        assert np.array_equal(found[known], truth[known])
        assert seam_step(found, truth, known) < 1.2
        assert worker.editor.told == [extend.GREY.instruction.format(prompt="a {red} hill")]

    def test_a_cancel_arrives_between_any_two_calls_of_a_network(self, made):
        engine = engine_of(made, "flux-kontext", steps=3)
        rgb, mask = half_known()
        whole = engine.paint(view_of((64, 64)), rgb, mask, "a forest", "", 1, Report())
        for count in range(2, 8):
            with pytest.raises(Cancelled):
                engine.paint(view_of((64, 64)), rgb, mask, "a forest", "", 1, CancelAfter(count))
        again = engine.paint(view_of((64, 64)), rgb, mask, "a forest", "", 1, Report())
        assert np.array_equal(again, whole)

    def test_klein_edits_with_a_lora_for_outpainting_which_is_off_elsewhere(self, made, tmp_path):
        from peft import LoraConfig
        from peft.utils import get_peft_model_state_dict

        plain = engine_of(made, "flux2-klein")
        pipe = plain.painter(Report()).pipe
        pipe.transformer.add_adapter(LoraConfig(r=2, init_lora_weights=False, target_modules=["to_q", "to_k"]))
        pipe.save_lora_weights(tmp_path, get_peft_model_state_dict(pipe.transformer))
        file = next(tmp_path.glob("*.safetensors")).rename(tmp_path / "Klein-Outpaint.safetensors")
        engine = engine_of(made, "flux2-klein", loras=[{"file": str(file), "weight": 0.8}])
        style = engine_of(made, "flux2-klein", loras=[{"file": str(file), "outpaint": False}])
        assert [one.edits for one in (engine_of(made, "flux2-klein"), engine, style)] == [False, True, False]
        worker, weights = engine.painter(Report()), []
        whole = worker.editor

        def seen(**arguments):
            weights.append(dict(zip(*_adapters(worker.pipe))))
            assert arguments["prompt"].startswith("Fill the green spaces")
            assert np.array_equal(np.asarray(arguments["image"])[32, 60], [0, 255, 0])
            return whole(**arguments)

        worker.editor = seen
        rgb, mask = half_known()
        assert dict(zip(*_adapters(worker.pipe))) == {"lora0": 0.0}
        engine.paint(view_of((64, 64)), rgb, mask, "a forest", "", 1, Report())
        assert weights == [{"lora0": 0.8}] * 2
        assert dict(zip(*_adapters(worker.pipe))) == {"lora0": 0.0}

    def test_a_lora_of_a_model_that_does_not_edit_is_used_whatever_its_name_says(self, made, tmp_path):
        from safetensors.torch import save_file

        file = tmp_path / "outpaint.safetensors"
        save_file({"a": torch.zeros(1)}, file)
        engine = engine_of(made, "sd", loras=[{"file": str(file)}])
        assert not engine.edits
        assert "outpaint" not in engine.identity()["loras"][0]
        with pytest.raises(BadRequest, match=r"engine\.loras\[0\]\.outpaint"):
            engine_of(made, "sd", loras=[{"file": str(file), "outpaint": True}])

    def test_a_job_of_two_levels(self, made, tmp_path):
        from dreamzoom import cli

        (tmp_path / "request.json").write_text(json.dumps(request_of(made, "flux-kontext", levels=2)))
        assert cli.main(["generate", str(tmp_path / "request.json"), "--out", str(tmp_path / "job")]) == 0
        result = json.loads((tmp_path / "job" / "result.json").read_text())
        assert result["engine"]["model"]["family"] == "flux-kontext"
        assert [level["splat_count"] > 0 for level in result["levels"]] == [True] * 2

    def test_the_estimate_of_memory_counts_the_picture_that_is_shown(self, made):
        model = model_validation.picture_model(_folder(made("flux-kontext")))
        one, two = (memory.working_bytes(model, torch.bfloat16, 1 << 20, 1, count) for count in (1, 2))
        assert one < two <= 2 * one
        scaled = model_validation.picture_model(_folder(made("qwen-image-edit")))
        assert memory.working_bytes(scaled, torch.bfloat16, 64, 1) >= memory.working_bytes(
            scaled, torch.bfloat16, 1 << 20, 1
        )

    def test_the_list_of_models_says_which_edit(self, made):
        said = {name: catalogue.entry(name, _folder(made(name))).abilities for name in ("flux-kontext", "flux2-klein")}
        assert said == {
            "flux-kontext": ("paint", "edit"),
            "flux2-klein": ("paint", "edit with a LoRA for outpainting"),
        }

    def test_a_text_encoder_that_sees_nothing_is_refused(self, made, tmp_path, small):
        import shutil

        folder = shutil.copytree(made("flux-kontext"), tmp_path / "broken")
        index = json.loads((folder / "model_index.json").read_text())
        index["processor"] = ["transformers", "Qwen2VLProcessor"]
        (folder / "model_index.json").write_text(json.dumps(index))
        with pytest.raises(EngineUnavailable, match="sees no pictures"):
            engine_of(lambda name: str(folder) if name == "broken" else made(name), "broken").painter(Report())


def _folder(name):
    from pathlib import Path

    return Path(name)


def _adapters(pipe):
    """Names and weights of the adapters that are in use."""
    layer = next(part for part in pipe.transformer.modules() if hasattr(part, "scaling") and part.scaling)
    names = list(layer.scaling)
    return names, [round(layer.scaling[name] / (layer.lora_alpha[name] / layer.r[name]), 6) for name in names]
