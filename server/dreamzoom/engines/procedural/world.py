"""The procedural world in closed form: one scene that can be rendered at any zoom, as ground truth. Every picture
contains all levels, the finer ones small in the middle.

The terrain is a sum over the levels that contribute at a point, each in its own frame (see `kernels.height`), so level
40 is as precise as level 0. Coarser levels are included as far as they are visible, finer ones until they are smaller
than a pixel. Cost and memory do not depend on the number of levels; in a loop, level k is level k mod N. Heights,
shadows and sky visibility are cached on nested grids around the focus (`clipmap`); colours are computed exactly at
every point.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import replace

import numpy as np

from core import reach
from core.camera import Camera, Similarity
from core.colour import linear_to_srgb
from dreamzoom.engines.procedural import clipmap, kernels
from dreamzoom.engines.procedural import parameters as R
from dreamzoom.engines.procedural.clipmap import BLOCKS, EXTENT, Relief, Shade
from dreamzoom.engines.procedural.shot import ZONES, Ground, Shot
from dreamzoom.engines.procedural.vocabulary import MAX_STYLES, recipes_of
from dreamzoom.geometry.zoom_path import ZoomPath

LUMA = np.array([0.3, 0.6, 0.1])
DOME = 50.0
"""Radius of the sky sphere around the focus, in the gauge."""
TINTS = (0.7, 0.21, 0.063, 0.027)
"""Weights of the coarser levels' colours in a level's tint, nearest level first."""


class World:
    """All levels of one request.

    Args:
        prompts, seeds: One per level.
        factor: The zoom factor p.
        focuses: (N, 3) float64; row k is the focus of level k+1, in level k's frame.
        loop: Whether the first level follows the last: level k is level k mod N, for any integer k.
        side: The longer side, in pixels, of the pictures that will be rendered: finer levels are included until they
            are smaller than a pixel.
        kept: Number of rings that are cached (4 MB each at 576 cells).
        cells: Cells along a ring's side, a multiple of 16: the resolution of the terrain.
    """

    def __init__(
        self,
        prompts: list[str],
        seeds: list[int],
        factor: float,
        focuses: np.ndarray,
        *,
        loop: bool = False,
        side: int = 512,
        kept: int = 40,
        cells: int = 576,
    ):
        if cells % BLOCKS[0] or cells < 4 * BLOCKS[0]:
            raise ValueError(f"cells must be a multiple of {BLOCKS[0]}, at least {4 * BLOCKS[0]}; got {cells}")
        self.factor, self.loop = float(factor), loop
        self.focuses = np.asarray(focuses, np.float64).reshape(-1, 3)
        self.path = ZoomPath(self.factor, self.focuses, (), loop=loop)
        self.side, self.older, self.finer = side, reach.older(factor), reach.finer(factor, side)
        detail = 4 * 1.6 * side / cells  # samples per pixel side × pixels per cell side for a typical lens
        self._deeper = min(max(0, math.ceil(math.log(detail) / math.log(factor))), self.finer - 1)
        self._rows = [recipes_of(prompt, seed) for prompt, seed in zip(prompts, seeds)]
        for rows, _ in self._rows if loop else self._rows[1:]:
            rows[:, R.BASE] = 0.2  # the coarser terrain already provides the base shape
        self._tints = [self._tint(k) for k in range(len(prompts))]
        self._cells, self._per_level = cells, clipmap.per_level(factor)
        self._reliefs: OrderedDict[int, Relief] = OrderedDict()
        self._shades: OrderedDict[int, Shade] = OrderedDict()
        self._grounds: OrderedDict[tuple, Ground] = OrderedDict()
        self._kept = kept

    @property
    def levels(self) -> int:
        """N, the number of levels."""
        return len(self._rows)

    def seen_from(self, level: int) -> range:
        """The levels that the pictures of `level` depend on; in a loop the indices may run past both ends."""
        return reach.seen_from(level, self.levels, self.factor, self.side, self.loop)

    def _within(self, first: int, last: int) -> range:
        """The existing levels from `first` to `last`."""
        return range(first, last + 1) if self.loop else range(max(first, 0), min(last, self.levels - 1) + 1)

    def render(
        self, camera: Camera, level: int, zoom: float | None = None, *, shadows: bool = True
    ) -> tuple[np.ndarray, np.ndarray]:
        """Render the true picture.

        Args:
            camera: In the frame of `level`.
            level: The level in whose frame the camera and the depth are.
            zoom: The camera's zoom u; `level` if None. The sky is a sphere of DOME gauge units (at u) around the focus,
                with the appearance of the levels adjacent to u.
            shadows: Whether the sun casts shadows.

        Returns:
            (H, W, 3) float32 sRGB, and z-depth (H, W) float32 in the frame of `level`; on the sky, that of the sphere.
        """
        shot = self._shot(camera, level, zoom, shadows)
        depth = shot.depth()
        light = shot.light(depth)
        least = 0.0 if self.loop else 0.2 * self.factor ** (level - self.levels + 1)
        for times, pixels in ZONES:
            part = shot.near(depth, pixels, least)
            if part is not None:
                finer = _part(camera, *part, times)
                light[part] = self._shot(finer, level, zoom, shadows).means(times)
        return linear_to_srgb(light.clip(0, 1)), np.abs(depth).astype(np.float32)

    def colours(self, camera: Camera, level: int, zoom: float | None, pixels: np.ndarray) -> np.ndarray:
        """True sRGB colours (N, 3) float32 of some pixels (N, 2), rows and columns; faster than `render` for few.

        Other arguments as in `render`.
        """
        light = self._shot(camera, level, zoom, True).at(pixels)
        return linear_to_srgb(light.clip(0, 1).astype(np.float32))

    def depth(self, camera: Camera, level: int, zoom: float | None = None) -> np.ndarray:
        """Only the true z-depth, as returned by `render`, in a fraction of the time."""
        return np.abs(self._shot(camera, level, zoom, True).depth()).astype(np.float32)

    def height(self, xy: np.ndarray, level: int) -> np.ndarray:
        """Terrain height (...) float64 at points (..., 2) of the frame of `level`, from the grids that the ray march
        uses when pixels are as small as the cells of the level's own ring.
        """
        flat = np.ascontiguousarray(xy, np.float64).reshape(-1, 2)
        out = np.empty(len(flat))
        ground = self._ground(level, level * self._per_level, DOME)
        kernels.ground_at(ground.grids, ground.rings, flat, out)
        return out.reshape(np.shape(xy)[:-1])

    def _shot(self, camera: Camera, level: int, zoom: float | None, shadows: bool) -> Shot:
        if not self.loop and not 0 <= level < self.levels:
            raise ValueError(f"level {level} must be from 0 to {self.levels - 1}")
        zoom = float(level) if zoom is None else zoom
        dome = DOME * self.factor ** (level - zoom)
        pixel = float(np.linalg.norm(camera.centre)) / math.sqrt(abs(camera.fx * camera.fy))
        ground = self._ground(level, self._finest(level, pixel), dome)
        return Shot(ground, camera, shadows, dome, self._sky(level, zoom))

    def _finest(self, level: int, pixel: float) -> int:
        """Number of the coarsest ring whose cells are at most `pixel` wide; `pixel` is the size of a pixel at the
        focus, in units of `level`'s frame.
        """
        ratio = 2 * EXTENT / (self._cells * max(pixel, 1e-9))
        finest = math.ceil(self._per_level * (level + math.log(ratio) / math.log(self.factor)) - 1e-6)
        finest = min(finest, (level + self._deeper) * self._per_level)
        return finest if self.loop else min(finest, (self.levels - 1) * self._per_level)

    def _sky(self, level: int, zoom: float) -> np.ndarray:
        """(2, 2): rows of the chain of `level` whose sky is visible to a camera at `zoom`, and their weights."""
        seen = self._within(level - self.older, level + self.finer)
        base = math.floor(zoom)
        t = zoom - base
        share = t * t * (3 - 2 * t)
        rows = [min(max(k, seen[0]), seen[-1]) - seen[0] for k in (base, base + 1)]
        return np.array([[rows[0], 1 - share], [rows[1], share]])

    def _ground(self, level: int, finest: int, dome: float) -> Ground:
        """The data for rendering from cameras of a level: rings from number `finest` outwards, up to the sky."""
        outermost = math.floor(self._per_level * (level - math.log(1.1 * dome / EXTENT) / math.log(self.factor)) + 1e-6)
        key = level, finest, min(outermost, finest)
        if key not in self._grounds:
            self._grounds[key] = self._gather(level, range(key[1], key[2] - 1, -1))
            while len(self._grounds) > 2:
                self._grounds.popitem(last=False)
        self._grounds.move_to_end(key)
        return self._grounds[key]

    def _gather(self, level: int, numbers: range) -> Ground:
        """The rings with these numbers, finest first, in the frame of `level`."""
        places, grids = self._heights(level, numbers)
        coarse, fine = (np.stack([self._moved(self._relief(g).tops[n], g, level) for g in numbers]) for n in range(2))
        shades = [self._shade(g) for g in numbers]
        sun, sky = (np.stack([getattr(shade, name) for shade in shades]) for name in ("sun", "sky"))
        return Ground(
            self._chain(level, self.finer), places, grids, (coarse, fine), sun, sky, float(grids.max()) + 1e-3
        )

    def _heights(self, level: int, numbers: range) -> tuple[np.ndarray, np.ndarray]:
        """Positions (R, 3) (see `kernels`) and heights (R, n+1, n+1) float32 of rings, in the frame of `level`."""
        places, grids = [], []
        for g in numbers:
            to_level = self.path.between(self._owner(g), level)
            origin = to_level.apply(np.zeros(3))
            places.append([origin[0], origin[1], to_level.scale * self._extent(g)])
            grids.append(self._moved(self._relief(g).heights, g, level))
        return np.array(places), np.stack(grids)

    def _moved(self, heights: np.ndarray, number: int, level: int) -> np.ndarray:
        """A ring's heights (n+1, n+1), converted from its owner's frame to the frame of `level`."""
        to_level = self.path.between(self._owner(number), level)
        return np.float32(to_level.scale) * (heights - np.float32(to_level.offset[2]))

    def _owner(self, number: int) -> int:
        """The level in whose frame a ring is stored."""
        owner = -(-number // self._per_level)
        return owner if self.loop else min(max(owner, 0), self.levels - 1)

    def _extent(self, number: int) -> float:
        """Half a ring's side, in units of its owner's frame."""
        return EXTENT * self.factor ** (self._owner(number) - number / self._per_level)

    def _relief(self, number: int) -> Relief:
        def make() -> Relief:
            owner, extent = self._owner(number), self._extent(number)
            near = extent < 1.5 * EXTENT * self.factor
            chain = self._chain(owner, self.finer - self._deeper)  # so that pictures depend on `finer` levels
            return clipmap.bake_relief(chain, extent, self._cells, near)

        return self._cached(self._reliefs, number, make)

    def _shade(self, number: int) -> Shade:
        def make() -> Shade:
            owner = self._owner(number)
            places, grids = self._heights(owner, range(number, number - reach.SHADED, -1))
            cell = 2 * places[0, 2] / self._cells
            deepest = 0.0 if self.loop else self.factor ** (owner - self.levels + 1)
            return clipmap.bake_shade(grids, places, max(deepest, 4 * cell))

        return self._cached(self._shades, number, make)

    def _cached(self, cache: OrderedDict, number: int, make):
        """A ring's cached data, computed by `make` at first use. In a loop, rings of the same level are shared."""
        key = number % (self.levels * self._per_level) if self.loop else number
        if key not in cache:
            cache[key] = make()
            while len(cache) > self._kept:
                cache.popitem(last=False)
        cache.move_to_end(key)
        return cache[key]

    def _chain(self, level: int, finer: int) -> tuple[np.ndarray, ...]:
        """The arrays chain, recipes, seeds, counts (see `kernels`) in frame `level`, with `finer` finer levels.

        The planes that are subtracted from the coarser terrain at each focus are computed within this chain, starting
        at its first level, so that no value grows with p^n however deep the level is.
        """
        seen = self._within(level - self.older, level + finer)
        planes = np.zeros((len(seen), 3))
        for place, k in enumerate(seen[1:], 1):
            planes[place] = self._plane(self._stack(k - 1, seen[: place + 1], planes), k)
        return self._stack(level, seen, planes)

    def _stack(self, level: int, seen: range, planes: np.ndarray) -> tuple[np.ndarray, ...]:
        """The arrays chain, recipes, seeds, counts of the levels `seen` in frame `level`, for given planes (L, 3)."""
        chain = np.zeros((len(seen), kernels.CHAIN))
        recipes = np.zeros((len(seen), MAX_STYLES, R.LENGTH))
        seeds = np.zeros((len(seen), MAX_STYLES), np.int64)
        counts = np.zeros(len(seen), np.int64)
        for row, k in enumerate(seen):
            own, numbers = self._rows[k % self.levels]
            to_level: Similarity = self.path.between(level, k)
            chain[row, kernels.SCALE], chain[row, kernels.FACTOR] = 1 / to_level.scale, self.factor
            chain[row, kernels.OX : kernels.OZ + 1] = -to_level.scale * to_level.offset
            chain[row, kernels.TINT :] = self._tints[k % self.levels if self.loop else k]
            chain[row, kernels.PLANE : kernels.PLANE_Y + 1] = planes[row]
            chain[row, kernels.FOCUS_Z] = self.focuses[(k - 1) % self.levels, 2] if row else 0.0
            counts[row] = len(numbers)
            recipes[row, : counts[row]], seeds[row, : counts[row]] = own, numbers
        return chain, recipes, seeds, counts

    def _plane(self, older: tuple[np.ndarray, ...], level: int) -> np.ndarray:
        """The coarser terrain at this level's focus, in its frame: height, and slope along x and y (at most 1.5).

        Args:
            older: The arrays (see `kernels`) of the levels before this one, in the next coarser level's frame.
        """
        x, y, z = self.focuses[(level - 1) % self.levels]
        e = 0.12
        h = np.empty(5)
        places = np.array([(x, y), (x + e, y), (x - e, y), (x, y + e), (x, y - e)])
        chain, recipes, seeds, counts = older
        kernels.heights_at(chain, recipes, seeds, counts, places, 0.03, len(chain) - 2, h)
        slope = np.array([h[1] - h[2], h[3] - h[4]]) / (2 * e)
        return np.array([(h[0] - z) * self.factor, *slope.clip(-1.5, 1.5)])

    def _tint(self, level: int) -> np.ndarray:
        """The tint of a level by the coarser levels around it, (3,) linear RGB of unit brightness; −1 for none."""
        above = [k for k in range(level - 1, level - 1 - len(TINTS), -1) if self.loop or k >= 0]
        if not above:
            return np.full(3, -1.0)
        weights = np.array(TINTS[: len(above)])
        colours = np.array([_mean_colour(self._rows[k % self.levels][0][0]) for k in above])
        return weights @ colours / weights.sum()


def _part(camera: Camera, rows: slice, columns: slice, times: int) -> Camera:
    """The camera cropped to some rows and columns of its picture, with `times` × `times` pixels for each pixel."""
    height, width = rows.stop - rows.start, columns.stop - columns.start
    part = replace(camera, width=width, height=height, cx=camera.cx - columns.start, cy=camera.cy - rows.start)
    return part.resized(width * times, height * times)


def _mean_colour(recipe: np.ndarray) -> np.ndarray:
    """The mean colour of a style's palette in its own light, (3,) linear RGB of unit brightness."""
    palette = recipe[R.COLOURS : R.COLOURS + 9].reshape(3, 3).mean(0) * recipe[R.SUN : R.SUN + 3]
    return palette / max(palette @ LUMA, 1e-6)
