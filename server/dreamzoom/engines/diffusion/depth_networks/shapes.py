"""Sizes of networks, read from the headers of their weights: what is built has exactly the tensors of the file.

Nothing here takes memory, and no count is followed beyond `MOST`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import EngineUnavailable
from dreamzoom.engines.diffusion.model_files import reading

MOST = 64
"""Blocks, heads or layers of one kind; the largest DINOv2 has 40."""
HEAD_WIDTH = 64
"""Numbers per attention head in every DINOv2 (S, B and L have 6, 12 and 16 heads)."""
PATCH = 14
"""Side of a patch of DINOv2, in pixels."""
TYPES = {"F32", "F16", "BF16"}


class Header:
    """Names and shapes of the tensors in a safetensors file.

    Args:
        file: Where it lies; its header is checked (`reading.tensors`).
    """

    def __init__(self, file: Path):
        self.file = file
        self.entries: Mapping[str, dict[str, Any]] = reading.tensors(file)

    def __contains__(self, name: str) -> bool:
        return name in self.entries

    def shape(self, name: str, dimensions: int) -> tuple[int, ...]:
        """The shape of a tensor. Raises EngineUnavailable where it is missing, empty, or has other dimensions."""
        entry = self.entries.get(name)
        if entry is None:
            raise EngineUnavailable(f"{self.file} lacks the tensor {name}", reading.AGAIN)
        shape = tuple(entry["shape"])
        if len(shape) != dimensions or 0 in shape or entry["dtype"] not in TYPES:
            raise self.unexpected(name)
        return shape

    def unexpected(self, name: str) -> EngineUnavailable:
        """What is raised where a tensor, or what begins with a name, is of another number, shape or type."""
        return EngineUnavailable(f"{self.file}: {name} is not as expected", reading.AGAIN)

    def count(self, prefix: str) -> int:
        """How many numbered parts follow a prefix, `prefix.0…` to `prefix.N…`. Raises EngineUnavailable for gaps."""
        form = re.compile(re.escape(prefix) + r"\.(\d{1,6})\.")
        found = {int(match[1]) for match in map(form.match, self.entries) if match}
        if found != set(range(len(found))) or len(found) > MOST:
            raise self.unexpected(prefix)
        return len(found)

    def numbered(self, prefix: str) -> list[int]:
        """The numbers that follow a prefix, in order, where not every part has tensors."""
        form = re.compile(re.escape(prefix) + r"\.(\d{1,3})\.")
        found = sorted({int(match[1]) for match in map(form.match, self.entries) if match})
        if len(found) > MOST:
            raise self.unexpected(prefix)
        return found


@dataclass(frozen=True)
class Backbone:
    """A DINOv2 transformer.

    Attributes:
        width: Numbers per token.
        depth: Blocks.
        hidden: Numbers in the middle of a block's MLP.
        side: The position embedding is a square of so many patches a side.
        norm_epsilon: Of the last normalisation.
        camera_from, normed_from, rotated_from: The first block before which the class token becomes the camera's,
            whose queries and keys are normalised, and that rotates them by position (Depth Anything 3); `depth` for
            none.
    """

    width: int
    depth: int
    hidden: int
    side: int
    norm_epsilon: float
    camera_from: int
    normed_from: int
    rotated_from: int

    @property
    def heads(self) -> int:
        """Attention heads."""
        return self.width // HEAD_WIDTH


def backbone(header: Header, prefix: str, norm_epsilon: float, **starts: int) -> Backbone:
    """The transformer whose tensors begin with a prefix.

    Args:
        header: Of the file.
        prefix: Ends in a dot.
        norm_epsilon, starts: As in `Backbone`; what is not given is never.

    Raises:
        EngineUnavailable: It is no DINOv2 with a plain MLP and patches of 14 pixels.
    """
    width, *patch = header.shape(f"{prefix}patch_embed.proj.weight", 4)
    _, positions, _ = header.shape(f"{prefix}pos_embed", 3)
    depth = header.count(f"{prefix}blocks")
    side = round((positions - 1) ** 0.5)
    if f"{prefix}blocks.0.mlp.w12.weight" in header:
        raise EngineUnavailable(
            f"{header.file} is a model of the giant size, which can't be loaded here", "choose a large or smaller one"
        )
    if patch != [3, PATCH, PATCH] or width % HEAD_WIDTH or side * side != positions - 1 or not depth:
        raise header.unexpected(f"{prefix}patch_embed")
    hidden, _ = header.shape(f"{prefix}blocks.0.mlp.fc1.weight", 2)
    never = {"camera_from": depth, "normed_from": depth, "rotated_from": depth}
    return Backbone(width, depth, hidden, side, norm_epsilon, **never | starts)
