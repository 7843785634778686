"""Surfaces as evenly spread, coloured samples. Nothing of Blender."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..core.colour import linear_to_srgb

NEAR = 1.5
"""Samples lie closest within this distance of the level's middle, in its units; beyond they spread with distance."""

FARTHEST = 50.0
LARGEST = 0.5
"""Triangles are split until their sides are this share of their distance from the middle, or of one unit."""

ROUNDS = 16


@dataclass(frozen=True)
class Picture:
    """An image as Blender keeps it.

    Attributes:
        pixels: (H, W, 1 or more) float32, bottom row first.
        encoded: Whether they are sRGB; else linear light.
    """

    pixels: np.ndarray
    encoded: bool

    def at(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """The colours of pixels (N,), sRGB (N, 3)."""
        found = self.pixels[rows, columns, :3]
        found = np.broadcast_to(found[:, :1], (len(found), 3)) if found.shape[-1] < 3 else found
        return found if self.encoded else linear_to_srgb(found)


@dataclass(frozen=True)
class Faces:
    """Triangles in a level's frame.

    Attributes:
        corners: (T, 3, 3) float64.
        rgb: (T, 3) sRGB colours of faces that have one all over.
        texture: (T,) index of the picture that colours the face, -1 for none.
        uv: (T, 3, 2), the corners' places in it.
        painted: (T, 3, 3) sRGB colours at the corners; NaN where `rgb` or a picture counts.
        textures: The pictures.
    """

    corners: np.ndarray
    rgb: np.ndarray
    texture: np.ndarray
    uv: np.ndarray
    painted: np.ndarray
    textures: tuple[Picture, ...] = ()


@dataclass(frozen=True)
class Samples:
    """Points on surfaces: positions, unit normals, sRGB colours (N, 3) each, and how far apart they lie (N,)."""

    positions: np.ndarray
    normals: np.ndarray
    rgb: np.ndarray
    spacing: np.ndarray


def sample(faces: Faces, spacing: float, most: int) -> Samples:
    """Spread samples evenly, the same for the same faces.

    Args:
        faces: The surfaces.
        spacing: Distance of samples near the level's middle, in its units.
        most: Never more samples than these; the spacing grows instead.
    """
    source, weights = _split(faces.corners)
    corners = faces.corners if weights is None else np.einsum("tij,tjk->tik", weights, faces.corners[source])
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    distance = np.linalg.norm(corners[:, 0] + corners[:, 1] + corners[:, 2], axis=-1) / 3
    apart = spacing * np.maximum(1, distance / NEAR)
    wanted = np.where(distance < FARTHEST, np.linalg.norm(across, axis=-1) / 2 / apart**2, 0)
    if wanted.sum() > most:
        apart = apart * np.sqrt(wanted.sum() / most)
        wanted = wanted * (most / wanted.sum())
    ends = np.cumsum(wanted)
    count = int(np.ceil(ends[-1])) if len(ends) else 0
    index = np.minimum(np.searchsorted(ends, (np.arange(count) + 0.5) * ends[-1] / max(count, 1)), len(ends) - 1)
    inner = _places(count) if weights is None else np.einsum("ni,nij->nj", _places(count), weights[index])
    origin = source[index]
    normals = across[index] / np.maximum(np.linalg.norm(across[index], axis=-1, keepdims=True), 1e-30)
    positions = np.einsum("ni,nij->nj", inner, faces.corners[origin])
    return Samples(positions, normals, _colours(faces, origin, inner), apart[index])


def turned_to(normals: np.ndarray) -> np.ndarray:
    """Unit quaternions wxyz (N, 4) that turn z to unit normals (N, 3)."""
    x, y, z = normals.T
    turn = np.stack([1 + z, -y, x, np.zeros_like(z)], -1)
    turn[z < -0.999999] = (0, 1, 0, 0)
    return turn / np.linalg.norm(turn, axis=-1, keepdims=True)


def _split(corners: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Split large triangles: the row that each part came from (P,), and its corners as weights of that (P, 3, 3);
    None where all stay as they are.
    """
    source = np.arange(len(corners))
    if not _is_large(corners)[0].any():
        return source, None
    weights = np.broadcast_to(np.eye(3), (len(corners), 3, 3))
    done: list[tuple[np.ndarray, np.ndarray]] = []
    for _ in range(ROUNDS):
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
    """Which triangles (T, 3, 3) are to be split, and the longest side of each, from its first corner on."""
    squared = np.stack([((corners[:, (k + 1) % 3] - corners[:, k]) ** 2).sum(-1) for k in range(3)], -1)
    distance = ((corners[:, 0] + corners[:, 1] + corners[:, 2]) ** 2).sum(-1) / 9
    return squared.max(-1) > LARGEST**2 * np.maximum(distance, 1.0), squared.argmax(-1)


def _places(count: int) -> np.ndarray:
    """Evenly spread places in a triangle as weights of its corners (N, 3): Roberts' R2 sequence, folded."""
    root = 1.324717957244746  # of x³ = x + 1
    u, v = ((0.5 + np.arange(count) / root**power) % 1 for power in (1, 2))
    folded = u + v > 1
    u, v = np.where(folded, 1 - u, u), np.where(folded, 1 - v, v)
    return np.stack([1 - u - v, u, v], -1)


def _colours(faces: Faces, rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Colours, sRGB (N, 3), of samples on faces `rows`, at `weights` of their corners."""
    painted = np.einsum("ni,nij->nj", weights, faces.painted[rows])
    rgb = np.where(np.isfinite(painted), painted, faces.rgb[rows])
    uv = np.einsum("ni,nij->nj", weights, faces.uv[rows])
    for number, picture in enumerate(faces.textures):
        here = faces.texture[rows] == number
        height, width = picture.pixels.shape[:2]
        column = np.floor(uv[here, 0] % 1 * width).astype(int) % width
        row = np.floor(uv[here, 1] % 1 * height).astype(int) % height
        rgb[here] = picture.at(row, column)
    return np.clip(rgb, 0, 1)
