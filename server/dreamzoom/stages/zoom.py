"""Zoom: the picture x_k of each level, consistent with the levels above. Values in, values out."""

from __future__ import annotations

import numpy as np

from dreamzoom.engines.base import KNOWN, UNKNOWN, Engine, View
from dreamzoom.geometry.project import Projection
from dreamzoom.report import Report


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
        top, left = (view.camera.height - given.shape[0]) // 2, (view.camera.width - given.shape[1]) // 2
        inner = np.s_[top : top + given.shape[0], left : left + given.shape[1]]
        rgb[inner], mask[inner] = given, KNOWN
    return paint(engine, view, rgb, mask, prompt, negative_prompt, seed, report)


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
