"""Depth Anything 3 for single pictures (Lin et al. 2025)."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from core.camera import Camera
from dreamzoom.engines.diffusion.depth_networks import weights
from dreamzoom.engines.diffusion.depth_networks.dinov2 import Dinov2, normalised
from dreamzoom.engines.diffusion.depth_networks.dpt import Head
from dreamzoom.engines.diffusion.depth_networks.far import with_far
from dreamzoom.engines.diffusion.depth_networks.shapes import PATCH, Header
from dreamzoom.engines.diffusion.depth_networks.sizes import DA3_PREFIX, Da3Sizes
from dreamzoom.geometry.view import DepthKind

LONGER_SIDE = 504
"""The network sees pictures of this longer side, in pixels, as in the authors' program."""
SKY = 0.3
"""The network's output for sky is at least so much where there is sky."""
CANONICAL_FOCAL = 300.0
"""The metric model gives metres for this focal length, in pixels of the picture that it sees."""


def load(file: Path, sizes: Da3Sizes, dtype: torch.dtype) -> DepthAnything3:
    """The network with the weights of a checked file, on the CPU. Raises EngineUnavailable."""
    return weights.filled(lambda: DepthAnything3(sizes), Header(file), DA3_PREFIX, dtype)


class DepthAnything3(nn.Module):
    """The network; modules are named as the tensors in the published files.

    Args:
        sizes: Of its parts.
    """

    def __init__(self, sizes: Da3Sizes):
        super().__init__()
        self.preset = sizes.preset
        self.joined = sizes.head.width == 2 * sizes.backbone.width
        self.backbone = nn.ModuleDict({"pretrained": Dinov2(sizes.backbone)})
        self.head = Head(sizes.head)

    def forward(self, picture: Tensor) -> tuple[Tensor, Tensor | None]:
        """Depth and how much each pixel is sky, (B, H, W) both, of pictures (B, 3, H, W), normalised, whose sides are
        multiples of 14.
        """
        vision = self.backbone["pretrained"]
        assert isinstance(vision, Dinov2)
        grid = (picture.shape[-2] // PATCH, picture.shape[-1] // PATCH)
        tokens = []
        for alone, together in vision(picture, self.preset.layers):
            found = vision.norm(together)
            tokens.append((torch.cat([alone, found], -1) if self.joined else found)[:, 1:])
        return self.head(tokens, grid)

    def depth(self, picture: Tensor, camera: Camera) -> Tensor:
        """The values of a picture, of which `preset.kind` says what they mean.

        Args:
            picture: (1, 3, H, W) sRGB in 0..1, on the network's device.
            camera: That took it.

        Returns:
            (H, W), larger is farther; sky is as far as the farthest of the rest.
        """
        size = picture.shape[-2:]
        shown = interpolate(picture, seen_size(size), mode="bicubic", align_corners=False, antialias=True)
        found, sky = self(normalised(shown.clamp(0, 1)))
        depth = found[0].float()
        if sky is not None:
            depth = with_far(depth, sky[0].float() < SKY)
        if self.preset.kind is DepthKind.METRIC:
            focal = (camera.fx / camera.width * depth.shape[1] + camera.fy / camera.height * depth.shape[0]) / 2
            depth = depth * (focal / CANONICAL_FOCAL)
        return interpolate(depth[None, None], size, mode="bilinear", align_corners=False)[0, 0]


def seen_size(size: tuple[int, ...]) -> tuple[int, int]:
    """Height and width, multiples of 14, at which the network sees a picture of a size (H, W)."""
    scale = LONGER_SIDE / max(size)
    height, width = (max(PATCH, int(side * scale / PATCH + 0.5) * PATCH) for side in size)
    return height, width
