"""Power is lost at random moments of a job: what was not synced is dropped, torn, or there; the job goes on from there.

One run is recorded: what each file held when it was synced, and every name that was made, moved or removed. From
that, the states that a disk may be in after a loss of power are built: of each file what was synced last; of what was
being written nothing, a part, or pages of zeros; of names what was made durable by syncing their folder, and any number
of the changes after that, in their order.
"""

from __future__ import annotations

import random
import shutil
from pathlib import Path

from tortures.support import jobs

ENVIRONMENT = "server"
SHORT = 2
MOMENTS = 200
PAGE = 4096


def run(rng: random.Random, rounds: int | None, folder: Path) -> tuple[bool, str]:
    """Lose power at this many moments."""
    if not Path("/proc/self/fd").is_dir():
        return True, "skipped: needs Linux to see which file is synced"
    root, log = jobs.whole(), jobs.whole_log()
    expected, faults, torn = jobs.contents(root), [], 0
    count = MOMENTS if rounds is None else rounds
    for _ in range(count):
        moment = rng.randrange(len(log) + 1)
        lost = folder / "lost"
        torn += _build(rng, log, moment, root, lost)
        done = {step for step, _ in jobs.finished(lost).items()} if lost.exists() else set()
        jobs.make(folder, lost)
        again = [step for step, times in jobs.finished(lost).items() if times > 1 and step in done]
        faults += [f"moment {moment}: {step} was finished twice" for step in again]
        faults += [f"moment {moment}: {fault}" for fault in jobs.damage(lost)]
        if jobs.contents(lost) != expected:
            faults.append(f"moment {moment}: other bytes")
        shutil.rmtree(lost)
    told = jobs.told(faults, "same bytes, no torn file, no finished step twice")
    return not faults, f"power lost at {count} of {len(log)} moments, {torn} files torn: {told}"


def _build(rng: random.Random, log: list[tuple], moment: int, root: Path, lost: Path) -> int:
    """Build what the disk may hold if power is lost before an operation; returns how many files are torn."""
    durable: dict[str, bytes | None] = {}  # names on the disk, with what their files hold; None for folders
    pending: dict[str, list[tuple]] = {}  # by folder: changes of names that are not durable yet
    held: dict[str, bytes] = {}  # what was synced of files by their latest name
    for kind, path, *more in log[:moment]:
        if kind == "file":
            if path not in held:
                pending.setdefault(str(Path(path).parent), []).append(("appear", path))
            held[path] = more[0]
            if path in durable:
                durable[path] = more[0]
        elif kind == "folder":
            for change in pending.pop(path, []):
                _apply(change, durable)
        else:
            if kind == "move":
                held[more[0]] = held.pop(path)
                more.append(held[more[0]])
            pending.setdefault(str(Path(more[0] if kind == "move" else path).parent), []).append((kind, path, *more))
        for changes in pending.values():  # a new name holds what its file holds by now
            changes[:] = [("appear", c[1], held.get(c[1], b"")) if c[0] == "appear" else c for c in changes]
    for changes in pending.values():
        for change in changes[: rng.randrange(len(changes) + 1)]:
            _apply(change, durable)
    torn = 0
    if moment < len(log) and log[moment][0] == "file":
        torn = _tear(rng, log[moment][1], log[moment][2], held, durable)
    for name, data in sorted(durable.items()):
        path = lost / Path(name).relative_to(root)
        if all(str(parent) in durable for parent in Path(name).parents if parent.is_relative_to(root)):
            if data is None:
                path.mkdir(exist_ok=True)
            else:
                path.write_bytes(data)
    return torn


def _apply(change: tuple, durable: dict[str, bytes | None]) -> None:
    kind, path, *more = change
    if kind == "make":
        durable[path] = None
    elif kind == "appear":
        durable[path] = more[0]
    elif kind == "remove":
        durable.pop(path, None)
    else:
        durable.pop(path, None)
        durable[more[0]] = more[1]


def _tear(rng: random.Random, path: str, data: bytes, held: dict[str, bytes], durable: dict[str, bytes | None]) -> int:
    """The file that was about to be synced: what was synced before, and something or nothing of the rest."""
    before = held.get(path, b"")
    if not data.startswith(before) or (path not in durable and rng.random() < 0.5):
        return 0
    pages = bytearray(data[: rng.randint(len(before), len(data))])
    for start in range(len(before), len(pages), PAGE):
        if rng.random() < 0.3:
            pages[start : start + PAGE] = bytes(len(pages[start : start + PAGE]))
    durable[path] = bytes(pages)
    return 1
