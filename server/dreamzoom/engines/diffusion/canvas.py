"""Array operations on pictures and masks for the painter: fill, pad, split into tiles, join.

Pictures are (H, W, 3) float32 sRGB in 0..1, masks (H, W) bool.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter, zoom


def fill(rgb: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Fill unknown pixels smoothly from the known ones, by averages over increasing neighbourhoods (push-pull).

    If no pixel is known, the result is mid grey.
    """
    if not known.any():
        return np.full_like(rgb, 0.5)
    if known.all():
        return rgb.copy()
    weight = known[..., None].astype(np.float32)
    levels = [(np.where(known[..., None], rgb, 0).astype(np.float32), weight)]
    while max(levels[-1][0].shape[:2]) > 1:
        total, weight = levels[-1]
        levels.append((_halved(total), _halved(weight)))
    picture = levels[-1][0] / np.maximum(levels[-1][1], 1e-12)
    for total, weight in reversed(levels[:-1]):
        upper = resized(picture, total.shape[:2])
        share = np.clip(weight, 0, 1)
        picture = share * (total / np.maximum(weight, 1e-12)) + (1 - share) * upper
    return np.where(known[..., None], rgb, picture).astype(np.float32)


def resized(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize to (H, W) bilinearly, after box filtering where the picture shrinks. Any channels, float32."""
    height, width = picture.shape[:2]
    if (height, width) == tuple(size):
        return picture
    shrink = max(height / size[0], width / size[1])
    if shrink > 1:
        picture = gaussian_filter(picture, (0.45 * shrink, 0.45 * shrink, 0), mode="nearest")
    factors = (size[0] / height, size[1] / width, 1)
    return np.asarray(zoom(picture, factors, order=1, mode="nearest", grid_mode=True), np.float32)


def padded_size(size: tuple[int, int], multiple: int) -> tuple[int, int]:
    """The next larger size (H, W) whose sides are multiples of `multiple`."""
    return -(-size[0] // multiple) * multiple, -(-size[1] // multiple) * multiple


def pad(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Pad a picture or mask at the right and bottom to `size` by repeating its last row and column."""
    more = [(0, size[0] - picture.shape[0]), (0, size[1] - picture.shape[1])]
    return np.pad(picture, more + [(0, 0)] * (picture.ndim - 2), mode="edge")


def whole_cells(mask: np.ndarray, cell: int) -> np.ndarray:
    """Grow a mask to whole cells of `cell` × `cell` pixels, so that each latent pixel is fully inside or outside."""
    height, width = mask.shape
    blocks = mask.reshape(height // cell, cell, width // cell, cell).any((1, 3))
    return blocks.repeat(cell, 0).repeat(cell, 1)


def joined(painted: np.ndarray, rgb: np.ndarray, known: np.ndarray, reach: float) -> np.ndarray:
    """Join painted and known pixels without a visible seam, by extending the colour difference at known pixels.

    The autoencoder shifts colours slightly everywhere. Known pixels must not change, so the painted ones are corrected.

    Args:
        painted, rgb: The painter's picture, and the given one.
        known: (H, W) bool, where `rgb` is kept exactly.
        reach: Distance in pixels at which the correction has fallen to 1/e.
    """
    if not known.any() or known.all():
        return np.where(known[..., None], rgb, painted).astype(np.float32)
    wrong = np.where(known[..., None], rgb - painted, 0).astype(np.float32)
    sigma = max(2.0, reach / 4)  # low-pass: only colours are extended, not details
    near = gaussian_filter(known.astype(np.float32), sigma)
    smooth = gaussian_filter(wrong, (sigma, sigma, 0)) / np.maximum(near, 1e-6)[..., None]
    found: Any = distance_transform_edt(~known, return_indices=True)
    distance, nearest = found
    carried = gaussian_filter(smooth[nearest[0], nearest[1]], (sigma / 2, sigma / 2, 0))
    share = np.exp(-distance / reach)[..., None]
    return np.where(known[..., None], rgb, np.clip(painted + share * carried, 0, 1)).astype(np.float32)


def with_low(painted: np.ndarray, rgb: np.ndarray, coarse: np.ndarray, sigma: float = 2.0) -> np.ndarray:
    """Replace the low frequencies of `painted` with those of `rgb` where `coarse` (H, W) is true."""
    if not coarse.any():
        return painted
    weight = gaussian_filter(coarse.astype(np.float32), sigma)[..., None]
    wrong = gaussian_filter(np.where(coarse[..., None], rgb - painted, 0).astype(np.float32), (sigma, sigma, 0))
    corrected = painted + np.where(coarse[..., None], wrong / np.maximum(weight, 1e-3), 0)
    return np.clip(corrected, 0, 1).astype(np.float32)


def tiles(size: tuple[int, int], side: int, overlap: int) -> list[tuple[slice, slice]]:
    """Windows of `side` pixels (or the whole length, if shorter) that cover a picture and overlap by >= `overlap`."""
    return [(rows, columns) for rows in _cuts(size[0], side, overlap) for columns in _cuts(size[1], side, overlap)]


def tile_weight(window: tuple[slice, slice], size: tuple[int, int], overlap: int) -> np.ndarray:
    """Blending weights (h, w) of a tile: 1, falling smoothly towards borders that are inside the picture."""
    ramps = []
    for cut, length in zip(window, size):
        place = np.arange(cut.stop - cut.start) + 0.5
        left = place / overlap if cut.start > 0 else np.ones_like(place)
        right = place[::-1] / overlap if cut.stop < length else np.ones_like(place)
        share = np.clip(np.minimum(left, right), 0, 1)
        ramps.append(share * share * (3 - 2 * share))
    return np.outer(*ramps).astype(np.float32)


def _cuts(length: int, side: int, overlap: int) -> list[slice]:
    if length <= side:
        return [slice(0, length)]
    count = -(-(length - overlap) // (side - overlap))
    starts = np.linspace(0, length - side, count).round().astype(int)
    return [slice(int(start), int(start) + side) for start in starts]


def _halved(picture: np.ndarray) -> np.ndarray:
    """Sums over 2×2 pixels; the last line of odd sides is summed alone."""
    more = [(0, side % 2) for side in picture.shape[:2]] + [(0, 0)]
    even = np.pad(picture, more)
    height, width, channels = even.shape
    return even.reshape(height // 2, 2, width // 2, 2, channels).sum((1, 3))
