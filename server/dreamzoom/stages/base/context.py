"""The context of a job: what the parameters of all its steps are derived from. `Stage.run` does not receive it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from core.errors import BadRequest
from dreamzoom.engines.base import Denoises, Engine
from dreamzoom.geometry.zoom_path import ZoomPath
from dreamzoom.request.inputs import Input, in_place
from dreamzoom.request.schema import Request
from dreamzoom.stages.base.quality import QualitySettings, settings

PARENTS = 2
"""Number of coarser levels that are visible from a level's cameras."""


@dataclass(frozen=True)
class Context:
    """A job before it is divided into steps.

    Attributes:
        request: The request.
        engine: The engine.
        path: The request's zoom path.
        quality: The settings of the request's quality.
        inputs: The files that the request names, by field, for example "levels[0].image".
        second_pass: Whether all views are sampled a second time, made consistent through their depth.
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
        """Whether all pictures are multiview-consistent by construction: the engine is, and the artist gives none."""
        return self.engine.multiview_consistent and not self.inputs

    @property
    def pasted(self) -> bool:
        """Whether the next level's picture is pasted into the middle of each level's: for engines that only paint."""
        return not self.engine.multiview_consistent and not self.joint

    def parents(self, level: int) -> range:
        """The coarser levels whose points and splats are visible from a level's cameras."""
        return range(max(level - PARENTS, 0), level)

    def neighbours(self, level: int) -> list[int]:
        """The adjacent levels; in a loop the indices may run past both ends."""
        return [k for k in (level - 1, level + 1) if self.path.loop or 0 <= k < self.path.levels]

    def next_level(self, level: int) -> int | None:
        """The level visible in the middle of this one; in a loop the index may run past the last level."""
        return level + 1 if self.path.loop or level + 1 < self.path.levels else None


def make_context(request: Request, engine: Engine, inputs: Mapping[str, Input] | None = None) -> Context:
    """Create the context of a job.

    Args:
        request: The request.
        engine: The engine.
        inputs: The files that the request names, by field; if None, they are read from their original paths.

    Raises:
        BadRequest: A file that the request names can't be read, or the engine does not support an option.
    """
    inputs = in_place(request) if inputs is None else inputs
    return Context(request, engine, request.path(), settings(request), inputs, _second_pass(request, engine))


def _second_pass(request: Request, engine: Engine) -> bool:
    """Whether a job has the second pass. By default, if the engine supports it and the quality is not draft."""
    choice, able = getattr(request.engine, "refine", None), isinstance(engine, Denoises)
    if choice and not able:
        raise BadRequest("engine.refine", "must be left out: this model does not sample all levels jointly")
    return able and (request.quality != "draft" if choice is None else choice)
