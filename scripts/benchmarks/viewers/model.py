"""The image model of web viewers in plain numpy, written apart from the server's kernels, and an independent reader.

Splats are read with plyfile. Each is projected as Zwicker et al. 2001 (EWA splatting) and Kerbl et al. 2023 (3DGS) do:
its covariance by the Jacobian at its centre, widened by 0.3 pixels²; splats are blended in sRGB from front to back, by
the z-depths of their centres. Viewers on WebGL draw quads that end at √8 standard deviations (exp(−4)); `cut` chooses
that in place of 3DGS's end at an alpha of 1/255.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from plyfile import PlyData

TILE = 16
BATCH = 512
"""Splats that are blended at a time in each tile."""


@dataclass(frozen=True)
class Cloud:
    """The splats of a file: positions (N, 3), covariances (N, 3, 3), opacities (N,) and sRGB colours (N, 3)."""

    position: np.ndarray
    covariance: np.ndarray
    opacity: np.ndarray
    rgb: np.ndarray


def read(path: Path) -> Cloud:
    """Read a PLY of 3DGS without harmonics."""
    rows = PlyData.read(str(path))["vertex"]
    columns = lambda *names: np.stack([np.asarray(rows[name], np.float64) for name in names], -1)  # noqa: E731
    w, x, y, z = (columns(*(f"rot_{k}" for k in range(4)))).T
    length = np.sqrt(w * w + x * x + y * y + z * z)
    w, x, y, z = w / length, x / length, y / length, z / length
    turn = np.stack(
        [
            np.stack([1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)], -1),
            np.stack([2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)], -1),
            np.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], -1),
        ],
        1,
    )
    axes = turn * np.exp(columns("scale_0", "scale_1", "scale_2"))[:, None, :]
    rgb = np.clip(0.5 + 0.28209479177387814 * columns("f_dc_0", "f_dc_1", "f_dc_2"), 0, None)
    opacity = 1 / (1 + np.exp(-np.asarray(rows["opacity"], np.float64)))
    return Cloud(columns("x", "y", "z"), axes @ axes.transpose(0, 2, 1), opacity, rgb)


def picture(cloud: Cloud, camera, near: float, cut: str = "alpha") -> np.ndarray:
    """What a viewer shows, sRGB (H, W, 3) over black.

    Args:
        cloud: The splats.
        camera: A `core.camera.Camera` in their frame.
        near: Least z-depth of a centre that is shown.
        cut: "alpha": a splat ends where its alpha is 1/255; "quad": it ends at √8 standard deviations.
    """
    world_to_camera = np.linalg.inv(camera.camera_to_frame)
    m = cloud.position @ world_to_camera[:3, :3].T + world_to_camera[:3, 3]
    rows = np.flatnonzero((m[:, 2] > near) & (cloud.opacity > 1 / 255))
    m = m[rows]
    x, y, z = m.T
    limit_x, limit_y = 0.15 * camera.width / camera.fx, 0.15 * camera.height / camera.fy
    slope_x = np.clip(x / z, -camera.cx / camera.fx - limit_x, (camera.width - camera.cx) / camera.fx + limit_x)
    slope_y = np.clip(y / z, -camera.cy / camera.fy - limit_y, (camera.height - camera.cy) / camera.fy + limit_y)
    zero = np.zeros_like(z)
    lens = np.stack(
        [
            np.stack([camera.fx / z, zero, -camera.fx * slope_x / z], -1),
            np.stack([zero, camera.fy / z, -camera.fy * slope_y / z], -1),
        ],
        1,
    )
    flat = lens @ world_to_camera[:3, :3]
    spread = flat @ cloud.covariance[rows] @ flat.transpose(0, 2, 1) + 0.3 * np.eye(2)
    a, b, c = spread[:, 0, 0], spread[:, 0, 1], spread[:, 1, 1]
    most = 4.0 + zero if cut == "quad" else np.log(255 * cloud.opacity[rows])
    u, v = camera.fx * x / z + camera.cx, camera.fy * y / z + camera.cy
    wide, high = np.sqrt(2 * most * a), np.sqrt(2 * most * c)
    shown = (u + wide > 0) & (u - wide < camera.width) & (v + high > 0) & (v - high < camera.height)
    order = np.flatnonzero(shown)[np.argsort(z[shown], kind="stable")]
    det = a * c - b * b
    table = np.stack([u, v, c / det, -b / det, a / det, most, cloud.opacity[rows], wide, high], -1)[order]
    return _blended(table, cloud.rgb[rows][order], camera.width, camera.height)


def _blended(table: np.ndarray, rgb: np.ndarray, width: int, height: int) -> np.ndarray:
    out = np.zeros((height, width, 3))
    u, v, wide, high = table[:, 0], table[:, 1], table[:, 7], table[:, 8]
    for top in range(0, height, TILE):
        band = np.flatnonzero((v + high > top) & (v - high < top + TILE))
        for left in range(0, width, TILE):
            inside = band[(u[band] + wide[band] > left) & (u[band] - wide[band] < left + TILE)]
            ys, xs = np.mgrid[top : min(top + TILE, height), left : min(left + TILE, width)] + 0.5
            colour, clear = np.zeros((*xs.shape, 3)), np.ones(xs.shape)
            for start in range(0, len(inside), BATCH):
                part = inside[start : start + BATCH]
                cu, cv, p, q, r, most, opacity = table[part, :7].T[:, None, None, :]
                dx, dy = xs[..., None] - cu, ys[..., None] - cv
                power = 0.5 * (p * dx * dx + r * dy * dy) + q * dx * dy
                alpha = np.where(power <= most, np.minimum(opacity * np.exp(-np.maximum(power, 0)), 0.999), 0)
                passed = np.cumprod(1 - alpha, -1)
                before = np.concatenate([np.ones_like(passed[..., :1]), passed[..., :-1]], -1)
                colour += (clear[..., None] * before * alpha) @ rgb[part]
                clear = clear * passed[..., -1]
                if clear.max() < 1e-4:
                    break
            out[top : top + TILE, left : left + TILE] = colour
    return out
