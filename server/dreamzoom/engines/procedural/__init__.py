"""The procedural engine: a world in closed form, steered by the words of the prompts; previs anywhere,
and ground truth.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from dreamzoom.camera import Camera
from dreamzoom.colour import linear_to_srgb, srgb_to_linear
from dreamzoom.engines.base import KNOWN, DepthKind, DepthMap, View
from dreamzoom.engines.procedural.distortion import distort
from dreamzoom.engines.procedural.world import World
from dreamzoom.path import ZoomPath
from dreamzoom.report import Report

VERSION = 2
"""Raise when the world looks different than before: finished jobs are then made anew."""


class ProceduralEngine:
    """Paints what is true of the world, and tells its depth as a monocular model would.

    Args:
        prompts, seeds: One a level.
        factor: The zoom factor.
        focuses: (N, 3) float64, as in `path.ZoomPath`.
        distortion: Whether `depth` is distorted; exact and metric where not.
    """

    name = "procedural"
    multiview_consistent = True

    def __init__(
        self, prompts: list[str], seeds: list[int], factor: float, focuses: np.ndarray, distortion: bool = True
    ):
        self.prompts, self.seeds, self.distortion = list(prompts), list(seeds), distortion
        self.world = World(self.prompts, self.seeds, factor, focuses)

    def identity(self) -> dict[str, Any]:
        """What every step depends on; what one level depends on, `dependencies` says."""
        return {"engine": self.name, "version": VERSION, "distortion": self.distortion}

    def dependencies(self, level: int) -> dict[str, Any]:
        """What the pictures of a level depend on beside `identity`: levels 0..level, never a later one."""
        return {
            "prompts": self.prompts[: level + 1],
            "seeds": self.seeds[: level + 1],
            "factor": self.world.factor,
            "focuses": self.world.focuses[:level].tolist(),
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
        """The true picture of the view, (H, W, 3) float32 sRGB; KNOWN pixels as given. Words come from the
        constructor.
        """
        report.progress(0.0)
        true, _ = self.world.render(view.camera, view.level)
        report.progress(1.0)
        return np.where((mask == KNOWN)[..., None], rgb, true).astype(np.float32)

    def depth(self, view: View, rgb: np.ndarray, seed: int, report: Report) -> DepthMap:
        """Z-depth of the view: up to a factor, warped and noisy, or exact where `distortion` is off."""
        report.progress(0.0)
        depth = self.world.depth(view.camera, view.level)
        report.progress(1.0)
        if not self.distortion:
            return DepthMap(depth, DepthKind.METRIC)
        digest = hashlib.sha256(f"{view.name}\x1f{seed}".encode()).digest()
        rng = np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "little")))
        return DepthMap(distort(depth, rng, outliers=0.01), DepthKind.SCALE)

    def truth(self, path: ZoomPath, zoom: float, camera_in_gauge: Camera) -> tuple[np.ndarray, np.ndarray]:
        """The flight's true picture at a zoom: levels k and k+1 dissolved in linear light as `path.fade` says.

        Returns:
            (H, W, 3) float32 sRGB, and z-depth (H, W) float32 in the gauge at `zoom`, of the level that dominates.
        """
        last = path.levels - 1
        fades = [path.fade(zoom, level) for level in range(path.levels)]
        top = max(level for level in range(path.levels) if fades[level] > 0)
        share = fades[top]
        wanted = [(top, share)] + ([(top - 1, 1 - share)] if share < 1 and top > 0 else [])
        light, depth, best = 0.0, None, -1.0
        for level, weight in wanted:
            gauge = path.gauge(zoom, min(level, last))
            rgb, z = self.world.render(camera_in_gauge.moved(gauge), level)
            light = light + weight * srgb_to_linear(rgb)
            if weight > best:
                best, depth = weight, z / np.float32(gauge.scale)
        return linear_to_srgb(np.asarray(light, np.float32)), np.asarray(depth, np.float32)
