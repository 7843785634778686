"""What was guessed or changed when the artist's files were read, for the report of the finished job.

The files are read once more for that, so that a job that goes on where it was reports the same as one in a single run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core import formats
from core.protocol import prompt_weights
from core.protocol.result import Note, bounded_notes
from dreamzoom.progress import Report
from dreamzoom.request.inputs import Input, asset_fields, scene_field
from dreamzoom.stages.base.context import Context
from dreamzoom.stages.given import GivenFile, given_depth, given_picture


@dataclass(frozen=True)
class OwnFiles:
    """The artist's files of a level.

    Attributes:
        level: The level.
        picture, depth: Its picture and depth map.
        splats: Its files of splats, by the request's field.
    """

    level: int
    picture: GivenFile | None
    depth: GivenFile | None
    splats: dict[str, Input]


def own_files(context: Context) -> list[OwnFiles]:
    """The artist's files of all levels that have some."""
    found = []
    for level in range(context.path.levels):
        fields = [scene_field(level), *asset_fields(context.request, level)]
        splats = {field: context.inputs[field] for field in fields if field in context.inputs}
        own = OwnFiles(level, given_picture(context, level), given_depth(context, level), splats)
        if own.picture or own.depth or own.splats:
            found.append(own)
    return found


def notes_of(files: Sequence[OwnFiles], prompts: list[str], report: Report) -> list[Note]:
    """One line for each thing that was guessed or changed, level by level; prompts come last."""
    found: list[Note] = []
    for own in files:
        for kind in ("picture", "depth"):
            file = getattr(own, kind)
            if file is not None:
                heard = _Listener(report)
                getattr(file, kind)(heard)
                found += [_note(own.level, file.field, text) for text in heard.lines]
        for field, file in own.splats.items():
            report.check()
            _, said = formats.read_upright(file.path)
            found += [_note(own.level, field, said)] if said else []
    found += [_note(None, "prompt", text) for text in prompt_weights.notes(prompts)]
    return bounded_notes(found)


def _note(level: int | None, field: str, text: str) -> Note:
    return {"level": level, "field": field, "text": text}


class _Listener(Report):
    """Keeps the lines that are logged; a cancel is noticed as by the report of the step."""

    def __init__(self, report: Report):
        self._report = report
        self.lines: list[str] = []

    def progress(self, fraction: float, message: str = "") -> None:  # noqa: ARG002
        self._report.check()

    def check(self) -> None:
        self._report.check()

    def log(self, message: str, *, level: str = "info") -> None:  # noqa: ARG002
        self.lines.append(message)
