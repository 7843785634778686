"""Solves for the splats' colours with fixed shapes and opacities; blending is linear in the colours."""

from __future__ import annotations

import numpy as np

from core.colour import linear_to_srgb, srgb_to_linear
from dreamzoom.progress import Report
from dreamzoom.splats import cpu_rasterizer
from dreamzoom.splats.supersampling import averaged, repeated

PULL = 0.1
"""Weight of a splat's initial colour, in pixels; it determines the colour of splats that no view shows."""


def solve(
    rgb: np.ndarray,
    views: list[tuple[cpu_rasterizer.Hits, np.ndarray, np.ndarray, int]],
    passes: int,
    report: Report,
) -> np.ndarray:
    """Simultaneous algebraic reconstruction (Andersen and Kak 1984) in linear light.

    Pixels are weighted approximately by the slope of the sRGB curve at their target, since errors are judged in sRGB.

    Args:
        rgb: (N, 3) float32 initial sRGB colours of the first N rows of every view's table; further rows are fixed.
        views: Per view the hits, target (H, W, 3) float32 sRGB, mask (H, W) bool, and the samples per pixel side of the
            hits, which are averaged.
        passes: Number of passes over all views.
        report: Progress and cancellation.

    Returns:
        (N, 3) float32 sRGB in 0..1.
    """
    count = len(rgb)
    start = srgb_to_linear(np.clip(rgb, 0, 1).astype(np.float32))
    colours, norm, ready = start.copy(), np.full(count, PULL, np.float32), []
    for hits, picture, mask, samples in views:
        goal = srgb_to_linear(picture)
        weight = (mask / (0.05 + goal.mean(-1))).astype(np.float32)
        blank = np.zeros((hits.height, hits.width, 3), np.float32)
        norm += cpu_rasterizer.spread_colour(hits, blank, repeated(weight, samples), len(hits.table))[1][:count]
        ready.append((hits, goal, weight, samples))
    black = np.zeros(3, np.float32)
    for step in range(passes):
        report.progress(step / passes, "fitting colours")
        total = PULL * (start - colours)
        for hits, goal, weight, samples in ready:
            hits.table[:count, 12:15] = colours
            shown = averaged(cpu_rasterizer.blend_hits(hits, black)[0], samples)
            residual = repeated((goal - shown) * weight[..., None], samples)
            total += cpu_rasterizer.spread_colour(hits, residual, residual[..., 0], len(hits.table))[0][:count]
        colours = np.clip(colours + 1.6 * total / norm[:, None], 0, 1)
    return linear_to_srgb(colours)
