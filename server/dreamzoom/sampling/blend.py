"""Multi-resolution blending of all levels' estimates to consistent pictures.

A finer level's picture is L·D x + (x − L·D x): the part that the coarser level resolves (D), interpolated smoothly
(L, with D·L = 1), and detail that only the finer level has. `merge` blends each frequency band among the levels that
resolve it, so detail is never averaged with a blurred picture. The result satisfies D x_{i+1} = window(x_i) exactly.
Pictures are (C, H, W) float32 tensors.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import torch

from dreamzoom.sampling.level_resampling import Nest


class Blend(StrEnum):
    """How levels are blended; all but the first are baselines for comparison."""

    LAPLACIAN = "laplacian"
    NAIVE = "naive"  # the mean of all levels' pictures, resampled: loses detail
    NONE = "none"  # every level for itself


@dataclass(frozen=True)
class Known:
    """Given pixels of one level.

    Attributes:
        picture: (C, H, W) in the units of the merge.
        mask: (H, W) bool, the pixels that are given.
    """

    picture: torch.Tensor
    mask: torch.Tensor


def taper(size: tuple[int, int], share: float = 0.125) -> torch.Tensor:
    """Smooth weights (1, H, W) of a finer level in the coarser one: about 0 at the border, 1 from `share` inwards.

    `share` is a fraction of the size along each axis.
    """
    edges = []
    for count in size:
        t = (torch.arange(count, dtype=torch.float32) + 0.5) / count
        t = (torch.minimum(t, 1 - t) / share).clamp(0, 1)
        edges.append(t * t * (3 - 2 * t))
    return (edges[0][:, None] * edges[1][None, :]).clamp_min(1e-4)[None]


def merge(
    guesses: list[torch.Tensor],
    nests: list[Nest | None],
    known: list[Known | None],
    above: tuple[torch.Tensor, Nest] | None = None,
    blend: Blend = Blend.LAPLACIAN,
    voice: float = 0.0,
    overlaps: list[torch.Tensor | None] | None = None,
) -> list[torch.Tensor]:
    """Blend all levels' estimates to consistent pictures.

    Args:
        guesses: (C, H, W) estimates of neighbouring levels, coarsest first.
        nests: One fewer: the operators between each level and the next.
        known: Given pixels per level, or None.
        above: A finished coarser level (C, H, W) and the operators between it and the first level here; its window is
            a constraint.
        blend: LAPLACIAN, or one of the two baselines.
        voice: 0..1, the finer level's weight in the coarse level's low frequencies; above 0 the finer prompts
            influence the layout, at the cost of a little contrast there.
        overlaps: For each nest an estimate of the window from the window alone, (C, my, mx), or None; if there is one
            it replaces the choice by frequency.

    Returns:
        (C, H, W) per level.
    """
    if blend is Blend.NONE:
        return [_override(guess, given) for guess, given in zip(guesses, known)]
    if blend is Blend.NAIVE:
        return _naive(guesses, nests, known)
    merged = _gather(guesses, nests, known, voice, overlaps or [None] * len(nests))
    if above is not None:
        merged[0] = conform(merged[0], above[0], above[1])
    for i, nest in enumerate(nests):
        if nest is not None:
            merged[i + 1] = conform(merged[i + 1], merged[i], nest)
    return merged


def conform(fine: torch.Tensor, coarse: torch.Tensor, nest: Nest) -> torch.Tensor:
    """The fine picture with its low frequencies changed so that D x equals the coarse picture's window."""
    return fine + nest.lift(nest.window(coarse) - nest.down(fine))


def _override(guess: torch.Tensor, given: Known | None) -> torch.Tensor:
    return guess if given is None else torch.where(given.mask, given.picture, guess)


def _gather(guesses, nests, known, voice, overlaps) -> list[torch.Tensor]:
    """Combine each level's estimate with those of all finer levels, from fine to coarse.

    The common part of two levels must not count twice: with the density p(coarse) p(fine) / p(window) of the noisy
    pictures, scores add up to coarse + fine − window, and so do the estimates (Bethe and Kikuchi's approximation; exact
    if the fine detail and the surroundings of the window are independent given the noisy window). Without an estimate
    of the window, its upper octave is taken from the finer level, which observes it without aliasing, and its low
    frequencies from the coarse level, which has more context; `voice` is the finer level's weight in those.
    """
    merged: list[torch.Tensor] = []
    for i in reversed(range(len(guesses))):
        own = guesses[i]
        if i < len(nests) and nests[i] is not None:
            nest, own = nests[i], own.clone()
            finer = nest.down(merged[-1])
            if overlaps[i] is not None:
                change = finer - overlaps[i]
            else:
                change = finer - nest.window(own)
                change = change - (1 - voice) * nest.low(change)
                change = nest.down(taper(own.shape[-2:]).to(own)) * change
            nest.window(own).add_(change)
        merged.append(_override(own, known[i]))
    return merged[::-1]


def _naive(guesses, nests, known) -> list[torch.Tensor]:
    """The mean of all levels at each pixel, finer ones reduced and coarser ones enlarged."""
    total, count, inner = None, None, []
    for i in reversed(range(len(guesses))):
        own, weights = guesses[i].clone(), torch.ones_like(guesses[i][:1])
        if i < len(nests) and nests[i] is not None:
            nests[i].window(own).add_(nests[i].down(total))
            nests[i].window(weights).add_(nests[i].down(count))
        total, count = own, weights
        inner.append((total, count))
    outer = torch.zeros_like(guesses[0])
    merged = []
    for i, (total, count) in enumerate(reversed(inner)):
        if i and nests[i - 1] is not None:
            outer = nests[i - 1].lift(nests[i - 1].window(outer + guesses[i - 1]))
        merged.append(_override((total + outer) / (count + i), known[i]))
    return merged


def finish(picture: torch.Tensor, coarse: torch.Tensor | None, nest: Nest | None, rounds: int = 12) -> torch.Tensor:
    """The finished picture (C, H, W): within 0..1, in 8-bit steps, consistent with the finished coarser one.

    Alternates clipping and `conform`, which reduces contrast where the two conflict.
    """
    if coarse is None or nest is None:
        return quantise(picture)
    for _ in range(rounds):
        picture = conform(picture, coarse, nest)
        if picture.min() >= 0 and picture.max() <= 1:
            break
        picture = picture.clamp(0, 1)
    return quantise(conform(picture, coarse, nest))


def quantise(picture: torch.Tensor) -> torch.Tensor:
    """Clip to 0..1 and round to steps of 1/255, as in a PNG."""
    return (picture.clamp(0, 1) * 255).round() / 255


def close_loop(pictures: list[torch.Tensor], nests: list[Nest | None], turns: int = 3) -> list[torch.Tensor]:
    """Make the nearly consistent levels of a loop consistent: copies each level's reduction into the coarser one.

    Goes from fine to coarse around the loop `turns` times, after which the changes are below visibility.
    """
    pictures = list(pictures)
    for _ in range(turns):
        for i in reversed(range(len(pictures))):
            nest = nests[i]
            if nest is None:
                continue
            pictures[i] = pictures[i].clone()
            nest.window(pictures[i]).copy_(nest.down(pictures[(i + 1) % len(pictures)]))
        pictures = [quantise(picture) for picture in pictures]
    return pictures


def fit_photo(rgb: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Scale a picture (3, h, w) of any aspect ratio to cover `size` (H, W), and crop it about its middle.

    Downscaling averages areas, upscaling is bicubic. NaN marks pixels that are not given; it spreads to every pixel
    that is interpolated from one.
    """
    height, width = rgb.shape[-2:]
    if (height, width) == tuple(size):
        return rgb
    scale = max(size[0] / height, size[1] / width)
    shape = (max(size[0], round(height * scale)), max(size[1], round(width * scale)))
    mode: dict[str, Any] = {"mode": "area"} if scale < 1 else {"mode": "bicubic", "align_corners": False}
    rgb = torch.nn.functional.interpolate(rgb[None], size=shape, **mode)[0]
    top, left = (shape[0] - size[0]) // 2, (shape[1] - size[1]) // 2
    return rgb[:, top : top + size[0], left : left + size[1]]


def spread_known(photos: dict[int, torch.Tensor], nests: list[Nest | None]) -> dict[int, Known]:
    """The given pixels of every level: the photos themselves, and reduced copies of finer photos.

    Args:
        photos: (3, H, W) by level, NaN where not given. In a common part the finer photo takes precedence.
        nests: nests[i] are the operators between levels i and i+1.
    """
    known: dict[int, Known] = {}
    for i in range(max(photos, default=-1), -1, -1):
        picture = photos.get(i)
        finer, nest = known.get(i + 1), nests[i] if i < len(nests) else None
        if finer is not None and nest is not None:
            whole = nest.down(finer.mask[None].float()) > 1 - 1e-4
            if whole.any():
                picture = torch.full_like(finer.picture, torch.nan) if picture is None else picture.clone()
                window = nest.window(picture)
                window.copy_(torch.where(whole, nest.down(finer.picture), window))
        if picture is not None and not picture.isnan().all():
            mask = ~picture.isnan().any(0)
            known[i] = Known(torch.nan_to_num(picture), mask)
    return known
