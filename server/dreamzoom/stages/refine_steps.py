"""The steps of the depth-aware second pass: which levels go together, and what they read and write in the folder."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from core.colour import to_bytes
from core.errors import BadRequest
from dreamzoom.engines.base import Denoises, Engine
from dreamzoom.geometry.cloud import Cloud
from dreamzoom.job.folder import Folder
from dreamzoom.job.steps import Step
from dreamzoom.report import Report
from dreamzoom.stages import agree_steps, files, plan, refine
from dreamzoom.stages.dream import Dreamed
from dreamzoom.stages.zoom import centred
from dreamzoom.wire import Request
from dreamzoom.zoom.levels import complete_prompts

if TYPE_CHECKING:
    from dreamzoom.stages.graph import Job

Given = Callable[[int, Report], np.ndarray | None]


def wanted(request: Request, engine: Engine) -> bool:
    """Whether a job has the second pass: as the request says, else wherever the engine can, but for drafts.

    Raises:
        BadRequest: It is asked for, and the engine can't.
    """
    choice, able = getattr(request.engine, "refine", None), isinstance(engine, Denoises)
    if choice and not able:
        raise BadRequest("engine.refine", "must be left out: this model does not sample all levels jointly")
    return able and (request.quality != "draft" if choice is None else choice)


def step_of(job: Job, level: int) -> str:
    """The name of the step that refines a level."""
    return next(_name(group) for group in _groups(job) if level in group)


def build(job: Job, engine: Denoises, given: Given) -> list[Step]:
    """One step for each group of levels; it holds the last level of the group before.

    Args:
        job: Its steps up to the levels' clouds come before these.
        engine: Its denoiser is sampled.
        given: The artist's own picture of a level, (h, w, 3) float32 sRGB, about the middle of its anchor view.
    """
    return [_step(job, engine, group, given) for group in _groups(job)]


def read_level(job: Job, folder: Folder, level: int) -> tuple[Cloud, list[Dreamed]]:
    """A level's points and views, in their final colours: of the second pass, or agreeing with the finer levels."""
    if job.pasted:
        return agree_steps.read_level(folder, level)
    base = _place(level)
    cloud = files.read_points(folder, f"{base}/parts/points.npz")
    dreamed = _first_views(folder, level)
    if not job.second:
        return cloud, dreamed
    stored = files.read_arrays(folder, f"{base}/parts/refined.npz")
    pictures = [stored[str(number)].astype(np.float32) / np.float32(255) for number in range(len(dreamed))]
    return refine.repainted(cloud, dreamed, pictures)


def _place(level: int) -> str:
    return f"levels/{level:03d}"


def _name(group: range) -> str:
    return f"refine/{group.start:03d}"


def _groups(job: Job) -> list[range]:
    camera = plan.anchor(job.path, 0, job.limits).camera
    return refine.groups(job.path.levels, 1 + job.limits.side_views, camera.width * camera.height)


def _step(job: Job, engine: Denoises, group: range, given: Given) -> Step:
    count = job.path.levels
    closing = job.path.loop and group.stop == count and group.start > 0
    before = ([group.start - 1] if group.start else []) + ([0] if closing else [])
    needs = [f"{_place(level)}/dream" for level in (*group, *before)] + [step_of(job, level) for level in before]
    prompts = complete_prompts([level.prompt for level in job.request.levels])
    again = refine.options(engine.sampling())

    def run(folder: Folder, report: Report) -> None:
        levels = []
        for k in range(max(group.start - 1, 0), group.stop + closing):
            finished, level = k not in group, k % count
            views = read_level(job, folder, level)[1] if finished else _first_views(folder, level)
            held = None if finished else given(level, report)
            held = None if held is None else np.isfinite(centred(held, views[0].depth.shape)[..., 0])
            negative = ((job.request.levels[level].negative_prompt, 1.0),)
            words = prompts[level], negative, _guidance(engine, level), job.request.level_seed(level)
            levels.append(refine.LevelViews(k, views, *words, held, finished))
        found, gain = refine.refined(engine, job.path, levels, report)
        for level, pictures in found.items():
            arrays = {str(number): to_bytes(picture) for number, picture in enumerate(pictures)}
            files.write_arrays(folder, f"{_place(level)}/parts/refined.npz", arrays)
            files.write_picture(folder, f"{_place(level)}/image.png", pictures[0])
            report.preview(pictures[0])
        folder.write_json(report_of(group.start), {"first": group.start, "last": group.stop - 1} | gain)

    parameters: dict[str, Any] = {
        "engine": job.engine.identity(),
        "prompts": [[list(part) for part in prompts[k]] for k in group],
        "negatives": [job.request.levels[k].negative_prompt for k in group],
        "seeds": [job.request.level_seed(k) for k in group],
        "images": [job.picture_key(k) for k in group],
        "strength": again.strength,
        "steps": again.steps,
        "loop": job.path.loop,
    }
    outputs = [f"{_place(k)}/{name}" for k in group for name in ("parts/refined.npz", "image.png")]
    outputs.append(report_of(group.start))
    weight = 3.0 * len(group)
    return Step(_name(group), "refine", None, 2, parameters, tuple(dict.fromkeys(needs)), tuple(outputs), run, weight)


def report_of(first: int) -> str:
    """Where it stands what the group of levels that begins with this one gained."""
    return f"{_place(first)}/parts/refine.json"


def _first_views(folder: Folder, level: int) -> list[Dreamed]:
    return files.read_views(folder, f"{_place(level)}/parts/views.npz")


def _guidance(engine: Denoises, level: int) -> float:
    guidance = engine.sampling().get("guidance", 1.0)
    return float(guidance) if isinstance(guidance, (int, float)) else float(guidance[level])
