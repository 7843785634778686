"""MoGe-2 (Wang et al. 2025): metric points of a picture, from which the true field of view gives depth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from scipy.optimize import least_squares
from torch import Tensor, nn
from torch.nn.functional import interpolate

from core.camera import Camera
from dreamzoom.engines.diffusion.depth_networks import weights
from dreamzoom.engines.diffusion.depth_networks.conv_stack import ConvStack
from dreamzoom.engines.diffusion.depth_networks.dinov2 import Dinov2, normalised
from dreamzoom.engines.diffusion.depth_networks.dpt import view_plane
from dreamzoom.engines.diffusion.depth_networks.far import with_far
from dreamzoom.engines.diffusion.depth_networks.shapes import PATCH, Header
from dreamzoom.engines.diffusion.depth_networks.sizes import MogeSizes

TOKENS = (1200, 3600)
"""How many patches the network was trained on, fewest and most."""
VALID = 0.5
"""The mask is above this where a pixel has a depth."""
SAMPLES = 64
"""The shift is found from a grid of so many pixels a side."""


def load(file: Path, sizes: MogeSizes, dtype: torch.dtype) -> Moge:
    """The network with the weights of a checked file, on the CPU. Raises EngineUnavailable."""
    return weights.filled(lambda: Moge(sizes), Header(file), "", dtype)


class Moge(nn.Module):
    """The network, without the part for normals; modules are named as the tensors in the published files.

    Args:
        sizes: Of its parts.
    """

    def __init__(self, sizes: MogeSizes):
        super().__init__()
        self.layers = sizes.layers
        projections = nn.ModuleList(nn.Conv2d(sizes.backbone.width, sizes.features, 1) for _ in sizes.layers)
        self.encoder = nn.ModuleDict({"backbone": Dinov2(sizes.backbone), "output_projections": projections})
        self.neck, self.points_head, self.mask_head = (
            ConvStack(stages) for stages in (sizes.neck, sizes.points, sizes.mask)
        )
        self.scale_head = nn.Sequential()
        for takes, gives in zip(sizes.scale, sizes.scale[1:]):
            self.scale_head.extend([nn.Linear(takes, gives), nn.ReLU()])
        del self.scale_head[-1]

    def forward(self, picture: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
        """Points, mask and scale of pictures (B, 3, H, W), sRGB in 0..1, seen as a grid of so many patches.

        Returns:
            Points (B, H, W, 3) in the camera's axes, x right, y down, z forward, up to a shift along z; the
            probability (B, H, W) that a pixel has a depth; the metres (B,) in a unit of the shifted points.
        """
        size, aspect = picture.shape[-2:], picture.shape[-1] / picture.shape[-2]
        shown = [PATCH * count for count in grid]
        seen = interpolate(picture, shown, mode="bilinear", align_corners=False, antialias=True)
        vision, projections = self.encoder["backbone"], self.encoder["output_projections"]
        assert isinstance(vision, Dinov2) and isinstance(projections, nn.ModuleList)
        features, first = None, None
        for projection, (_, tokens) in zip(projections, vision(normalised(seen), self.layers)):
            tokens = vision.norm(tokens)
            first = tokens[:, 0]
            found = projection(tokens[:, 1:].transpose(1, 2).unflatten(2, grid))
            features = found if features is None else features + found
        assert features is not None and first is not None
        maps = []
        for level in range(len(self.neck.input_blocks)):
            place = view_plane([count << level for count in grid], aspect).permute(2, 0, 1).to(features)
            maps.append(place[None].expand(len(picture), -1, -1, -1))
        maps[0] = torch.cat([features, maps[0]], 1)
        maps = self.neck(maps)
        points, mask = (
            interpolate(head(maps)[-1].float(), size, mode="bilinear", align_corners=False)
            for head in (self.points_head, self.mask_head)
        )
        forward = points[:, 2:].exp()
        points = torch.cat([points[:, :2] * forward, forward], 1).permute(0, 2, 3, 1)
        return points, mask[:, 0].sigmoid(), self.scale_head(first)[:, 0].float().exp()

    def depth(self, picture: Tensor, camera: Camera) -> Tensor:
        """Depth in metres of a picture.

        Args:
            picture: (1, 3, H, W) sRGB in 0..1, on the network's device.
            camera: That took it; its focal lengths are used. The network takes the optical axis to be in the middle.

        Returns:
            (H, W) z-depth; what the network says to have none, such as sky, is as far as the farthest of the rest.
        """
        points, mask, scale = self(picture, grid_of(picture.shape[-2:]))
        points, valid = points[0].float(), mask[0] > VALID
        shift = shift_of(points, valid, camera)
        depth = points[..., 2] + shift
        valid = valid & (depth > 0)
        if not (depth > 0).any():
            depth = points[..., 2]
        if not valid.any():  # a mask that says nothing, such as that of a plain texture
            valid = depth > 0
        return with_far(depth, valid) * scale[0].float()


def grid_of(size: tuple[int, ...]) -> tuple[int, int]:
    """Rows and columns of patches for a picture (H, W): one for each 14 × 14 pixels, within what it was trained on."""
    height, width = size
    count = min(max(height * width / PATCH**2, TOKENS[0]), TOKENS[1])
    return max(1, round((count * height / width) ** 0.5)), max(1, round((count * width / height) ** 0.5))


def shift_of(points: Tensor, valid: Tensor, camera: Camera) -> float:
    """The shift along z with which points (H, W, 3) project to their own pixels.

    min over s of Σ |f · xy / (z + s) − uv|² (MoGe, section 3.1, with the focal length known), over a grid of `valid`
    pixels (H, W).
    """
    height, width = points.shape[:2]
    rows, columns = (np.unique(np.arange(SAMPLES) * side // SAMPLES) for side in (height, width))
    take = np.ix_(rows, columns)
    x, y, z = np.moveaxis(points.cpu().numpy().astype(np.float64)[take], -1, 0)
    chosen = valid.cpu().numpy()[take]
    good = np.isfinite(x + y + z) & (z > 0) & (chosen if chosen.any() else True)
    u = np.broadcast_to((columns + 0.5 - width / 2) / camera.fx, x.shape)[good]
    v = np.broadcast_to((rows[:, None] + 0.5 - height / 2) / camera.fy, x.shape)[good]
    xy, uv, z = np.concatenate([x[good], y[good]]), np.concatenate([u, v]), np.tile(z[good], 2)
    if len(uv) < 4:
        return 0.0

    def error(shift: np.ndarray) -> np.ndarray:
        distance = z + shift
        return xy / np.where(np.abs(distance) < 1e-9, 1e-9, distance) - uv

    found = least_squares(error, x0=[0.0], method="lm").x[0]
    return float(found) if np.isfinite(found) else 0.0
