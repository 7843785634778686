"""The procedural engine: a world in closed form, controlled by the words of the prompts. Needs no model weights, and
provides ground truth for tests.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any

import numpy as np

from core.camera import Camera
from dreamzoom.engines.procedural.distortion import distort
from dreamzoom.engines.procedural.world import World
from dreamzoom.geometry.view import KNOWN, DepthKind, DepthMap, View
from dreamzoom.geometry.zoom_path import ZoomPath
from dreamzoom.progress import Report

MOST_CELLS = 576
"""Maximum number of cells along a ring's side; fewer for small pictures."""
FEW = 0.25
"""If at most this share of a picture's pixels is needed, they are rendered individually."""

VERSION = 4
"""Increase it when the world's appearance changes, so that steps of finished jobs run again."""


class ProceduralEngine:
    """Renders the world's true pictures; its depth imitates a monocular depth model.

    Args:
        prompts, seeds: One per level.
        factor: The zoom factor p.
        focuses: (N, 3) float64, as in `geometry.zoom_path.ZoomPath`.
        distortion: Whether `depth` is distorted; otherwise it is exact and metric.
        loop: Whether the first level follows the last.
        side: The longer side of the pictures in pixels. Pictures include finer levels until they are smaller than a
            pixel.
    """

    name = "procedural"
    multiview_consistent = True

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
    ):
        self.prompts, self.seeds, self.distortion = list(prompts), list(seeds), distortion
        cells = min(MOST_CELLS, 16 * max(math.ceil(1.15 * side / 16), 12))
        self.world = World(self.prompts, self.seeds, factor, focuses, loop=loop, side=side, cells=cells)

    def identity(self) -> dict[str, Any]:
        """What every step depends on; `dependencies` returns what a single level depends on."""
        return {"engine": self.name, "version": VERSION, "distortion": self.distortion}

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
        """The true picture of the view, (H, W, 3) float32 sRGB, with KNOWN pixels unchanged. `prompt` is ignored: the
        prompts are arguments of the constructor.
        """
        report.progress(0.0)
        wanted = mask != KNOWN
        picture = np.asarray(rgb, np.float32).copy()
        if wanted.mean() < FEW:
            picture[wanted] = self.world.colours(view.camera, view.level, view.zoom, np.argwhere(wanted))
        else:
            picture[wanted] = self.world.render(view.camera, view.level, view.zoom)[0][wanted]
        report.progress(1.0)
        return picture

    def depth(self, view: View, rgb: np.ndarray, seed: int, report: Report) -> DepthMap:
        """Z-depth of the view: with unknown scale, warped and noisy, or exact if `distortion` is off."""
        report.progress(0.0)
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
