"""Every file of a job is flipped, truncated and deleted in turn: verify and inspect name it, repair is byte-exact."""

from __future__ import annotations

import random
from pathlib import Path

from core.errors import DreamzoomError
from core.protocol import result
from dreamzoom.pipeline.integrity.repair import repair
from dreamzoom.pipeline.integrity.verify import verify
from dreamzoom.progress import Report
from dreamzoom.render import flight
from tortures.support import jobs

ENVIRONMENT = "server"
SHORT = 2
HOWS = ("flipped", "truncated", "deleted")


def run(rng: random.Random, rounds: int | None, folder: Path) -> tuple[bool, str]:
    """Do it to every file, or to as many as rounds are given."""
    whole = jobs.whole()
    expected, faults, redone = jobs.contents(whole), [], 0
    files = [path.relative_to(whole).as_posix() for path in sorted(whole.rglob("*")) if path.is_file()]
    cases = [(name, how) for name in files if name != ".lock" for how in HOWS]
    for name, how in cases if rounds is None else rng.sample(cases, rounds):
        root = jobs.copied(whole, folder / "job")
        _damage(rng, root / name, how)
        faults += [f"{name} {how}: {fault}" for fault in _unnamed(root, name, folder)]
        done = repair(jobs.Folder(root))
        redone += len(done.summary.ran)
        if done.after.damaged or jobs.contents(root) != expected:
            faults.append(f"{name} {how}: not repaired: {done.after.damaged[:1]}")
    count = len(cases) if rounds is None else rounds
    told = jobs.told(faults, "all named by verify, inspect, render and import, all repaired to the same bytes")
    return not faults, f"{count} damages to {len(files) - 1} files, {redone} steps redone: {told}"


def _damage(rng: random.Random, path: Path, how: str) -> None:
    data = bytearray(path.read_bytes())
    if how == "deleted":
        path.unlink()
        return
    if how == "truncated":
        path.write_bytes(data[: rng.randrange(len(data))])
        return
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def _unnamed(root: Path, name: str, folder: Path) -> list[str]:
    """Who does not name the damaged file."""
    silent = []
    for quick in (False, True):
        if not verify(jobs.Folder(root), quick=quick).is_damaged(name):
            silent.append(f"not named by verify, quick={quick}")
    if not _named_by_render(root, name, folder):
        silent.append("not named by render")
    if name == result.NAME or name.startswith("levels/") and "/parts/" not in name:
        try:
            found = result.read(root)
            named = name in result.damaged_files(root, found)
        except (OSError, ValueError):
            named = name == result.NAME
        if not named:
            silent.append("not named by the check before import")
    return silent


class _Listening(Report):
    def __init__(self):
        self.lines: list[str] = []

    def log(self, message: str, *, level: str = "info") -> None:
        self.lines.append(message)


def _named_by_render(root: Path, name: str, folder: Path) -> bool:
    report = _Listening()
    try:
        flight.render(root, folder / "pictures", [1], (8, 6), report)
    except DreamzoomError as error:
        return name in str(error)
    return any(line.startswith(name) for line in report.lines)
