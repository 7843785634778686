"""Pictures and masks around a painter: filling, padding, cutting into tiles, joining. Pure; arrays in, arrays out.

Pictures are (H, W, 3) float32 sRGB in 0..1, masks (H, W) bool.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter, zoom


def fill(rgb: np.ndarray, known: np.ndarray) -> np.ndarray:
    """What is not known, filled smoothly from what is: averages of ever larger surroundings (pull, then push).

    Mid grey where nothing is known at all.
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
    """To (H, W), linearly; averaged over areas before where it shrinks. Any channels, float32."""
    height, width = picture.shape[:2]
    if (height, width) == tuple(size):
        return picture
    shrink = max(height / size[0], width / size[1])
    if shrink > 1:
        picture = gaussian_filter(picture, (0.45 * shrink, 0.45 * shrink, 0), mode="nearest")
    factors = (size[0] / height, size[1] / width, 1)
    return np.asarray(zoom(picture, factors, order=1, mode="nearest", grid_mode=True), np.float32)


def padded_size(size: tuple[int, int], multiple: int) -> tuple[int, int]:
    """The next size whose sides are multiples."""
    return -(-size[0] // multiple) * multiple, -(-size[1] // multiple) * multiple


def pad(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Continue a picture or mask to the right and below, up to `size`, by its last row and column."""
    more = [(0, size[0] - picture.shape[0]), (0, size[1] - picture.shape[1])]
    return np.pad(picture, more + [(0, 0)] * (picture.ndim - 2), mode="edge")


def whole_cells(mask: np.ndarray, cell: int) -> np.ndarray:
    """The mask grown to whole cells of a model's latents: a latent that saw an open pixel is open."""
    height, width = mask.shape
    blocks = mask.reshape(height // cell, cell, width // cell, cell).any((1, 3))
    return blocks.repeat(cell, 0).repeat(cell, 1)


def joined(painted: np.ndarray, rgb: np.ndarray, known: np.ndarray, reach: float) -> np.ndarray:
    """Painted pixels beside known ones, without a step between: what the known ones differ by is carried on, fading.

    The autoencoder shifts colours a little everywhere, and the known pixels are not changed; so the others follow.

    Args:
        painted, rgb: The painter's picture, and what was given.
        known: Where `rgb` is kept exactly.
        reach: Pixels after which the correction has fallen to 1/e.
    """
    if not known.any() or known.all():
        return np.where(known[..., None], rgb, painted).astype(np.float32)
    wrong = np.where(known[..., None], rgb - painted, 0).astype(np.float32)
    sigma = max(2.0, reach / 4)  # colours are carried on, not details
    near = gaussian_filter(known.astype(np.float32), sigma)
    smooth = gaussian_filter(wrong, (sigma, sigma, 0)) / np.maximum(near, 1e-6)[..., None]
    found: Any = distance_transform_edt(~known, return_indices=True)
    distance, nearest = found
    carried = gaussian_filter(smooth[nearest[0], nearest[1]], (sigma / 2, sigma / 2, 0))
    share = np.exp(-distance / reach)[..., None]
    return np.where(known[..., None], rgb, np.clip(painted + share * carried, 0, 1)).astype(np.float32)


def with_low(painted: np.ndarray, rgb: np.ndarray, coarse: np.ndarray, sigma: float = 2.0) -> np.ndarray:
    """Painted detail over the low frequencies of `rgb`, where `coarse` says that those are known."""
    if not coarse.any():
        return painted
    weight = gaussian_filter(coarse.astype(np.float32), sigma)[..., None]
    wrong = gaussian_filter(np.where(coarse[..., None], rgb - painted, 0).astype(np.float32), (sigma, sigma, 0))
    corrected = painted + np.where(coarse[..., None], wrong / np.maximum(weight, 1e-3), 0)
    return np.clip(corrected, 0, 1).astype(np.float32)


def tiles(size: tuple[int, int], side: int, overlap: int) -> list[tuple[slice, slice]]:
    """Windows of `side` (or the whole length, if shorter) that cover a picture and overlap by at least `overlap`."""
    return [(rows, columns) for rows in _cuts(size[0], side, overlap) for columns in _cuts(size[1], side, overlap)]


def tile_weight(window: tuple[slice, slice], size: tuple[int, int], overlap: int) -> np.ndarray:
    """How much a tile counts at each of its pixels, (h, w): one, and falling smoothly to borders within the picture."""
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
    """Sums of 2×2; odd sides count their last line alone."""
    more = [(0, side % 2) for side in picture.shape[:2]] + [(0, 0)]
    even = np.pad(picture, more)
    height, width, channels = even.shape
    return even.reshape(height // 2, 2, width // 2, 2, channels).sum((1, 3))
