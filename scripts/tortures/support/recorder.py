"""Records what this process does to the files of a folder: what each held when it was synced, and every name that was
made, moved or removed.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

IS_POSSIBLE = Path("/proc/self/fd").is_dir()
"""Whether this system tells which file is synced."""


@contextlib.contextmanager
def recorded(root: Path) -> Iterator[list[tuple]]:
    """Record what this process does to files under a folder, in the calls that its code uses for that."""
    log: list[tuple] = []
    before = {name: getattr(os, name) for name in ("fsync", "replace", "rename", "unlink", "mkdir")}

    def is_inside(path) -> bool:
        return Path(os.fsdecode(path)).is_relative_to(root)

    def place(path, dir_fd) -> str:
        base = Path() if dir_fd is None else Path(os.readlink(f"/proc/self/fd/{dir_fd}"))  # noqa: PTH115
        return str(base / os.fsdecode(path))

    def fsync(descriptor):
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))  # noqa: PTH115
        if is_inside(path) or path == root.parent:
            log.append(("folder", str(path)) if path.is_dir() else ("file", str(path), path.read_bytes()))
        return before["fsync"](descriptor)

    def replace(source, target, **options):
        source_place, target_place = (
            place(path, options.get(name)) for path, name in ((source, "src_dir_fd"), (target, "dst_dir_fd"))
        )
        before["replace"](source, target, **options)
        if is_inside(target_place):
            log.append(("move", source_place, target_place))

    def unlink(path, *, dir_fd=None):
        before["unlink"](path, dir_fd=dir_fd)
        if is_inside(place(path, dir_fd)):
            log.append(("remove", place(path, dir_fd)))

    def mkdir(path, mode=0o777, *, dir_fd=None):
        before["mkdir"](path, mode, dir_fd=dir_fd)
        if is_inside(place(path, dir_fd)):
            log.append(("make", place(path, dir_fd)))

    changed = {"fsync": fsync, "replace": replace, "rename": replace, "unlink": unlink, "mkdir": mkdir}
    try:
        for name, function in changed.items():
            setattr(os, name, function)
        yield log
    finally:
        for name, function in before.items():
            setattr(os, name, function)
