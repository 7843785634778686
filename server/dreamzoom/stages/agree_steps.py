"""The steps that make the levels' pictures of an engine that only paints agree, and what they read and write.

First `levels/k/surround`, for every level that shows a next one: how the next picture shows in its middle, and the ring
about that painted again. Then `levels/k/agree`: the final picture, with the next level's in its middle, the one after
in the middle of that, and so on until a level is smaller than a pixel. So a picture depends on the levels that can be
seen in it and on no finer ones.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import csr_matrix

from core.colour import to_bytes
from dreamzoom.engines.base import Denoises, Engine
from dreamzoom.geometry.cloud import Cloud
from dreamzoom.job.folder import Folder
from dreamzoom.job.steps import Step
from dreamzoom.report import Report
from dreamzoom.stages import agree, files, plan
from dreamzoom.stages.dream import Dreamed
from dreamzoom.stages.zoom import centred

if TYPE_CHECKING:
    from dreamzoom.stages.graph import Job

Given = Callable[[int, Report], np.ndarray | None]


def wanted(engine: Engine) -> bool:
    """Whether an engine's pictures must be made to agree: they neither show one place nor are sampled jointly."""
    return not engine.multiview_consistent and not isinstance(engine, Denoises)


def first_picture(level: int) -> str:
    """Where a level's picture lies as it was painted, before the finer levels are in it."""
    return f"{_place(level)}/parts/painted.png"


def step_of(level: int) -> str:
    """The name of the step that writes a level's final picture."""
    return f"{_place(level)}/agree"


def build(job: Job, given: Given) -> list[Step]:
    """All levels' steps.

    Args:
        job: Its steps up to the levels' clouds come before these.
        given: The artist's own picture of a level, (h, w, 3) float32 sRGB, about the middle of its anchor view.
    """
    levels = range(job.path.levels)
    steps = [_surround_step(job, level, given) for level in levels if _next(job, level) is not None]
    return steps + [_agree_step(job, level, given) for level in _order(job)]


def read_level(folder: Folder, level: int) -> tuple[Cloud, list[Dreamed]]:
    """A level's points and views in their final colours."""
    cloud, dreamed = _dreamed(folder, level)
    stored = files.read_arrays(folder, f"{_place(level)}/parts/agreed.npz")
    pictures = [stored[str(number)].astype(np.float32) / np.float32(255) for number in range(len(dreamed))]
    return agree.repainted(cloud, dreamed, pictures)


def _place(level: int) -> str:
    return f"levels/{level:03d}"


def _next(job: Job, level: int) -> int | None:
    """The level that is seen in the middle of this one."""
    after = level + 1
    return after if after < job.path.levels else 0 if job.path.loop else None


def _chain(job: Job, level: int) -> list[int]:
    """A level and the finer ones that are seen in its picture, in turn; in a loop some may come again."""
    camera = plan.anchor(job.path, level, job.limits).camera
    found = [level]
    for _ in range(agree.visible_levels(camera.width, camera.height, job.path.factor)):
        after = _next(job, found[-1])
        if after is None:
            break
        found.append(after)
    return found


def _dreamed(folder: Folder, level: int) -> tuple[Cloud, list[Dreamed]]:
    base = _place(level)
    return files.read_points(folder, f"{base}/parts/points.npz"), files.read_views(folder, f"{base}/parts/views.npz")


def _surround_step(job: Job, level: int, given: Given) -> Step:
    base, after, item = _place(level), _next(job, level), job.request.levels[level]
    assert after is not None
    move, seed = job.path.between(level + 1, level), job.request.level_seed(level)
    parameters: dict[str, Any] = {
        "engine": job.engine.identity(),
        "engine_needs": job.engine.dependencies(level),
        "prompt": item.prompt,
        "negative_prompt": item.negative_prompt,
        "seed": seed,
        "image": job.picture_key(level),
        "finer": [move.scale, *move.offset.tolist()],
    }

    def run(folder: Folder, report: Report) -> None:
        coarse, fine = (files.read_views(folder, f"{_place(k)}/parts/views.npz")[0] for k in (level, after))
        middle = agree.middle_of(coarse, fine, move, _held(given, level, coarse.rgb, report))
        words = item.prompt, item.negative_prompt, seed, report
        rgb = agree.surroundings(job.engine, coarse, fine.rgb, middle, job.path.factor, *words)
        _write_around(folder, level, rgb, middle)
        report.preview(rgb)

    needs = (f"{base}/dream", f"{_place(after)}/dream")
    outputs = (f"{base}/parts/around.npz",)
    return Step(f"{base}/surround", "refine", level, 1, parameters, needs, outputs, run, weight=2)


def _agree_step(job: Job, level: int, given: Given) -> Step:
    base, chain = _place(level), _chain(job, level)
    before, after = _leader(job, level), _next(job, level)
    leads = after is not None and _leader(job, after) == level

    def run(folder: Folder, report: Report) -> None:
        cloud, dreamed = _dreamed(folder, level)
        rgb, finer, middle = _composed(folder, chain)
        change = np.zeros(rgb.shape, np.float32)
        if before is not None:
            change = files.read_arrays(folder, _follow_name(before))["change"].astype(np.float32)
            change[_held(given, level, rgb, report)] = 0
        if leads:
            assert after is not None and middle is not None and finer is not None
            fine = _dreamed(folder, after)[1][0]
            field = agree.gap(middle, rgb, finer, change * _share(job, after))
            held = _held(given, after, fine.rgb, report)
            field = agree.lifted(field, middle, dreamed[0], fine, job.path.between(level + 1, level), held)
            files.write_arrays(folder, _follow_name(level), {"change": field.astype(np.float16)})
        pictures = agree.all_pictures(cloud, dreamed, np.clip(rgb + change, 0, 1))
        arrays = {str(number): to_bytes(picture) for number, picture in enumerate(pictures)}
        files.write_arrays(folder, f"{base}/parts/agreed.npz", arrays)
        files.write_picture(folder, f"{base}/image.png", pictures[0])
        report.preview(pictures[0])

    needs = [f"{base}/dream", *(f"{_place(k)}/surround" for k in chain[:-1]), f"{_place(chain[-1])}/dream"]
    needs += [] if before is None else [step_of(before)]
    outputs = (f"{base}/parts/agreed.npz", f"{base}/image.png", *([_follow_name(level)] if leads else []))
    parameters = {"shown": len(chain) - 1, "follows": before, "leads": leads, "share": _share(job, after or 0)}
    return Step(step_of(level), "refine", level, 1, parameters, tuple(dict.fromkeys(needs)), outputs, run, weight=0.3)


def _composed(folder: Folder, chain: list[int]) -> tuple[np.ndarray, np.ndarray | None, agree.Middle | None]:
    """A level's picture with the next ones in its middle, the next one's by itself, and how that shows in it."""
    rgb, finer, middle = files.read_views(folder, f"{_place(chain[-1])}/parts/views.npz")[0].rgb, None, None
    for level in reversed(chain[:-1]):  # the finest first, one at a time in memory
        around, middle = _read_around(folder, level)
        rgb, finer = middle.paste(around, rgb), rgb
    return rgb, finer, middle


def _order(job: Job) -> list[int]:
    """The levels, coarse to fine; in a loop from the first one of which the artist gave pixels."""
    levels = range(job.path.levels)
    first = next((level for level in levels if job.picture_key(level)), 0) if job.path.loop else 0
    return [*levels[first:], *levels[:first]]


def _leader(job: Job, level: int) -> int | None:
    """The coarser level whose given pixels, or those of coarser ones yet, this one's picture has to follow."""
    order = _order(job)
    coarser = order[: order.index(level)]
    return coarser[-1] if any(job.picture_key(other) for other in coarser) else None


def _share(job: Job, level: int) -> float:
    """How much of a coarser level's own change a level takes over. In a loop it falls evenly to nothing, since the
    level that begins is seen in the middle of the last one, too.
    """
    left = job.path.levels - _order(job).index(level)
    return left / (left + 1) if job.path.loop else 1.0


def _follow_name(level: int) -> str:
    """Where it stands what the next level's picture changes by to agree with what the artist gave."""
    return f"{_place(level)}/parts/follow.npz"


def _held(given: Given, level: int, rgb: np.ndarray, report: Report) -> np.ndarray:
    """The pixels (H, W) bool of a level's anchor view that the artist gave."""
    photo = given(level, report)
    return np.zeros(rgb.shape[:2], bool) if photo is None else np.isfinite(centred(photo, rgb.shape[:2])[..., 0])


def _write_around(folder: Folder, level: int, rgb: np.ndarray, middle: agree.Middle) -> None:
    means = middle.means
    arrays = {
        "rgb": to_bytes(rgb),
        "shown": middle.shown,
        "given": middle.given,
        "width": np.array((means.shape or (0, 0))[1]),
    }
    arrays |= {"data": means.data, "indices": means.indices, "indptr": means.indptr}
    files.write_arrays(folder, f"{_place(level)}/parts/around.npz", arrays)


def _read_around(folder: Folder, level: int) -> tuple[np.ndarray, agree.Middle]:
    """A level's picture with its surroundings painted again, (H, W, 3) float32, and how the next one shows in it."""
    stored = files.read_arrays(folder, f"{_place(level)}/parts/around.npz")
    shape = len(stored["indptr"]) - 1, int(stored["width"])
    means = csr_matrix((stored["data"], stored["indices"], stored["indptr"]), shape=shape)
    return stored["rgb"].astype(np.float32) / np.float32(255), agree.Middle(means, stored["shown"], stored["given"])
