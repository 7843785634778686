"""Where a model moved the picture that it was to keep: by how many pixels, at which scale, and whether at all.

Models that edit pictures give the known part a few pixels aside, or larger by a percent. The offset is found first for
the whole picture at low resolution, by normalised correlation under the mask of what is known (Padfield 2012, eq. 14),
then refined from coarse to fine together with a scale for each axis by Gauss-Newton steps (Lucas and Kanade 1981).
Both compare brightness freed of its local mean and contrast, so that a change of colours does not count as a movement.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import affine_transform, binary_erosion, gaussian_filter, map_coordinates
from scipy.signal import fftconvolve

from dreamzoom.engines.diffusion import canvas

FARTHEST = 1 / 8
"""The largest offset that is looked for, as a share of the picture's side."""
SCALES = 0.08
"""The largest difference of scale that counts as the same picture."""
AGREEMENT = 0.5
"""Least correlation of known parts that are the same picture."""
TEXTURE = 0.01
"""Local contrast (standard deviation of sRGB values) from which a pixel tells anything of its place."""
LEAST = 200
"""Fewest pixels with texture, at the resolution of the search, from which a place is told."""
SEARCHED = 128
"""The longer side, in pixels, of the picture in which the offset is first looked for."""
FINEST = 512
"""The longer side at which it is refined at most."""
STEPS = 8
"""Most Gauss-Newton steps at one resolution."""


@dataclass(frozen=True)
class Movement:
    """How a picture was moved: what stood at x (pixels from the middle) stands at `scale` · x + `offset`.

    Attributes:
        offset: (2,) pixels, down and right.
        scale: (2,) of height and width.
        agreement: Correlation -1..1 of the known parts after the movement is undone.
        measured: False where the known part has too little texture to tell; all else then says nothing.
    """

    offset: tuple[float, float]
    scale: tuple[float, float]
    agreement: float
    measured: bool = True

    @property
    def is_same_picture(self) -> bool:
        """Whether the known part is still there."""
        return not self.measured or (
            self.agreement >= AGREEMENT and max(abs(scale - 1) for scale in self.scale) <= SCALES
        )

    def farthest(self, size: tuple[int, int]) -> float:
        """The distance in pixels by which a corner of a picture (H, W) was moved."""
        down, right = (abs(o) + abs(s - 1) * side / 2 for o, s, side in zip(self.offset, self.scale, size))
        return float(np.hypot(down, right)) if self.measured else 0.0


def movement(painted: np.ndarray, given: np.ndarray, known: np.ndarray) -> Movement:
    """How the known part of `given` was moved in `painted`.

    Args:
        painted, given: (H, W, 3) sRGB of the same size; `given` is undefined where not known.
        known: (H, W) bool.
    """
    side = max(known.shape)
    values, agreement = np.zeros(4), None  # offset and scale - 1, in units of the picture's longer side
    filled = canvas.fill(np.where(known[..., None], given, 0).astype(np.float32), known)
    for length in _lengths(side):
        size = tuple(max(8, round(part * length / side)) for part in known.shape)
        painted_at, given_at, weight = _prepared(painted, filled, known, size)
        if (weight > 0.5).sum() < LEAST * (length / SEARCHED) ** 2 / 4:
            break
        if agreement is None:
            values[:2] = _searched(painted_at, given_at, weight) / length
        values, agreement = _refined(painted_at, given_at, weight, values, length)
    if agreement is None:
        return Movement((0.0, 0.0), (1.0, 1.0), 0.0, measured=False)
    offset, scale = values[:2] * side, 1 + values[2:]
    return Movement((float(offset[0]), float(offset[1])), (float(scale[0]), float(scale[1])), agreement)


def undone(painted: np.ndarray, move: Movement) -> np.ndarray:
    """The picture (H, W, 3) moved back; what comes in from beyond its border is its mirror image."""
    if move.farthest(painted.shape[:2]) < 0.05:
        return painted
    size = np.array(painted.shape[:2])
    scale, offset = np.array(move.scale), np.array(move.offset)
    middle = (size - 1) / 2
    start = middle + offset - scale * middle
    channels = [
        affine_transform(painted[..., channel], scale, start.tolist(), order=3, mode="mirror")  # pyright: ignore[reportArgumentType]
        for channel in range(3)
    ]
    return np.clip(np.stack(channels, -1), 0, 1).astype(np.float32)


def _lengths(side: int) -> list[int]:
    """The longer sides of the pictures that are compared, from coarse to fine."""
    found, length = [], min(side, SEARCHED)
    while length < min(side, FINEST):
        found.append(length)
        length *= 2
    return [*found, min(side, FINEST)]


def _prepared(painted, filled, known, size) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Both pictures' brightness at a size without local mean and contrast, and how much each pixel tells, 0..1."""
    inside = canvas.resized(known[..., None].astype(np.float32), size)[..., 0] > 0.99
    sigma = max(2.0, max(size) / 48)
    inner = binary_erosion(inside, iterations=round(1.5 * sigma))  # nearer to its border the local means differ
    inside = inner if inner.sum() > 0.3 * inside.sum() else binary_erosion(inside, iterations=2)
    one, other = (canvas.resized(picture, size).mean(-1) for picture in (painted, filled))
    weight = inside * _contrast(other, sigma) ** 2
    weight = weight / (weight + TEXTURE**2)
    return _levelled(one, sigma), _levelled(other, sigma), weight.astype(np.float32)


def _contrast(grey: np.ndarray, sigma: float) -> np.ndarray:
    """The local standard deviation."""
    mean = gaussian_filter(grey, sigma)
    return np.sqrt(np.maximum(gaussian_filter(grey * grey, sigma) - mean * mean, 0))


def _levelled(grey: np.ndarray, sigma: float) -> np.ndarray:
    """Without the local mean, divided by the local contrast; noise is smoothed first."""
    grey = gaussian_filter(grey, 0.7)
    return (grey - gaussian_filter(grey, sigma)) / (_contrast(grey, sigma) + TEXTURE / 2)


def _searched(painted: np.ndarray, given: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The whole-pixel offset (2,) with the largest normalised correlation."""
    most = [int(FARTHEST * side) for side in given.shape]
    wide = np.pad(painted, [(most[0], most[0]), (most[1], most[1])])
    inside = np.pad(np.ones_like(painted), [(most[0], most[0]), (most[1], most[1])])
    turned = (slice(None, None, -1),) * 2
    product = fftconvolve(wide, (given * weight)[turned], mode="valid")
    energy = fftconvolve(wide * wide, weight[turned], mode="valid")
    own = fftconvolve(inside, (given * given * weight)[turned], mode="valid")
    found = product / np.sqrt(np.maximum(energy, 1e-3) * np.maximum(own, 1e-3))
    row, column = np.unravel_index(int(np.argmax(found)), found.shape)
    return np.array([row - most[0], column - most[1]], np.float64)


def _refined(painted, given, weight, values: np.ndarray, length: int) -> tuple[np.ndarray, float]:
    """Gauss-Newton steps for offset and scale, (4,) in units of `length` pixels; with the correlation reached."""
    rows, columns = np.nonzero(weight > 0.1)
    size = given.shape
    y, x = rows - (size[0] - 1) / 2, columns - (size[1] - 1) / 2
    target, share = given[rows, columns].astype(np.float64), weight[rows, columns].astype(np.float64)
    slopes = np.gradient(painted)
    best, reached = values, -1.0
    for _ in range(STEPS):
        place = _places(y, x, values, length, size)
        here = map_coordinates(painted, place, order=1, mode="nearest").astype(np.float64)
        score = _correlation(here, target, share)
        if score <= reached:
            break
        done = reached >= 0 and np.abs(values - best).max() * length < 0.01
        best, reached = values, score
        if done:
            break
        down, right = (map_coordinates(part, place, order=1, mode="nearest").astype(np.float64) for part in slopes)
        tilt = np.stack([down * length, right * length, down * y, right * x, here], 1)  # the last one is contrast
        wrong = target - here
        trusted = share / (1 + wrong**2)  # what the model changed counts less
        square = (tilt * trusted[:, None]).T @ tilt
        square += (1e-6 * np.trace(square) / 5 + 1e-9) * np.eye(5)
        values = best + np.linalg.solve(square, (tilt * trusted[:, None]).T @ wrong)[:4]
    return best, reached


def _places(y, x, values: np.ndarray, length: int, size) -> np.ndarray:
    """(2, N) row and column in the painted picture of pixels at y, x from the middle of the given one."""
    rows = (size[0] - 1) / 2 + y * (1 + values[2]) + values[0] * length
    columns = (size[1] - 1) / 2 + x * (1 + values[3]) + values[1] * length
    return np.stack([rows, columns])


def _correlation(one: np.ndarray, other: np.ndarray, weight: np.ndarray) -> float:
    """Normalised correlation under a weight."""
    product = float((weight * one * other).sum())
    return product / max(float(np.sqrt((weight * one * one).sum() * (weight * other * other).sum())), 1e-9)
