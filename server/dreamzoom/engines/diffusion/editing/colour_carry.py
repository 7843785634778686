"""Removes what a model changed in colours from the pixels that it added, as far as the known pixels tell.

Models that edit pictures give the whole picture anew, with another brightness, contrast, saturation or a soft gradient.
The change is measured where the picture is known and removed everywhere, in three parts: one affine map of colours for
the whole picture with a gradient across it; what is left of low frequency, extended smoothly into the unknown; and the
last few pixels' difference at the border of the known part. Pictures are (H, W, 3) float32 sRGB in 0..1.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from core.colour import linear_to_srgb, quick_srgb_to_linear
from dreamzoom.engines.diffusion import canvas

SAMPLES = 40_000
"""Most known pixels from which the map of colours is estimated."""
ROUNDS = 4
"""Rounds of reweighting: pixels whose content the model changed count less and less."""
TOLERANCE = 0.02
"""Difference of linear light from which a pixel counts less (Huber's threshold)."""
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
    """`painted` after one affine map of its linear colours, with a gradient across the picture.

    Weighted least squares on low-passed colours, towards the identity where the known pixels don't tell. Sharp detail
    takes no part, so what is out of register by a pixel does not make the map duller.
    """
    sigma = max(1.0, reach / 8)
    light = quick_srgb_to_linear(painted)
    weight = gaussian_filter(known.astype(np.float32), sigma)
    low = [
        gaussian_filter(np.where(known[..., None], picture, 0), (sigma, sigma, 0)) / np.maximum(weight, 1e-6)[..., None]
        for picture in (light, quick_srgb_to_linear(np.where(known[..., None], given, 0)))
    ]
    rows, columns = np.nonzero(known & (weight > 0.5))
    if len(rows) < 16:
        return painted
    every = max(1, len(rows) // SAMPLES)
    rows, columns = rows[::every], columns[::every]
    features = _features(light.shape[:2])
    before, after = (picture[rows, columns].astype(np.float64) for picture in low)
    found = _solved(features(before, rows, columns), before, after)
    height, width = known.shape
    place = np.indices((height, width)).reshape(2, -1)
    moved = features(light.reshape(-1, 3), *place) @ found.astype(np.float32)
    return linear_to_srgb(np.clip(light + moved.reshape(light.shape), 0, 1)).astype(np.float32)


def _features(size: tuple[int, int]):
    """What the change of a colour is linear in: the colour, its place, and both together for the mean colour."""

    def features(colours: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        y = ((rows + 0.5) / size[0] - 0.5).astype(colours.dtype)
        x = ((columns + 0.5) / size[1] - 0.5).astype(colours.dtype)
        mean = colours.mean(1)
        return np.stack([*colours.T, np.ones_like(x), x, y, x * mean, y * mean], 1)

    return features


def _solved(features: np.ndarray, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """(features, 3): the change of colours as a linear function of the features; 0 where nothing tells."""
    change = after - before
    weight = np.ones(len(change))
    ridge = np.diag([0.02, 0.02, 0.02, 0.005, 0.02, 0.02, 0.02, 0.02])
    found = np.zeros((features.shape[1], 3))
    for _ in range(ROUNDS):
        weighted = features * weight[:, None]
        found = np.linalg.solve(weighted.T @ features / weight.sum() + 0.01 * ridge, weighted.T @ change / weight.sum())
        left = np.abs(change - features @ found).max(1)
        weight = np.minimum(1.0, TOLERANCE / np.maximum(left, 1e-9))
    return found


def _low_difference(wrong: np.ndarray, known: np.ndarray, reach: float) -> np.ndarray:
    """The low frequencies of a difference of sRGB values where it is known, extended smoothly beyond."""
    sigma = max(2.0, reach / 2)
    weight = gaussian_filter(known.astype(np.float32), sigma)[..., None]
    wrong = np.where(known[..., None], np.clip(wrong, -LARGEST, LARGEST), 0).astype(np.float32)
    low = gaussian_filter(wrong, (sigma, sigma, 0)) / np.maximum(weight, 1e-6)
    return gaussian_filter(canvas.fill(low, known), (sigma / 2, sigma / 2, 0))
