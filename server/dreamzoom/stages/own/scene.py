"""The artist's scene of splats that is level 0, a scan for example: its splats are kept, and what cameras see of it is
rendered from them.

Level 0's picture and depth are those of the scene where it is solid. Finer levels take over both from the scene itself
where its splats are finer than level 0's pixels, else from level 0's points, as from those of any coarser level.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from core import formats
from core.camera import Camera, Similarity
from core.colour import linear_to_srgb
from core.gaussians import Gaussians, moved
from core.spherical_harmonics import SH_C0
from dreamzoom.geometry.point_rendering import Projection
from dreamzoom.geometry.view import COARSE, KNOWN
from dreamzoom.request.inputs import Input, scene_field
from dreamzoom.splats.rasterize import rasterize
from dreamzoom.stages.assets import Assets
from dreamzoom.stages.base.context import Context
from dreamzoom.stages.levels import shown_finer

SOLID_ALPHA = 0.7
"""Alpha from which a pixel shows the scene; the pixels below it are dreamed, and gaps are filled up to it."""

SPACING = 0.75
"""Standard deviation of a splat over the distance of the details that it can show, as in our own fits."""

FINE = 1.5
"""Pixels that a detail of the scene may span where it needs no finer one."""

SIZES = -16.0, 16.0
"""Range of the logarithm of a splat's size, for its rendering as a colour."""


@dataclass(frozen=True)
class Look:
    """What a camera sees of the scene.

    Attributes:
        rgb: (H, W, 3) float32 sRGB.
        depth: (H, W) float32 z-depth.
        solid: (H, W) bool, where it is opaque.
        footprint: (H, W) float32, the distance in pixels of the details that its splats can show.
    """

    rgb: np.ndarray
    depth: np.ndarray
    solid: np.ndarray
    footprint: np.ndarray


@dataclass(frozen=True)
class SceneFile:
    """The scene as a level sees it.

    Attributes:
        file: The file of splats.
        to_level: Similarity from the frame of level 0 to that of the level.
        level: The level.
    """

    file: Input
    to_level: Similarity
    level: int

    def splats(self) -> Gaussians:
        """The splats in the level's frame. Raises SplatFileError."""
        return moved(_upright(self.file), self.to_level)

    def look(self, camera: Camera) -> Look:
        """What a camera in the level's frame sees."""
        splats = self.splats()
        raster = rasterize(splats, camera, linear=True)
        sizes = rasterize(_with_sizes(splats), camera, linear=True)
        alpha = np.maximum(raster.alpha, 1e-3)[..., None]
        low, high = SIZES
        log_size = low + (high - low) * (sizes.rgb[..., 0] / np.maximum(sizes.alpha, 1e-3))
        with np.errstate(invalid="ignore", over="ignore"):
            footprint = np.exp(log_size) / SPACING * np.sqrt(camera.fx * camera.fy) / raster.depth
        return Look(
            np.clip(linear_to_srgb(raster.rgb / alpha), 0, 1).astype(np.float32),
            raster.depth,
            raster.alpha >= SOLID_ALPHA,
            footprint.astype(np.float32),
        )

    def photo(self, camera: Camera) -> np.ndarray:
        """Level 0's picture as far as the scene gives it: (H, W, 3) float32 sRGB, NaN elsewhere."""
        seen = self.look(camera)
        return np.where(seen.solid[..., None], seen.rgb, np.nan).astype(np.float32)

    def depth(self, camera: Camera) -> np.ndarray:
        """Its z-depth, (H, W) float32, NaN where the scene is not solid."""
        seen = self.look(camera)
        return np.where(seen.solid, seen.depth, np.nan).astype(np.float32)

    def over(self, seen: Projection, camera: Camera) -> tuple[Projection, np.ndarray]:
        """Composite the scene over coarser levels' points where it is finer than they are.

        Returns:
            The projection, its pixels COARSE or KNOWN; and where it shows the scene, (H, W) bool.
        """
        look = self.look(camera)
        finer = look.solid & ((look.footprint < seen.footprint) | (seen.footprint <= 0))
        finer &= ~(seen.depth < 0.97 * look.depth)  # another level's content in front
        mask = np.where(look.footprint <= FINE, KNOWN, COARSE)
        return replace(
            seen,
            rgb=np.where(finer[..., None], look.rgb, seen.rgb).astype(np.float32),
            depth=np.where(finer, look.depth, seen.depth).astype(np.float32),
            mask=np.where(finer, mask, seen.mask).astype(np.uint8),
            ids=np.where(finer, -1, seen.ids).astype(seen.ids.dtype),
            footprint=np.where(finer, look.footprint, seen.footprint).astype(np.float32),
        ), finer

    def around(self, anchor: Camera, objects: Assets) -> Assets:
        """The scene with the artist's other objects, as the level's side views know it: all of it in level 0; in finer
        levels what lies beyond the level's anchor view, in whose place the level has its own content.
        """
        splats = self.splats()
        if self.level:
            splats = splats[~shown_finer(splats.means, anchor)]
        return objects.with_more(splats) if len(splats) else objects


def scene_of(context: Context, level: int) -> SceneFile | None:
    """The scene as a level sees it; None if the job has none."""
    file = context.inputs.get(scene_field(0))
    return None if file is None else SceneFile(file, context.path.between(0, level), level)


def first_level_scene(context: Context, level: int) -> SceneFile | None:
    """The scene for level 0, which consists of it; None for other levels."""
    return scene_of(context, level) if level == 0 else None


@lru_cache(maxsize=1)
def _upright(file: Input) -> Gaussians:
    splats, _ = formats.read_upright(file.path)
    return replace(splats, extra={})


def _with_sizes(splats: Gaussians) -> Gaussians:
    """The splats with the logarithm of their size as their colour, 0..1 over `SIZES`: the mean of the two larger."""
    size = np.sort(splats.log_scales, 1)[:, 1:].mean(1)
    value = np.clip((size - SIZES[0]) / (SIZES[1] - SIZES[0]), 0, 1)
    srgb = linear_to_srgb(np.repeat(value[:, None], 3, 1).astype(np.float32))
    return replace(splats, sh=((srgb - 0.5) / np.float32(SH_C0))[:, None, :])
