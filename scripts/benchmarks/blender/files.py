"""Splats to import: random ones, and surfaces, as files and as what they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from core import formats
from core.camera import Camera, look_at
from core.gaussians import Gaussians

EYE = (1.2, -2.6, 1.1)


def scattered(count: int, degree: int = 0, size: float = 0.03, seed: int = 0) -> Gaussians:
    """Splats of all shapes, evenly spread in a cube about the origin."""
    rng = np.random.default_rng(seed)
    logs = np.log(np.float32(size)) + 0.5 * rng.standard_normal((count, 3), dtype=np.float32)
    means = rng.uniform(-0.8, 0.8, (count, 3)).astype(np.float32)
    return Gaussians(means, logs, _turns(count, rng), _logits(count, rng), _colours(means, degree, rng))


def surface(count: int, degree: int = 0, thickness: float = 0.1, seed: int = 0) -> Gaussians:
    """Splats that lie in a bumpy sphere's surface and just cover it, `thickness` times as thick as they are wide."""
    rng = np.random.default_rng(seed)
    normal = rng.standard_normal((count, 3), dtype=np.float32)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    bumps = 0.1 * np.sin(7 * normal).prod(-1, keepdims=True) + 0.02 * np.sin(31 * normal).prod(-1, keepdims=True)
    means = (normal * (0.8 + bumps)).astype(np.float32)
    spacing = np.sqrt(4 * np.pi * 0.8**2 / count)
    logs = np.log(np.float32(0.7 * spacing)) + 0.3 * rng.standard_normal((count, 3), dtype=np.float32)
    logs[:, 2] = logs[:, :2].min(1) + np.log(np.float32(thickness))
    opacity = np.clip(_logits(count, rng) + 2, -2, 6)
    return Gaussians(means, logs, _facing(normal, rng), opacity, _colours(means, degree, rng))


def fitted(count: int, seed: int = 0) -> Gaussians:
    """Surfels as a level's fit leaves them, in a relief that fills the picture of `camera`.

    As in the levels of a job, σ is 0.58 of the spacing and the median opacity 0.98; a ray meets about seven.
    """
    rng = np.random.default_rng(seed)
    side = int(np.sqrt(count))
    spacing = 2.6 / side
    steps = (np.arange(side, dtype=np.float32) + 0.5) * spacing - 1.3
    places = np.stack(np.meshgrid(steps, steps), -1).reshape(-1, 2)
    x, y = (places + 0.25 * spacing * rng.standard_normal(places.shape, dtype=np.float32)).T
    height = 0.1 * np.sin(7 * x) * np.sin(5 * y) + 0.02 * np.sin(31 * x + 3) * np.sin(29 * y)
    across = 0.7 * np.cos(7 * x) * np.sin(5 * y) + 0.62 * np.cos(31 * x + 3) * np.sin(29 * y)
    along = 0.5 * np.sin(7 * x) * np.cos(5 * y) + 0.58 * np.sin(31 * x + 3) * np.cos(29 * y)
    ahead = np.array(EYE) / np.linalg.norm(EYE)
    right = np.cross([0, 0, 1], ahead) / np.linalg.norm(np.cross([0, 0, 1], ahead))
    axes = np.stack([right, np.cross(ahead, right), ahead]).astype(np.float32)
    normal = np.stack([-across, -along, np.ones_like(x)], -1)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    means = (np.stack([x, y, height], -1) @ axes).astype(np.float32)
    logs = np.log(np.float32(0.58 * spacing)) + 0.1 * rng.standard_normal((len(x), 3), dtype=np.float32)
    logs[:, 2] = logs[:, :2].min(1) + np.log(np.float32(1e-3))
    logits = np.clip(4 + rng.standard_normal(len(x), dtype=np.float32), -1, 7)
    turns = _facing((normal @ axes).astype(np.float32), rng)
    return Gaussians(means, logs, turns, logits, _colours(means, 0, rng))


def stretched(splats: Gaussians) -> Gaussians:
    """The same, but of each splat the first axis 1.8 times as long, and the second, and the third, the less."""
    logs = splats.log_scales + np.array([0.6, -0.6, -1.2], np.float32)
    return Gaussians(splats.means, logs, splats.quaternions, splats.logit_opacities, splats.sh)


def camera(width: int, height: int) -> Camera:
    """Looks at the origin."""
    focal = 1.3 * max(width, height) * min(1.0, height / width)
    return Camera(width, height, focal, focal, width / 2, height / 2, look_at(EYE, (0, 0, 0)))


def described(view: Camera) -> dict:
    """A camera for a plan of `in_blender.py`."""
    intrinsics = {name: getattr(view, name) for name in ("width", "height", "fx", "fy", "cx", "cy")}
    return {"intrinsics": intrinsics, "pose": view.camera_to_frame.tolist()}


def write(path: Path, splats: Gaussians) -> str:
    """A 3DGS PLY; its name."""
    formats.write(path, splats)
    return path.name


def _turns(count: int, rng: np.random.Generator) -> np.ndarray:
    turns = rng.standard_normal((count, 4), dtype=np.float32)
    return turns / np.linalg.norm(turns, axis=-1, keepdims=True)


def _facing(normal: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Quaternions wxyz that turn z to `normal` after a turn about z by chance."""
    half = rng.uniform(0, np.pi, len(normal)).astype(np.float32)
    tilt = np.stack([1 + normal[:, 2], -normal[:, 1], normal[:, 0], np.zeros_like(half)], -1)
    tilt /= np.maximum(np.linalg.norm(tilt, axis=-1, keepdims=True), 1e-6)
    w, x, y, _ = tilt.T
    c, s = np.cos(half), np.sin(half)
    turned = np.stack([w * c, x * c + y * s, y * c - x * s, w * s], -1)
    return (turned / np.linalg.norm(turned, axis=-1, keepdims=True)).astype(np.float32)


def _logits(count: int, rng: np.random.Generator) -> np.ndarray:
    return 1.5 * rng.standard_normal(count, dtype=np.float32)


def _colours(means: np.ndarray, degree: int, rng: np.random.Generator) -> np.ndarray:
    sh = 0.1 * rng.standard_normal((len(means), (degree + 1) ** 2, 3), dtype=np.float32)
    sh[:, 0] += 1.5 * np.sin(9 * means + [0, 1, 2])
    return sh
