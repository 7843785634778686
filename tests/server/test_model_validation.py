"""What is refused before anything is loaded: folders that bring code, pickles, damage, or parts that don't fit."""

import ast
import importlib
import json
import random
import shutil
import sys
from pathlib import Path

import models
import pytest
from huggingface_hub import constants

from core.errors import EngineUnavailable
from dreamzoom import cli
from dreamzoom.engines.diffusion import catalogue, families, model_cache, model_validation
from dreamzoom.engines.diffusion.network_denoisers import DENOISERS
from dreamzoom.request.example import example

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A picture model and a depth model that are sound."""
    folder = tmp_path_factory.mktemp("models")
    return models.stable_diffusion(folder / "sd"), models.depth_anything(folder / "depth")


@pytest.fixture
def sd(made, tmp_path):
    """A copy of the picture model, to be broken."""
    return Path(shutil.copytree(made[0], tmp_path / "sd"))


def change(file: Path, **values):
    """Change entries of a JSON file."""
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def pickled(folder):
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.unlink()
    weights.with_suffix(".bin").write_bytes(b"\x80\x04cos\nsystem\n")


def with_code(folder):
    (folder / "unet" / "my_unet.py").write_text("raise SystemExit('this ran')")


def with_a_module_of_its_own(folder):
    change(folder / "model_index.json", unet=["my_unet", "MyUNet"])


def with_a_map_to_code(folder):
    change(folder / "text_encoder" / "config.json", auto_map={"AutoModel": "modeling.Mine"})


def without_a_shard(folder):
    index = {"weight_map": {"a": "diffusion_pytorch_model-00001-of-00002.safetensors"}}
    (folder / "unet" / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))


def cut_short(folder):
    weights = folder / "vae" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


def with_a_damaged_header(folder):
    (folder / "vae" / "diffusion_pytorch_model.safetensors").write_bytes(b"\xff" * 64)


def with_a_wide_text_encoder(folder):
    change(folder / "text_encoder" / "config.json", hidden_size=32)


def of_an_unknown_class(folder):
    change(folder / "model_index.json", _class_name="AnythingPipeline")


def with_a_part_of_an_unknown_class(folder):
    change(folder / "model_index.json", vae=["diffusers", "AutoencoderTiny"])


def with_another_class_in_its_part(folder):
    change(folder / "unet" / "config.json", _class_name="UNet3DConditionModel")


def without_its_index(folder):
    (folder / "model_index.json").unlink()


def with_a_part_outside(folder):
    change(folder / "model_index.json", **{"../vae": ["diffusers", "AutoencoderKL"]})


def without_a_tokenizer(folder):
    index = json.loads((folder / "model_index.json").read_text())
    del index["tokenizer"]
    (folder / "model_index.json").write_text(json.dumps(index))


BROKEN = {
    pickled: "pickle",
    with_code: "my_unet.py",
    with_a_module_of_its_own: "my_unet.MyUNet",
    with_a_map_to_code: "auto_map",
    without_a_shard: "00001-of-00002",
    cut_short: "cut short",
    with_a_damaged_header: "header",
    with_a_wide_text_encoder: "32 numbers per word, its unet takes 16",
    of_an_unknown_class: "AnythingPipeline",
    with_a_part_of_an_unknown_class: "AutoencoderTiny",
    with_another_class_in_its_part: "UNet3DConditionModel",
    without_its_index: "model_index.json",
    with_a_part_outside: "no name of a component",
    without_a_tokenizer: "tokenizer",
}


class TestRefusals:
    @pytest.mark.parametrize(("spoil", "named"), BROKEN.items(), ids=[f.__name__ for f in BROKEN])
    def test_each_is_one_line_that_names_the_fault_and_says_what_to_do(self, made, sd, tmp_path, capsys, spoil, named):
        spoil(sd)
        request = example(1, (64, 64))
        request["engine"] = {"name": "diffusion", "model": str(sd), "depth_model": str(made[1])}
        (tmp_path / "request.json").write_text(json.dumps(request))
        code = cli.main(["generate", str(tmp_path / "request.json"), "--out", str(tmp_path / "job")])
        told = capsys.readouterr().err
        assert code == 4
        assert named in told
        assert told.count("\n") == 1
        assert told.rstrip().endswith(")")  # the remedy

    def test_a_depth_model_is_checked_as_well(self, made, tmp_path):
        broken = Path(shutil.copytree(made[1], tmp_path / "depth"))
        change(broken / "config.json", architectures=["Mine"])
        with pytest.raises(EngineUnavailable, match="Mine"):
            model_validation.depth_model(broken)

    def test_weights_that_lack_tensors_are_refused_when_loaded(self, sd):
        import torch
        from safetensors.torch import load_file, save_file

        from dreamzoom.engines.diffusion import loading

        file = sd / "unet" / "diffusion_pytorch_model.safetensors"
        tensors = load_file(file)
        tensors.pop("conv_in.weight")
        save_file(tensors, file)
        with pytest.raises(EngineUnavailable, match=r"conv_in\.weight"):
            loading.load("diffusers", "UNet2DConditionModel", sd / "unet", torch.float32)

    def test_without_any_model_the_remedy_is_a_download(self, tmp_path, monkeypatch):
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
        with pytest.raises(EngineUnavailable) as caught:
            catalogue.best("picture")
        assert "dreamzoom models get" in caught.value.remedy

    def test_an_unknown_name_is_looked_for_on_this_machine_only(self, tmp_path, monkeypatch):
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
        for name in ("someone/something", "../escape", "/no/such/folder"):
            with pytest.raises(EngineUnavailable, match="no model"):
                model_cache.find(name)


class TestFamilies:
    def test_only_their_table_knows_them_by_name(self):
        """A new family is an entry of `families` alone: no other module compares a family's name."""
        for file in Path(families.__file__).parent.glob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                asked = node.left if isinstance(node, ast.Compare) else getattr(node, "subject", None)
                assert asked is None or not ast.unparse(asked).endswith("family.name"), f"{file.name}:{node.lineno}"

    def test_each_has_what_loads_it(self):
        import diffusers
        import transformers

        for family in families.PICTURES:
            assert all(hasattr(diffusers, name) for name in (family.painter, *family.diffusers))
            assert all(hasattr(transformers, name) for name in (*family.transformers, *family.tokenizers))
            assert family.joint in ("", *DENOISERS)
        assert all(hasattr(transformers, family.model) for family in families.DEPTHS.values())


class TestCache:
    def test_a_cached_model_is_found_by_its_name_and_revision(self, made, tmp_path, monkeypatch):
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
        place = tmp_path / "models--someone--tiny-sd"
        shutil.copytree(made[0], place / "snapshots" / "abc123")
        (place / "refs").mkdir()
        (place / "refs" / "main").write_text("abc123")
        folder = model_cache.find("someone/tiny-sd")
        assert model_cache.name_of(folder) == ("someone/tiny-sd", "abc123")
        assert catalogue.best("picture") == folder


SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
sys.path.insert(0, str(SCRIPTS))
hostile_models = importlib.import_module("tortures.files.hostile_models")
attacked = importlib.import_module("tortures.attacks.models")


class TestHostile:
    @pytest.mark.parametrize("name", hostile_models.attacks_by_name())
    def test_each_is_refused_by_name(self, tmp_path, name):
        """Time and memory are measured by the torture."""
        model = attacked.whole_model(tmp_path / "model")
        assert not catalogue.entry("model", model).reason
        word = hostile_models.attacks_by_name()[name](random.Random(name), model)
        reason = catalogue.entry("model", model).reason
        assert word in reason
        if word:
            with pytest.raises(EngineUnavailable):
                model_validation.picture_model(model)

    @pytest.mark.parametrize(
        ("changed", "word"),
        [
            ({"size": {"height": 10**9, "width": 8}}, "size"),
            ({"ensure_multiple_of": 0}, "size"),
            ({"image_std": [0, 0, 0]}, "image_std"),
            ({"image_mean": "abc"}, "image_mean"),
        ],
    )
    def test_preprocessing_that_would_fill_the_memory(self, made, tmp_path, changed, word):
        broken = Path(shutil.copytree(made[1], tmp_path / "depth"))
        change(broken / "preprocessor_config.json", **changed)
        with pytest.raises(EngineUnavailable, match=word):
            model_validation.depth_model(broken)

    def test_links_within_the_cache_are_what_the_hub_makes(self, made, tmp_path, monkeypatch):
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
        place = tmp_path / "models--someone--tiny"
        shutil.copytree(made[0], place / "snapshots" / "abc")
        (place / "blobs").mkdir()
        weights = place / "snapshots" / "abc" / "vae" / "diffusion_pytorch_model.safetensors"
        weights.rename(place / "blobs" / "1234")
        weights.symlink_to(Path("..", "..", "..", "blobs", "1234"))
        assert [entry.reason for entry in catalogue.entries()] == [""]
        (place / "refs").mkdir()
        for text in ("../../../outside", "a" * 100_000, "\0"):
            (place / "refs" / "main").write_text(text)
            assert [entry.reason for entry in catalogue.entries()] == [""], "the newest revision is taken"
        weights.unlink()
        weights.symlink_to(made[0] / "vae" / weights.name)
        assert "leads out" in catalogue.entries()[0].reason
