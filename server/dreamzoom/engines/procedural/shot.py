"""Renders one picture of the world: depth by ray marching, then shading, with supersampling where needed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from core.camera import Camera
from dreamzoom.engines.procedural import renderer
from dreamzoom.engines.procedural.clipmap import BLOCKS, SUN, in_parts

CORNERS = ((0.375, 0.125), (0.875, 0.375), (0.125, 0.625), (0.625, 0.875))
"""Positions of four samples in a pixel (rotated grid: no two in the same row or column)."""

ZONES = ((2, 130.0), (4, 60.0))
"""(samples per pixel side, distance in pixels): supersampling within this distance of the projected origin. There the
finer levels lie, whose features (about a twentieth of their distance from the origin) are a few pixels large or less.
"""


@dataclass(frozen=True)
class Ground:
    """The data for rendering from cameras of one level, in its frame and units.

    Attributes:
        chain: The arrays chain, recipes, seeds, counts (see `kernels`).
        rings: (R, 3) centre x, y and half side of each grid, finest first.
        grids: (R, n+1, n+1) float32 heights.
        tops: Maxima of blocks of the grids, as in `kernels.march`.
        sun, sky: (R, n+1, n+1) float32, visible shares of the sun and of the sky, 0..1.
        ceiling: The greatest height in all grids.
    """

    chain: tuple
    rings: np.ndarray
    grids: np.ndarray
    tops: tuple[np.ndarray, np.ndarray]
    sun: np.ndarray
    sky: np.ndarray
    ceiling: float


class Shot:
    """Renders one picture.

    Args:
        ground: The terrain, in the frame of the camera's level.
        camera: In the same frame.
        shadows: Whether the sun casts shadows.
        dome: Radius of the sky sphere around the frame's origin.
        sky: (2, 2) rows of the chain whose sky is visible, and their weights.
    """

    def __init__(self, ground: Ground, camera: Camera, shadows: bool, dome: float, sky: np.ndarray):
        self.size = camera.height, camera.width
        self.rays = ground.grids, ground.tops, BLOCKS, ground.rings, dome, ground.ceiling
        shade = ground.sun if shadows else np.ones_like(ground.sun)
        self.scene = (*ground.chain, ground.grids, shade, ground.sky, ground.rings, sky, SUN)
        footprint = 1.0 / math.sqrt(abs(camera.fx * camera.fy))
        self.lens = np.array([camera.fx, camera.fy, camera.cx, camera.cy, footprint])
        self.pose = np.ascontiguousarray(camera.camera_to_frame, np.float64)

    def depth(self) -> np.ndarray:
        """Signed z-depth (H, W) float64 in the ground's frame; negative on the sky."""
        rows, columns = np.mgrid[0 : self.size[0], 0 : self.size[1]]
        return self._reaches(np.stack([columns.ravel() + 0.5, rows.ravel() + 0.5], -1)).reshape(self.size)

    def light(self, depth: np.ndarray) -> np.ndarray:
        """Display-linear RGB (H, W, 3) float32 for that depth: one sample per pixel, four where neighbours differ."""
        rgb = self._lit_once(depth)
        logs = np.log(np.abs(depth))
        steps = _exceeds_step(logs, 0.03) | _exceeds_curvature(logs, 4.0 * self.lens[4])
        tones = _exceeds_step(np.sqrt(rgb.clip(0, 1)).mean(-1), 0.08) & ~steps
        pixels = np.argwhere(tones & (depth > 0))
        rgb[tuple(pixels.T)] = self._four(depth, pixels)
        pixels = np.argwhere(steps | (tones & (depth < 0)))
        rgb[tuple(pixels.T)] = self.at(pixels)
        return rgb

    def _lit_once(self, depth: np.ndarray) -> np.ndarray:
        """Display-linear RGB (H, W, 3) float32, one sample per pixel."""
        under, rgb = np.zeros((*self.size, 3)), np.empty((*self.size, 3), np.float32)
        place = self.scene, self.pose, self.lens, depth
        in_parts(lambda a, b: renderer.ground_under(*place, a, b, under), self.size[0], 8)
        in_parts(lambda a, b: renderer.light_rows(*place, under, a, b, rgb), self.size[0], 8)
        return rgb

    def at(self, pixels: np.ndarray) -> np.ndarray:
        """Display-linear RGB (N, 3) of some pixels (N, 2), rows and columns; each is the mean of four rays."""
        return np.mean([self._rays(pixels[:, ::-1] + corner) for corner in CORNERS], 0)

    def means(self, times: int) -> np.ndarray:
        """Display-linear RGB (H / times, W / times, 3): means of `times` × `times` pixels, with one sample each."""
        rgb = self._lit_once(self.depth())
        height, width = (side // times for side in self.size)
        return rgb.reshape(height, times, width, times, 3).mean((1, 3), dtype=np.float32)

    def near(self, depth: np.ndarray, pixels: float, least: float) -> tuple[slice, slice] | None:
        """Rows and columns of the pixels within a distance (in pixels) of the projected origin; None if there are none.

        Args:
            depth: (H, W) signed z-depth.
            pixels: The distance in pixels.
            least: Distance from the origin, in the frame's units, below which features do not become smaller.
        """
        rows, columns = np.mgrid[0 : self.size[0], 0 : self.size[1]]
        away = np.full(self.size, np.inf)
        u, v = (columns + 0.5 - self.lens[2]) / self.lens[0], (rows + 0.5 - self.lens[3]) / self.lens[1]
        ground = depth > 0
        places = self.pose[:2, :3] @ np.stack([u[ground], v[ground], np.ones(ground.sum())]) * depth[ground]
        away[ground] = np.hypot(*(places + self.pose[:2, 3:])) / (depth[ground] * self.lens[4])
        found = np.argwhere(np.maximum(away, least / (np.abs(depth) * self.lens[4])) < pixels)
        if not len(found):
            return None
        (top, left), (bottom, right) = found.min(0), found.max(0) + 1
        return slice(top, bottom), slice(left, right)

    def _four(self, depth: np.ndarray, pixels: np.ndarray) -> np.ndarray:
        """Mean light (N, 3) of four samples in pixels (N, 2) whose neighbours lie on the same surface."""
        out = np.empty((len(pixels), 3), np.float32)
        place = self.scene, self.pose, self.lens, depth
        in_parts(lambda a, b: renderer.light_four(*place, pixels[a:b], out[a:b]), len(pixels), 2048)
        return out

    def _rays(self, at: np.ndarray) -> np.ndarray:
        """Light (N, 3) along rays through pixel coordinates (N, 2)."""
        depth, out = self._reaches(at), np.empty((len(at), 3), np.float32)
        place = self.scene, self.pose, self.lens
        in_parts(lambda a, b: renderer.light_rays(*place, at[a:b], depth[a:b], out[a:b]), len(at), 2048)
        return out

    def _reaches(self, at: np.ndarray) -> np.ndarray:
        """Signed z-depth (N,) along rays through pixel coordinates (N, 2)."""
        out = np.empty(len(at))
        at = np.ascontiguousarray(at, np.float64)
        in_parts(lambda a, b: renderer.reaches(*self.rays, self.pose, self.lens, at[a:b], out[a:b]), len(at), 4096)
        return out


def _exceeds_curvature(values: np.ndarray, limit: float) -> np.ndarray:
    """Where the second differences of an (H, W) map exceed a limit: (H, W) bool."""
    out = np.zeros(values.shape, bool)
    for axis in (0, 1):
        inner = [slice(None)] * 2
        inner[axis] = slice(1, -1)
        out[tuple(inner)] |= np.abs(np.diff(values, 2, axis)) > limit
    return out


def _exceeds_step(values: np.ndarray, limit: float) -> np.ndarray:
    """Where an (H, W) map differs from one of its four neighbours by more than a limit: (H, W) bool."""
    out = np.zeros(values.shape, bool)
    for axis in (0, 1):
        edge = np.abs(np.diff(values, axis=axis)) > limit
        low, high = [slice(None)] * 2, [slice(None)] * 2
        low[axis], high[axis] = slice(None, -1), slice(1, None)
        out[tuple(low)] |= edge
        out[tuple(high)] |= edge
    return out
