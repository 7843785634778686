"""A job's process gets SIGKILL at random moments, and at every call of export and result that touches a file."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path

from tortures.support import jobs

ENVIRONMENT = "server"
SHORT = 1
MOMENTS = 100
EXPORTED = (*(f"levels/001/{name}" for name in ("splats.ply", "cloud.ply", "preview.png", "level.json")), "result.json")


def run(rng: random.Random, rounds: int | None, folder: Path) -> tuple[bool, str]:
    """Kill at `rounds` random moments, and at every file call (at as many of them, if rounds are given)."""
    if not jobs.CAN_FORK:
        return True, jobs.NO_FORK
    whole = jobs.whole()
    expected = jobs.contents(whole)
    faults: list[str] = []
    kills = _at_random(rng, rounds or MOMENTS, folder, jobs.whole_seconds(), expected, faults)
    calls, all_calls = _at_calls(rng, rounds, folder, whole, expected, faults)
    line = f"killed at {kills} random moments and at {calls} of {all_calls} file calls of export and result"
    return not faults, f"{line}: {jobs.told(faults, 'same bytes, no torn file, no finished step twice')}"


def _at_random(
    rng: random.Random, count: int, folder: Path, seconds: float, expected: dict[str, bytes], faults: list[str]
) -> int:
    kills, root = 0, folder / "killed"
    request = jobs.request(folder)

    def work() -> None:
        jobs.generate(request, jobs.Folder(root))

    while kills < count:
        if jobs.forked(work, kill_after=rng.uniform(0, seconds / 4)) == -signal.SIGKILL:
            kills += 1
            torn = [one for one in _verified(root) if "journal" not in one]
            faults += [f"after kill {kills}: {one}" for one in torn]
        else:
            faults += _compared(root, expected, f"after kill {kills}", 1)
            jobs.shutil.rmtree(root)
    if root.exists():
        work()
        faults += _compared(root, expected, f"after kill {kills}", 1)
    return kills


def _at_calls(
    rng: random.Random, rounds: int | None, folder: Path, whole: Path, expected: dict[str, bytes], faults: list[str]
) -> tuple[int, int]:
    """Kill before each file call of the last level's export and of the result, which are made to run again."""
    begun = jobs.copied(whole, folder / "begun")
    for name in EXPORTED:
        (begun / name).unlink()
    with jobs.FileCalls(lambda number, name: None) as counted:
        jobs.resume(jobs.copied(begun, folder / "counted"))
    numbers = range(counted.count) if rounds is None else rng.sample(range(counted.count), min(rounds, counted.count))
    for number in numbers:
        root = jobs.copied(begun, folder / "called")

        def kill(count: int, name: str, number: int = number) -> None:
            if count == number:
                os.kill(os.getpid(), signal.SIGKILL)

        def work(root: Path = root, kill=kill) -> None:
            with jobs.FileCalls(kill):
                jobs.resume(root)

        ended = jobs.forked(work)  # 0 where the child, which has no threads, needed fewer calls than were counted
        if ended not in (0, -signal.SIGKILL):
            faults.append(f"at call {number} the process ended with {ended}")
        jobs.resume(root)
        faults += _compared(root, expected, f"killed at call {number}", 2)
    return len(numbers), counted.count


def _verified(root: Path) -> list[str]:
    return jobs.damage(root) if jobs.Folder(root).is_job() else []


def _compared(root: Path, expected: dict[str, bytes], when: str, most: int) -> list[str]:
    """What is wrong with a resumed job whose steps may have been finished `most` times."""
    faults = jobs.damage(root)
    found = jobs.contents(root)
    faults += [f"{name} differs" for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)]
    faults += [f"{step} was finished {count} times" for step, count in jobs.finished(root).items() if count > most]
    return [f"{when}: {fault}" for fault in faults]
