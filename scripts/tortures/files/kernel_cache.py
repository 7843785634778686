"""Damaged, missing and foreign files in the cache of compiled kernels: each costs one compilation, never a job."""

from __future__ import annotations

import os
import pathlib
import random
import shutil
from collections.abc import Callable

SHORT = 5
ROUNDS = 400


def run(rng: random.Random, rounds: int | None, folder: pathlib.Path) -> tuple[bool, str]:
    """Damage the stored code of a kernel in every way, and call the kernel each time as a new start would.

    Passed if each call gives the right result, and the second start after a damage finds the rebuilt code.
    """
    before = os.environ.get("NUMBA_CACHE_DIR")
    os.environ["NUMBA_CACHE_DIR"] = str(folder / "kernels")
    try:
        wrong, counts = _rounds(rng, rounds or ROUNDS, folder / "kernels")
    finally:
        os.environ.pop("NUMBA_CACHE_DIR")
        if before is not None:
            os.environ["NUMBA_CACHE_DIR"] = before
    told = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
    return not wrong, f"kernel cache: {sum(counts.values())} damages ({told}), " + (
        f"{len(wrong)} wrong: {wrong[0]}" if wrong else "each rebuilt once"
    )


def _rounds(rng: random.Random, rounds: int, folder: pathlib.Path) -> tuple[list[str], dict[str, int]]:
    wrong: list[str] = []
    counts: dict[str, int] = {}
    _start()
    for _ in range(rounds):
        damage = rng.choice(DAMAGES)
        name = damage.__name__.strip("_").replace("_", " ")
        files = sorted(path for path in folder.rglob("*.nb[ic]") if path.is_file())
        damage(rng, rng.choice(files))
        counts[name] = counts.get(name, 0) + 1
        results = _start(), _start()
        if [value for value, _ in results] != [10.0, 10.0] or not results[1][1]:
            wrong.append(f"{name}: {results}")
    return wrong, counts


def _total(values):
    total = 0.0
    for value in values:
        total += value
    return total


def _start() -> tuple[float, bool]:
    """The kernel's result in a new dispatcher, which knows only what is on the disk; whether it was found there."""
    import numpy as np

    from dreamzoom.jit import njit

    kernel = njit(cache=True)(_total)
    return float(kernel(np.arange(5.0))), bool(sum(kernel.stats.cache_hits.values()))


def cut_short(rng: random.Random, file: pathlib.Path) -> None:
    """The end is missing."""
    data = file.read_bytes()
    file.write_bytes(data[: rng.randrange(len(data))])


def emptied(rng: random.Random, file: pathlib.Path) -> None:
    """Zero bytes."""
    file.write_bytes(b"")


def flipped(rng: random.Random, file: pathlib.Path) -> None:
    """One bit is wrong."""
    data = bytearray(file.read_bytes())
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    file.write_bytes(data)


def torn(rng: random.Random, file: pathlib.Path) -> None:
    """A block of 512 bytes was never written."""
    data = bytearray(file.read_bytes())
    begin = rng.randrange(len(data)) // 512 * 512
    data[begin : begin + 512] = bytes(len(data[begin : begin + 512]))
    if bytes(data) == file.read_bytes():
        data[0] ^= 1
    file.write_bytes(data)


def noise(rng: random.Random, file: pathlib.Path) -> None:
    """Other content."""
    file.write_bytes(rng.randbytes(rng.randrange(1, 4000)))


def removed(rng: random.Random, file: pathlib.Path) -> None:
    """The file is gone: for data, the index names what is not there."""
    file.unlink()


def longer(rng: random.Random, file: pathlib.Path) -> None:
    """Something follows."""
    file.write_bytes(file.read_bytes() + rng.randbytes(8))


def folder_instead(rng: random.Random, file: pathlib.Path) -> None:
    """A folder has the file's name."""
    file.unlink()
    (file / "inside").mkdir(parents=True)


def file_instead(rng: random.Random, file: pathlib.Path) -> None:
    """A file has the name of the kernel's folder."""
    shutil.rmtree(file.parent)
    file.parent.write_bytes(b"not a folder")


def of_another(rng: random.Random, file: pathlib.Path) -> None:
    """Index and data have changed places."""
    other = next(path for path in file.parent.glob("*.nb[ic]") if path != file)
    data = file.read_bytes()
    file.write_bytes(other.read_bytes())
    other.write_bytes(data)


def of_plain_numba(rng: random.Random, file: pathlib.Path) -> None:
    """What numba itself would write there."""
    import pickle

    import numba

    file.write_bytes(pickle.dumps(numba.__version__) + pickle.dumps(("stamp", {})))


DAMAGES: list[Callable[[random.Random, pathlib.Path], None]] = [
    cut_short, emptied, flipped, torn, noise, removed, longer, folder_instead, file_instead, of_another, of_plain_numba,
]  # fmt: skip
