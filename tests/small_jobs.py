"""Small jobs, and what they left on disk."""

from dreamzoom.pipeline import journal
from dreamzoom.pipeline.folder import Folder
from dreamzoom.request.example import example
from dreamzoom.request.validation import convert_request


def small(levels=1, **changes):
    """A draft of 48×32 pixels that takes a few seconds, as data."""
    return example(levels, (48, 32)) | {"quality": "draft"} | changes


def small_request(levels=1, **changes):
    """The same as a request."""
    return convert_request(small(levels, **changes))


def contents(root):
    """The bytes of all files of a job but journal and records, which tell of time."""
    names = [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]
    return {name: (root / name).read_bytes() for name in names if not name.startswith(("stages/", "journal", ".lock"))}


def done_steps(root):
    """The names of the steps that were finished, as often as they were."""
    return [event["step"] for event in journal.read(Folder(root)) if event["event"] == "done"]
