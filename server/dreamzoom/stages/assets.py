"""Assets: the artist's own objects, rendered into the dreamed views.

They are already in the scene when the splats are shown, so a view treats their pixels and depths as known and adds no
points where they are visible.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from core import formats
from core.camera import Camera, Similarity
from core.colour import linear_to_srgb
from core.gaussians import Gaussians, joined
from core.quaternions import third_axes
from dreamzoom.geometry.cloud import Cloud
from dreamzoom.geometry.point_rendering import Projection
from dreamzoom.geometry.view import KNOWN, UNKNOWN
from dreamzoom.progress import Report
from dreamzoom.request.inputs import Input
from dreamzoom.splats.rasterize import rasterize

REACH = 3
"""A level's views show the assets of this many levels above and below; those of others are tiny or enclose the
camera."""

SEEN_ALPHA = 0.5
"""Minimum alpha for a pixel to count as covered by an asset."""

ENGINES_WITHOUT_ASSETS = ("procedural", "spectral")
"""Engines that return the depth of their own scene and ignore objects in the picture."""

DEPTH_TOLERANCE = 1.01
"""Tolerance of the depth test: an asset is visible unless its depth exceeds the nearest depth by this factor."""


@dataclass(frozen=True)
class Assets:
    """The artist's own objects in one level's frame.

    Attributes:
        splats: The objects as splats (meshes were sampled to surfels); None if there are none.
        align: Whether the engine's depth is aligned to theirs; false for the engines in `ENGINES_WITHOUT_ASSETS`.
    """

    splats: Gaussians | None = None
    align: bool = True

    def over(self, seen: Projection, camera: Camera, *, in_front: bool = False) -> tuple[Projection, np.ndarray]:
        """Composite the assets over a projection.

        Args:
            seen: The projection without assets.
            camera: In the level's frame.
            in_front: Whether the assets also cover nearer points; used when those are to be painted again.

        Returns:
            The projection with the assets' pixels set to KNOWN, and the mask (H, W) bool where they are visible.
        """
        if self.splats is None:
            return seen, np.zeros(seen.mask.shape, bool)
        raster = rasterize(self.splats, camera, linear=True)
        covered = raster.alpha > SEEN_ALPHA
        if not in_front:
            covered &= (seen.mask == UNKNOWN) | (raster.depth < DEPTH_TOLERANCE * seen.depth)
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
        """Render the assets alone: (H, W, 3) float32 sRGB, NaN elsewhere; None if none is visible."""
        if self.splats is None:
            return None
        seen, covered = self.over(_empty_projection(camera), camera)
        return np.where(covered[..., None], seen.rgb, np.nan).astype(np.float32) if covered.any() else None

    def with_more(self, splats: Gaussians) -> Assets:
        """These objects and further splats, to which the engine's depth is aligned."""
        return Assets(splats if self.splats is None else joined([self.splats, splats]), True)

    def cloud(self) -> Cloud:
        """The assets as points, for finding holes."""
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
    """One of the artist's files of splats.

    Attributes:
        file: The file.
        to_level: Similarity from the frame of the level that names the file to that of the level whose views show it.
    """

    file: Input
    to_level: Similarity


@dataclass(frozen=True)
class AssetFiles:
    """The files of the artist's own objects that are visible from a level's cameras.

    Attributes:
        placed: The files, coarse levels first.
        engine: The name of the job's engine.
    """

    placed: tuple[PlacedFile, ...] = ()
    engine: str = ""

    def load(self, report: Report | None = None) -> Assets:
        """Read the files into the level's frame. Raises SplatFileError for a file that holds no splats.

        Args:
            report: Logs what each file says of its axes, and what was changed.
        """
        parts = []
        for one in self.placed:
            splats, said = formats.read_upright(one.file.path)
            parts.append(_moved(splats, one.to_level))
            if said and report is not None:
                report.log(said)
        found = joined(parts) if len(parts) > 1 else parts[0] if parts else None
        return Assets(found if found is not None and len(found) else None, self.engine not in ENGINES_WITHOUT_ASSETS)


def in_reach(level: int, having: Iterable[int]) -> list[int]:
    """The levels out of `having` whose assets are visible from `level`."""
    return [other for other in having if abs(other - level) <= REACH]


def _moved(splats: Gaussians, similarity: Similarity) -> Gaussians:
    means = similarity.apply(splats.means).astype(np.float32)
    return replace(splats, means=means, log_scales=splats.log_scales + np.float32(np.log(similarity.scale)), extra={})


def _empty_projection(camera: Camera) -> Projection:
    """The projection of an empty scene."""
    size = (camera.height, camera.width)
    return Projection(
        np.zeros((*size, 3), np.float32),
        np.full(size, np.inf, np.float32),
        np.full(size, UNKNOWN, np.uint8),
        np.full(size, -1, np.int32),
        np.zeros(size, np.float32),
    )
