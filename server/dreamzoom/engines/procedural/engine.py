"""The procedural engine: a world in closed form, controlled by the words of the prompts. Needs no model weights, and
provides ground truth for tests.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter

from core.camera import Camera
from dreamzoom.engines.procedural.distortion import distort
from dreamzoom.engines.procedural.world import World
from dreamzoom.geometry.view import COARSE, KNOWN, DepthKind, DepthMap, View
from dreamzoom.geometry.zoom_path import ZoomPath
from dreamzoom.progress import Report

MOST_CELLS = 576
"""Maximum number of cells along a ring's side; fewer for small pictures."""
FEW = 0.25
"""If at most this share of a picture's pixels is needed, they are rendered individually."""

VERSION = 4
"""Increase it when the world's appearance changes, so that steps of finished jobs run again."""


FARTHEST = 20.0
"""The depth of the plane of the artist's pictures is limited to this many times the focus's."""


class ProceduralEngine:
    """Renders the world's true pictures; its depth imitates a monocular depth model.

    With the artist's own pictures the world is no longer the only content. Then the engine keeps to what it is given:
    COARSE pixels keep their low frequencies and take over the world's detail alone, and the surface is a plane through
    the focus, since the engine has no depth model and its terrain is not the picture's.

    Args:
        prompts, seeds: One per level.
        factor: The zoom factor p.
        focuses: (N, 3) float64, as in `geometry.zoom_path.ZoomPath`.
        distortion: Whether `depth` is distorted; otherwise it is exact and metric.
        loop: Whether the first level follows the last.
        side: The longer side of the pictures in pixels. Pictures include finer levels until they are smaller than a
            pixel.
        photo_plane: (3,) float64, unit: the normal of the plane in which the artist's own pictures lie, pointing away
            from the camera; all levels' frames have the same axes. None if there are no such pictures.
    """

    name = "procedural"

    def __init__(
        self,
        prompts: list[str],
        seeds: list[int],
        factor: float,
        focuses: np.ndarray,
        distortion: bool = True,
        *,
        loop: bool = False,
        side: int = 512,
        photo_plane: np.ndarray | None = None,
    ):
        self.prompts, self.seeds, self.distortion = list(prompts), list(seeds), distortion
        self.photo_plane, self.multiview_consistent = photo_plane, photo_plane is None
        cells = min(MOST_CELLS, 16 * max(math.ceil(1.15 * side / 16), 12))
        self.world = World(self.prompts, self.seeds, factor, focuses, loop=loop, side=side, cells=cells)

    def identity(self) -> dict[str, Any]:
        """What every step depends on; `dependencies` returns what a single level depends on."""
        own = {"engine": self.name, "version": VERSION, "distortion": self.distortion}
        return own if self.photo_plane is None else own | {"photo_plane": self.photo_plane.tolist()}

    def dependencies(self, level: int) -> dict[str, Any]:
        """What a level's pictures depend on besides `identity`: the coarser and finer levels visible in them."""
        seen, count = self.world.seen_from(level), self.world.levels
        return {
            "seen": [[k - level, self.prompts[k % count], self.seeds[k % count]] for k in seen],
            "factor": self.world.factor,
            "focuses": [self.world.focuses[k % count].tolist() for k in seen[:-1]],
        }

    def paint(
        self,
        view: View,
        rgb: np.ndarray,
        mask: np.ndarray,
        prompt: str,
        negative_prompt: str,
        seed: int,
        report: Report,
    ) -> np.ndarray:
        """The true picture of the view, (H, W, 3) float32 sRGB, with KNOWN pixels unchanged, and with the low
        frequencies of COARSE ones if the artist gives pictures. `prompt` is ignored: the prompts are arguments of the
        constructor.
        """
        report.progress(0.0)
        wanted = mask != KNOWN
        picture = np.asarray(rgb, np.float32).copy()
        if wanted.mean() < FEW:
            picture[wanted] = self.world.colours(view.camera, view.level, view.zoom, np.argwhere(wanted))
        else:
            picture[wanted] = self.world.render(view.camera, view.level, view.zoom)[0][wanted]
        if self.photo_plane is not None and (mask == COARSE).any():
            picture = _with_low_frequencies(picture, rgb, mask, 0.5 * self.world.factor)
        report.progress(1.0)
        return picture

    def depth(
        self, view: View, rgb: np.ndarray, seed: int, report: Report, known: np.ndarray | None = None
    ) -> DepthMap:
        """Z-depth of the view: with unknown scale, warped and noisy, or exact if `distortion` is off."""
        report.progress(0.0)
        if self.photo_plane is not None:
            return DepthMap(plane_depth(view.camera, self.photo_plane), DepthKind.METRIC)
        depth = self.world.depth(view.camera, view.level, view.zoom)
        report.progress(1.0)
        if not self.distortion:
            return DepthMap(depth, DepthKind.METRIC)
        digest = hashlib.sha256(f"{view.name}\x1f{seed}".encode()).digest()
        rng = np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "little")))
        return DepthMap(distort(depth, rng, outliers=0.01), DepthKind.SCALE)

    def truth(self, path: ZoomPath, zoom: float, camera_in_gauge: Camera) -> tuple[np.ndarray, np.ndarray]:
        """The ground-truth picture of the flight at a zoom.

        Returns:
            (H, W, 3) float32 sRGB, and z-depth (H, W) float32 in the gauge at `zoom`.
        """
        level = math.floor(zoom) if path.loop else min(max(math.floor(zoom), 0), path.levels - 1)
        gauge = path.gauge(zoom, level)
        rgb, depth = self.world.render(camera_in_gauge.moved(gauge), level, zoom)
        return rgb, depth / np.float32(gauge.scale)


def _with_low_frequencies(picture: np.ndarray, rgb: np.ndarray, mask: np.ndarray, sigma: float) -> np.ndarray:
    """The picture (H, W, 3) with the low frequencies of `rgb` where `mask` is COARSE.

    The difference, low-passed with a Gaussian of `sigma` pixels over these pixels, is added.
    """
    coarse = mask == COARSE
    weight = np.maximum(gaussian_filter(coarse.astype(np.float32), sigma), 1e-3)[..., None]
    low = gaussian_filter(np.where(coarse[..., None], rgb - picture, 0), (sigma, sigma, 0)) / weight
    return np.where(coarse[..., None], np.clip(picture + low, 0, 1), picture).astype(np.float32)


def plane_depth(camera: Camera, facing: np.ndarray) -> np.ndarray:
    """Z-depth (H, W) float32 of the plane through the focus, the frame's origin, with the normal `facing` (3,).

    Where the plane is not in front of the camera or too far away, `FARTHEST` times the distance of the focus.
    """
    distance = max(float(camera.to_camera(np.zeros(3))[2]), 1e-3)
    with np.errstate(divide="ignore", invalid="ignore"):
        depth = -(camera.centre @ facing) / (camera.rays() @ facing)
    return np.where((depth > 0) & (depth < FARTHEST * distance), depth, FARTHEST * distance).astype(np.float32)
