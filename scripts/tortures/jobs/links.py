"""Links, pipes and devices at every place of a job's folder, and forged results, records, indexes and arrays: all are
refused by name in a second and without much memory, and no file outside is read, written or removed.
"""

from __future__ import annotations

import io
import json
import os
import random
import shutil
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import DreamzoomError
from core.protocol import result
from core.safety.seal import sealed
from dreamzoom.pipeline.integrity.repair import repair
from dreamzoom.pipeline.integrity.verify import verify
from dreamzoom.progress import Report
from dreamzoom.render import flight
from dreamzoom.stages.base import layout
from tortures.support import jobs

ENVIRONMENT = "server"
SHORT = 3
SECONDS, MEGABYTES = 1.0, 500
KINDS = ("link", "pipe", "device") if hasattr(os, "mkfifo") else ()


def run(rng: random.Random, rounds: int | None, folder: Path) -> tuple[bool, str]:
    """Try every place with every kind, and every forged file; or as many of each as rounds are given."""
    whole = jobs.whole()
    torture = _Torture(folder, whole)
    places = sorted(path.relative_to(whole).as_posix() for path in whole.rglob("*"))
    cases = [(place, kind) for place in places for kind in KINDS]
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
    line = f"{len(cases)} links, pipes and devices at {len(places)} places, {len(forged)} forged files: "
    told = jobs.told(torture.faults, "all refused by name, nothing outside touched")
    return not torture.faults, f"{line}{told}; at most {torture.slowest:.2f} s and {grown:.0f} MB more"


class _Torture:
    def __init__(self, folder: Path, whole: Path):
        self.folder, self.whole, self.expected = folder, whole, jobs.contents(whole)
        self.faults: list[str] = []
        self.slowest = 0.0

    def at_place(self, place: str, kind: str) -> None:
        """Something else stands at a place of the folder; what was there lies outside."""
        root, outside = jobs.copied(self.whole, self.folder / "job"), self.folder / "outside"
        _removed(outside)
        (root / place).rename(outside)
        if outside.is_dir():
            (outside / "mine.txt").write_text("mine", encoding="utf-8")
        if kind == "pipe":
            os.mkfifo(root / place)
        else:
            (root / place).symlink_to(outside if kind == "link" else "/dev/zero")
        before = _all_of(outside)
        when = f"{kind} at {place}"
        if kind == "device" and sys.platform != "linux":
            return
        for word, work in self._uses(root).items():
            self._must_refuse(f"{when}, {word}", work, place, only_told=place == ".lock" and word != "resume")
        if _all_of(outside) != before:
            self.faults.append(f"{when}: something outside was changed")

    def forged(self, name: str, file: str, data: bytes) -> None:
        """A file of the job is forged; the job is resumed, or refuses it, and in no case does worse."""
        root = jobs.copied(self.whole, self.folder / "job")
        (root / file).write_bytes(data)
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


def _forged(whole: Path) -> dict[str, tuple[str, bytes]]:
    """Forged files, by what is wrong with them: the file of the job, and its content."""
    found = json.loads((whole / "result.json").read_bytes())
    levels = found["levels"]

    def result_with(**changes: Any) -> tuple[str, bytes]:
        value = {key: item for key, item in found.items() if key != "check"} | changes
        return "result.json", json.dumps(sealed(value)).encode()

    def level_with(**changes: Any) -> tuple[str, bytes]:
        return result_with(levels=[{**levels[0], **changes}, *levels[1:]])

    def raw(data: bytes) -> tuple[str, bytes]:
        return "result.json", data

    points, depth = layout.POINTS.path(0), layout.DEPTH.path(0)
    record = next(path for path in sorted((whole / "stages").iterdir()) if path.name != "request.json")
    name = f"stages/{record.name}"
    return {
        "text for zoom_factor": result_with(zoom_factor="2"),
        "huge zoom_factor": raw(json.dumps(found).replace('"zoom_factor": 2.0', '"zoom_factor": 1e999').encode()),
        "true for zoom_factor": result_with(zoom_factor=True),
        "NaN": raw(json.dumps(found | {"zoom_factor": float("nan")}).encode()),
        "version 99": result_with(version=99),
        "version as text": result_with(version="2"),
        "huge version": result_with(version=10**300),
        "no levels": result_with(levels=[]),
        "levels as text": result_with(levels="ab"),
        "NUL in a name": level_with(splats="levels/\0/x.ply"),
        "name outside": level_with(splats="../../../etc/passwd"),
        "absolute name": level_with(cloud="/etc/passwd"),
        "drive": level_with(cloud="C:/x.ply"),
        "share": level_with(cloud="\\\\host\\share\\x"),
        "device name": level_with(cloud="levels/000/NUL"),
        "very long name": level_with(cloud="a/" * 100_000),
        "half a surrogate": level_with(cloud="\ud800.ply"),
        "files outside": result_with(files={"../x": "0" * 64}),
        "files of numbers": result_with(files={"x": 1}),
        "deep": raw(b'{"version": 2, "levels": ' + b"[" * 1_000_000),
        "deep objects": raw(b'{"a":' * 1_000_000),
        "many values": raw(b'{"version": 2, "levels": [' + b"[]," * 12_000_000 + b"[]]}"),
        "many keys": raw(b'{"version": 2' + b"".join(b',"%d":0' % n for n in range(4_100_000)) + b"}"),
        "long number": raw(b'{"version": ' + b"9" * 5_000_000 + b"}"),
        "UTF-16": raw(json.dumps(found).encode("utf-16")),
        "nothing": raw(b""),
        "zeros": raw(bytes(1 << 20)),
        "deep record": (name, b"[" * 1_000_000),
        "record of another": (name, json.dumps(sealed({"digest": "x", "outputs": {}})).encode()),
        "record that leads outside": (name, _leading(record, "../../mine")),
        "deep index": ("inputs.json", b'{"files":' * 100_000),
        "index that leads outside": ("inputs.json", json.dumps(sealed({"files": {}, "leaving": ["../x"]})).encode()),
        "deep journal": ("journal.jsonl", b"[" * 5_000_000),
        "long journal line": ("journal.jsonl", b'{"event": "' + b"x" * 5_000_000 + b'"}\n'),
        "array that claims much": (points, _npz("position", b"", (1 << 40,))),
        "array that claims more than it has": (depth, _npz("depth", b"1234", (1000, 1000))),
        "bomb": (depth, _npz("depth", bytes(700 << 20), (175 << 20,))),
        "object array": (points, _npz("position", b"", (1,), "|O")),
        "no zip": (depth, b"PK\3\4" + bytes(100)),
    }


def _leading(record: Path, name: str) -> bytes:
    """A record with an output outside."""
    value = json.loads(record.read_bytes())
    value["outputs"] = {name: {"bytes": 1, "sha256": "0" * 64}}
    return json.dumps(sealed({key: item for key, item in value.items() if key != "check"})).encode()


def _npz(name: str, data: bytes, shape: tuple[int, ...], dtype: str = "<f4") -> bytes:
    """An npz with one array whose header says what it wants."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": dtype, "fortran_order": False, "shape": shape})
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr(f"{name}.npy", header.getvalue() + data)
    return buffer.getvalue()


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
