"""Disks that are full or read-only, folders that are moved, removed or copied, and several processes at once."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from core.errors import DreamzoomError, explained
from dreamzoom.pipeline.events import Sink
from dreamzoom.pipeline.folder import Folder, FolderBusy
from dreamzoom.pipeline.generate import generate, read_request
from dreamzoom.pipeline.recovery import disk_space
from tortures.support import jobs

ENVIRONMENT = "server"
SHORT = 1
WRITES = 20
NOBODY = 65534
"""The number of the user without rights, and of its group."""
ODD_NAMES = (
    "a b", "a\nb", "\x1b[2J", "-x", " ", "%s {0}", "a\u0308", "\u202egpj.txt", "\U0001f600", "\udcff", "星" * 80,
    "x" * 255, "con", "a.", "'\"", "$HOME", "~",
)  # fmt: skip
"""For folders."""


def run(rng: random.Random, rounds: int | None, folder: Path) -> tuple[bool, str]:
    """Let so many writes fail in each way, and do the rest once."""
    torture = _Torture(rng, folder)
    count = WRITES if rounds is None else rounds
    codes = {"full": errno.ENOSPC, "over quota": errno.EDQUOT, "read-only": errno.EROFS}
    for name, code in codes.items():
        torture.failing_calls(name, code, count)
    real = [name for name, done in (("small", torture.small_disk(count)), ("inodes", torture.few_inodes())) if done]
    torture.read_only_disk()
    torture.odd_places(count)
    torture.forbidden()
    for work in (torture.moved, torture.copied, torture.three_at_once, torture.other_versions):
        work()
    line = (
        f"{count} writes each on a disk that is {', '.join(codes)}; real disks: {', '.join(real) or 'none allowed'}; "
    )
    line += f"{len(ODD_NAMES)} odd names; folder moved, removed, copied, forbidden; 3 processes; other versions: "
    told = jobs.told(torture.faults, "one clear line each, resumed to the same bytes")
    return not torture.faults, line + told


class _Torture:
    def __init__(self, rng: random.Random, folder: Path):
        self.rng, self.folder, self.whole = rng, folder, jobs.whole()
        self.expected, self.request = jobs.contents(self.whole), jobs.request(self.whole.parent)
        self.faults: list[str] = []

    def failing_calls(self, name: str, code: int, count: int) -> None:
        """At a random call that writes, the system says no."""
        for _ in range(count):
            begun = jobs.begun(self.rng, self.folder / "begun")
            with jobs.FileCalls(lambda number, call: None) as counted:
                jobs.resume(jobs.copied(begun, self.folder / "counted"))
            root, first = jobs.copied(begun, self.folder / "failing"), self.rng.randrange(counted.count)

            def fail(number: int, call: str, first: int = first) -> None:
                if number >= first and call in ("write", "fsync", "mkdir", "rename", "replace"):
                    raise OSError(code, os.strerror(code))

            def work(root: Path = root, fail=fail) -> None:
                with jobs.FileCalls(fail):
                    jobs.resume(root)

            self._refused(f"{name}, call {first}", work, root, must=False)
            self._resumed(f"{name}, call {first}", root)

    def small_disk(self, count: int) -> bool:
        """A real disk that has room for a part of what is missing."""
        for number in range(2 * count):
            begun = jobs.begun(self.rng, self.folder / "begun", 8)
            used = sum(-(-path.stat().st_size // 4096) * 4 + 4 for path in begun.rglob("*"))
            with _disk(self.folder / "disk", f"size={used + self.rng.randrange(4, 64)}k") as disk:
                if disk is None:
                    return False
                root = jobs.copied(begun, disk / "job")
                with _impatient(knows=number % 2 == 0):
                    self._refused("small disk", lambda root=root: jobs.resume(root), root, must=False)
                self._continued_elsewhere(root, "small disk")
        return True

    def few_inodes(self) -> bool:
        """A real disk that has room for few more files."""
        begun = jobs.begun(self.rng, self.folder / "begun", 8)
        used = sum(1 for _ in begun.rglob("*"))
        with _disk(self.folder / "disk", f"nr_inodes={used + 2}") as disk:
            if disk is None:
                return False
            root = jobs.copied(begun, disk / "job")
            with _impatient(knows=False):
                self._refused("few inodes", lambda: jobs.resume(root), root, word="inodes")
            self._continued_elsewhere(root, "few inodes")
        return True

    def read_only_disk(self) -> None:
        """A real disk that becomes read-only with a half job on it."""
        with _disk(self.folder / "disk", "size=64m") as disk:
            if disk is None:
                return
            root = jobs.copied(self.whole, disk / "job")
            (root / "levels/000/splats.ply").unlink()
            subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
            self._refused("read-only disk", lambda: jobs.resume(root), root, word="read-only")
            if not jobs.damage(root):
                self.faults.append("read-only disk: verify finds nothing")
            self._continued_elsewhere(root, "read-only disk")

    def odd_places(self, count: int) -> None:
        """Folders of odd names are as good as others; those that can't be are refused."""
        home = self.folder / "odd"
        home.mkdir()
        for name in ODD_NAMES if count == WRITES else self.rng.sample(ODD_NAMES, 2):
            try:
                root = jobs.copied(self.whole, home / name)
            except (OSError, ValueError):
                continue  # this system has no such names
            (root / "levels/000/preview.png").unlink()
            self._resumed(f"in {name!r}", root)
        (home / "file").write_text("", encoding="utf-8")
        places = {"too long": "x" * 300, "much too long": "x/" * 3000, "in a file": "file/job", "a file": "file"}
        if os.name == "posix":
            for name, target in (("nowhere", "not/there"), ("loop", "loop")):
                (home / name).symlink_to(target)
                places[f"a link, {name}"] = name
        for when, name in places.items():
            root = home / name
            self._refused(when, lambda root=root: generate(self.request, Folder(root)), root)

    def forbidden(self) -> None:
        """A user who may not read the folder, or not write there."""
        if not jobs.CAN_FORK or os.geteuid():
            return  # only the administrator can become another user
        self.folder.chmod(0o755)
        for mode in (0o700, 0o755):
            root, said = jobs.copied(self.whole, self.folder / "forbidden"), self.folder / "said.txt"
            (root / "levels/000/preview.png").unlink()
            root.chmod(mode)
            with said.open("w", encoding="utf-8") as file:

                def work(root: Path = root, file=file) -> None:
                    os.setgid(NOBODY)
                    os.setuid(NOBODY)
                    self.faults = []
                    self._refused(f"forbidden, {mode:o}", lambda: jobs.resume(root), root)  # noqa: B023
                    file.write("\n".join(self.faults))
                    file.flush()

                if jobs.forked(work):
                    self.faults.append(f"forbidden, {mode:o}: the process failed")
            self.faults += said.read_text(encoding="utf-8").splitlines()
            self._resumed(f"forbidden, {mode:o}", root)

    def moved(self) -> None:
        """The folder is moved or removed while its job runs: it does not come back, and goes on where it is."""
        for remove in (True, False):
            root = jobs.begun(self.rng, self.folder / "moving", 12)
            moved, began = self.folder / "moved", self.rng.randrange(1, 5)

            sink = _Moving(root, moved, remove, began)
            request = read_request(Folder(root))
            self._refused("moved", lambda r=root, s=sink, q=request: generate(q, Folder(r), s), root)
            if root.exists():
                self.faults.append("a folder that was moved or removed came back")
            if not remove:
                self._resumed("moved", moved)

    def copied(self) -> None:
        """A copy of a folder, without the times of its files, is a whole job of its own."""
        target = self.folder / "copied"
        shutil.copytree(self.whole, target, copy_function=shutil.copy)
        if jobs.resume(target).ran or jobs.damage(target):
            self.faults.append("a copied folder is not whole")

    def three_at_once(self) -> None:
        """Of three processes on one folder one works, and the others say so."""
        if not jobs.CAN_FORK:
            return
        root, ends = jobs.begun(self.rng, self.folder / "shared", 8), self.folder / "ends"
        ends.mkdir()

        def work() -> None:
            try:
                jobs.resume(root)
                (ends / str(os.getpid())).write_text("done")
            except FolderBusy:
                (ends / str(os.getpid())).write_text("busy")

        children = []
        for _ in range(3):
            pid = os.fork()
            if not pid:
                os.environ["NUMBA_NUM_THREADS"] = "1"  # the threads of the parent are not in the child
                try:
                    work()
                finally:
                    os._exit(0)
            children.append(pid)
        for pid in children:
            os.waitpid(pid, 0)
        said = sorted(path.read_text() for path in ends.iterdir())
        if len(said) != 3 or "done" not in said:
            self.faults.append(f"three at once: {said}")
        self._resumed("three at once", root)

    def other_versions(self) -> None:
        """A request or result of a newer version is refused as such."""
        import json

        from core.protocol import result
        from dreamzoom.request.validation import decode_request

        raw = json.loads((self.whole / "request.json").read_bytes()) | {"version": 7, "warp": True}
        for read in (lambda: decode_request(json.dumps(raw).encode()), lambda: result.checked({"version": 99})):
            try:
                read()
                self.faults.append("a newer version is taken")
            except DreamzoomError as error:
                if "newer Dreamzoom" not in str(error):
                    self.faults.append(f"a newer version: {error}")

    def _refused(self, when: str, work: Callable[[], object], root: Path, *, word: str = "", must: bool = True) -> None:
        """The work must end with one line that names the folder and what to do."""
        try:
            work()
        except Exception as error:
            message, remedy = explained(error)
            line = f"{message} ({remedy})"
            if "\n" in line or not remedy or word not in line or str(root) not in line:
                self.faults.append(f"{when}: {line}")
        else:
            if must:
                self.faults.append(f"{when}: no error")

    def _resumed(self, when: str, root: Path) -> None:
        """The job goes on to the same bytes."""
        generate(self.request, Folder(root))
        faults = jobs.damage(root)
        if jobs.contents(root) != self.expected:
            faults.append("other bytes")
        self.faults += [f"{when}: resumed: {fault}" for fault in faults]

    def _continued_elsewhere(self, root: Path, when: str) -> None:
        """What could be written goes on on another disk."""
        if not root.exists():
            return
        self._resumed(when, jobs.copied(root, self.folder / "elsewhere"))
        shutil.rmtree(self.folder / "elsewhere")


class _Moving(Sink):
    """Moves a job's folder when its run has told of progress so many times, and may remove it."""

    def __init__(self, root: Path, target: Path, remove: bool, after: int):
        self._root, self._target, self._remove, self._left = root, target, remove, after

    def progress(self, progress) -> None:
        self._left -= 1
        if not self._left:
            self._root.rename(self._target)
            if self._remove:
                shutil.rmtree(self._target)


@contextlib.contextmanager
def _impatient(knows: bool) -> Iterator[None]:
    """Jobs do not wait for space; where they do not know how much there is, the system's refusal is the first sign."""
    before = disk_space.PATIENCE, disk_space.free_bytes
    disk_space.PATIENCE = 0.1
    if not knows:
        disk_space.free_bytes = lambda path: None
    try:
        yield
    finally:
        disk_space.PATIENCE, disk_space.free_bytes = before


@contextlib.contextmanager
def _disk(place: Path, options: str) -> Iterator[Path | None]:
    """A disk in memory; None where this user may not mount one."""
    place.mkdir(exist_ok=True)
    mount = shutil.which("mount")
    command = [mount or "mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
    if mount is None or subprocess.run(command, capture_output=True, check=False).returncode:
        yield None
        return
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=False)
