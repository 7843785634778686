"""The names of the files in a job's folder. No other module contains these names.

    request.json  result.json  plan.json  journal.jsonl  inputs.json
    inputs/<digest>/      copies of the artist's files
    stages/<digest>.json  the records of finished steps
    stages/request.json   a second copy of the request, should the first be damaged
    versions/0001/        an earlier result: a job folder of its own
    levels/000/           the exported files of a level; in parts/ the intermediate files passed between steps

An `Entry` is one kind of file. Entries with the same `name` are versions of the same data: a stage that reads it gets
the last version written by a stage before it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any, Generic, TypeVar

from core.protocol import result
from core.safety.contained import is_contained, plain_name
from dreamzoom.geometry.cloud import Cloud
from dreamzoom.stages.base import files
from dreamzoom.stages.base.files import Format
from dreamzoom.stages.base.values import DreamedView, FinalPictures, FittedLevel

T = TypeVar("T")

LOCK = ".lock"
SERVING = ".serving"
"""Which process works here for a client that does not see this folder (see `rpc.files.home`)."""
REQUEST = "request.json"
JOURNAL = "journal.jsonl"
LIVE_PREVIEW = "live.png"
RECORDS = "stages"
REQUEST_COPY = f"{RECORDS}/{REQUEST}"
INPUTS = "inputs"
INPUT_INDEX = "inputs.json"
LEVELS, PARTS = "levels", "parts"


@dataclass(frozen=True)
class Entry(Generic[T]):
    """A file of the job, or one file per level.

    Attributes:
        name: The name of the data.
        pattern: Path relative to the job's folder; "{level:03d}" is replaced by the level's index.
        format: Writes and reads the value.
        artifact: The kind that is announced to the caller when the file is written: "image", "cloud", "splats" or
            "preview". Empty if it is not announced.
    """

    name: str
    pattern: str
    format: Format[T]
    artifact: str = ""

    @property
    def per_level(self) -> bool:
        """Whether there is one file per level."""
        return "{level" in self.pattern

    @property
    def exported(self) -> bool:
        """Whether the file is part of the result: listed in result.json with its hash."""
        return "/parts/" not in self.pattern

    def path(self, level: int | None = None) -> str:
        """The path relative to the job's folder, with "/" on every system."""
        return self.pattern.format(level=level)

    def version(self, stage: str) -> Entry[T]:
        """The version of this entry that `stage` writes: "parts/points.npz" becomes "parts/points.<stage>.npz"."""
        file = PurePosixPath(self.pattern)
        return replace(self, pattern=f"{file.parent}/{file.stem}.{stage}{file.suffix}")


PLAN: Entry[Any] = Entry("plan", "plan.json", files.JSON)
RESULT: Entry[Any] = Entry("result", result.NAME, files.JSON)

# exported files of a level
PICTURE = Entry("picture", "levels/{level:03d}/image.png", files.PICTURES, "image")
DEPTH = Entry("depth", "levels/{level:03d}/depth.npz", files.ARRAYS)
CLOUD = Entry("cloud", "levels/{level:03d}/cloud.ply", files.CLOUDS, "cloud")
SPLATS = Entry("splats", "levels/{level:03d}/splats.ply", files.SPLATS, "splats")
PREVIEW = Entry("preview", "levels/{level:03d}/preview.png", files.PICTURES, "preview")
COUNTS: Entry[Any] = Entry("counts", "levels/{level:03d}/level.json", files.JSON)

# intermediate files
FIRST_PICTURE = Entry("first picture", "levels/{level:03d}/parts/painted.png", files.PICTURES)
"""A level's picture when its views are dreamed; later stages may change it to agree with the other levels."""
FIRST_AND_FINAL_PICTURE = replace(FIRST_PICTURE, pattern=PICTURE.pattern, artifact=PICTURE.artifact)
"""The first picture in jobs where no later stage changes it."""
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
    """The path of a finished step's record."""
    return f"{RECORDS}/{digest}.json"


def record_digest(name: str) -> str | None:
    """The digest of the step whose record has this file name; None if it is no record's."""
    return name[:-5] if re.fullmatch(r"[0-9a-f]{64}\.json", name) else None


def input_copy(digest: str, name: str) -> str:
    """The path of the copy of an artist's file with this SHA-256 and name."""
    return f"{INPUTS}/{digest[:16]}/{plain_name(name)}"


def copied_digest(path: str) -> str | None:
    """The beginning of the SHA-256 of an artist's file, as the path of its copy tells; None for any other path."""
    found = re.fullmatch(rf"{INPUTS}/([0-9a-f]{{16}})/[^/]+", path)
    return found[1] if found and is_contained(path) else None
