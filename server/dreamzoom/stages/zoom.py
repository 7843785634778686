"""Zoom: each level's picture x_k, painted over the coarser levels' content, or sampled jointly for all levels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dreamzoom.engines.base import Denoises, Engine
from dreamzoom.geometry.cloud import Cloud
from dreamzoom.geometry.point_rendering import Projection, project
from dreamzoom.geometry.view import COARSE, KNOWN, UNKNOWN, View
from dreamzoom.geometry.zoom_path import ZoomPath
from dreamzoom.progress import Report
from dreamzoom.stages import plan
from dreamzoom.stages.base import layout
from dreamzoom.stages.base.context import Context
from dreamzoom.stages.base.stage import ENGINE, Inputs, Outputs, Scope, Stage, each, own, whole_job
from dreamzoom.stages.given import GivenPixels, centred, given_pixels
from dreamzoom.stages.levels import CoarserLevel, LevelPrompt, coarser_levels, known_points, level_prompt, parents
from dreamzoom.stages.own.scene import SceneFile, scene_of


def level_image(
    engine: Engine, view: View, seen: Projection, prompt: LevelPrompt, given: np.ndarray | None, report: Report
) -> np.ndarray:
    """The picture of an anchor view, painted over the coarser levels' content.

    Args:
        engine: Paints the picture.
        view: A_k, wider than the camera by the overscan.
        seen: The clouds of the coarser levels, projected into the view.
        prompt: Prompts and seed of the level.
        given: (h, w, 3) float32 sRGB, the artist's own picture of the level at the camera's size; it is placed in the
            middle of the view and not changed.
        report: Receives progress and raises `Cancelled`.

    Returns:
        (H, W, 3) float32 sRGB.
    """
    rgb, mask = seen.rgb.copy(), seen.mask.copy()
    if given is not None:
        wide = centred(given, mask.shape)
        inner = np.isfinite(wide[..., 0])
        rgb[inner], mask[inner] = wide[inner], KNOWN
    return paint(engine, view, rgb, mask, prompt, report)


def parents_seen(parents: Cloud, view: View, factor: float) -> Projection:
    """Project the coarser levels into an anchor view. No pixel is KNOWN: all are repainted at finer resolution."""
    seen = project(parents, view.camera, coarse_above=min(1.5, factor**0.5))
    seen.mask[seen.mask == KNOWN] = COARSE
    return seen


def paint(
    engine: Engine, view: View, rgb: np.ndarray, mask: np.ndarray, prompt: LevelPrompt, report: Report
) -> np.ndarray:
    """The engine's picture with the KNOWN pixels composited back unchanged, (H, W, 3) float32 sRGB."""
    known = mask == KNOWN
    if known.all():
        return rgb
    base = np.where((mask == UNKNOWN)[..., None], 0, rgb).astype(np.float32)
    painted = engine.paint(view, base, mask, prompt.text, prompt.negative, prompt.seed, report)
    return np.where(known[..., None], rgb, painted).astype(np.float32)


@dataclass(frozen=True)
class PaintParameters:
    """What a level's picture depends on: its anchor view, prompts, zoom factor, given pixels and coarser levels; and
    the artist's scene, if it is the first of these.
    """

    view: View
    prompt: LevelPrompt
    factor: float
    given: GivenPixels
    coarser: Mapping[int, CoarserLevel]
    scene: SceneFile | None


def _paint_parameters(context: Context, scope: Scope) -> PaintParameters:
    level = scope.first
    return PaintParameters(
        plan.anchor(context.path, level, context.quality),
        level_prompt(context, level),
        context.path.factor,
        given_pixels(context, level),
        coarser_levels(context, level, _painted_over(context, scope)),
        scene_of(context, level) if level else None,
    )


def _painted_over(context: Context, scope: Scope) -> Sequence[int]:
    """The coarser levels that a picture is painted over; none if the pictures are multiview-consistent."""
    return () if context.consistent else parents(context, scope)


def _paint(inputs: Inputs, parameters: PaintParameters, report: Report) -> Outputs:
    given = parameters.given.pixels(report)
    known = known_points(inputs["parents"], parameters.coarser)
    seen = parents_seen(known, parameters.view, parameters.factor)
    if parameters.scene is not None:
        seen, _ = parameters.scene.over(seen, parameters.view.camera)
    rgb = level_image(inputs["engine"], parameters.view, seen, parameters.prompt, given, report)
    report.preview(rgb)
    return {"picture": rgb}


PAINT = Stage(
    name="image",
    version=3,
    reads={"engine": ENGINE, "parents": each(layout.POINTS, _painted_over)},
    writes={"picture": layout.FIRST_AND_FINAL_PICTURE},
    parameters=_paint_parameters,
    run=_paint,
    shown_as="zoom",
    when=lambda context: not context.joint and not context.pasted,
    level_by_level=lambda context: not context.consistent,
    weight=2,
)

PAINT_TO_PASTE = replace(PAINT, writes={"picture": layout.FIRST_PICTURE}, when=lambda context: context.pasted)


@dataclass(frozen=True)
class JointParameters:
    """What the pictures of all levels depend on when they are sampled jointly.

    Attributes:
        factor, loop: Of the path.
        size: (H, W) of the pictures.
        middles: For each level with a next level, the pixel (x, y) of the middle of the next level's picture.
        prompts: The prompts of each level.
        given: The pixels of each level's picture that the artist gives.
    """

    factor: float
    loop: bool
    size: tuple[int, int]
    middles: Sequence[tuple[float, float]]
    prompts: Sequence[LevelPrompt]
    given: Sequence[GivenPixels]


def _joint_parameters(context: Context, scope: Scope) -> JointParameters:
    anchors = [plan.anchor(context.path, level, context.quality) for level in scope.levels]
    shown = [level for level in scope.levels if context.next_level(level) is not None]
    return JointParameters(
        context.path.factor,
        context.path.loop,
        (anchors[0].camera.height, anchors[0].camera.width),
        [_child_middle(context.path, anchors, level) for level in shown],
        [level_prompt(context, level) for level in scope.levels],
        [given_pixels(context, level) for level in scope.levels],
    )


def _child_middle(path: ZoomPath, anchors: Sequence[View], level: int) -> tuple[float, float]:
    """The pixel (x, y) of level k's picture that shows the middle of level k+1's, for a flat scene at the focus."""
    here, child = anchors[level].camera, anchors[(level + 1) % len(anchors)].camera
    focus, _ = here.project(path.focuses[level])
    own_focus, _ = child.project(np.zeros(3))
    middle = focus + (np.array([child.width, child.height]) / 2 - own_focus) / path.factor
    return float(middle[0]), float(middle[1])


def _sample_jointly(
    inputs: Inputs, parameters: JointParameters, report: Report
) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Sample the pictures of all levels jointly (Generative Powers of Ten); yields each level when it is finished."""
    from dreamzoom.sampling.levels import stream_levels  # imports torch, which takes longer than a small job's picture

    engine: Denoises = inputs["engine"]
    pixels = {level: given.pixels(report) for level, given in enumerate(parameters.given)}
    photos = {level: centred(rgb, parameters.size) for level, rgb in pixels.items() if rgb is not None}
    for level, rgb in stream_levels(
        engine.denoiser(report),
        [prompt.text for prompt in parameters.prompts],
        [prompt.seed for prompt in parameters.prompts],
        parameters.factor,
        parameters.middles,
        parameters.size,
        negatives=[prompt.negative for prompt in parameters.prompts],
        photos=photos,
        loop=parameters.loop,
        report=report,
        **engine.sampling(),
    ):
        report.preview(rgb)
        yield level, {"picture": rgb}


SAMPLE_JOINTLY = Stage(
    name="zoom",
    version=3,
    reads={"engine": ENGINE},
    writes={"picture": layout.FIRST_PICTURE},
    parameters=_joint_parameters,
    run=_sample_jointly,
    shown_as="zoom",
    scopes=whole_job,
    when=lambda context: context.joint,
    weight=lambda context, scope: 4 * len(scope.levels),
)


def _no_parameters(context: Context, scope: Scope) -> None:
    return None


def _keep_picture(inputs: Inputs, parameters: None, report: Report) -> Outputs:
    return {"picture": inputs["first"]}


KEEP_PICTURE = Stage(
    name="image",
    version=2,
    reads={"first": own(layout.FIRST_PICTURE)},
    writes={"picture": layout.PICTURE},
    parameters=_no_parameters,
    run=_keep_picture,
    shown_as="zoom",
    when=lambda context: context.joint and not context.second_pass,
    weight=0.01,
)
"""Copies a jointly sampled picture to the level's final picture in jobs without a second pass."""
