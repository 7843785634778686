"""The world in closed form: ground truth at every zoom. W_K is what levels 0..K make; later levels never change it.

The ground of level K is h_K(X) = Σ_j p^(K−j) · w_j(X_j) · f_j(X_j) in frame K, a sum over the last levels that still
matter there,
each in its own frame, so level 40 is as exact as level 0. Heights, shadows and openness to the sky are kept on
nested grids
about the focus, made once a level; colours are computed exactly at every place.
"""

from __future__ import annotations

import math
import os
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import maximum_filter, minimum_filter, uniform_filter

from dreamzoom.camera import Camera
from dreamzoom.colour import linear_to_srgb
from dreamzoom.engines.procedural import kernels, picture
from dreamzoom.engines.procedural import recipe as R
from dreamzoom.engines.procedural.vocabulary import MAX_STYLES, recipes_of

BLOCKS, RINGS, EXTENT = (16, 4), 6, 1.7
"""Cells a side of the blocks of the march; count of nested grids; half the side of the finest, in frame units."""

LUMA = np.array([0.3, 0.6, 0.1])
REACH = 60.0 / 0.4
"""How far, in units of a level's calm middle, older levels must still be kept."""
CORNERS = ((0.375, 0.125), (0.875, 0.375), (0.125, 0.625), (0.625, 0.875))
"""Four places in a pixel, no two in one row or column."""

SUN = np.array([-0.62, 0.52, 0.52]) / np.linalg.norm([-0.62, 0.52, 0.52])
"""Towards the sun, the same in every frame: from behind and the left of a camera that looks along +y."""


@dataclass(frozen=True)
class _Ground:
    """What is kept of one level: its chain of levels and the grids made of it."""

    chain: np.ndarray
    recipes: np.ndarray
    seeds: np.ndarray
    counts: np.ndarray
    grids: np.ndarray
    tops: tuple[np.ndarray, np.ndarray]
    shadows: np.ndarray
    opens: np.ndarray
    ceiling: float


class World:
    """All levels of one request.

    Args:
        prompts, seeds: One a level.
        factor: p, the zoom factor.
        focuses: (N, 3) float64; row k is the focus of level k's child, in level k's frame.
        cached: How many levels' grids are kept (24 MB each at 576 cells).
        cells: Cells a side of each grid, a multiple of 16: how finely the ground's shape is kept.
    """

    def __init__(
        self,
        prompts: list[str],
        seeds: list[int],
        factor: float,
        focuses: np.ndarray,
        *,
        cached: int = 6,
        cells: int = 576,
    ):
        if cells % BLOCKS[0] or cells < 4 * BLOCKS[0]:
            raise ValueError(f"cells must be a multiple of {BLOCKS[0]}, at least {4 * BLOCKS[0]}; got {cells}")
        self.factor = float(factor)
        self.focuses = np.asarray(focuses, np.float64).reshape(-1, 3)
        self._rows = [recipes_of(prompt, seed) for prompt, seed in zip(prompts, seeds)]
        for rows, _ in self._rows[1:]:
            rows[:, R.BASE] = 0.2  # the older relief is the form already
        self._tints = _tints_of(self._rows)
        self._grounds: OrderedDict[int, _Ground] = OrderedDict()
        self._cached, self._cells = cached, cells

    @property
    def levels(self) -> int:
        """N, the count of levels."""
        return len(self._rows)

    def render(
        self, camera: Camera, level: int, detail: int | None = None, *, shadows: bool = True
    ) -> tuple[np.ndarray, np.ndarray]:
        """The true picture of W_detail.

        Args:
            camera: In the frame of `level`.
            level: Whose frame the camera and the depth are in.
            detail: The last level whose content is there; `level` where None.
            shadows: Whether the sun casts shadows.

        Returns:
            (H, W, 3) float32 sRGB, and z-depth (H, W) float32 in the frame of `level`; the sky lies about 50 units
                away.
        """
        ground, moved, scale = self._seen(camera, level, detail)
        shot = _Shot(ground, moved, shadows)
        depth = shot.depth()
        light = shot.light(depth)
        return linear_to_srgb(light.clip(0, 1)), (np.abs(depth) / scale).astype(np.float32)

    def depth(self, camera: Camera, level: int, detail: int | None = None) -> np.ndarray:
        """The true z-depth alone, as `render` tells it, in a fraction of the time."""
        ground, moved, scale = self._seen(camera, level, detail)
        return (np.abs(_Shot(ground, moved, True).depth()) / scale).astype(np.float32)

    def _seen(self, camera: Camera, level: int, detail: int | None) -> tuple[_Ground, Camera, float]:
        """The ground of a level, the camera in its frame, and how many of its units one of `level` has."""
        detail = level if detail is None else detail
        if not 0 <= detail < self.levels or not 0 <= level < self.levels:
            raise ValueError(f"level {level} and detail {detail} must be from 0 to {self.levels - 1}")
        step = self._between(level, detail)
        return self._ground(detail), camera.moved(step), step.scale

    def height(self, xy: np.ndarray, level: int) -> np.ndarray:
        """The ground's height at places (..., 2) of the frame of `level`, as the ray march sees it; float64."""
        flat = np.ascontiguousarray(xy, np.float64).reshape(-1, 2)
        out = np.empty(len(flat))
        kernels.ground_at(self._ground(level).grids, EXTENT, flat, out)
        return out.reshape(np.shape(xy)[:-1])

    def _between(self, source: int, target: int):
        from dreamzoom.path import ZoomPath

        return ZoomPath(self.factor, self.focuses, ()).between(source, target)

    def _ground(self, level: int) -> _Ground:
        """The grids of a level, made when first asked for."""
        if level not in self._grounds:
            chain, recipes, seeds, counts = self._chain(level)
            self._grounds[level] = _bake(chain, recipes, seeds, counts, self._cells)
            while len(self._grounds) > self._cached:
                self._grounds.popitem(last=False)
        self._grounds.move_to_end(level)
        return self._grounds[level]

    def _chain(self, level: int) -> tuple[np.ndarray, ...]:
        """The levels that matter in frame `level`, oldest first, as the kernels want them.

        What is taken off the older relief under each focus is found within this chain, from its first level on, so
        that nothing
        grows with p^n however deep the level is.
        """
        first = max(0, level - math.ceil(math.log(REACH) / math.log(self.factor)))
        planes = np.zeros((level - first + 1, 3))
        for k in range(first + 1, level + 1):
            planes[k - first] = self._plane(self._stack(k - 1, first, planes), k)
        return self._stack(level, first, planes)

    def _stack(self, level: int, first: int, planes: np.ndarray) -> tuple[np.ndarray, ...]:
        """The chain from level `first` to `level` with known planes: chain, recipes, seeds, counts."""
        count = level - first + 1
        chain = np.zeros((count, kernels.CHAIN))
        recipes = np.zeros((count, MAX_STYLES, R.LENGTH))
        seeds = np.zeros((count, MAX_STYLES), np.int64)
        counts = np.array([len(self._rows[k][1]) for k in range(first, level + 1)], np.int64)
        offset = np.zeros(3)
        for k in range(level, first - 1, -1):
            row = chain[k - first]
            row[kernels.SCALE], row[kernels.FACTOR] = self.factor ** (level - k), self.factor
            row[kernels.OX : kernels.OZ + 1] = offset
            row[kernels.TINT :] = self._tints[k]
            if k > 0:
                row[kernels.PLANE : kernels.PLANE_Y + 1] = planes[k - first]
                row[kernels.FOCUS_Z] = self.focuses[k - 1, 2]
                offset = offset / self.factor + self.focuses[k - 1]
            recipes[k - first, : counts[k - first]], seeds[k - first, : counts[k - first]] = self._rows[k]
        return chain, recipes, seeds, counts

    def _plane(self, older: tuple[np.ndarray, ...], level: int) -> np.ndarray:
        """The older ground at this level's focus, in its frame: height, and slope along x and y (at most 1.5)."""
        x, y, z = self.focuses[level - 1]
        e = 0.12
        h = np.empty(5)
        places = np.array([(x, y), (x + e, y), (x - e, y), (x, y + e), (x, y - e)])
        kernels.heights_at(*older, places, 0.03, h)
        slope = np.array([h[1] - h[2], h[3] - h[4]]) / (2 * e)
        return np.array([(h[0] - z) * self.factor, *slope.clip(-1.5, 1.5)])


class _Shot:
    """One picture of one level's ground.

    Args:
        ground: The ground; `camera`: in its frame; `shadows`: whether the sun casts any.
    """

    def __init__(self, ground: _Ground, camera: Camera, shadows: bool):
        self.size = camera.height, camera.width
        self.rays = ground.grids, ground.tops, BLOCKS, EXTENT, ground.ceiling
        shade = ground.shadows if shadows else np.ones_like(ground.shadows)
        older = ground.chain, ground.recipes, ground.seeds, ground.counts
        self.scene = (*older, ground.grids, shade, ground.opens, EXTENT, SUN)
        footprint = 1.0 / math.sqrt(abs(camera.fx * camera.fy))
        self.lens = np.array([camera.fx, camera.fy, camera.cx, camera.cy, footprint])
        self.pose = np.ascontiguousarray(camera.camera_to_frame, np.float64)

    def depth(self) -> np.ndarray:
        """Z-depth (H, W) in the ground's frame, float64; negative where it is the sky's."""
        rows, columns = np.mgrid[0 : self.size[0], 0 : self.size[1]]
        return self._reaches(np.stack([columns.ravel() + 0.5, rows.ravel() + 0.5], -1)).reshape(self.size)

    def light(self, depth: np.ndarray) -> np.ndarray:
        """Linear display light (H, W, 3) float32 for that depth: one sample a pixel, four where neighbours differ."""
        under, rgb = np.zeros((*self.size, 3)), np.empty((*self.size, 3), np.float32)
        place = self.scene, self.pose, self.lens, depth
        _in_parts(lambda a, b: picture.ground_under(*place, a, b, under), self.size[0], 8)
        _in_parts(lambda a, b: picture.light_rows(*place, under, a, b, rgb), self.size[0], 8)
        logs = np.log(np.abs(depth))
        steps = _jumps(logs, 0.03) | _bends(logs, 4.0 * self.lens[4])
        tones = _jumps(np.sqrt(rgb.clip(0, 1)).mean(-1), 0.08) & ~steps
        pixels = np.argwhere(tones & (depth > 0))
        rgb[tuple(pixels.T)] = self._four(depth, pixels)
        pixels = np.argwhere(steps | (tones & (depth < 0)))
        rgb[tuple(pixels.T)] = np.mean([self._rays(pixels[:, ::-1] + corner) for corner in CORNERS], 0)
        return rgb

    def _four(self, depth: np.ndarray, pixels: np.ndarray) -> np.ndarray:
        """Mean light (N, 3) of four places in pixels whose neighbours lie on the same surface."""
        out = np.empty((len(pixels), 3), np.float32)
        place = self.scene, self.pose, self.lens, depth
        _in_parts(lambda a, b: picture.light_four(*place, pixels[a:b], out[a:b]), len(pixels), 2048)
        return out

    def _rays(self, at: np.ndarray) -> np.ndarray:
        """Light (N, 3) along rays through pixel coordinates (N, 2)."""
        depth, out = self._reaches(at), np.empty((len(at), 3), np.float32)
        place = self.scene, self.pose, self.lens
        _in_parts(lambda a, b: picture.light_rays(*place, at[a:b], depth[a:b], out[a:b]), len(at), 2048)
        return out

    def _reaches(self, at: np.ndarray) -> np.ndarray:
        """Signed z-depth (N,) along rays through pixel coordinates (N, 2)."""
        out = np.empty(len(at))
        at = np.ascontiguousarray(at, np.float64)
        _in_parts(lambda a, b: picture.reaches(*self.rays, self.pose, self.lens, at[a:b], out[a:b]), len(at), 4096)
        return out


def _bends(values: np.ndarray, limit: float) -> np.ndarray:
    """Where an (H, W) map bends within a pixel: its second differences exceed a limit; bool."""
    out = np.zeros(values.shape, bool)
    for axis in (0, 1):
        inner = [slice(None)] * 2
        inner[axis] = slice(1, -1)
        out[tuple(inner)] |= np.abs(np.diff(values, 2, axis)) > limit
    return out


def _jumps(values: np.ndarray, limit: float) -> np.ndarray:
    """Where an (H, W) map differs by more than a limit from a neighbour above, below or beside; bool."""
    out = np.zeros(values.shape, bool)
    for axis in (0, 1):
        edge = np.abs(np.diff(values, axis=axis)) > limit
        low, high = [slice(None)] * 2, [slice(None)] * 2
        low[axis], high[axis] = slice(None, -1), slice(1, None)
        out[tuple(low)] |= edge
        out[tuple(high)] |= edge
    return out


def _tints_of(rows: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """The colour that each level's surroundings cast on it, (N, 3) linear RGB of unit brightness;
    −1 for the first level.
    """
    tints, carried = np.full((len(rows), 3), -1.0), None
    for k, (recipes, _) in enumerate(rows[:-1]):
        palette = recipes[0, R.COLOURS : R.COLOURS + 9].reshape(3, 3).mean(0) * recipes[0, R.SUN : R.SUN + 3]
        own = palette / max(palette @ LUMA, 1e-6)
        carried = own if carried is None else 0.7 * own + 0.3 * carried
        tints[k + 1] = carried
    return tints


def _bake(chain, recipes, seeds, counts, cells: int) -> _Ground:
    """Heights, block maxima, shadows and openness on the nested grids."""
    side = cells + 1
    older = (chain, recipes, seeds, counts)
    grids = np.empty((RINGS, side, side), np.float32)
    for ring in range(RINGS):
        _heights(older, grids[ring], EXTENT * 2.0**ring, ring < 2)
    tops = tuple(np.empty((RINGS, cells // size, cells // size), np.float32) for size in BLOCKS)
    opens, shadows = np.empty_like(grids), np.empty_like(grids)
    ceiling = float(grids.max()) + 1e-3
    for ring in range(RINGS):
        for size, high in zip(BLOCKS, tops):
            high[ring] = _block_tops(grids[ring], size)
        opens[ring] = _openness(grids[ring], 2 * EXTENT * 2.0**ring / cells)
        _shadows(grids, ring, ceiling, shadows[ring])
    return _Ground(*older, grids, tops, shadows, opens, ceiling)


def _heights(older: tuple, grid: np.ndarray, extent: float, smoothed: bool) -> None:
    """Fill one grid with heights; where asked, steps get the mean of four, so that edges of walls run straight."""
    side = len(grid)
    cell = 2 * extent / (side - 1)
    axis = np.arange(side) * cell - extent
    places = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    grid.reshape(-1)[:] = _heights_at(older, places, cell)
    if smoothed:
        steps = np.flatnonzero(maximum_filter(grid, 3) - minimum_filter(grid, 3) > 3 * cell)
        corners = [(x * cell / 3, y * cell / 3) for x in (-1, 1) for y in (-1, 1)]
        grid.reshape(-1)[steps] = np.mean([_heights_at(older, places[steps] + corner, cell) for corner in corners], 0)


def _heights_at(older: tuple, places: np.ndarray, footprint: float) -> np.ndarray:
    """Exact heights (N,) of places (N, 2)."""
    out = np.empty(len(places))
    _in_parts(lambda a, b: kernels.heights_at(*older, places[a:b], footprint, out[a:b]), len(places), 8192)
    return out


def _shadows(grids: np.ndarray, ring: int, ceiling: float, out: np.ndarray) -> None:
    """Fill one grid with the share of the sun that is seen."""
    _in_parts(lambda a, b: kernels.bake_shadows(grids, EXTENT, ring, *SUN, ceiling, out, a, b), len(out), 16)


def _block_tops(grid: np.ndarray, size: int) -> np.ndarray:
    """The highest value of each block of `size` cells and its eight neighbours."""
    blocks = (len(grid) - 1) // size
    own = maximum_filter(grid, size + 2)[size // 2 :: size, size // 2 :: size][:blocks, :blocks]
    return maximum_filter(own, 3)


def _openness(grid: np.ndarray, cell: float) -> np.ndarray:
    """How much sky is left by what rises around, at the scale of a dozen cells; outer rings add larger scales."""
    out = np.ones_like(grid)
    for width in (7, 17):
        rise = (uniform_filter(grid, width, mode="nearest") - grid) / (0.5 * width * cell)
        out *= 1 / (1 + 0.8 * np.maximum(rise, 0))
    return out


def _in_parts(work, count: int, size: int) -> None:
    """Run `work(start, stop)` over 0..count on all cores; the parts are independent, so the result never varies."""
    spans = [(a, min(a + size, count)) for a in range(0, count, size)]
    with ThreadPoolExecutor(_threads()) as pool:
        for future in [pool.submit(work, *span) for span in spans]:
            future.result()


def _threads() -> int:
    return max(1, int(os.environ.get("NUMBA_NUM_THREADS") or os.cpu_count() or 1))
