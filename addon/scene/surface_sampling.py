"""Surfaces as evenly spread, coloured samples. Without Blender."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..core.colour import linear_to_srgb

NEAR = 1.5
"""Within this distance of the level's origin, in its units, the spacing is constant; beyond, it grows with distance."""

FARTHEST = 50.0
"""Triangles farther from the origin than this are not sampled."""

MAX_SIDE = 0.5
"""Triangles are split until their sides are at most this share of their distance from the origin, or of one unit."""

MAX_SPLITS = 16
"""How often a triangle is split at the most."""


@dataclass(frozen=True)
class Texture:
    """An image as Blender stores it.

    Attributes:
        pixels: (H, W, C) float32 with C >= 1 channels, bottom row first.
        encoded: Whether the values are sRGB; otherwise they are linear light.
    """

    pixels: np.ndarray
    encoded: bool

    def at(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """The colours, sRGB (N, 3), of the pixels at `rows` (N,) and `columns` (N,)."""
        found = self.pixels[rows, columns, :3]
        found = np.broadcast_to(found[:, :1], (len(found), 3)) if found.shape[-1] < 3 else found
        return found if self.encoded else linear_to_srgb(found)


@dataclass(frozen=True)
class Faces:
    """T triangles in a level's frame.

    Attributes:
        corners: (T, 3, 3) float64, positions of the three corners.
        rgb: (T, 3) sRGB, the constant colour of a face.
        texture: (T,) int, index into `textures`; -1 for none.
        uv: (T, 3, 2), texture coordinates of the corners.
        painted: (T, 3, 3) sRGB colours at the corners; NaN where the face has no colour attribute.
        textures: The images.
    """

    corners: np.ndarray
    rgb: np.ndarray
    texture: np.ndarray
    uv: np.ndarray
    painted: np.ndarray
    textures: tuple[Texture, ...] = ()


@dataclass(frozen=True)
class Samples:
    """N points on surfaces: positions, unit normals and sRGB colours, (N, 3) each, and distances of neighbours (N,)."""

    positions: np.ndarray
    normals: np.ndarray
    rgb: np.ndarray
    spacing: np.ndarray


def sample(faces: Faces, spacing: float, max_samples: int) -> Samples:
    """Sample faces evenly; the same faces give the same samples.

    Args:
        faces: The surfaces.
        spacing: Distance of neighbouring samples near the level's origin, in its units.
        max_samples: The spacing is increased until there are no more samples than this.
    """
    source, weights = _split(faces.corners)
    corners = faces.corners if weights is None else np.einsum("tij,tjk->tik", weights, faces.corners[source])
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    distance = np.linalg.norm(corners[:, 0] + corners[:, 1] + corners[:, 2], axis=-1) / 3
    spacings = spacing * np.maximum(1, distance / NEAR)
    counts = np.where(distance < FARTHEST, np.linalg.norm(across, axis=-1) / 2 / spacings**2, 0)
    if counts.sum() > max_samples:
        spacings = spacings * np.sqrt(counts.sum() / max_samples)
        counts = counts * (max_samples / counts.sum())
    ends = np.cumsum(counts)
    count = int(np.ceil(ends[-1])) if len(ends) else 0
    index = np.minimum(np.searchsorted(ends, (np.arange(count) + 0.5) * ends[-1] / max(count, 1)), len(ends) - 1)
    inner = _barycentric(count) if weights is None else np.einsum("ni,nij->nj", _barycentric(count), weights[index])
    origin = source[index]
    normals = across[index] / np.maximum(np.linalg.norm(across[index], axis=-1, keepdims=True), 1e-30)
    positions = np.einsum("ni,nij->nj", inner, faces.corners[origin])
    return Samples(positions, normals, _colours(faces, origin, inner), spacings[index])


def quaternions_from_normals(normals: np.ndarray) -> np.ndarray:
    """Unit quaternions wxyz (N, 4) that rotate the z axis to unit normals (N, 3)."""
    x, y, z = normals.T
    wxyz = np.stack([1 + z, -y, x, np.zeros_like(z)], -1)
    wxyz[z < -0.999999] = (0, 1, 0, 0)
    return wxyz / np.linalg.norm(wxyz, axis=-1, keepdims=True)


def _split(corners: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Split large triangles of `corners` (T, 3, 3) into P parts.

    Returns:
        The triangle of each part (P,), and the barycentric coordinates of its corners in that triangle (P, 3, 3), None
        where no triangle is split.
    """
    source = np.arange(len(corners))
    if not _is_large(corners)[0].any():
        return source, None
    weights = np.broadcast_to(np.eye(3), (len(corners), 3, 3))
    done: list[tuple[np.ndarray, np.ndarray]] = []
    for _ in range(MAX_SPLITS):
        now = np.einsum("tij,tjk->tik", weights, corners[source])
        large, longest = _is_large(now)
        done.append((source[~large], weights[~large]))
        if not large.any():
            return np.concatenate([part for part, _ in done]), np.concatenate([part for _, part in done])
        source, weights, longest = source[large], weights[large], longest[large]
        rows = np.arange(len(source))
        a, b, c = (weights[rows, (longest + step) % 3] for step in range(3))
        middle = (a + b) / 2
        weights = np.concatenate([np.stack([a, middle, c], 1), np.stack([middle, b, c], 1)])
        source = np.concatenate([source, source])
    done.append((source, weights))
    return np.concatenate([part for part, _ in done]), np.concatenate([part for _, part in done])


def _is_large(corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Whether each triangle (T, 3, 3) has to be split (T,), and the first corner of its longest side (T,)."""
    squared = np.stack([((corners[:, (k + 1) % 3] - corners[:, k]) ** 2).sum(-1) for k in range(3)], -1)
    distance = ((corners[:, 0] + corners[:, 1] + corners[:, 2]) ** 2).sum(-1) / 9
    return squared.max(-1) > MAX_SIDE**2 * np.maximum(distance, 1.0), squared.argmax(-1)


def _barycentric(count: int) -> np.ndarray:
    """Barycentric coordinates (count, 3), evenly spread over a triangle: Roberts' R2 sequence, folded."""
    root = 1.324717957244746  # of x³ = x + 1
    u, v = ((0.5 + np.arange(count) / root**power) % 1 for power in (1, 2))
    folded = u + v > 1
    u, v = np.where(folded, 1 - u, u), np.where(folded, 1 - v, v)
    return np.stack([1 - u - v, u, v], -1)


def _colours(faces: Faces, rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Colours, sRGB (N, 3), of samples on the faces `rows` (N,) at the barycentric coordinates `weights` (N, 3)."""
    painted = np.einsum("ni,nij->nj", weights, faces.painted[rows])
    rgb = np.where(np.isfinite(painted), painted, faces.rgb[rows])
    uv = np.einsum("ni,nij->nj", weights, faces.uv[rows])
    for number, texture in enumerate(faces.textures):
        here = faces.texture[rows] == number
        height, width = texture.pixels.shape[:2]
        column = np.floor(uv[here, 0] % 1 * width).astype(int) % width
        row = np.floor(uv[here, 1] % 1 * height).astype(int) % height
        rgb[here] = texture.at(row, column)
    return np.clip(rgb, 0, 1)
