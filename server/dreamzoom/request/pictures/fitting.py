"""Scaling and cropping of decoded pictures and depth maps to the camera that they fill."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from PIL import Image

from dreamzoom.request.pictures.decoded import Decoded

Log = Callable[[str], None]
Size = tuple[int, int]


def fitted_picture(picture: Decoded, name: str, size: Size, log: Log, within: Size | None) -> np.ndarray:
    """Scale a picture to cover `size` and crop it around its centre to `size` or to what `within` shows.

    Returns:
        (H, W, 3) float32 linear RGB, NaN where unknown. A pixel is known if more than half of it is.
    """
    box, target, share = _placed(picture.width, picture.height, name, size, log, within)
    if share == 1:
        left, top = int(box[0]), int(box[1])
        light, known = picture.rows(top, top + target[1])
        light = light[:, left : left + target[0]].astype(np.float32)
        return light if known is None else np.where(known[:, left : left + target[0], None], light, np.float32(np.nan))
    light, known, box = _reduced(picture, box, share)
    planes = [light[..., channel] for channel in range(3)] + ([] if known is None else [known])
    planes = [_resized(plane, target, box, Image.Resampling.LANCZOS) for plane in planes]
    if known is None:
        return np.stack(planes, -1)
    weight = planes[3][..., None]
    return np.where(weight > 0.5, np.stack(planes[:3], -1) / np.maximum(weight, 0.5), np.nan).astype(np.float32)


def fitted_depth(depth: np.ndarray, name: str, size: Size, log: Log, within: Size | None) -> np.ndarray:
    """Scale and crop a depth map (H, W) as `fitted_picture` does, by the nearest value, so that no depths between two
    surfaces are created: (H', W') float32.
    """
    box, target, share = _placed(depth.shape[1], depth.shape[0], name, size, log, within)
    if share == 1:
        left, top = int(box[0]), int(box[1])
        return np.ascontiguousarray(depth[top : top + target[1], left : left + target[0]], np.float32)
    return _resized(depth, target, box, Image.Resampling.NEAREST)


def _placed(columns: int, rows: int, name: str, size: Size, log: Log, within: Size | None):
    """Where the result lies in the source.

    Returns:
        The box (left, top, right, bottom) in source pixels, the result's width and height, and the source pixels per
        pixel of the result.
    """
    share = min(columns / size[0], rows / size[1])
    whole = (columns / share, rows / share)
    width, height = size if within is None else (_even_within(a, b) for a, b in zip(whole, within, strict=True))
    if share != 1:
        log(f"{name}: scaled from {columns}×{rows} to {round(whole[0])}×{round(whole[1])}")
    if round(whole[0]) > width + 1 or round(whole[1]) > height + 1:
        log(f"{name}: cropped to {width}×{height} around its centre")
    x, y = (columns - width * share) / 2, (rows - height * share) / 2
    return (x, y, min(x + width * share, columns), min(y + height * share, rows)), (width, height), share


def _even_within(whole: float, outer: int) -> int:
    """The largest number of pixels, at most `whole` and `outer`, that leaves equal margins on both sides of `outer`."""
    return outer - 2 * max(math.ceil((outer - whole - 1e-6) / 2), 0)


def _reduced(picture: Decoded, box, share: float):
    """The part of a picture around a box, reduced by a whole factor to no fewer than two pixels per result pixel.

    Returns:
        Linear RGB (h, w, 3), 0 where unknown; the known share of each pixel (h, w), None if all is known; and the box
        in the reduced pixels.
    """
    step = max(int(share // 2), 1)
    margin = math.ceil(4 * share)
    left, top = (max(math.floor(at) - margin, 0) for at in box[:2])
    right, bottom = min(math.ceil(box[2]) + margin, picture.width), min(math.ceil(box[3]) + margin, picture.height)
    lights, shares, partly = [], [], False
    rows = max((1 << 21) // (picture.width * step), 1) * step
    for start in range(top, bottom, rows):
        light, known = picture.rows(start, min(start + rows, bottom))
        light = light[:, left:right]
        if known is None:
            weight = np.ones(light.shape[:2], np.float32)
        else:
            weight, partly = known[:, left:right].astype(np.float32), True
            light = light * weight[..., None]
        lights.append(_means(light, step))
        shares.append(_means(weight, step))
    found = tuple((at - origin) / step for at, origin in zip(box, (left, top, left, top)))
    return np.concatenate(lights), np.concatenate(shares) if partly else None, found


def _means(values: np.ndarray, step: int) -> np.ndarray:
    """Means of blocks of step×step pixels of an array (h, w, ...); blocks at the right and bottom may be smaller."""
    if step == 1:
        return values
    height, width = values.shape[:2]
    rows, columns = np.arange(0, height, step), np.arange(0, width, step)
    sums = np.add.reduceat(np.add.reduceat(values, rows, 0), columns, 1)
    counts = np.outer(np.minimum(step, height - rows), np.minimum(step, width - columns)).astype(np.float32)
    return sums / (counts[..., None] if values.ndim == 3 else counts)


def _resized(values: np.ndarray, size: Size, box, how: Image.Resampling) -> np.ndarray:
    box = (box[0], box[1], min(box[2], values.shape[1]), min(box[3], values.shape[0]))
    image = Image.fromarray(np.ascontiguousarray(values, np.float32))
    return np.asarray(image.resize(size, how, box=box), np.float32).copy()
