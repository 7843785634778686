"""An engine in closed form that only paints: each level's picture is another texture over one relief, known exactly."""

from __future__ import annotations

import hashlib

import numpy as np
from scipy.ndimage import gaussian_filter

from core.camera import Camera
from dreamzoom.geometry.view import COARSE, DepthKind, DepthMap
from dreamzoom.geometry.zoom_path import ZoomPath


class Painting:
    """Paints colours of its own at any scale, so that levels contradict each other; its depth is true.

    Args:
        path: Of the job.
        relief: Height of the hills on the ground plane of level 0, in its units; 0 for a plane.
    """

    name = "painting"
    multiview_consistent = False

    def __init__(self, path: ZoomPath, relief: float = 0.0):
        self.path, self.relief, self.painted = path, relief, []

    def identity(self):
        """What results depend on."""
        return {"engine": self.name, "relief": self.relief}

    def dependencies(self, level):
        """Nothing beside the arguments."""
        return {}

    def paint(self, view, rgb, mask, prompt, negative_prompt, seed, report):
        """Noise at every scale about colours that change from left to right; coarse pixels keep low frequencies."""
        self.painted.append((view.name, mask.copy()))
        key = hashlib.sha256(f"{view.name} {prompt} {seed}".encode()).digest()
        rng = np.random.default_rng(list(key))
        noise = [gaussian_filter(rng.standard_normal((*mask.shape, 3)), (s, s, 0)) * s for s in (0.7, 2, 8)]
        across = np.linspace(-0.25, 0.25, mask.shape[1])[None, :, None] * np.array([1, 0.5, -1])
        fresh = 0.35 + 0.3 * np.frombuffer(key, np.uint8)[:3] / 255 + across + 0.1 * np.sum(noise, 0)
        coarse = (mask == COARSE)[..., None]
        lack = gaussian_filter(np.where(coarse, rgb - fresh, 0), (2, 2, 0))
        share = gaussian_filter(coarse.astype(float), (2, 2, 0))
        return np.clip(fresh + coarse * lack / np.maximum(share, 1e-3), 0, 1).astype(np.float32)

    def depth(self, view, rgb, seed, report, known=None):
        """The true z-depth."""
        return DepthMap(self.true_depth(view.camera, view.level).astype(np.float32), DepthKind.METRIC)

    def true_depth(self, camera: Camera, level: int) -> np.ndarray:
        """(H, W) z-depth of the relief in the frame of the level."""
        to_world = self.path.between(level, 0)
        seen = camera.moved(to_world)
        rays = seen.rays()
        low, high = np.zeros(rays.shape[:2]), -seen.centre[2] / np.minimum(rays[..., 2], -1e-3)
        for _ in range(50):  # between the camera, which is above, and the plane, which is not
            middle = (low + high) / 2
            points = seen.centre + middle[..., None] * rays
            above = points[..., 2] > self.height(points[..., 0], points[..., 1])
            low, high = np.where(above, middle, low), np.where(above, high, middle)
        return high / to_world.scale

    def height(self, x, y):
        """Of the relief over the ground of level 0; 0 at the focus."""
        return self.relief * (np.sin(3.1 * x) * np.sin(2.3 * y) + 0.3 * np.sin(9 * x) * np.sin(7 * y + 0.4 * x))
