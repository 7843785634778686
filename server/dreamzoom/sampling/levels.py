"""Joint sampling of all levels' pictures from prompts, seeds and photos: prepares the `Plan` and crops the results."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from core.errors import BadRequest
from dreamzoom.progress import Report
from dreamzoom.sampling.blend import finish, fit_photo
from dreamzoom.sampling.denoiser import Denoiser, Prompt
from dreamzoom.sampling.sampler import JointSampler, Plan

LARGE = 1.5
"""Pictures with more than this times the side length a model was trained on tend to repeat content; they are first
sampled at the trained size."""

AGAIN = 0.5
"""Where the second sampling, at full size, starts, as a fraction of the schedule in log ρ; also its fraction of the
steps."""


def complete_prompts(prompts: Sequence[str | None], report: Report | None = None) -> list[Prompt]:
    """Prompts for all levels; missing or empty ones are interpolated between their neighbours, and that is logged.

    Raises:
        BadRequest: No level has a prompt.
    """
    named = [i for i, prompt in enumerate(prompts) if prompt and prompt.strip()]
    if not named:
        raise BadRequest("levels", "must have a prompt in at least one level")
    result: list[Prompt] = []
    for i in range(len(prompts)):
        before = max((k for k in named if k <= i), default=named[0])
        after = min((k for k in named if k >= i), default=named[-1])
        if before >= after:
            result.append(((str(prompts[before]), 1.0),))
        else:
            share = (i - before) / (after - before)
            result.append(((str(prompts[before]), 1 - share), (str(prompts[after]), share)))
        if i not in named and report is not None:
            report.log(f"level {i} has no prompt; it lies between levels {before} and {after}")
    return result


def sample_levels(
    denoiser: Denoiser,
    prompts: Sequence[str | None],
    seeds: Sequence[int],
    factor: float,
    centres: Sequence[tuple[float, float] | None],
    size: tuple[int, int],
    *,
    negatives: Sequence[str] = (),
    photos: dict[int, np.ndarray] | None = None,
    steps: int = 50,
    guidance: float | Sequence[float] = 1.0,
    window: int = 10,
    loop: bool = False,
    report: Report | None = None,
    **options,
) -> list[np.ndarray]:
    """Sample all levels' pictures jointly; each one, reduced by D, equals the window of the coarser one to 8 bits.

    Args:
        denoiser: The model. If its `multiple` does not divide `size`, larger pictures are sampled and cropped. If
            `size` is far larger than its training size, all levels are sampled small first, then again at full size.
        prompts, negatives: One per level; an empty prompt is interpolated between its neighbours.
        seeds: One per level.
        factor: p > 1.
        centres: centres[i] is the pixel (x, y) of level i at the middle of level i+1, None for the middle.
        size: (H, W) of the pictures.
        photos: (h, w, 3) float32 sRGB by level, scaled to cover `size` and cropped about the middle; NaN marks pixels
            that are not given.
        steps: Model evaluations per level.
        guidance: Guidance scale for all levels, or one per level.
        window: Most levels in memory at once; finished levels constrain the others as photos do.
        loop: Whether the first level follows the last.
        report: Progress, log and cancellation.
        options: Further fields of `Plan`.

    Returns:
        (H, W, 3) float32 sRGB in steps of 1/255, one per level.

    Raises:
        BadRequest: p ≤ 1, inconsistent counts, a photo of a level that does not exist, or no prompt at all.
    """
    stream = stream_levels(
        denoiser, prompts, seeds, factor, centres, size, negatives=negatives, photos=photos, steps=steps,
        guidance=guidance, window=window, loop=loop, report=report, **options,
    )  # fmt: skip
    return [picture for _, picture in stream]


def stream_levels(
    denoiser: Denoiser,
    prompts: Sequence[str | None],
    seeds: Sequence[int],
    factor: float,
    centres: Sequence[tuple[float, float] | None],
    size: tuple[int, int],
    *,
    negatives: Sequence[str] = (),
    photos: dict[int, np.ndarray] | None = None,
    guidance: float | Sequence[float] = 1.0,
    report: Report | None = None,
    **options,
) -> Iterator[tuple[int, np.ndarray]]:
    """`sample_levels` as a generator of (level, picture), so that memory does not grow with the number of levels."""
    report = report or Report()
    count = len(prompts)
    _check(count, seeds, factor, centres, size, photos or {}, report)
    for level, rgb in (photos or {}).items():
        if rgb.shape[:2] != tuple(size):
            report.log(f"the picture of level {level} was fitted to {size[1]}×{size[0]}")
    asked = {
        "prompts": complete_prompts(prompts, report),
        "seeds": seeds,
        "factor": factor,
        "negatives": [((text, 1.0),) for text in negatives],
        "guidance": [float(guidance)] * count if isinstance(guidance, (int, float)) else list(guidance),
    } | options
    native = denoiser.native
    if native is None or size[0] * size[1] <= (LARGE * native) ** 2:
        yield from _sampled(denoiser, size, centres, photos or {}, report, asked)
        return
    small = tuple(round(side * native / math.sqrt(size[0] * size[1])) for side in size)
    report.log(f"pictures are sampled at {small[1]}×{small[0]}, which the model knows, then refined at full size")
    scale = small[1] / size[1], small[0] / size[0]
    nearer = [None if centre is None else (centre[0] * scale[0], centre[1] * scale[1]) for centre in centres]
    halves = _Halves(report)
    first = _sampled(denoiser, small, nearer, photos or {}, halves.part(0), asked)
    low, high = denoiser.schedule.ratio_min, denoiser.schedule.ratio_max
    again: dict[str, Any] = {"steps": max(round(options.get("steps", 50) * AGAIN), 2)}
    again |= {"start": lambda level: _enlarged(next(first)[1], padded(size, denoiser.multiple), size)}
    again["start_ratio"] = low * (high / low) ** AGAIN
    yield from _sampled(denoiser, size, centres, photos or {}, halves.part(1), asked | again)


def padded(size: tuple[int, int], multiple: int) -> tuple[int, int]:
    """The smallest size (H, W) of multiples of `multiple` that is at least `size`."""
    return -(-size[0] // multiple) * multiple, -(-size[1] // multiple) * multiple


def _enlarged(picture: np.ndarray, whole: tuple[int, int], size: tuple[int, int]) -> torch.Tensor:
    """A small picture (h, w, 3) enlarged to `size` and padded by edge replication to `whole`: (3, H, W)."""
    rgb = torch.from_numpy(picture).permute(2, 0, 1)[None]
    rgb = torch.nn.functional.interpolate(rgb, size=size, mode="bicubic", align_corners=False)
    more = [whole[i] - size[i] for i in (1, 0)]
    sides = [more[0] // 2, more[0] - more[0] // 2, more[1] // 2, more[1] - more[1] // 2]
    return torch.nn.functional.pad(rgb, sides, mode="replicate")[0].clamp(0, 1)


def _sampled(
    denoiser: Denoiser, size, centres, photos, report: Report, asked: dict
) -> Iterator[tuple[int, np.ndarray]]:
    """Sample all levels at one size, padded to a multiple of the model's and cropped afterwards."""
    whole = padded(size, denoiser.multiple)
    top, left = (whole[0] - size[0]) // 2, (whole[1] - size[1]) // 2
    inner = slice(top, top + size[0]), slice(left, left + size[1])
    given = {}
    for level, rgb in photos.items():
        given[level] = torch.full((3, *whole), torch.nan)
        fitted = fit_photo(torch.from_numpy(np.asarray(rgb, np.float32)).permute(2, 0, 1), size)
        given[level][:, *inner] = fitted.clamp(0, 1)
    shifted = [None if c is None else (c[0] + left, c[1] + top) for c in centres]
    plan = Plan(size=whole, centres=shifted, photos=given, **asked)
    cut = whole != tuple(size)
    inside = replace(plan, size=tuple(size), centres=centres).nests() if cut else []
    nests, before = [nest and nest.on(denoiser.device) for nest in inside], None
    for level, picture in JointSampler(denoiser, plan, report).run():
        if cut:
            before = picture = finish(picture[:, *inner], before, nests[level - 1] if level else None)
        yield level, picture.permute(1, 2, 0).cpu().numpy()


class _Halves:
    """Combines the progress of two interleaved samplings into one report; each counts as half."""

    def __init__(self, report: Report):
        self.report, self.done = report, [0.0, 0.0]

    def part(self, number: int) -> Report:
        """The report for sampling `number`, 0 or 1."""
        return _Half(self, number)


class _Half(Report):
    def __init__(self, halves: _Halves, number: int):
        self._halves, self._number = halves, number

    def progress(self, fraction: float, message: str = "") -> None:
        halves = self._halves
        halves.done[self._number] = fraction
        halves.report.progress(sum(halves.done) / 2, message)

    def check(self) -> None:
        self._halves.report.check()

    def log(self, message: str, *, level: str = "info") -> None:
        self._halves.report.log(message, level=level)

    def preview(self, rgb: np.ndarray) -> None:
        self._halves.report.preview(rgb)


def _check(count, seeds, factor, centres, size, photos, report: Report) -> None:
    if not factor > 1:
        raise BadRequest("zoom_factor", f"must be above 1, got {factor}")
    if len(seeds) != count or len(centres) not in (0, count, count - 1):
        raise BadRequest("levels", f"must have a seed and a centre each: {count} levels, {len(seeds)} seeds")
    for level in photos:
        if not 0 <= level < count:
            raise BadRequest("levels", f"must have the level of each picture, there is no level {level}")
    for level, centre in enumerate(centres):
        if centre is not None and not (0 <= centre[0] <= size[1] and 0 <= centre[1] <= size[0]):
            report.log(f"the focus of level {level} lies outside its picture; only the part in common is coupled",
                       level="warning")  # fmt: skip
