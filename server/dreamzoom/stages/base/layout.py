"""The files of a job's folder, by name. No other module spells them out.

    request.json  result.json  plan.json  journal.jsonl  inputs.json
    inputs/<digest>/      copies of the artist's files
    stages/<digest>.json  the records of finished steps
    levels/000/           what the artist gets of a level; in parts/ what passes from step to step

An `Entry` is one kind of file. Entries of the same `name` are versions of one thing: a stage that reads it gets the
version that was written last before it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any, Generic, TypeVar

from core.protocol import result
from dreamzoom.geometry.cloud import Cloud
from dreamzoom.stages.base import files
from dreamzoom.stages.base.files import Format
from dreamzoom.stages.base.values import DreamedView, FinalPictures, FittedLevel

T = TypeVar("T")

LOCK = ".lock"
REQUEST = "request.json"
JOURNAL = "journal.jsonl"
LIVE_PREVIEW = "live.png"
RECORDS = "stages"
INPUTS = "inputs"
INPUT_INDEX = "inputs.json"


@dataclass(frozen=True)
class Entry(Generic[T]):
    """A file of the job, or one of each level.

    Attributes:
        name: What it is.
        pattern: Its path in the job's folder; "{level:03d}" stands for the level.
        format: How its value is written and read.
        artifact: What a listener is told that it is: "image", "cloud", "splats" or "preview"; nothing is told if empty.
    """

    name: str
    pattern: str
    format: Format[T]
    artifact: str = ""

    @property
    def per_level(self) -> bool:
        """Whether each level has one."""
        return "{level" in self.pattern

    @property
    def exported(self) -> bool:
        """Whether it is for the artist: listed in result.json with its hash."""
        return "/parts/" not in self.pattern

    def path(self, level: int | None = None) -> str:
        """Its name in the job's folder, with "/" on every system."""
        return self.pattern.format(level=level)

    def version(self, stage: str) -> Entry[T]:
        """The same thing as this stage changes it: "parts/points.npz" becomes "parts/points.<stage>.npz"."""
        file = PurePosixPath(self.pattern)
        return replace(self, pattern=f"{file.parent}/{file.stem}.{stage}{file.suffix}")


PLAN: Entry[Any] = Entry("plan", "plan.json", files.JSON)
RESULT: Entry[Any] = Entry("result", result.NAME, files.JSON)

# what the artist gets of a level
PICTURE = Entry("picture", "levels/{level:03d}/image.png", files.PICTURES, "image")
DEPTH = Entry("depth", "levels/{level:03d}/depth.npz", files.ARRAYS)
CLOUD = Entry("cloud", "levels/{level:03d}/cloud.ply", files.CLOUDS, "cloud")
SPLATS = Entry("splats", "levels/{level:03d}/splats.ply", files.SPLATS, "splats")
PREVIEW = Entry("preview", "levels/{level:03d}/preview.png", files.PICTURES, "preview")
COUNTS: Entry[Any] = Entry("counts", "levels/{level:03d}/level.json", files.JSON)

# what passes from step to step
FIRST_PICTURE = Entry("first picture", "levels/{level:03d}/parts/painted.png", files.PICTURES)
"""A level's picture as it is dreamed from; it may be changed later to agree with the other levels."""
FIRST_AND_FINAL_PICTURE = replace(FIRST_PICTURE, pattern=PICTURE.pattern, artifact=PICTURE.artifact)
"""The same where nothing will change it."""
FITTED_VIEWS: Entry[FittedLevel] = Entry("fitted views", "levels/{level:03d}/parts/fitted.npz", files.FITTED)
POINTS: Entry[Cloud] = Entry("points", "levels/{level:03d}/parts/points.npz", files.POINTS)
VIEWS: Entry[list[DreamedView]] = Entry("views", "levels/{level:03d}/parts/views.npz", files.VIEWS)
SURROUNDINGS = Entry("surroundings", "levels/{level:03d}/parts/around.npz", files.ARRAYS)
FOLLOWING_CHANGE = Entry("following change", "levels/{level:03d}/parts/follow.npz", files.ARRAYS)
FINAL_PICTURES: Entry[FinalPictures] = Entry(
    "final pictures", "levels/{level:03d}/parts/pictures.npz", files.FINAL_PICTURES
)
AGREEMENT: Entry[Any] = Entry("agreement", "levels/{level:03d}/parts/refine.json", files.JSON)
FITTED_SPLATS = Entry("fitted splats", "levels/{level:03d}/parts/fit.ply", files.SPLATS)


def record(digest: str) -> str:
    """Where the record of a finished step is."""
    return f"{RECORDS}/{digest}.json"
