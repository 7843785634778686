"""Hostile files of splats: bombs, headers that lie, paths that lead out; each refused by name, at once and in little
memory.
"""

from __future__ import annotations

import pathlib
import random
import shutil
import time

from tortures.attacks import splat_files

SHORT = 30
MOST_SECONDS, MOST_MIB = 1.0, 500
"""Of processor time, which other programs do not change; and of memory above what the process had before."""


def run(rng: random.Random, rounds: int | None, folder: pathlib.Path) -> tuple[bool, str]:
    """Read hostile files, all or `rounds` of them.

    Passed if each is refused by a message that names it, within a second and 500 MiB.
    """
    import dreamzoom  # noqa: F401 - registers what decodes pictures
    from core import formats
    from core.errors import SplatFileError

    groups = (
        splat_files.plys,
        splat_files.spzs,
        splat_files.glbs,
        splat_files.gltfs,
        splat_files.sogs,
        splat_files.no_files,
    )
    cases = [case for group in groups for case in group().items()]
    rng.shuffle(cases)
    cases = cases[: rounds or None]
    wrong, slowest, largest = [], 0.0, 0.0
    for number, (name, make) in enumerate(cases):
        place = folder / str(number)
        place.mkdir()
        path, before = make(place), _peak()
        began = time.process_time()
        try:
            found = formats.read(path)
            wrong.append(f"{name}: read as {len(found.splats)} splats")
        except SplatFileError as error:
            if not str(error).startswith(path.name) or "\n" in str(error):
                wrong.append(f"{name}: {error}")
        except Exception as error:
            wrong.append(f"{name}: {type(error).__name__}: {error}")
        seconds, grown = time.process_time() - began, _peak() - before
        slowest, largest = max(slowest, seconds), max(largest, grown)
        if seconds > MOST_SECONDS or grown > MOST_MIB:
            wrong.append(f"{name}: {seconds:.1f} s, {grown:.0f} MiB")
        shutil.rmtree(place)
    told = f"{len(wrong)} wrong: {'; '.join(wrong)}" if wrong else "each refused by name"
    return not wrong, f"{len(cases)} hostile files of splats, {told}; {slowest:.2f} s and {largest:.0f} MiB at most"


def _peak() -> float:
    """The most memory that this process has had, in MiB; 0 where it can't be known."""
    try:
        import resource
    except ImportError:  # Windows
        return 0.0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
