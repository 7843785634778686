"""MoGe-2, Depth Anything 3 and Prompt Depth Anything, from small files of the published form with random weights.

The values of `AUTHORS` are what the authors' own programs give for the same weights and picture: microsoft/MoGe at
0744441, ByteDance-Seed/Depth-Anything-3 at 2c21ea8.
"""

import contextlib
import json
import random
import shutil
import struct
from pathlib import Path

import depth_models
import models
import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from core.camera import Camera
from core.errors import EngineUnavailable
from core.protocol.licences import is_non_commercial
from core.protocol.model_offers import OFFERS, SETS
from dreamzoom import cli
from dreamzoom.engines.diffusion import catalogue, download, memory, model_validation
from dreamzoom.engines.diffusion.depth import Depth
from dreamzoom.engines.diffusion.depth_networks import depth_anything_3, dinov2, far, moge, prompt, shapes
from dreamzoom.engines.diffusion.loading import Placement
from dreamzoom.geometry.view import DepthKind
from dreamzoom.progress import Report
from dreamzoom.request.example import example

torch.set_num_threads(1)

CPU = Placement(torch.device("cpu"), torch.float32)
PLACES = [10, 45, 80], [100, 60, 20]
AUTHORS = {
    "da3-small": [0.17178590, 0.44319769, 0.92084836],
    "da3mono-large": [0.81861340, 1.37492406, 1.35535359],
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Folders of models by name, each made once."""
    folder, there = tmp_path_factory.mktemp("models"), {}

    def make(name):
        if name not in there:
            own = {"da3mono-large", "da3metric-large"}
            place = folder / name
            there[name] = (
                depth_models.depth_anything_3(place, name)
                if name in own
                else (models.PAINTERS | models.DEPTHS)[name](place)
            )
        return there[name]

    return make


def picture(height, width):
    """(1, 3, H, W), the same smooth picture as was shown to the authors' programs."""
    y, x = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    return torch.stack([x, y, (x * 7).sin() * (y * 5).cos() * 0.5 + 0.5])[None]


def camera_of(width, height, degrees):
    """A camera at the origin with a horizontal field of view."""
    focal = width / 2 / np.tan(np.radians(degrees / 2))
    return Camera(width, height, focal, focal, width / 2, height / 2, np.eye(4))


def checked(folder):
    return model_validation.depth_model(Path(folder))


def loaded(folder):
    model = checked(folder)
    return (moge if model.family.name == "moge-2" else depth_anything_3).load(
        model.files[0], model.sizes, torch.float32
    )


class TestSameAsTheAuthors:
    @pytest.mark.parametrize("name", AUTHORS)
    def test_depth_anything_3(self, made, name):
        with torch.no_grad():
            found, _ = loaded(made(name))(dinov2.normalised(picture(98, 126)))
        np.testing.assert_allclose(found[0][PLACES], AUTHORS[name], rtol=1e-4)

    def test_moge(self, tmp_path):
        depth_models.moge_tensors().save(tmp_path / "model.safetensors")
        with torch.no_grad():
            points, mask, scale = loaded(tmp_path)(picture(90, 120), (30, 40))
        np.testing.assert_allclose(
            points[0][PLACES],
            [[6.592048, -4.303038, 5.769064], [1.654128, 1.336313, 1.154895], [4.414233, 8.807700, 5.042184]],
            rtol=1e-4,
        )
        np.testing.assert_allclose(mask[0][PLACES], [0.544222, 0.428723, 0.456339], rtol=1e-4)
        np.testing.assert_allclose(scale, [1.079773], rtol=1e-4)

    def test_the_transformer_is_that_of_transformers(self):
        """On the grid that it was trained on, where position embeddings are not scaled."""
        tensors = depth_models.Tensors()
        tensors.dinov2("", 2, side=8)
        own = dinov2.Dinov2(shapes.Backbone(64, 2, 256, 8, 1e-6, 2, 2, 2))
        own.load_state_dict(tensors)
        theirs = transformers.Dinov2Model(
            transformers.Dinov2Config(hidden_size=64, num_hidden_layers=2, num_attention_heads=1, image_size=112)
        ).eval()
        assert not theirs.load_state_dict(_their_names(tensors, 2), strict=False).unexpected_keys
        shown = torch.randn(1, 3, 112, 112, generator=torch.Generator().manual_seed(1))
        with torch.no_grad():
            [(_, tokens)] = own(shown, [1])
            torch.testing.assert_close(own.norm(tokens), theirs(shown).last_hidden_state, rtol=1e-4, atol=1e-4)


def _their_names(tensors, depth):
    """The names that `transformers` has for the same tensors."""
    names = {"patch_embed.proj": "embeddings.patch_embeddings.projection", "norm": "layernorm"}
    found = {
        "embeddings.cls_token": tensors["cls_token"],
        "embeddings.position_embeddings": tensors["pos_embed"],
    }
    for index in range(depth):
        here, there = f"blocks.{index}", f"encoder.layer.{index}"
        names |= {f"{here}.{name}": f"{there}.{name}" for name in ("norm1", "norm2", "mlp.fc1", "mlp.fc2")}
        names[f"{here}.attn.proj"] = f"{there}.attention.o_proj"
        for number in (1, 2):
            found[f"{there}.layer_scale{number}.lambda1"] = tensors[f"{here}.ls{number}.gamma"]
        for kind in ("weight", "bias"):
            parts = tensors[f"{here}.attn.qkv.{kind}"].chunk(3)
            found |= {f"{there}.attention.{n}_proj.{kind}": part for n, part in zip("qkv", parts)}
    for own, theirs in names.items():
        found |= {f"{theirs}.{kind}": tensors[f"{own}.{kind}"] for kind in ("weight", "bias")}
    return found


class TestFieldOfView:
    @pytest.mark.parametrize(("degrees", "tilt"), [(20, 0.0), (50, 0.6), (90, -0.4)])
    def test_points_of_a_plane_find_back_to_the_plane(self, degrees, tilt):
        """A shift along z is all that a point map lacks once the field of view is known."""
        camera = camera_of(160, 120, degrees)
        rays = camera.rays()
        depth = 3.0 / (1 + tilt * rays[..., 1])
        points = torch.from_numpy(rays * depth[..., None] - [0, 0, 1.7])
        valid = torch.ones(120, 160, dtype=torch.bool)
        valid[:30] = False
        points[:30] = 1e3
        assert moge.shift_of(points, valid, camera) == pytest.approx(1.7, abs=1e-4)

    def test_the_network_is_told_the_cameras_field_of_view(self, tmp_path):
        """Weights that make every picture points of a plane, (a u, a v, 1): with the focal length f, measured in halves
        of the diagonal, they lie at f a. A mask that is 0 leaves all of it.
        """
        tensors = depth_models.moge_tensors()
        for name, tensor in tensors.items():
            if not name.startswith("encoder."):
                tensor.zero_()
        for name in ("neck", "points_head"):
            entry = tensors[f"{name}.input_blocks.4.weight"]
            for axis in range(2):
                entry[axis, axis] = 1
        out = tensors["points_head.output_blocks.4.weight"]
        out[0, 0] = out[1, 1] = 2.0
        tensors["scale_head.4.bias"][:] = np.log(5.0)
        tensors.save(tmp_path / "model.safetensors")
        network = loaded(tmp_path)
        for degrees in (30, 60):
            camera = camera_of(140, 100, degrees)
            with torch.no_grad():
                depth = network.depth(picture(100, 140), camera)
            wanted = 5.0 * 2.0 * camera.fx / (np.hypot(140, 100) / 2)
            np.testing.assert_allclose(depth, wanted, rtol=2e-3)

    def test_the_metric_model_is_told_the_focal_length(self, made):
        network, shown = loaded(made("da3metric-large")), picture(28, 252)
        with torch.no_grad():
            wide, narrow = (network.depth(shown, camera_of(252, 28, degrees)) for degrees in (90, 53.130102))
        torch.testing.assert_close(narrow, 2 * wide, rtol=1e-4, atol=1e-6)


class TestFar:
    def test_the_sky_is_as_far_as_the_farthest_of_the_rest(self):
        depth = torch.arange(1.0, 401.0).reshape(20, 20)
        near = depth <= 300
        found = far.with_far(depth, near)
        assert torch.equal(found[near], depth[near])
        assert found[~near].unique().tolist() == pytest.approx([297.01])

    def test_where_all_or_nothing_is_sky_the_depth_stays(self):
        depth = torch.rand(20, 20)
        for near in (torch.zeros(20, 20, dtype=torch.bool), torch.ones(20, 20, dtype=torch.bool)):
            assert torch.equal(far.with_far(depth, near), depth)


class TestKinds:
    @pytest.mark.parametrize(
        ("name", "kind", "answered"),
        [
            ("moge", DepthKind.METRIC, DepthKind.SCALE),
            ("da3-small", DepthKind.SCALE, DepthKind.SCALE),
            ("da3mono-large", DepthKind.AFFINE, DepthKind.AFFINE),
            ("da3metric-large", DepthKind.METRIC, DepthKind.SCALE),
        ],
    )
    def test_values_are_told_with_what_they_mean(self, made, name, kind, answered):
        model = checked(made(name))
        assert model.kind == kind
        rgb = np.ascontiguousarray(picture(20, 160)[0].permute(1, 2, 0))
        found = Depth.load(model, CPU)(rgb, camera_of(160, 20, 50), 1, "000/anchor", Report())
        assert (found.kind, found.values.shape) == (answered, (20, 160))
        assert np.isfinite(found.values).all() and found.values.std() > 0

    def test_depth_is_computed_finer_than_in_the_cards_bfloat16(self, made):
        coarse = Placement(torch.device("cpu"), torch.bfloat16)
        for name in ("moge", "prompt-depth-anything"):
            assert next(Depth.load(checked(made(name)), coarse).network.parameters()).dtype == torch.float32


@pytest.fixture(scope="module")
def depth(made):
    return Depth.load(checked(made("prompt-depth-anything")), CPU)


class TestMemory:
    def test_the_plan_counts_every_number_of_the_weights(self, made, depth):
        model = checked(made("prompt-depth-anything"))
        numbers = sum(parameter.numel() for parameter in depth.network.parameters())
        whole, half = (
            memory.depth_plan(model, Placement(CPU.device, dtype), 4096) for dtype in (torch.float32, torch.float16)
        )
        assert (whole.weights, half.weights) == (4 * numbers, 2 * numbers)
        assert whole.peak == 2 * half.peak > whole.weights


class TestPrompt:
    def look(self, depth, known):
        rgb = np.ascontiguousarray(picture(60, 80)[0].permute(1, 2, 0))
        return depth(rgb, camera_of(80, 60, 50), 1, "001/anchor", Report(), known)

    def test_known_depth_sets_the_scale_within_the_network(self, depth):
        known = np.broadcast_to(np.linspace(2, 4, 60)[:, None], (60, 80))
        near, far_away = self.look(depth, known), self.look(depth, 1000 * known)
        assert near.kind == far_away.kind == DepthKind.METRIC
        assert 2 <= near.values.min() < near.values.max() <= 4
        np.testing.assert_allclose(far_away.values, 1000 * near.values, rtol=1e-4)

    def test_its_relief_reaches_the_network(self, depth):
        down = np.broadcast_to(np.linspace(2, 4, 60)[:, None], (60, 80))
        across = np.broadcast_to(np.linspace(2, 4, 80)[None], (60, 80))
        assert np.abs(self.look(depth, down).values - self.look(depth, across).values).max() > 1e-3

    def test_unknown_pixels_and_outliers_do_not_matter(self, depth):
        known = np.tile(np.linspace(2, 4, 80, dtype=np.float32), (60, 1))
        holes = known.copy()
        holes[20:40, 30:50] = np.inf
        holes[50:, :10] = np.nan
        holes[0, 0] = 1e10
        found, whole = self.look(depth, holes).values, self.look(depth, known).values
        assert np.isfinite(found).all()
        np.testing.assert_allclose(found, whole, rtol=0.1)

    @pytest.mark.parametrize("known", [None, np.full((60, 80), np.inf), np.full((60, 80), 3.0)], ids=str)
    def test_without_relief_to_follow_it_looks_at_the_picture_alone(self, depth, known):
        assert self.look(depth, known).kind == DepthKind.AFFINE

    def test_the_prompt_is_the_known_depth_reduced(self):
        known = np.tile(np.linspace(2, 4, 80, dtype=np.float32), (60, 1))
        found = prompt.prompt_of(known, (56, 84))
        assert found.shape == (14, 21)
        np.testing.assert_allclose(found[7], np.linspace(2, 4, 21), atol=0.06)

    @pytest.mark.slow
    def test_the_parent_levels_depth_is_the_prompt_in_a_job(self, made, tmp_path):
        seen = []

        def hook(module, inputs):
            if type(module).__name__ == "PromptDepthAnythingLayer":
                seen.append(inputs[0])

        request = example(2, (64, 64)) | {"quality": "draft"}
        depth = str(made("prompt-depth-anything"))
        request["engine"] = {"name": "diffusion", "model": str(made("sd")), "depth_model": depth, "steps": 2}
        (tmp_path / "request.json").write_text(json.dumps(request))
        handle = torch.nn.modules.module.register_module_forward_pre_hook(hook)
        try:
            assert cli.main(["generate", str(tmp_path / "request.json"), "--out", str(tmp_path / "job")]) == 0
        finally:
            handle.remove()
        result = json.loads((tmp_path / "job" / "result.json").read_text())
        assert result["engine"]["depth_model"]["family"] == "prompt-depth-anything"
        assert seen, "level 1 knows the depth of level 0"
        assert all(values.min() >= 0 and values.max() <= 1 + 1e-6 for values in seen)


def change(file, **tensors):
    """Replace tensors of a file, or remove those that are None."""
    found = load_file(file) | tensors
    save_file({name: tensor for name, tensor in found.items() if tensor is not None}, file)


class TestRefusals:
    @pytest.fixture
    def copy(self, made, tmp_path):
        return lambda name: Path(shutil.copytree(made(name), tmp_path / name))

    def refused(self, folder, word):
        assert word in catalogue.entry("model", folder).reason
        with pytest.raises(EngineUnavailable):
            checked(folder)

    def test_pickles_are_not_opened_and_the_safe_file_is_named(self, tmp_path):
        (tmp_path / "model.pt").write_bytes(b"\x80\x04cos\nsystem\n.")
        self.refused(tmp_path, "pickle")

    def test_another_version_of_moge(self, copy):
        folder = copy("moge")
        file = next(folder.rglob("*.safetensors"))
        change(file, **{"refiner.0.weight": torch.zeros(2)})
        self.refused(folder, "another version")

    @pytest.mark.parametrize("name", ["da3-giant", "da3nested-giant-large", "da3", 3, None])
    def test_kinds_of_depth_anything_3_that_are_not_for_this(self, copy, name):
        folder = copy("da3-small")
        (folder / "config.json").write_text(json.dumps({"model_name": name}))
        self.refused(folder, "depth model that is known" if not isinstance(name, str) else "can't be loaded here")

    @pytest.mark.parametrize(
        ("name", "tensor", "value"),
        [
            ("da3-small", "model.backbone.pretrained.pos_embed", torch.zeros(1, 12, 64)),
            ("da3-small", "model.backbone.pretrained.patch_embed.proj.weight", torch.zeros(64, 3, 16, 16)),
            ("da3-small", "model.backbone.pretrained.blocks.99999.norm1.weight", torch.zeros(64)),
            ("da3-small", "model.backbone.pretrained.blocks.0.mlp.w12.weight", torch.zeros(64)),
            ("da3-small", "model.head.projects.2.weight", None),
            ("moge", "encoder.backbone.pos_embed", torch.zeros(0, 0, 0)),
            ("moge", "scale_head.4.weight", torch.zeros(2, 64)),
            ("moge", "neck.input_blocks.0.weight", torch.zeros(16, 99, 1, 1)),
            ("moge", "mask_head.output_blocks.4.weight", None),
        ],
    )
    def test_sizes_that_do_not_fit_are_found_before_loading(self, copy, name, tensor, value):
        folder = copy(name)
        change(next(folder.rglob("*.safetensors")), **{tensor: value})
        assert catalogue.entry("model", folder).reason
        with pytest.raises(EngineUnavailable):
            checked(folder)

    @pytest.mark.parametrize(
        ("tensor", "value", "word"),
        [
            ("model.head.scratch.output_conv1.bias", None, "lacks 1 of the tensors"),
            ("model.backbone.pretrained.blocks.3.ls1.gamma", torch.zeros(65), "has the shape"),
            ("model.backbone.pretrained.blocks.3.ls1.gamma", torch.zeros(64, dtype=torch.int64), "has the shape"),
        ],
    )
    def test_each_tensor_is_compared_before_any_is_read(self, copy, tensor, value, word):
        folder = copy("da3-small")
        change(folder / "model.safetensors", **{tensor: value})
        with pytest.raises(EngineUnavailable, match=word):
            loaded(folder)

    @pytest.mark.parametrize("name", ["moge", "da3-small"])
    def test_a_header_with_any_damage_is_answered(self, copy, name):
        folder = copy(name)
        file = next(folder.rglob("*.safetensors"))
        whole, rng = file.read_bytes(), random.Random(name)
        length = struct.unpack("<Q", whole[:8])[0]
        accepted = 0
        for _ in range(120):
            data = bytearray(whole)
            for _ in range(rng.randrange(1, 6)):
                data[rng.randrange(8 + length)] = rng.choice(b'0123456789"[],:{}aF')
            file.write_bytes(data)
            if catalogue.entry("model", folder).reason:
                continue
            accepted += 1
            with contextlib.suppress(EngineUnavailable):
                loaded(folder)
        assert accepted < 120


class TestListing:
    def test_each_is_told_with_size_and_licence(self, made):
        for name, family, licence in (("moge", "moge-2", "mit"), ("da3mono-large", "depth-anything-3", "apache-2.0")):
            entry = catalogue.entry(name, made(name))
            assert (entry.use, entry.family, entry.licence) == ("depth", family, licence)
            assert entry.bytes > 100_000 and entry.precision in ("float16", "float32")
        assert catalogue.entry("x", made("prompt-depth-anything")).abilities == ("depth (affine)", "known depth")

    def test_one_that_is_not_for_commercial_use_is_marked(self, made, tmp_path, capsys):
        shutil.copytree(made("da3-small"), tmp_path / "one")
        (tmp_path / "one" / "README.md").write_text("---\nlicense: cc-by-nc-4.0\n---\n")
        shutil.copytree(made("moge"), tmp_path / "two")
        assert cli.main(["models", "--folder", str(tmp_path)]) == 0
        first, second = capsys.readouterr().out.splitlines()
        assert "cc-by-nc-4.0, not for commercial use" in first
        assert "mit" in second and "commercial" not in second

    @pytest.mark.parametrize(
        ("licence", "limited"),
        [
            ("cc-by-nc-4.0", True), ("CC BY-NC 4.0", True), ("cc-by-nc", True), ("apple-amlr", True),
            ("flux-1-dev-non-commercial-license", True), ("apache-2.0", False), ("mit", False), ("openrail++", False),
            ("", False), ("nvidia-open-model-license", False),
        ],
    )  # fmt: skip
    def test_licences(self, licence, limited):
        assert is_non_commercial(licence) is limited

    def test_of_a_repository_of_several_models_one_is_fetched(self):
        names = ["README.md", *OFFERS["moge"].files, "geometry_estimation/moge_1_vitl_fp16.safetensors", "a.py"]
        found = download.wanted_files([download.File(name, 1, "") for name in names], OFFERS["moge"].files)
        assert [file.name for file in found] == ["README.md", *OFFERS["moge"].files]

    def test_every_offer_has_a_repository_and_a_name_for_artists(self):
        assert all(offer.repository.count("/") == 1 and offer.label and offer.about for offer in OFFERS.values())
        assert all(OFFERS[part].use in ("picture", "depth") for parts in SETS.values() for part in parts)
