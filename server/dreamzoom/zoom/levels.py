"""All levels' pictures from prompts, seeds and photos: what the joint sampler is asked, and how its answer is cut."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from dreamzoom.errors import BadRequest
from dreamzoom.report import Report
from dreamzoom.zoom.blend import fit_photo, settle
from dreamzoom.zoom.sampler import Denoiser, JointSampler, Plan, Prompt


def complete_prompts(prompts: Sequence[str | None], report: Report | None = None) -> list[Prompt]:
    """Prompts for all levels: a missing or empty one is mixed from its neighbours by distance, and that is logged.

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
    """All levels' pictures, sampled jointly; D of each is the window of the one before to within 8-bit rounding.

    Args:
        denoiser: The model; its `multiple` need not divide `size`, what is over is sampled and cut off.
        prompts, negatives: One a level; an empty prompt is mixed from its neighbours.
        seeds: One a level.
        factor: p > 1.
        centres: centres[i] is the pixel (x, y) of level i where the middle of level i+1 lies, None for the middle.
        size: (H, W) of the pictures.
        photos: (h, w, 3) float32 sRGB by level, fitted to `size` by scaling until it covers and cutting about the
            middle; NaN marks pixels that are not given.
        steps: Model evaluations a level.
        guidance: For all levels, or one each.
        window: Most levels in memory at once; the finished ones bind the others as photos do.
        loop: The first level comes again after the last.
        report: Progress, log and cancel.
        options: Further fields of `Plan`.

    Returns:
        (H, W, 3) float32 sRGB in steps of 1/255, one a level.

    Raises:
        BadRequest: p ≤ 1, counts that do not fit, a photo of a level that is not there, no prompt at all.
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
    """As `sample_levels`, each level as it is finished, so that memory does not grow with their count."""
    report = report or Report()
    count = len(prompts)
    _check(count, seeds, factor, centres, size, photos or {}, report)
    padded = tuple(-(-side // denoiser.multiple) * denoiser.multiple for side in size)
    top, left = (padded[0] - size[0]) // 2, (padded[1] - size[1]) // 2
    shifted = [None if c is None else (c[0] + left, c[1] + top) for c in centres]
    given = {}
    for level, rgb in (photos or {}).items():
        given[level] = torch.full((3, *padded), torch.nan)
        fitted = fit_photo(torch.from_numpy(np.asarray(rgb, np.float32)).permute(2, 0, 1), size)
        if rgb.shape[:2] != tuple(size):
            report.log(f"the picture of level {level} was fitted to {size[1]}×{size[0]}")
        given[level][:, top : top + size[0], left : left + size[1]] = fitted.clamp(0, 1)
    plan = Plan(
        prompts=complete_prompts(prompts, report),
        seeds=seeds,
        factor=factor,
        size=padded,
        centres=shifted,
        negatives=[((text, 1.0),) for text in negatives],
        photos=given,
        guidance=[float(guidance)] * count if np.isscalar(guidance) else list(guidance),
        **options,
    )
    sampler = JointSampler(denoiser, plan, report)
    nests, before = Plan(**{**plan.__dict__, "size": tuple(size), "centres": centres}).nests(), None
    for level, picture in sampler.run():
        if padded != tuple(size):
            cut = picture[:, top : top + size[0], left : left + size[1]]
            before = picture = settle(cut, before, nests[level - 1] if level else None)
        yield level, picture.permute(1, 2, 0).cpu().numpy()


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
