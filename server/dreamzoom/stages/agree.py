"""Surround and agree: make the pictures of an engine that only paints consistent across all scales.

`surround` computes, for every level with a next level, how the next picture is warped into its middle, and paints a
ring around that area again. Then `agree` composes the final picture: the next level's picture in the middle, the one
after that in the middle of the next, and so on until a level is smaller than a pixel. So a picture depends only on the
levels that are visible in it, not on finer ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

from core.camera import Similarity
from core.colour import to_bytes
from dreamzoom.progress import Report
from dreamzoom.stages import paste, plan
from dreamzoom.stages.base import layout
from dreamzoom.stages.base.context import Context
from dreamzoom.stages.base.stage import ENGINE, Inputs, Outputs, Scope, Stage, Write, each, own
from dreamzoom.stages.base.values import DreamedView, FinalPictures
from dreamzoom.stages.given import GivenPixels, given_pixels, is_given
from dreamzoom.stages.levels import LevelPrompt, level_prompt


def _next(context: Context, scope: Scope) -> Sequence[int]:
    """The level that is visible in the middle of this one, if any; in a loop the index may run past the last level."""
    after = context.next_level(scope.first)
    return () if after is None else (after,)


def _with_next(context: Context) -> list[int]:
    """The levels that have a next level."""
    return [level for level in range(context.path.levels) if context.next_level(level) is not None]


@dataclass(frozen=True)
class SurroundParameters:
    """What a level's surroundings depend on besides the two pictures.

    Attributes:
        prompt: Prompts and seed of the level.
        factor: The zoom factor p.
        given: The pixels of the level's picture that the artist gives; nothing is pasted over them.
        after: Index of the next level.
        move: Similarity from the next level's frame to this level's.
    """

    prompt: LevelPrompt
    factor: float
    given: GivenPixels
    after: int
    move: Similarity


def _surround_parameters(context: Context, scope: Scope) -> SurroundParameters:
    level = scope.first
    return SurroundParameters(
        level_prompt(context, level),
        context.path.factor,
        given_pixels(context, level),
        level + 1,
        context.path.between(level + 1, level),
    )


def _surround(inputs: Inputs, parameters: SurroundParameters, report: Report) -> Outputs:
    coarse, fine = inputs["views"][0], inputs["finer"][parameters.after][0]
    held = held_pixels(parameters.given, coarse)
    middle = paste.middle_of(coarse, fine, parameters.move, held)
    rgb = paste.surroundings(inputs["engine"], coarse, fine.rgb, middle, parameters.factor, parameters.prompt, report)
    report.preview(rgb)
    return {"surroundings": packed_surroundings(rgb, middle)}


SURROUND = Stage(
    name="surround",
    version=1,
    reads={"engine": ENGINE, "views": own(layout.VIEWS), "finer": each(layout.VIEWS, _next)},
    writes={"surroundings": layout.SURROUNDINGS},
    parameters=_surround_parameters,
    run=_surround,
    shown_as="refine",
    scopes=_with_next,
    when=lambda context: context.pasted,
    level_by_level=lambda context: False,
    weight=2,
)


@dataclass(frozen=True)
class AgreeParameters:
    """What a level's final picture depends on besides its inputs.

    Attributes:
        shown: The level and the finer levels that are visible in its picture, in order.
        given: The pixels of the level's picture that the artist gives.
        follows: The coarser level whose colour change this picture has to follow; None if there is none.
        leads: Whether the next level's picture has to follow this one's.
        given_after: If `leads`: the pixels of the next level's picture that the artist gives.
        move: If `leads`: similarity from the next level's frame to this level's.
        share: If `leads`: the share of this level's own change that is passed on to the next level.
    """

    shown: Sequence[int]
    given: GivenPixels
    follows: int | None
    leads: bool
    given_after: GivenPixels | None
    move: Similarity | None
    share: float


def _agree_parameters(context: Context, scope: Scope) -> AgreeParameters:
    level, leads = scope.first, _leads(context, scope.first)
    after = (level + 1) % context.path.levels
    return AgreeParameters(
        _visible_levels(context, scope),
        given_pixels(context, level),
        _leader(context, level),
        leads,
        given_pixels(context, after) if leads else None,
        context.path.between(level + 1, level) if leads else None,
        _share(context, after),
    )


def _visible_levels(context: Context, scope: Scope) -> range:
    """A level and the finer levels that are visible in its picture; in a loop the indices may run past the last level,
    and levels may repeat.
    """
    level = scope.first
    camera = plan.anchor(context.path, level, context.quality).camera
    count = paste.visible_levels(camera.width, camera.height, context.path.factor)
    last = level + count if context.path.loop else min(level + count, context.path.levels - 1)
    return range(level, last + 1)


def _order(context: Context) -> list[int]:
    """The levels, coarse to fine; in a loop they start with the first level for which the artist gives pixels."""
    levels = range(context.path.levels)
    first = next((level for level in levels if is_given(context, level)), 0) if context.path.loop else 0
    return [*levels[first:], *levels[:first]]


def _leader(context: Context, level: int) -> int | None:
    """The next coarser level, if the artist gives pixels of it or of a coarser one: this picture has to follow it."""
    order = _order(context)
    coarser = order[: order.index(level)]
    return coarser[-1] if any(is_given(context, other) for other in coarser) else None


def _leads(context: Context, level: int) -> bool:
    """Whether the next level's picture has to follow this one's."""
    after = context.next_level(level)
    return after is not None and _leader(context, after % context.path.levels) == level


def _share(context: Context, level: int) -> float:
    """The share of a coarser level's own change that is passed on to a level. In a loop it falls to 0 in equal steps,
    since the first level is also visible in the middle of the last one.
    """
    left = context.path.levels - _order(context).index(level)
    return left / (left + 1) if context.path.loop else 1.0


def _agree(inputs: Inputs, parameters: AgreeParameters, report: Report) -> Outputs:
    cloud, views = inputs["points"], inputs["views"]
    rgb, finer, middle = _composed(inputs, parameters.shown)
    change = np.zeros(rgb.shape, np.float32)
    if parameters.follows is not None:
        change = inputs["following"][parameters.follows]["change"].astype(np.float32)
        change[held_pixels(parameters.given, views[0])] = 0
    found = {}
    if parameters.leads:
        assert middle is not None and finer is not None and parameters.given_after is not None
        fine, move = inputs["finer"][parameters.shown[1]][0], parameters.move
        assert move is not None
        field = paste.gap(middle, rgb, finer, change * parameters.share)
        held = held_pixels(parameters.given_after, fine)
        field = paste.lifted(field, middle, views[0], fine, move, held)
        found["following"] = {"change": field.astype(np.float16)}
    pictures = paste.all_pictures(cloud, views, np.clip(rgb + change, 0, 1))
    report.preview(pictures[0])
    return found | {"pictures": FinalPictures(pictures, by_difference=True), "picture": pictures[0]}


def _composed(inputs: Inputs, shown: Sequence[int]) -> tuple[np.ndarray, np.ndarray | None, paste.Middle | None]:
    """A level's picture with the finer ones in its middle, the next level's picture, and how that is warped into it."""
    rgb, finer, middle = inputs["finest"][shown[-1]][0].rgb, None, None
    for level in reversed(shown[:-1]):  # finest first; only one is in memory at a time
        around, middle = read_surroundings(inputs["surroundings"][level])
        rgb, finer = middle.paste(around, rgb), rgb
    return rgb, finer, middle


def _following(context: Context, scope: Scope) -> Sequence[int]:
    leader = _leader(context, scope.first)
    return () if leader is None else (leader,)


AGREE = Stage(
    name="agree",
    version=1,
    reads={
        "points": own(layout.POINTS),
        "views": own(layout.VIEWS),
        "surroundings": each(layout.SURROUNDINGS, lambda context, scope: _visible_levels(context, scope)[:-1]),
        "finest": each(layout.VIEWS, lambda context, scope: _visible_levels(context, scope)[-1:]),
        "following": each(layout.FOLLOWING_CHANGE, _following),
        "finer": each(layout.VIEWS, lambda c, scope: _next(c, scope) if _leads(c, scope.first) else ()),
    },
    writes={
        "following": Write(layout.FOLLOWING_CHANGE, lambda c, scope: scope.levels if _leads(c, scope.first) else ()),
        "pictures": layout.FINAL_PICTURES,
        "picture": layout.PICTURE,
    },
    parameters=_agree_parameters,
    run=_agree,
    shown_as="refine",
    when=lambda context: context.pasted,
    level_by_level=lambda context: False,
    weight=0.3,
)


def held_pixels(given: GivenPixels, item: DreamedView) -> np.ndarray:
    """The pixels of a level's anchor view that the artist gives: (H, W) bool."""
    mask = given.mask()
    return np.zeros(item.depth.shape, bool) if mask is None else mask


def packed_surroundings(rgb: np.ndarray, middle: paste.Middle) -> dict[str, np.ndarray]:
    """Pack a level's picture (H, W, 3) with repainted surroundings, and the next level's warp into it, as arrays."""
    means = middle.means
    arrays = {
        "rgb": to_bytes(rgb),
        "shown": middle.shown,
        "given": middle.given,
        "width": np.array((means.shape or (0, 0))[1]),
    }
    return arrays | {"data": means.data, "indices": means.indices, "indptr": means.indptr}


def read_surroundings(arrays: Mapping[str, np.ndarray]) -> tuple[np.ndarray, paste.Middle]:
    """The inverse of `packed_surroundings`."""
    shape = len(arrays["indptr"]) - 1, int(arrays["width"])
    means = csr_matrix((arrays["data"], arrays["indices"], arrays["indptr"]), shape=shape)
    return arrays["rgb"].astype(np.float32) / np.float32(255), paste.Middle(means, arrays["shown"], arrays["given"])
