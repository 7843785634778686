"""Links, pipes and devices at every place of a job's folder, and forged results, records, indexes and arrays: all are
refused by name in a second and without much memory, and no file outside is read, written or removed.
"""

from __future__ import annotations

import io
import json
import os
import random
import shutil
import stat
import struct
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import DreamzoomError
from core.protocol import result
from core.safety.seal import CHECK, sealed, sealed_line
from dreamzoom.pipeline.integrity.repair import repair
from dreamzoom.pipeline.integrity.verify import verify
from dreamzoom.progress import Report
from dreamzoom.render import flight
from dreamzoom.stages.base import layout
from tortures.attacks import results
from tortures.support import jobs

ENVIRONMENT = "server"
SHORT = 3
SECONDS, MEGABYTES = 1.0, 500
KINDS = ("link", "link to nothing", "link to itself", "link to a device", "pipe", "socket", "device", "hard link")
FREE_PLACES = (
    "versions", "versions/0001", "versions/0001/result.json", "versions/unfinished", "live.png", ".writing-1-x",
    "levels/000/.writing-1-x.png", "levels/002", "levels/000/parts/later.npz", "inputs/0123456789abcdef",
    f"stages/{'0' * 64}.json", "@eaDir", "Levels", "nul",
)  # fmt: skip
"""Where nothing of the job stands."""


def run(rng: random.Random, rounds: int | None, folder: Path) -> tuple[bool, str]:
    """Try every place with every kind, and every forged file; or as many of each as rounds are given."""
    whole = jobs.whole()
    torture = _Torture(folder, whole)
    places = [*sorted(path.relative_to(whole).as_posix() for path in whole.rglob("*")), *FREE_PLACES]
    cases = [(place, kind) for place in places for kind in KINDS if hasattr(os, "mkfifo")]
    forged = list(_forged(whole).items())
    if rounds is not None:
        cases, forged = rng.sample(cases, min(rounds, len(cases))), rng.sample(forged, min(rounds, len(forged)))
    before = _most_megabytes()
    for place, kind in cases:
        torture.at_place(place, kind)
    for name, (file, data) in forged:
        torture.forged(name, file, data)
    grown = _most_megabytes() - before
    if grown > MEGABYTES:
        torture.faults.append(f"{grown:.0f} MB of memory were taken")
    line = f"{len(cases)} links, pipes, sockets and devices at {len(places)} places, {len(forged)} forged files: "
    told = jobs.told(torture.faults, "all refused by name, nothing outside touched")
    return not torture.faults, f"{line}{told}; at most {torture.slowest:.2f} s and {grown:.0f} MB more"


class _Torture:
    def __init__(self, folder: Path, whole: Path):
        self.folder, self.whole, self.expected = folder, whole, jobs.contents(whole)
        self.faults: list[str] = []
        self.slowest = 0.0

    def at_place(self, place: str, kind: str) -> None:
        """Something else stands at a place of the folder; what was there, or something of the user's, lies outside."""
        root, outside = jobs.copied(self.whole, self.folder / "job"), self.folder / "outside"
        _removed(outside)
        is_free = place in FREE_PLACES
        if is_free:
            (root / place).parent.mkdir(parents=True, exist_ok=True)
            outside.mkdir()
        else:
            (root / place).rename(outside)
        if outside.is_dir():
            (outside / "mine.txt").write_text("mine", encoding="utf-8")
        if not _stands(kind, root / place, outside):
            return
        before = _all_of(outside)
        when = f"{kind} at {place}"
        for word, work in self._uses(root).items():
            may_do = is_free or kind == "hard link" or (place == ".lock" and word != "resume")
            self._must_refuse(f"{when}, {word}", work, place, only_told=may_do)
        if _all_of(outside) != before or (self.folder / "nowhere").exists():
            self.faults.append(f"{when}: something outside was changed")
        if kind == "hard link" and jobs.contents(root) != self.expected:
            self.faults.append(f"{when}: other bytes")

    def forged(self, name: str, file: str, content: bytes | Callable[[], bytes]) -> None:
        """A file of the job is forged; the job is resumed, or refuses it, and in no case does worse."""
        root = jobs.copied(self.whole, self.folder / "job")
        (root / file).write_bytes(data := content() if callable(content) else content)
        found = self._timed(f"{name}, verify", lambda: verify(jobs.Folder(root)))
        if found is not None and not found.is_damaged(file):
            self.faults.append(f"{name}: verify does not name {file}")
        self._timed(f"{name}, render", lambda: flight.render(root, self.folder / "out", [1], (8, 6), Report()))
        self._timed(f"{name}, result", lambda: result.read(root))
        repair(jobs.Folder(root))
        if jobs.contents(root) != self.expected:
            self.faults.append(f"{name}: not repaired")
        for format_, place in ((layout.POINTS, layout.POINTS.path(0)), (layout.DEPTH, layout.DEPTH.path(0))):
            if file == place:  # forged with a record that fits
                (root / file).write_bytes(data)
                self._timed(f"{name}, load", lambda f=format_, p=place: jobs.Folder(root).load(f.format, p))

    def _uses(self, root: Path) -> dict[str, Callable[[], Any]]:
        return {
            "resume": lambda: jobs.resume(root),
            "repair": lambda: repair(jobs.Folder(root)),
            "verify": lambda: verify(jobs.Folder(root)),
        }

    def _must_refuse(self, when: str, work: Callable[[], Any], place: str, *, only_told: bool) -> None:
        """The work must fail and name the place, or be `verify` and list it."""
        began = time.monotonic()
        try:
            found = work()
            lines = [one.file for one in found.damaged] if hasattr(found, "damaged") else []
            if not only_told and not any(line.startswith(place) for line in lines):
                self.faults.append(f"{when}: was not refused")
        except DreamzoomError as error:
            if place not in str(error).replace(os.sep, "/") and not only_told:
                self.faults.append(f"{when}: is not named: {error}")
        except Exception as error:
            self.faults.append(f"{when}: {type(error).__name__}: {error}")
        self._note(when, began)

    def _timed(self, when: str, work: Callable[[], Any]) -> Any:
        """What the work returns; None if it refuses. Any other error is a fault."""
        began, found = time.monotonic(), None
        try:
            found = work()
        except (DreamzoomError, ValueError, FileNotFoundError):
            pass
        except Exception as error:
            self.faults.append(f"{when}: {type(error).__name__}: {error}")
        self._note(when, began)
        return found

    def _note(self, when: str, began: float) -> None:
        seconds = time.monotonic() - began
        self.slowest = max(self.slowest, seconds)
        if seconds > SECONDS * _patience():
            self.faults.append(f"{when}: took {seconds:.1f} s")


def _forged(whole: Path) -> dict[str, tuple[str, bytes | Callable[[], bytes]]]:
    """Forged files, by what is wrong with them: the file of the job, and its content."""
    found = json.loads((whole / "result.json").read_bytes())
    points, depth = layout.POINTS.path(0), layout.DEPTH.path(0)
    record = next(path for path in sorted((whole / "stages").iterdir()) if path.name != "request.json")
    name, request = f"stages/{record.name}", (whole / "request.json").read_bytes()
    index = {"files": {}, "leaving": ["../x"]}
    return {wrong: ("result.json", content) for wrong, content in results.forged(found).items()} | {
        "deep record": (name, b"[" * 1_000_000),
        "record of another": (name, json.dumps(sealed({"digest": "x", "outputs": {}})).encode()),
        "record that leads outside": (name, _changed(record, outputs=_output("../../mine"))),
        "record that leads to a device": (name, _changed(record, outputs=_output("levels/000/NUL"))),
        "record of negative bytes": (name, _changed(record, outputs=_output("plan.json", -1))),
        "record of 10^400 bytes": (name, _changed(record, outputs=_output("plan.json", 10**400))),
        "record of 10^400 seconds": (name, _changed(record, seconds=10**400)),
        "record of text for its level": (name, _changed(record, level="0")),
        "deep index": ("inputs.json", b'{"files":' * 100_000),
        "index that leads outside": ("inputs.json", json.dumps(sealed(index)).encode()),
        "index with a full path": ("inputs.json", json.dumps(sealed(index | {"leaving": ["/etc/hostname"]})).encode()),
        "deep journal": ("journal.jsonl", b"[" * 5_000_000),
        "long journal line": ("journal.jsonl", b'{"event": "' + b"x" * 5_000_000 + b'"}\n'),
        "journal of empty lines": ("journal.jsonl", b"\n" * 60_000_000),
        "journal of 45 000 steps": ("journal.jsonl", lambda: _journal(45_000)),
        "journal without a digest": ("journal.jsonl", sealed_line({"event": "done", "step": "plan"})),
        "journal with a path": (
            "journal.jsonl", sealed_line({"event": "done", "step": "plan", "digest": "../../../../../../etc/passwd"})
        ),
        "journal of lists": ("journal.jsonl", sealed_line({"event": "done", "step": ["a"], "digest": [{}]})),
        "request of UTF-16": ("request.json", request.decode().encode("utf-16")),
        "request with a mark": ("request.json", b"\xef\xbb\xbf" + request),
        "request that is deep": ("request.json", b"[" * 1_000_000),
        "request of commas": ("request.json", b"[" + b"0," * 20_000_000 + b"0]"),
        "array that claims much": (points, _npz("position", b"", (1 << 40,))),
        "array that claims more than it has": (depth, _npz("depth", b"1234", (1000, 1000))),
        "bomb": (depth, lambda: _npz("depth", b"", (175 << 20,), zeros=700)),
        "object array": (points, _npz("position", b"", (1,), "|O")),
        "array with a path for its name": (points, _npz("../../../../x", bytes(4), (1,))),
        "two million empty arrays": (points, lambda: _directory(2_000_000)),
        "no zip": (depth, b"PK\3\4" + bytes(100)),
    }  # fmt: skip


def _output(name: str, size: int = 1) -> dict[str, Any]:
    return {name: {"bytes": size, "sha256": "0" * 64}}


def _journal(lines: int) -> bytes:
    return b"".join(sealed_line({"event": "done", "step": str(n), "digest": f"{n:064x}"}) for n in range(lines))


def _directory(entries: int) -> bytes:
    """A zip that is a directory alone."""
    entry = struct.pack("<4s6H3L5H2L", b"PK\1\2", 20, 20, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"a"
    size = entries * len(entry)
    return b"PK\3\4" + entry * entries + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 65535, 65535, size, 4, 0)


def _changed(record: Path, **changes: Any) -> bytes:
    """A record in which something is forged."""
    value = json.loads(record.read_bytes()) | changes
    return json.dumps(sealed({key: item for key, item in value.items() if key != CHECK})).encode() + b"\n"


def _npz(name: str, data: bytes, shape: tuple[int, ...], dtype: str = "<f4", zeros: int = 0) -> bytes:
    """An npz with one array whose header says what it wants, with some MiB of zeros after the data.

    Those are written piece by piece: what is measured is the memory of those who read it.
    """
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": dtype, "fortran_order": False, "shape": shape})
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open(f"{name}.npy", "w") as array,
    ):
        array.write(header.getvalue() + data)
        for _ in range(zeros):
            array.write(bytes(1 << 20))
    return buffer.getvalue()


def _stands(kind: str, path: Path, outside: Path) -> bool:
    """Put something at a path; False where this can't be."""
    targets = {
        "link": outside,
        "link to nothing": outside.with_name("nowhere"),
        "link to itself": path.name,
        "link to a device": "/dev/zero",
    }
    if kind in targets:
        path.symlink_to(targets[kind])
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        os.mknod(path, stat.S_IFSOCK | 0o600)
    elif kind == "device":
        if os.geteuid():
            return False  # only the administrator makes them
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 5))
    elif outside.is_dir():
        return False
    else:
        os.link(outside, path)
    return True


def _removed(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _all_of(outside: Path) -> dict[str, tuple[int, bytes]]:
    """Times and bytes of what lies outside."""
    found = [path for path in [outside, *outside.rglob("*")] if path.exists()]
    return {str(path): (path.lstat().st_mtime_ns, path.read_bytes() if path.is_file() else b"") for path in found}


def _patience() -> float:
    """How much longer things may take where the machine is busy with other work: its load per processor, at least 1."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 1.0
    return max(load / (os.cpu_count() or 1), 1.0) * 2


def _most_megabytes() -> float:
    """The most memory that this process had so far."""
    if sys.platform == "win32":
        return 0.0
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (1 << 20 if sys.platform == "darwin" else 1 << 10)
