"""Surround and agree: the pictures of an engine that only paints are made to show one place at all scales.

`surround`, for every level that shows a next one, finds how the next picture shows in its middle, and paints a ring
about that again. Then `agree` makes the final picture, with the next level's in its middle, the one after in the middle
of that, and so on until a level is smaller than a pixel. So a picture depends on the levels that can be seen in it and
on no finer ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

from core.camera import Similarity
from core.colour import to_bytes
from dreamzoom.report import Report
from dreamzoom.stages import paste, plan
from dreamzoom.stages.base import layout
from dreamzoom.stages.base.context import Context
from dreamzoom.stages.base.stage import ENGINE, Inputs, Outputs, Scope, Stage, Write, each, own
from dreamzoom.stages.base.values import DreamedView, FinalPictures
from dreamzoom.stages.given import GivenPixels, given_pixels, is_given
from dreamzoom.stages.levels import LevelPrompt, level_prompt


def _next(context: Context, scope: Scope) -> Sequence[int]:
    """The level that is seen in the middle of this one, if there is one; in a loop it counts on past the last."""
    after = context.next_level(scope.first)
    return () if after is None else (after,)


def _with_next(context: Context) -> list[int]:
    """The levels in which a next one is seen."""
    return [level for level in range(context.path.levels) if context.next_level(level) is not None]


@dataclass(frozen=True)
class SurroundParameters:
    """What a level's surroundings depend on beside the two pictures.

    Attributes:
        prompt: Prompts and seed of the level.
        factor: The zoom factor.
        given: What the artist gives of the level's picture, which nothing is pasted over.
        after: The next level.
        move: From its frame to the level's.
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
    held = held_pixels(parameters.given, coarse, report)
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
    """What a level's final picture depends on beside what it reads.

    Attributes:
        shown: The level and the finer ones that are seen in its picture, in turn.
        given: What the artist gives of the level's picture.
        follows: The coarser level that says what the picture has to change by; None where none does.
        leads: Whether the next level's picture has to follow this one's.
        given_after, move, share: There: what the artist gives of the next picture, from that level's frame to this
            one's, and how much of the level's own change it takes over.
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
        _shown(context, scope),
        given_pixels(context, level),
        _leader(context, level),
        leads,
        given_pixels(context, after) if leads else None,
        context.path.between(level + 1, level) if leads else None,
        _share(context, after),
    )


def _shown(context: Context, scope: Scope) -> range:
    """A level and the finer ones that are seen in its picture; in a loop they count on, and some may come again."""
    level = scope.first
    camera = plan.anchor(context.path, level, context.quality).camera
    count = paste.visible_levels(camera.width, camera.height, context.path.factor)
    last = level + count if context.path.loop else min(level + count, context.path.levels - 1)
    return range(level, last + 1)


def _order(context: Context) -> list[int]:
    """The levels, coarse to fine; in a loop from the first one of which the artist gave pixels."""
    levels = range(context.path.levels)
    first = next((level for level in levels if is_given(context, level)), 0) if context.path.loop else 0
    return [*levels[first:], *levels[:first]]


def _leader(context: Context, level: int) -> int | None:
    """The coarser level whose given pixels, or those of coarser ones yet, this one's picture has to follow."""
    order = _order(context)
    coarser = order[: order.index(level)]
    return coarser[-1] if any(is_given(context, other) for other in coarser) else None


def _leads(context: Context, level: int) -> bool:
    """Whether the next level's picture has to follow this one's."""
    after = context.next_level(level)
    return after is not None and _leader(context, after % context.path.levels) == level


def _share(context: Context, level: int) -> float:
    """How much of a coarser level's own change a level takes over. In a loop it falls evenly to nothing, since the
    level that begins is seen in the middle of the last one, too.
    """
    left = context.path.levels - _order(context).index(level)
    return left / (left + 1) if context.path.loop else 1.0


def _agree(inputs: Inputs, parameters: AgreeParameters, report: Report) -> Outputs:
    cloud, views = inputs["points"], inputs["views"]
    rgb, finer, middle = _composed(inputs, parameters.shown)
    change = np.zeros(rgb.shape, np.float32)
    if parameters.follows is not None:
        change = inputs["following"][parameters.follows]["change"].astype(np.float32)
        change[held_pixels(parameters.given, views[0], report)] = 0
    found = {}
    if parameters.leads:
        assert middle is not None and finer is not None and parameters.given_after is not None
        fine, move = inputs["finer"][parameters.shown[1]][0], parameters.move
        assert move is not None
        field = paste.gap(middle, rgb, finer, change * parameters.share)
        held = held_pixels(parameters.given_after, fine, report)
        field = paste.lifted(field, middle, views[0], fine, move, held)
        found["following"] = {"change": field.astype(np.float16)}
    pictures = paste.all_pictures(cloud, views, np.clip(rgb + change, 0, 1))
    report.preview(pictures[0])
    return found | {"pictures": FinalPictures(pictures, by_difference=True), "picture": pictures[0]}


def _composed(inputs: Inputs, shown: Sequence[int]) -> tuple[np.ndarray, np.ndarray | None, paste.Middle | None]:
    """A level's picture with the next ones in its middle, the next one's by itself, and how that shows in it."""
    rgb, finer, middle = inputs["finest"][shown[-1]][0].rgb, None, None
    for level in reversed(shown[:-1]):  # the finest first, one at a time in memory
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
        "surroundings": each(layout.SURROUNDINGS, lambda context, scope: _shown(context, scope)[:-1]),
        "finest": each(layout.VIEWS, lambda context, scope: _shown(context, scope)[-1:]),
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


def held_pixels(given: GivenPixels, item: DreamedView, report: Report) -> np.ndarray:
    """The pixels (H, W) bool of a level's anchor view that the artist gave."""
    mask = given.mask(report)
    return np.zeros(item.depth.shape, bool) if mask is None else mask


def packed_surroundings(rgb: np.ndarray, middle: paste.Middle) -> dict[str, np.ndarray]:
    """A level's picture (H, W, 3) with its surroundings painted again, and how the next one shows in it, as arrays."""
    means = middle.means
    arrays = {
        "rgb": to_bytes(rgb),
        "shown": middle.shown,
        "given": middle.given,
        "width": np.array((means.shape or (0, 0))[1]),
    }
    return arrays | {"data": means.data, "indices": means.indices, "indptr": means.indptr}


def read_surroundings(arrays: Mapping[str, np.ndarray]) -> tuple[np.ndarray, paste.Middle]:
    """What `packed_surroundings` was given."""
    shape = len(arrays["indptr"]) - 1, int(arrays["width"])
    means = csr_matrix((arrays["data"], arrays["indices"], arrays["indptr"]), shape=shape)
    return arrays["rgb"].astype(np.float32) / np.float32(255), paste.Middle(means, arrays["shown"], arrays["given"])
