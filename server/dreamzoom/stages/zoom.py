"""Zoom: the picture x_k of each level, consistent with the levels above. Values in, values out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from dreamzoom.engines.base import KNOWN, UNKNOWN, Denoises, Engine, View
from dreamzoom.geometry.project import Projection
from dreamzoom.geometry.zoom_path import ZoomPath
from dreamzoom.report import Report
from dreamzoom.zoom.levels import stream_levels


def level_image(
    engine: Engine,
    view: View,
    seen: Projection,
    prompt: str,
    negative_prompt: str,
    seed: int,
    given: np.ndarray | None,
    report: Report,
) -> np.ndarray:
    """The picture of an anchor view, painted over what the levels above show of it.

    Args:
        engine: What imagines.
        view: A_k, wider than the camera by the overscan.
        seen: The clouds of the levels above, projected into the view.
        prompt, negative_prompt, seed: Of the level.
        given: (h, w, 3) float32 sRGB, the artist's own picture of the level at the camera's size; it lies in the
            middle of the view and is kept exactly.
        report: Progress and cancel.

    Returns:
        (H, W, 3) float32 sRGB.
    """
    rgb, mask = seen.rgb.copy(), seen.mask.copy()
    if given is not None:
        wide = centred(given, mask.shape)
        inner = np.isfinite(wide[..., 0])
        rgb[inner], mask[inner] = wide[inner], KNOWN
    return paint(engine, view, rgb, mask, prompt, negative_prompt, seed, report)


def joint_images(
    engine: Denoises,
    path: ZoomPath,
    anchors: Sequence[View],
    levels: Sequence[tuple[str, str, int]],
    given: dict[int, np.ndarray],
    report: Report,
) -> Iterator[tuple[int, np.ndarray]]:
    """All levels' pictures sampled jointly, so that every scale agrees with the next (Generative Powers of Ten).

    Args:
        engine: Its denoiser is sampled.
        path: Factor and focuses.
        anchors: A_0, A_1, ..., all of one size.
        levels: (prompt, negative prompt, seed) of each.
        given: The artist's own pictures by level, (h, w, 3) float32 sRGB at the camera's size.
        report: Progress and cancel.

    Yields:
        (level, (H, W, 3) float32 sRGB), each as it is finished.
    """
    size = (anchors[0].camera.height, anchors[0].camera.width)
    photos = {level: centred(rgb, size) for level, rgb in given.items()}
    prompts, negatives, seeds = zip(*levels)
    return stream_levels(
        engine.denoiser(report),
        prompts,
        seeds,
        path.factor,
        [_child_middle(path, anchors, level) for level in range(len(anchors) if path.loop else len(anchors) - 1)],
        size,
        negatives=negatives,
        photos=photos,
        loop=path.loop,
        report=report,
        **engine.sampling(),
    )


def _child_middle(path: ZoomPath, anchors: Sequence[View], level: int) -> tuple[float, float]:
    """The pixel (x, y) of level k's picture at which the middle of level k+1's lies, for a flat scene at the focus."""
    here, child = anchors[level].camera, anchors[(level + 1) % len(anchors)].camera
    focus, _ = here.project(path.focuses[level])
    own, _ = child.project(np.zeros(3))
    middle = focus + (np.array([child.width, child.height]) / 2 - own) / path.factor
    return float(middle[0]), float(middle[1])


def centred(values: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Put values (h, w, ...) into the middle of a larger picture (H, W, ...), NaN around; float32."""
    wide = np.full((*shape, *values.shape[2:]), np.nan, np.float32)
    top, left = (shape[0] - values.shape[0]) // 2, (shape[1] - values.shape[1]) // 2
    wide[top : top + values.shape[0], left : left + values.shape[1]] = values
    return wide


def paint(
    engine: Engine,
    view: View,
    rgb: np.ndarray,
    mask: np.ndarray,
    prompt: str,
    negative_prompt: str,
    seed: int,
    report: Report,
) -> np.ndarray:
    """S of the design: the engine's picture with the known pixels composited back exactly. (H, W, 3) float32 sRGB."""
    known = mask == KNOWN
    if known.all():
        return rgb
    base = np.where((mask == UNKNOWN)[..., None], 0, rgb).astype(np.float32)
    painted = engine.paint(view, base, mask, prompt, negative_prompt, seed, report)
    return np.where(known[..., None], rgb, painted).astype(np.float32)
