"""Estimates the memory of a run, chooses an offload mode, and reduces the memory use when memory runs out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import psutil
import torch

from dreamzoom.engines.diffusion.loading import Placement
from dreamzoom.engines.diffusion.model_files import reading
from dreamzoom.engines.diffusion.model_files.settings import whole_numbers
from dreamzoom.engines.diffusion.model_validation import DepthModel, Model

GIB = 1 << 30
SHARE = 0.9
"""Share of the free memory that a plan may use."""
TIGHT = 0.6
"""If a plan uses more than this share of the free memory, text encoders are moved to main memory after use."""
DEPTH_WORK = 2400
"""Bytes that a depth model needs beside its weights for each pixel that it sees, in 32 bits; measured: Depth Anything 3
Small 750, Mono 1770, MoGe-2 2140 to 2390."""
DEPTH_PIXELS = (500**2, 840**2)
"""Depth models see pictures of about so many pixels, fewest and most."""
STEPS_DOWN = {"none": "model", "model": "sequential"}


@dataclass(frozen=True)
class Plan:
    """The expected memory use.

    Attributes:
        offload: "none": all parts stay on the device. "model": only the active part. "sequential": only the active
            layer.
        weights, largest: Bytes of the weights of all parts, and of the largest part.
        work: Estimated bytes that a picture needs besides the weights.
        free: Bytes that are currently free.
    """

    offload: str
    weights: int
    largest: int
    work: int
    free: int

    @property
    def peak(self) -> int:
        """Estimated peak memory in bytes."""
        held = {"none": self.weights, "model": self.largest, "sequential": self.largest // 20}[self.offload]
        return held + self.work

    def line(self, name: str, where: Placement) -> str:
        """The plan as one log line."""
        offload = "" if self.offload == "none" else f", with {self.offload} offload"
        kind = str(where.dtype).removeprefix("torch.")
        return (
            f"{name} on {where.device.type} in {kind}{offload}: needs about {self.peak / GIB:.1f} GB,"
            f" {self.free / GIB:.1f} GB free"
        )


def plan(model: Model, where: Placement, wanted: str, pixels: int, batch: int, edits: bool = False) -> Plan:
    """Choose the offload mode for a model.

    Args:
        model: A validated model.
        where: Device and precision.
        wanted: "auto" or one of the values of Plan.offload. On the CPU there is no offload.
        pixels: Pixels of the largest picture that is painted at once.
        batch: Latents in one call of the network.
        edits: Whether the model is shown each picture beside the one that it paints, which doubles its latents.
    """
    sizes = part_bytes(model, where.dtype)
    work = working_bytes(model, where.dtype, pixels, batch, 2 if edits else 1)
    free = free_bytes(where.device)
    plans = [
        Plan(kind, sum(sizes.values()), max(sizes.values()), work, free) for kind in ("none", "model", "sequential")
    ]
    if where.device.type != "cuda":
        return plans[0]
    if wanted != "auto":
        return next(one for one in plans if one.offload == wanted)
    return next((one for one in plans if one.peak <= SHARE * free), plans[-1])


def depth_plan(model: DepthModel, where: Placement, pixels: int) -> Plan:
    """The memory that a depth model is expected to need; it is always whole on the device.

    Args:
        model: A checked model.
        where: Device and precision.
        pixels: Of the largest picture.
    """
    weights = where.dtype.itemsize * sum(
        reading.numbers_in(entry) for file in model.files for entry in reading.tensors(file).values()
    )
    seen = min(max(pixels, DEPTH_PIXELS[0]), DEPTH_PIXELS[1])
    work = DEPTH_WORK * seen * where.dtype.itemsize // 4
    return Plan("none", weights, weights, work, free_bytes(where.device))


def lower(chosen: Plan, device: torch.device) -> Plan:
    """The next plan that needs less memory, where the device is not main memory."""
    if device.type == "cuda" and chosen.offload in STEPS_DOWN:
        return replace(chosen, offload=STEPS_DOWN[chosen.offload])
    return chosen


def part_bytes(model: Model, dtype: torch.dtype) -> dict[str, int]:
    """Bytes of each part's weights at a precision, read from the headers of its files."""
    found = {}
    for name, component in model.components.items():
        count = 0
        for file in component.folder.glob("*.safetensors"):
            for entry in reading.tensors(file).values():
                count += reading.numbers_in(entry)
        if count:
            found[name] = count * dtype.itemsize
    return found


def working_bytes(model: Model, dtype: torch.dtype, pixels: int, batch: int, pictures: int = 1) -> int:
    """Estimated bytes for decoding or denoising a picture, whichever is larger.

    The autoencoder's last layers hold about ten activations at full resolution with its first width; a network about 24
    times its widest layer for every latent (with guidance, two per picture), of so many `pictures` side by side. A
    pipeline that scales its pictures works on their native number of pixels at least.
    """
    vae, network = model.config("vae"), model.config(model.family.network)
    first = (whole_numbers(vae.get("block_out_channels")) or [_number(vae, "base_dim", 128)])[0]
    widths = whole_numbers(network.get("block_out_channels")) or [
        _number(network, "dim", 0)
        or _number(network, "attention_head_dim", 64) * _number(network, "num_attention_heads", 24)
    ]
    edit = model.family.edit
    if edit is not None and edit.scales:
        pixels = max(pixels, model.family.native**2)
    decode = 10 * pixels * first * dtype.itemsize
    denoise = 24 * pictures * (pixels // 64) * max(widths) * dtype.itemsize * 2 * batch
    return max(decode, denoise)


def _number(config: dict[str, Any], key: str, otherwise: int) -> int:
    """A positive whole number of a configuration."""
    value = config.get(key)
    return value if type(value) is int and value > 0 else otherwise


def free_bytes(device: torch.device) -> int:
    """Free memory of a device, in bytes."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    return psutil.virtual_memory().available


def place_pipeline(pipe: Any, offload: str, device: torch.device) -> None:
    """Apply an offload mode to a pipeline, replacing the current one."""
    pipe.remove_all_hooks()
    if offload == "none":
        pipe.to(device)
        return
    pipe.to("cpu")
    if offload == "model":
        pipe.enable_model_cpu_offload(device=device)
    else:
        pipe.enable_sequential_cpu_offload(device=device)


def save_memory(pipe: Any) -> None:
    """Decode in tiles and one picture at a time; slice attention except on CUDA, whose kernels need no more memory."""
    for name in ("enable_tiling", "enable_slicing"):
        if hasattr(pipe.vae, name):
            getattr(pipe.vae, name)()
    if pipe._execution_device.type != "cuda":
        pipe.enable_attention_slicing()


def ran_out(error: RuntimeError) -> bool:
    """Whether an error means that a device is out of memory; not every backend has its own exception class for that."""
    return isinstance(error, torch.OutOfMemoryError) or "out of memory" in str(error).lower()


def release() -> None:
    """Free unused memory."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()
