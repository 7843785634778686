"""Small jobs for tortures: how to make, kill, copy and compare them."""

from __future__ import annotations

import atexit
import contextlib
import io
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from PIL import Image

from dreamzoom.pipeline import journal
from dreamzoom.pipeline.folder import Folder
from dreamzoom.pipeline.generate import generate, read_request
from dreamzoom.pipeline.integrity.verify import verify
from dreamzoom.pipeline.runner import Summary
from dreamzoom.request.example import example
from dreamzoom.request.validation import convert_request
from tortures.support import recorder

TELLS_OF_TIME = ("journal.jsonl", "inputs.json", ".lock")

REQUEST = "request.json"

CAN_FORK = hasattr(os, "fork")
NO_FORK = "skipped: needs a system with fork"


def request(folder: Path, levels: int = 2, **changes: Any):
    """A request of tiny levels, the first with an artist's picture, which is written into the folder."""
    photo = folder / "photo.png"
    if not photo.exists():
        Image.frombytes("RGB", (60, 40), bytes(range(240)) * 30).save(photo)
    raw = example(levels=levels, size=(48, 32)) | {"quality": "draft"} | changes
    raw["levels"][0]["image"] = str(photo)
    return convert_request(raw)


def make(folder: Path, root: Path, levels: int = 2) -> Summary:
    """Generate such a job; also compiles or loads what a forked child then has."""
    return generate(request(folder, levels), Folder(root))


class _Whole:
    """A finished job of two levels, made once in this process."""

    def __init__(self):
        folder = Path(tempfile.mkdtemp(prefix="torture-job-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        self.root, self.log = folder / "job", []
        began = time.monotonic()
        with recorder.recorded(self.root) if recorder.IS_POSSIBLE else contextlib.nullcontext(self.log) as self.log:
            make(folder, self.root)
        self.seconds = time.monotonic() - began


_whole = cache(_Whole)


def whole() -> Path:
    """A finished job of two levels, made once in this process, and not to be changed. Its picture lies beside it."""
    return _whole().root


def whole_log() -> list[tuple]:
    """What was done to the files of `whole` while it was made (see `recorder`)."""
    return _whole().log


def whole_seconds() -> float:
    """How long `whole` took; compiled code was loaded for it."""
    return _whole().seconds


def begun(rng: random.Random, target: Path, count: int = 3) -> Path:
    """A copy of `whole` that lacks some files, so that the steps that make them run again."""
    root = copied(whole(), target)
    for name in rng.sample(sorted(contents(root)), count):
        if name != REQUEST:
            (root / name).unlink()
    return root


def resume(root: Path) -> Summary:
    """Resume a job in this process."""
    return generate(read_request(Folder(root)), Folder(root))


def contents(root: Path) -> dict[str, bytes]:
    """All files that a job is asked for: not its records and its journal, which tell of time."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in Path(root).rglob("*")
        if path.is_file() and path.name not in TELLS_OF_TIME and path.parent.name != "stages"
    }


def copied(root: Path, target: Path) -> Path:
    """A copy of a job's folder with the times of its files, in place of what is there."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(root, target)
    return target


def damage(root: Path) -> list[str]:
    """What `verify` finds."""
    return [f"{one.file}: {one.what}" for one in verify(Folder(root)).damaged]


def finished(root: Path) -> Counter[str]:
    """How often each step was finished, as the journal tells."""
    return Counter(event["step"] for event in journal.read(Folder(root)) if event["event"] == "done")


def told(faults: list[str], good: str) -> str:
    """What a summary line says: the first fault and how many there are, or that all was good."""
    return f"{faults[0]}; {len(faults)} faults in all" if faults else good


def forked(work: Callable[[], Any], kill_after: float | None = None) -> int:
    """Run work in a forked child, and return how it ended: its exit code, or minus the signal.

    Args:
        work: What it does; its output is thrown away.
        kill_after: Seconds after which it gets SIGKILL; None to wait for it.
    """
    pid = os.fork()
    if not pid:
        _be_child(work)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _be_child(work: Callable[[], Any]) -> None:
    code = 1
    os.environ["NUMBA_NUM_THREADS"] = "1"  # the threads of the parent are not in the child
    try:
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        work()
        code = 0
    finally:
        os._exit(code)


class FileCalls:
    """Counts the calls of this process that change files, and does something at a certain one. A context manager.

    Those that only read are left out: to kill before one leaves the same as to kill before the one that follows.

    Args:
        at: Called with the number of each call, from 0, and its name, before it happens; may raise in its place, or
            kill.
    """

    NAMES = frozenset(("write", "fsync", "rename", "replace", "unlink", "mkdir", "rmdir", "truncate", "link"))
    """Of functions in C, all calls of which count."""

    AT_ENDS = frozenset(("close", "flush"))
    """Of functions in C, which count for files that are written."""

    def __init__(self, at: Callable[[int, str], None]):
        self._at, self.count = at, 0

    def __enter__(self) -> FileCalls:
        _listening.append(self)
        sys.setprofile(self._profile)
        return self

    def __exit__(self, *_) -> None:
        sys.setprofile(None)
        _listening.remove(self)

    def note(self, name: str) -> None:
        """A call is about to happen."""
        number, self.count = self.count, self.count + 1
        self._at(number, name)

    def _profile(self, frame, event: str, what) -> None:
        if event == "c_call" and _changes_files(what):
            self.note(what.__name__)


_listening: list[FileCalls] = []


def _hear_of_opens(event: str, arguments: tuple) -> None:
    """Let those that count calls know of files that are opened to be written; profiling does not tell how."""
    flags = arguments[2] if event == "open" and _listening else None
    if isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND):
        _listening[-1].note("open")


sys.addaudithook(_hear_of_opens)


def _changes_files(what: Any) -> bool:
    """Whether a function in C is one of the system or of an open file, and changes it: texts, too, have a `replace`."""
    of_file = isinstance(what.__self__, io.IOBase) and not isinstance(what.__self__, io.BytesIO)
    if what.__name__ in FileCalls.AT_ENDS:
        return of_file and not what.__self__.closed and what.__self__.writable()
    if what.__name__ not in FileCalls.NAMES:
        return False
    return of_file or what.__module__ in ("posix", "nt")
