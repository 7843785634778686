"""Removes what a model changed in colours from the pixels that it added, as far as the known pixels tell.

Models that edit pictures give the whole picture anew, with another brightness, contrast, saturation or a soft gradient.
The change is measured where the picture is known and removed everywhere, in three parts: one affine map of colours for
the whole picture with a gradient across it; what is left of low frequency, extended smoothly into the unknown; and the
last few pixels' difference at the border of the known part. Pictures are (H, W, 3) float32 sRGB in 0..1.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from dreamzoom.engines.diffusion import canvas

SAMPLES = 40_000
"""Most known pixels from which the map of colours is estimated."""
ROUNDS = 4
"""Rounds of reweighting: pixels whose content the model changed count less and less."""
TOLERANCE = 0.03
"""Difference of sRGB values from which a pixel counts less (Huber's threshold)."""
RIDGE = 3e-4
"""Variance of colours and places, 0..1, below which they hardly tell how the change depends on them."""
LARGEST = 0.2
"""The largest low-frequency correction of sRGB values; a larger difference is other content, not another colour."""


def carried(painted: np.ndarray, given: np.ndarray, known: np.ndarray, reach: float) -> np.ndarray:
    """The painted picture in the colours of the given one.

    Args:
        painted: The model's picture, in register with the given one.
        given: The given picture; undefined where not known.
        known: (H, W) bool.
        reach: Smallest scale, in pixels, of a change of colour in contrast to one of content.

    Returns:
        (H, W, 3) float32 sRGB in 0..1; where known, the given values to the bit.
    """
    if not known.any() or known.all():
        return np.where(known[..., None], given, np.clip(painted, 0, 1)).astype(np.float32)
    painted = np.clip(painted, 0, 1).astype(np.float32)
    mapped = _mapped(painted, given, known, reach)
    mapped = mapped + _low_difference(given - mapped, known, reach)
    return canvas.joined(np.clip(mapped, 0, 1), given, known, reach=max(4.0, reach / 4))


def _mapped(painted: np.ndarray, given: np.ndarray, known: np.ndarray, reach: float) -> np.ndarray:
    """`painted` after one affine map of its colours, with a gradient across the picture.

    Least squares on low-passed colours: sharp detail takes no part, so what is out of register by a pixel does not make
    the map duller. In sRGB, where a difference looks alike in light and dark, and a gain of light is a gain too. The
    map is the mean change of the known pixels, and differs from colour to colour and from place to place as far as
    they tell (a ridge).
    """
    sigma = max(1.0, reach / 8)
    weight = gaussian_filter(known.astype(np.float32), sigma)
    low = [
        gaussian_filter(np.where(known[..., None], picture, 0), (sigma, sigma, 0)) / np.maximum(weight, 1e-6)[..., None]
        for picture in (painted, given)
    ]
    rows, columns = np.nonzero(known)
    every = max(1, len(rows) // SAMPLES)
    rows, columns = rows[::every], columns[::every]
    before, after = (picture[rows, columns].astype(np.float64) for picture in low)
    size = known.shape
    features = _features(before, rows, columns, size)
    centre, change = features.mean(0), after - before
    slopes, mean = _solved(features - centre, change)
    every_row, every_column = np.indices(size).reshape(2, -1)
    all_features = _features(painted.reshape(-1, 3), every_row, every_column, size) - centre.astype(np.float32)
    moved = np.clip(all_features @ slopes.astype(np.float32) + mean, -LARGEST, LARGEST)
    return painted + moved.reshape(painted.shape).astype(np.float32)


def _features(colours: np.ndarray, rows: np.ndarray, columns: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(N, 7): what the change of a colour is linear in: the colour, its place, and both together for its brightness."""
    y = ((rows + 0.5) / size[0] - 0.5).astype(colours.dtype)
    x = ((columns + 0.5) / size[1] - 0.5).astype(colours.dtype)
    mean = colours.mean(1)
    return np.stack([*colours.T, x, y, x * mean, y * mean], 1)


def _solved(features: np.ndarray, change: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(7, 3) slopes and (3,) mean of the change of colours as a function of centred features."""
    weight = np.ones(len(change))
    slopes, mean = np.zeros((features.shape[1], 3)), change.mean(0)
    for _ in range(ROUNDS):
        share = weight / weight.sum()
        mean = share @ change
        offset = share @ features
        centred = features - offset
        square = (centred * share[:, None]).T @ centred + RIDGE * np.eye(features.shape[1])
        slopes = np.linalg.solve(square, (centred * share[:, None]).T @ (change - mean))
        mean = mean - offset @ slopes
        left = np.abs(change - mean - features @ slopes).max(1)
        weight = np.minimum(1.0, TOLERANCE / np.maximum(left, 1e-9))
    return slopes, mean


def _low_difference(wrong: np.ndarray, known: np.ndarray, reach: float) -> np.ndarray:
    """The low frequencies of a difference of sRGB values where it is known, extended smoothly beyond."""
    sigma = max(2.0, reach / 2)
    weight = gaussian_filter(known.astype(np.float32), sigma)[..., None]
    wrong = np.where(known[..., None], np.clip(wrong, -LARGEST, LARGEST), 0).astype(np.float32)
    low = gaussian_filter(wrong, (sigma, sigma, 0)) / np.maximum(weight, 1e-6)
    return gaussian_filter(canvas.fill(low, known), (sigma / 2, sigma / 2, 0))
