"""Small MoGe-2 and Depth Anything 3 with random weights, in the format of the published files.

Names and shapes are written down here as they stand in the authors' programs, not taken from the server's own networks:
`moge/model/v2.py`, `modules.py` and `configs/train/v2.json` of microsoft/MoGe at 0744441, whose tensors the hub has as
safetensors in Comfy-Org/MoGe; `model/dinov2`, `model/dpt.py`, `model/dualdpt.py` and `configs/da3*.yaml` of
ByteDance-Seed/Depth-Anything-3 at 2c21ea8, whose models on the hub are `config.json` and `model.safetensors`.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import torch
from safetensors.torch import save_file

WIDTH = 64
"""Numbers per token: one head."""
SIDE = 37
"""Position embeddings are for pictures of 37 × 37 patches of 14 pixels."""


class Tensors(dict):
    """Random tensors by name; weights have the size that keeps what goes through them of order 1."""

    def __init__(self, seed: int = 0):
        super().__init__()
        self.generator = torch.Generator().manual_seed(seed)

    def add(self, name: str, *shape: int, spread: float = 1.0, middle: float = 0.0) -> None:
        self[name] = middle + spread * torch.randn(shape, generator=self.generator)

    def layer(self, name: str, *shape: int, bias: bool = True, transposed: bool = False) -> None:
        """Weight and bias of a linear layer or convolution, (out, in, …), or (in, out, …) if transposed."""
        self.add(f"{name}.weight", *shape, spread=1 / math.sqrt(math.prod(shape[1:])))
        if bias:
            self.add(f"{name}.bias", shape[1] if transposed else shape[0], spread=0.1)

    def norm(self, name: str, width: int) -> None:
        self.add(f"{name}.weight", width, spread=0.1, middle=1.0)
        self.add(f"{name}.bias", width, spread=0.1)

    def dinov2(self, prefix: str, depth: int, views_from: int | None = None, side: int = SIDE) -> None:
        """The transformer; from `views_from` on with what Depth Anything 3 adds for several views."""
        self.layer(f"{prefix}patch_embed.proj", WIDTH, 3, 14, 14)
        self.add(f"{prefix}cls_token", 1, 1, WIDTH)
        self.add(f"{prefix}pos_embed", 1, side * side + 1, WIDTH, spread=0.3)
        if views_from is not None:
            self.add(f"{prefix}camera_token", 1, 2, WIDTH)
        for index in range(depth):
            block = f"{prefix}blocks.{index}"
            for name in ("norm1", "norm2"):
                self.norm(f"{block}.{name}", WIDTH)
            self.layer(f"{block}.attn.qkv", 3 * WIDTH, WIDTH)
            self.layer(f"{block}.attn.proj", WIDTH, WIDTH)
            if views_from is not None and index >= views_from:
                self.norm(f"{block}.attn.q_norm", 64)
                self.norm(f"{block}.attn.k_norm", 64)
            self.layer(f"{block}.mlp.fc1", 4 * WIDTH, WIDTH)
            self.layer(f"{block}.mlp.fc2", WIDTH, 4 * WIDTH)
            for name in ("ls1", "ls2"):
                self.add(f"{block}.{name}.gamma", WIDTH, spread=0.1, middle=0.5)
        self.norm(f"{prefix}norm", WIDTH)

    def save(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        save_file({name: tensor.contiguous() for name, tensor in self.items()}, file)


def moge(folder: Path, *, depth: int = 12, name: str = "moge_2_vitl_normal_fp16") -> Path:
    """MoGe-2 in small, as the hub has it: one file in `geometry_estimation`, in float16, without a configuration."""
    found = moge_tensors(depth)
    for key in found:
        found[key] = found[key].half()
    found.save(folder / "geometry_estimation" / f"{name}.safetensors")
    (folder / "README.md").write_text("---\nlicense: mit\ntags:\n- comfyui\n---\n", encoding="utf-8")
    return folder


MOGE_WIDTHS, MOGE_FEATURES = (16, 8, 8, 4, 4), 16
MOGE_CONFIG = {
    "encoder": {"backbone": "dinov2_vits14", "intermediate_layers": [2, 5, 8, 11], "dim_out": MOGE_FEATURES},
    "neck": {
        "dim_in": [MOGE_FEATURES + 2, 2, 2, 2, 2], "dim_out": None, "dim_res_blocks": list(MOGE_WIDTHS),
        "num_res_blocks": [0, 2, 2, 2, 0],
    },
    "points_head": {"dim_in": list(MOGE_WIDTHS), "dim_out": [None, None, None, None, 3]},
    "mask_head": {"dim_in": list(MOGE_WIDTHS), "dim_out": [None, None, None, None, 1]},
    "normal_head": {"dim_in": list(MOGE_WIDTHS), "dim_out": [None, None, None, None, 3]},
    "scale_head": {"dims": [WIDTH, WIDTH, WIDTH, 1]},
    "remap_output": "exp",
    "num_tokens_range": [1200, 3600],
}  # fmt: skip
"""The configuration of the published models in small, as the authors' program takes it; all stacks also have
`res_block_in_norm` and `res_block_hidden_norm` "none" and `resamplers` "conv_transpose" three times and "bilinear"."""


def moge_tensors(depth: int = 12) -> Tensors:
    """The tensors of MoGe-2 by their published names."""
    found = Tensors()
    found.dinov2("encoder.backbone.", depth)
    found.add("encoder.backbone.mask_token", 1, WIDTH)
    found["encoder.image_mean"] = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    found["encoder.image_std"] = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    for index in range(4):
        found.layer(f"encoder.output_projections.{index}", MOGE_FEATURES, WIDTH, 1, 1)
    for name in ("neck", "points_head", "normal_head", "mask_head"):
        _conv_stack(found, name, (0, 2, 2, 2, 0) if name == "neck" else (0, 1, 1, 1, 0))
    for number, out in ((0, WIDTH), (2, WIDTH), (4, 1)):
        found.layer(f"scale_head.{number}", out, WIDTH)
    return found


def _conv_stack(found: Tensors, name: str, blocks: tuple[int, ...]) -> None:
    for index, width in enumerate(MOGE_WIDTHS):
        entry = (MOGE_FEATURES + 2 if index == 0 else 2) if name == "neck" else width
        found.layer(f"{name}.input_blocks.{index}", width, entry, 1, 1)
        for block in range(blocks[index]):
            for layer in (2, 5):
                found.layer(f"{name}.res_blocks.{index}.{block}.layers.{layer}", width, width, 3, 3)
    for index, (width, finer) in enumerate(zip(MOGE_WIDTHS, MOGE_WIDTHS[1:])):
        if index < 3:
            found.layer(f"{name}.resamplers.{index}.0", width, finer, 2, 2, transposed=True)
        found.layer(f"{name}.resamplers.{index}.1", finer, finer if index < 3 else width, 3, 3)
    out = {"neck": 0, "mask_head": 1}.get(name, 3)
    if out:
        found.layer(f"{name}.output_blocks.4", out, MOGE_WIDTHS[-1], 1, 1)


DA3_CHANNELS, DA3_FEATURES = (8, 8, 16, 16), 16


def depth_anything_3(folder: Path, name: str = "da3-small") -> Path:
    """Depth Anything 3 in small: for several views (da3-small), or for one (da3mono-large, da3metric-large)."""
    da3_tensors(name).save(folder / "model.safetensors")
    head = {"features": DA3_FEATURES, "out_channels": list(DA3_CHANNELS)}
    config = {"config": {"net": {"name": "vits" if name == "da3-small" else "vitl"}, "head": head}, "model_name": name}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n", encoding="utf-8")
    return folder


def da3_tensors(name: str) -> Tensors:
    """The tensors of Depth Anything 3 by their published names, some of those for rays and cameras with them."""
    found, several = Tensors(), name == "da3-small"
    found.dinov2("model.backbone.pretrained.", 12 if several else 24, 4 if several else None)
    width = 2 * WIDTH if several else WIDTH
    if several:
        found.norm("model.head.norm", width)
        found.layer("model.head.scratch.output_conv1_aux.0.0", DA3_FEATURES // 2, DA3_FEATURES, 3, 3)
        found.layer("model.cam_dec.fc_t", 3, width)
    for index, count in enumerate(DA3_CHANNELS):
        found.layer(f"model.head.projects.{index}", count, width, 1, 1)
        found.layer(f"model.head.scratch.layer{index + 1}_rn", DA3_FEATURES, count, 3, 3, bias=False)
        fusion = f"model.head.scratch.refinenet{index + 1}"
        for unit in ("resConfUnit1", "resConfUnit2") if index < 3 else ("resConfUnit2",):
            for layer in ("conv1", "conv2"):
                found.layer(f"{fusion}.{unit}.{layer}", DA3_FEATURES, DA3_FEATURES, 3, 3)
        found.layer(f"{fusion}.out_conv", DA3_FEATURES, DA3_FEATURES, 1, 1)
    first, second, _, last = DA3_CHANNELS
    found.layer("model.head.resize_layers.0", first, first, 4, 4, transposed=True)
    found.layer("model.head.resize_layers.1", second, second, 2, 2, transposed=True)
    found.layer("model.head.resize_layers.3", last, last, 3, 3)
    found.layer("model.head.scratch.output_conv1", DA3_FEATURES // 2, DA3_FEATURES, 3, 3)
    for output in ("output_conv2",) if several else ("output_conv2", "sky_output_conv2"):
        found.layer(f"model.head.scratch.{output}.0", 32, DA3_FEATURES // 2, 3, 3)
        found.layer(f"model.head.scratch.{output}.2", 2 if several else 1, 32, 1, 1)
    return found
