"""What the parameters of all steps of a job are derived from. The work itself never sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from core.errors import BadRequest
from dreamzoom.engines.base import Denoises, Engine
from dreamzoom.geometry.zoom_path import ZoomPath
from dreamzoom.request.inputs import Input, in_place
from dreamzoom.stages.base.quality import QualitySettings, settings
from dreamzoom.wire import Request

PARENTS = 2
"""How many coarser levels are seen from a level's cameras."""


@dataclass(frozen=True)
class Context:
    """A job before it is divided into steps.

    Attributes:
        request: What to dream along which path.
        engine: What imagines.
        path: The request's.
        quality: What the request's quality stands for.
        inputs: The files that the request names, by field: "levels[0].image".
        second_pass: Whether all views are sampled once more, agreeing through their depth.
    """

    request: Request
    engine: Engine
    path: ZoomPath
    quality: QualitySettings
    inputs: Mapping[str, Input]
    second_pass: bool

    @property
    def joint(self) -> bool:
        """Whether all levels' pictures are sampled jointly."""
        return isinstance(self.engine, Denoises)

    @property
    def consistent(self) -> bool:
        """Whether all pictures show one 3D place as they are made: the engine's do, and the artist gives none."""
        return self.engine.multiview_consistent and not self.inputs

    @property
    def pasted(self) -> bool:
        """Whether each level's picture gets the next one's into its middle: for engines that only paint."""
        return not self.engine.multiview_consistent and not self.joint

    def parents(self, level: int) -> range:
        """The coarser levels whose points and splats a level's cameras see."""
        return range(max(level - PARENTS, 0), level)

    def neighbours(self, level: int) -> list[int]:
        """The levels next to this one; in a loop they count on past both ends."""
        return [k for k in (level - 1, level + 1) if self.path.loop or 0 <= k < self.path.levels]

    def next_level(self, level: int) -> int | None:
        """The level that is seen in the middle of this one; in a loop it counts on past the last."""
        return level + 1 if self.path.loop or level + 1 < self.path.levels else None


def make_context(request: Request, engine: Engine, inputs: Mapping[str, Input] | None = None) -> Context:
    """The context of a job.

    Args:
        request: What to dream along which path.
        engine: What imagines.
        inputs: The files that the request names, by field; where the artist has them, if None.

    Raises:
        BadRequest: A file that the request names can't be read, or it asks for what the engine can't do.
    """
    inputs = in_place(request) if inputs is None else inputs
    return Context(request, engine, request.path(), settings(request), inputs, _second_pass(request, engine))


def _second_pass(request: Request, engine: Engine) -> bool:
    """Whether a job has the second pass: as the request says, else wherever the engine can, but for drafts."""
    choice, able = getattr(request.engine, "refine", None), isinstance(engine, Denoises)
    if choice and not able:
        raise BadRequest("engine.refine", "must be left out: this model does not sample all levels jointly")
    return able and (request.quality != "draft" if choice is None else choice)
