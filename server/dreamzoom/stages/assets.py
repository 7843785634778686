"""Assets: the artist's own objects in the scene, as the dreamed views see them.

They are there already when the splats are shown, so a view takes their pixels and depths as known, and gives no points
of its own where they are seen.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from core.camera import Camera, Similarity
from core.colour import linear_to_srgb
from core.formats.splat_ply import read_splats, third_axes
from core.gaussians import Gaussians, joined
from dreamzoom.geometry.cloud import Cloud
from dreamzoom.geometry.project import Projection
from dreamzoom.geometry.view import KNOWN, UNKNOWN
from dreamzoom.request.inputs import Input
from dreamzoom.splats.rasterize import rasterize

REACH = 3
"""Assets of so many levels above and below are seen by a level; beyond, they are tiny, or around the camera."""

SEEN_ALPHA = 0.5
"""How opaque an asset must be in a pixel for that to be its."""

BLIND = ("procedural", "spectral")
"""Engines whose depth is that of their own world, whatever stands in the picture."""

CLEARANCE = 1.01
"""An asset is seen where nothing is nearer than this share of its distance."""


@dataclass(frozen=True)
class Assets:
    """What the artist placed, in one level's frame.

    Attributes:
        splats: Objects as splats; meshes were sampled to surfels. None where there are none.
        align: Whether their depth is truth for the engine's depth too: not for engines that can't see them.
    """

    splats: Gaussians | None = None
    align: bool = True

    def over(self, seen: Projection, camera: Camera, *, in_front: bool = False) -> tuple[Projection, np.ndarray]:
        """What a camera sees, with the assets.

        Args:
            seen: Without them.
            camera: In the level's frame.
            in_front: Whether they hide whatever was nearer: where all of that is to be dreamed anew.

        Returns:
            The projection with the assets' pixels KNOWN, and where they are seen, (H, W) bool.
        """
        if self.splats is None:
            return seen, np.zeros(seen.mask.shape, bool)
        raster = rasterize(self.splats, camera, linear=True)
        covered = raster.alpha > SEEN_ALPHA
        if not in_front:
            covered &= (seen.mask == UNKNOWN) | (raster.depth < CLEARANCE * seen.depth)
        rgb = linear_to_srgb(raster.rgb / np.maximum(raster.alpha, SEEN_ALPHA)[..., None])
        return replace(
            seen,
            rgb=np.where(covered[..., None], np.clip(rgb, 0, 1), seen.rgb).astype(np.float32),
            depth=np.where(covered, raster.depth, seen.depth).astype(np.float32),
            mask=np.where(covered, KNOWN, seen.mask).astype(np.uint8),
            ids=np.where(covered, -1, seen.ids).astype(seen.ids.dtype),
            footprint=np.where(covered, 1, seen.footprint).astype(np.float32),
        ), covered

    def photo(self, camera: Camera) -> np.ndarray | None:
        """Their pixels alone, (H, W, 3) float32 sRGB, NaN around; None where none is seen."""
        if self.splats is None:
            return None
        seen, covered = self.over(_nothing(camera), camera)
        return np.where(covered[..., None], seen.rgb, np.nan).astype(np.float32) if covered.any() else None

    def cloud(self) -> Cloud:
        """As points, for telling where holes are."""
        if self.splats is None:
            return Cloud.empty()
        count = len(self.splats)
        return Cloud(
            self.splats.means,
            np.clip(self.splats.rgb, 0, 1).astype(np.float32),
            third_axes(self.splats.quaternions).astype(np.float32),
            (2 * np.exp(np.sort(self.splats.log_scales, 1)[:, 1])).astype(np.float32),
            np.full(count, -1, np.int32),
            np.ones(count, np.float32),
            np.zeros(count, bool),
        )


NONE = Assets()


@dataclass(frozen=True)
class PlacedFile:
    """A 3DGS PLY of the artist's.

    Attributes:
        file: Where it is.
        to_level: From the frame of the level under which it stands to that of the level that sees it.
    """

    file: Input
    to_level: Similarity


@dataclass(frozen=True)
class AssetFiles:
    """The artist's own objects that a level sees, before they are read.

    Attributes:
        placed: Their files, coarse levels' first.
        engine: Whose views see them, by name.
    """

    placed: tuple[PlacedFile, ...] = ()
    engine: str = ""

    def load(self) -> Assets:
        """Read them, into the frame of the level that sees them. Raises SplatFileError for what is no PLY of splats."""
        parts = [_moved(read_splats(one.file.path), one.to_level) for one in self.placed]
        found = joined(parts) if len(parts) > 1 else parts[0] if parts else None
        return Assets(found if found is not None and len(found) else None, self.engine not in BLIND)


def in_reach(level: int, having: Iterable[int]) -> list[int]:
    """The levels, of those that have assets, whose assets `level` sees."""
    return [other for other in having if abs(other - level) <= REACH]


def _moved(splats: Gaussians, similarity: Similarity) -> Gaussians:
    means = similarity.apply(splats.means).astype(np.float32)
    return replace(splats, means=means, log_scales=splats.log_scales + np.float32(np.log(similarity.scale)), extra={})


def _nothing(camera: Camera) -> Projection:
    """What a camera sees where nothing is."""
    size = (camera.height, camera.width)
    return Projection(
        np.zeros((*size, 3), np.float32),
        np.full(size, np.inf, np.float32),
        np.full(size, UNKNOWN, np.uint8),
        np.full(size, -1, np.int32),
        np.zeros(size, np.float32),
    )
