"""Fill a network with the tensors of a safetensors file."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from core.errors import EngineUnavailable
from dreamzoom.engines.diffusion.depth_networks.shapes import TYPES, Header
from dreamzoom.engines.diffusion.model_files import reading

Network = TypeVar("Network", bound=nn.Module)


def filled(build: Callable[[], Network], header: Header, prefix: str, dtype: torch.dtype) -> Network:
    """A network in evaluation mode on the CPU.

    Memory is taken only after every tensor was found in the file with the network's own shape.

    Args:
        build: Makes the network; called without memory, on PyTorch's meta device.
        header: Of the file. Tensors that the network does not have are left out.
        prefix: What the file's names have before the network's.
        dtype: Of the parameters.

    Raises:
        EngineUnavailable: Tensors are missing, or have other shapes or types.
    """
    with torch.device("meta"):
        network = build()
    wanted = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    missing = [name for name in wanted if prefix + name not in header]
    if missing:
        raise EngineUnavailable(
            f"{header.file} lacks {len(missing)} of the tensors of a {type(network).__name__},"
            f" {prefix}{missing[0]} for one",
            reading.AGAIN,
        )
    for name, shape in wanted.items():
        entry = header.entries[prefix + name]
        if tuple(entry["shape"]) != shape or entry["dtype"] not in TYPES:
            raise EngineUnavailable(
                f"{header.file}: {prefix}{name} has the shape {reading.shown(entry['shape'])}, not {list(shape)}",
                reading.AGAIN,
            )
    try:
        with safe_open(header.file, "pt") as stream:
            tensors = {name: stream.get_tensor(prefix + name).to(dtype) for name in wanted}
    except (SafetensorError, OSError, ValueError) as error:
        raise EngineUnavailable(f"{header.file} can't be loaded: {reading.short(error)}", reading.AGAIN) from error
    network.load_state_dict(tensors, assign=True)
    return network.eval().requires_grad_(False)
