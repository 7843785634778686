"""The head of Depth Anything 3: from four sets of tokens to a map (Ranftl et al. 2021, Vision Transformers for Dense
Prediction). Modules are named as the tensors in the published files.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, relu

from dreamzoom.engines.diffusion.depth_networks.shapes import PATCH
from dreamzoom.engines.diffusion.depth_networks.sizes import HeadSizes

PLACE_SHARE = 0.1
"""Weight of the place embedding that is added to feature maps."""
PLACE_BASE = 100.0


class Head(nn.Module):
    """The head; what else the models for several views have (rays, cameras) is left out.

    Args:
        shape: Its sizes.
    """

    def __init__(self, shape: HeadSizes):
        super().__init__()
        self.places = shape.places
        self.norm = nn.LayerNorm(shape.width) if shape.places else nn.Identity()
        first, second, _, fourth = shape.channels
        self.projects = nn.ModuleList(nn.Conv2d(shape.width, count, 1) for count in shape.channels)
        self.resize_layers = nn.ModuleList(
            [
                nn.ConvTranspose2d(first, first, 4, 4),
                nn.ConvTranspose2d(second, second, 2, 2),
                nn.Identity(),
                nn.Conv2d(fourth, fourth, 3, 2, 1),
            ]
        )
        half = shape.features // 2
        self.scratch = nn.ModuleDict()
        for number, count in enumerate(shape.channels, 1):
            self.scratch[f"layer{number}_rn"] = nn.Conv2d(count, shape.features, 3, 1, 1, bias=False)
            self.scratch[f"refinenet{number}"] = Fusion(shape.features, number < len(shape.channels))
        self.scratch["output_conv1"] = nn.Conv2d(shape.features, half, 3, 1, 1)
        self.scratch["output_conv2"] = _last(half, shape.hidden, shape.outputs)
        if shape.sky:
            self.scratch["sky_output_conv2"] = _last(half, shape.hidden, 1)

    def forward(self, tokens: Sequence[Tensor], grid: tuple[int, int]) -> tuple[Tensor, Tensor | None]:
        """Depth, and how much each pixel is sky.

        Args:
            tokens: Four of (B, N, width), of patches alone.
            grid: Rows and columns of patches.

        Returns:
            (B, H, W) both, where H and W are 14 times the grid; depth is positive, sky at least 0. None without sky.
        """
        height, width = (PATCH * count for count in grid)
        maps = []
        for index, values in enumerate(tokens):
            found = self.norm(values).transpose(1, 2).unflatten(2, grid)
            found = self._placed(self.projects[index](found), width / height)
            maps.append(self.resize_layers[index](found))
        fused = self._fused(maps)
        fused = interpolate(fused, (height, width), mode="bilinear", align_corners=True)
        fused = self._placed(fused, width / height)
        depth = self.scratch["output_conv2"](fused)[:, 0].exp()
        if "sky_output_conv2" not in self.scratch:
            return depth, None
        return depth, relu(self.scratch["sky_output_conv2"](fused)[:, 0])

    def _fused(self, maps: list[Tensor]) -> Tensor:
        """One map at twice the finest one's size, from coarse to fine."""
        found = None
        for number in range(len(maps), 0, -1):
            side = self.scratch[f"layer{number}_rn"](maps[number - 1])
            finer = maps[number - 2].shape[-2:] if number > 1 else [2 * count for count in side.shape[-2:]]
            found = self.scratch[f"refinenet{number}"](found, side, finer)
        return self.scratch["output_conv1"](found)

    def _placed(self, found: Tensor, aspect: float) -> Tensor:
        if not self.places:
            return found
        return found + PLACE_SHARE * place_embedding(found.shape[-2:], found.shape[1], aspect).to(found)


class Fusion(nn.Module):
    """Adds a finer map to a coarser one and enlarges the sum."""

    def __init__(self, features: int, joins: bool):
        super().__init__()
        if joins:
            self.resConfUnit1 = Residual(features)
        self.resConfUnit2 = Residual(features)
        self.out_conv = nn.Conv2d(features, features, 1)

    def forward(self, coarse: Tensor | None, fine: Tensor, size: Sequence[int]) -> Tensor:
        """Two maps (B, C, h, w) to one of the size; the coarsest has none before it."""
        found = fine if coarse is None else coarse + self.resConfUnit1(fine)
        found = interpolate(self.resConfUnit2(found), tuple(size), mode="bilinear", align_corners=True)
        return self.out_conv(found)


class Residual(nn.Module):
    """Two convolutions that are added."""

    def __init__(self, features: int):
        super().__init__()
        self.conv1 = nn.Conv2d(features, features, 3, 1, 1)
        self.conv2 = nn.Conv2d(features, features, 3, 1, 1)

    def forward(self, found: Tensor) -> Tensor:
        """A map (B, C, h, w) to the same shape."""
        return found + self.conv2(relu(self.conv1(relu(found))))


def view_plane(size: Sequence[int], aspect: float) -> Tensor:
    """Places (h, w, 2), x and y, of a map's pixels: the picture's diagonal is 2 long, its middle is 0."""
    height, width = size
    diagonal = (1 + aspect**2) ** 0.5
    x, y = (
        torch.linspace(-span * (count - 1) / count, span * (count - 1) / count, count)
        for span, count in ((aspect / diagonal, width), (1 / diagonal, height))
    )
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)


def place_embedding(size: Sequence[int], channels: int, aspect: float) -> Tensor:
    """Sines and cosines (channels, h, w) of the places of a map: one half by x, one by y."""
    speeds = PLACE_BASE ** (-torch.arange(channels // 4) / (channels / 4))
    angles = view_plane(size, aspect)[..., None] * speeds  # (h, w, 2, channels / 4)
    return torch.cat([angles.sin(), angles.cos()], -1).flatten(2).permute(2, 0, 1)


def _last(channels: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, hidden, 3, 1, 1), nn.ReLU(), nn.Conv2d(hidden, outputs, 1))
