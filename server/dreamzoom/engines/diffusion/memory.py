"""What a run will need, where its parts stay, and the one step down when memory runs out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psutil
import torch

from dreamzoom.engines.diffusion import check
from dreamzoom.engines.diffusion.check import Model
from dreamzoom.engines.diffusion.loading import Placement

GIB = 1 << 30
SHARE = 0.9
"""Of the free memory that a plan may count on."""
TIGHT = 0.6
"""From this share of the free memory on, text encoders rest in main memory once they have read."""
STEPS_DOWN = {"none": "model", "model": "sequential"}


@dataclass(frozen=True)
class Plan:
    """What is expected.

    Attributes:
        offload: "none": all parts stay on the device. "model": only the part that works. "sequential": only the layer
            that works.
        weights, largest: Bytes of all parts, and of the largest one.
        work: Bytes that a picture takes beside the weights, about.
        free: Bytes that are free now.
    """

    offload: str
    weights: int
    largest: int
    work: int
    free: int

    @property
    def peak(self) -> int:
        """Bytes at most, about."""
        held = {"none": self.weights, "model": self.largest, "sequential": self.largest // 20}[self.offload]
        return held + self.work

    def line(self, name: str, where: Placement) -> str:
        """The plan as one line."""
        offload = "" if self.offload == "none" else f", with {self.offload} offload"
        kind = str(where.dtype).removeprefix("torch.")
        return (
            f"{name} on {where.device.type} in {kind}{offload}: about {self.peak / GIB:.1f} GB at most,"
            f" {self.free / GIB:.1f} GB free"
        )


def plan(model: Model, where: Placement, wanted: str, pixels: int, batch: int) -> Plan:
    """Where the parts of a model should stay.

    Args:
        model: Checked.
        where: Device and precision.
        wanted: "auto" or one of Plan.offload. On the CPU there is nowhere to put parts.
        pixels: Of the largest picture in one piece.
        batch: Latents in one call of the network.
    """
    sizes = part_bytes(model, where.dtype)
    work = working_bytes(model, where.dtype, pixels, batch)
    free = free_bytes(where.device)
    plans = [
        Plan(kind, sum(sizes.values()), max(sizes.values()), work, free) for kind in ("none", "model", "sequential")
    ]
    if where.device.type != "cuda":
        return plans[0]
    if wanted != "auto":
        return next(one for one in plans if one.offload == wanted)
    return next((one for one in plans if one.peak <= SHARE * free), plans[-1])


def part_bytes(model: Model, dtype: torch.dtype) -> dict[str, int]:
    """Bytes of each part's weights at a precision, from the headers of its files."""
    found = {}
    for name, component in model.components.items():
        count = 0
        for file in component.folder.glob("*.safetensors"):
            for entry in check.tensors(file).values():
                size = 1
                for side in entry["shape"]:
                    size *= side
                count += size
        if count:
            found[name] = count * dtype.itemsize
    return found


def working_bytes(model: Model, dtype: torch.dtype, pixels: int, batch: int) -> int:
    """About what a picture takes while it is decoded or denoised, whichever is more.

    The autoencoder's last layers hold about ten pictures of its first width; a network about 24 times its widest
    layer for every latent (two of them a picture, with guidance).
    """
    vae, network = model.config("vae"), model.config(model.family.network)
    first = (vae.get("block_out_channels") or [vae.get("base_dim") or 128])[0]
    widths = network.get("block_out_channels") or [
        network.get("dim") or (network.get("attention_head_dim") or 64) * (network.get("num_attention_heads") or 24)
    ]
    decode = 10 * pixels * first * dtype.itemsize
    denoise = 24 * (pixels // 64) * max(widths) * dtype.itemsize * 2 * batch
    return max(decode, denoise)


def free_bytes(device: torch.device) -> int:
    """Memory that is free on a device."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    return psutil.virtual_memory().available


def place_pipeline(pipe: Any, offload: str, device: torch.device) -> None:
    """Put a pipeline where the plan wants it; also from another offload to this one."""
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
    """Decode in tiles and picture by picture; attention in slices but on CUDA, whose own kernels hold no more."""
    for name in ("enable_tiling", "enable_slicing"):
        if hasattr(pipe.vae, name):
            getattr(pipe.vae, name)()
    if pipe._execution_device.type != "cuda":
        pipe.enable_attention_slicing()


def ran_out(error: RuntimeError) -> bool:
    """Whether an error says that a device's memory is full; not every backend has a class of its own for it."""
    return isinstance(error, torch.OutOfMemoryError) or "out of memory" in str(error).lower()


def release() -> None:
    """Give back what is no longer used."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()
