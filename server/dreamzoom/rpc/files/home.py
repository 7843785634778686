"""The folder of jobs that clients on other machines start here, and of the files that they send.

    <home>/<job>/               a job's folder; the client chooses the name
    <home>/<job>/.serving       the process that works for it: the last one that was asked to
    <home>/<job>/.receiving-…   a file that is being sent
    <home>/.received/<sha256>/  a file that was sent; jobs have it as a hard link, or as a copy

What was sent is found by its content, so an unchanged picture is sent once, whichever job names it.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import stat
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from core.atomic_files import is_temporary
from core.disk import data_home, free_bytes, size_text
from core.errors import BadRequest, DreamzoomError, RefusedFile
from core.protocol.messages import RECEIVED
from core.safety import limits
from core.safety.contained import ContainedFolder, is_contained, plain_name
from core.safety.regular_files import is_link
from core.safety.seal import sha256_of
from core.transfer.partial import PartialFile
from dreamzoom.machine.leftovers import STORE
from dreamzoom.pipeline.folder import Folder, FolderBusy
from dreamzoom.pipeline.input_copies import read_index
from dreamzoom.request.inputs import most_bytes, with_files, with_models
from dreamzoom.request.schema import Request
from dreamzoom.stages.base import layout

SHA256 = re.compile(r"[0-9a-f]{64}")
KEPT_DAYS = 30
"""Days for which a file that was sent is kept after its last use. A job that has it keeps it."""

TAKEOVER = 15.0
"""Seconds that the process which worked for a client before may take to leave."""

RECEIVING = ".receiving-"


def default_home() -> Path:
    """The folder among the user's data."""
    return data_home() / "dreamzoom" / "jobs"


class Home:
    """The folder.

    Args:
        root: Where it is; it is made, for this user alone, when a job needs it.
    """

    def __init__(self, root: Path):
        self.root = Path(root).absolute()
        self._served: dict[str, str] = {}

    def folder(self, job: object) -> Folder:
        """The folder of a job, which need not exist. Raises BadRequest for what can't be the name of one."""
        good = isinstance(job, str) and len(job) <= limits.JOB_NAME_CHARACTERS and is_contained(job)
        if not good or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", str(job)):
            raise BadRequest("job", f"must be a name of up to {limits.JOB_NAME_CHARACTERS} letters, digits, _ and -")
        return Folder(self.root / str(job))

    def serve(self, job: object) -> Folder:
        """The folder of a job, made if need be, for which this process works from now on; another one leaves.

        Raises:
            BadRequest: As `folder`.
            NotWritten: It can't be made.
        """
        folder = self.folder(job)
        if str(job) not in self._served:
            self._make_private()
            folder.create()
            self._served[str(job)] = secrets.token_hex(16)
            folder.write(layout.SERVING, self._served[str(job)].encode())
        return folder

    def taken_over(self) -> str:
        """A job for which another process was asked to work after this one; empty if there is none."""
        for job, token in list(self._served.items()):
            with contextlib.suppress(OSError, RefusedFile):
                if self.folder(job).read(layout.SERVING, 100) != token.encode():
                    return job
        return ""

    def wait_free(self, job: object, cancel: threading.Event) -> None:
        """Wait until the process that worked for the client before has left. Raises FolderBusy if it does not."""
        folder, until = self.folder(job), time.monotonic() + TAKEOVER
        while True:
            try:
                with folder.lock():
                    return
            except FolderBusy:
                if time.monotonic() > until or cancel.wait(0.2):
                    raise

    def share(self, source: object, job: object) -> None:
        """Let a new job have the finished steps of another, as links: of a copied flight only what differs is done.

        Nothing, where the job has begun or there is no such other. Raises BadRequest, NotWritten.
        """
        first, folder = self.folder(source), self.folder(job)
        if folder.is_job() or not first.is_job():
            return
        with contextlib.suppress(FileNotFoundError, FolderBusy), first.lock():
            for top in (layout.INPUTS, layout.LEVELS, layout.RECORDS):
                for name in _files_in(first, top):
                    folder.files.link_from(first.files, name)
            for name in (layout.INPUT_INDEX, layout.PLAN.path(), layout.RESULT.path(), layout.REQUEST):
                if first.exists(name):
                    folder.files.link_from(first.files, name)

    def receiving(self, job: object, sha256: str, size: int) -> PartialFile:
        """A file that is being sent. Raises DreamzoomError: there is no room for it."""
        folder = self.serve(job)
        partial = PartialFile(folder.path(f"{RECEIVING}{sha256}"), sha256, size)
        free = free_bytes(folder.root)
        if free is not None and free < size - partial.at:
            partial.close()
            told = f"{size_text(size - partial.at)} are to come, and {size_text(free)} are free in {self.root}"
            raise DreamzoomError(f"there is no room for the files of the request: {told}", "free some space there")
        return partial

    def there(self, job: object, sha256: str) -> int:
        """How many bytes of a file that is being sent are there."""
        with contextlib.suppress(FileNotFoundError):
            return self.folder(job).size(f"{RECEIVING}{sha256}")
        return 0

    def forget_others(self, job: object, wanted: Iterable[str]) -> None:
        """Remove what was begun to be sent for a job and is not among the `wanted` SHA-256 any more."""
        folder, kept = self.folder(job), {f"{RECEIVING}{sha256}" for sha256 in wanted}
        for name in folder.names(""):
            if name.startswith(RECEIVING) and name not in kept:
                with contextlib.suppress(OSError, RefusedFile):
                    folder.remove(name)

    def keep(self, partial: PartialFile, name: str) -> None:
        """Keep a file that was sent. Raises RefusedFile if it does not have its SHA-256."""
        self._make_private()
        store = ContainedFolder(self.root)
        partial.finish(store.make_parents(f"{STORE}/{partial.sha256}/{plain_name(name)}"))

    def received(self, sha256: str) -> Path | None:
        """A file that was sent, by its content; None if it is not there."""
        store = ContainedFolder(self.root)
        for name, _ in store.names(f"{STORE}/{sha256}"):
            path = store.path(f"{STORE}/{sha256}/{name}")
            os.utime(path.parent)  # not the file's own time, by which a job that has it as a link knows it
            return path
        return None

    def has(self, folder: Folder, sha256: str, name: str) -> bool:
        """Whether a file need not be sent: it was sent before, or the job has it."""
        return self.received(sha256) is not None or _is_whole(folder, layout.input_copy(sha256, name), sha256)

    @contextlib.contextmanager
    def placed(self, job: object, request: Request) -> Iterator[Request]:
        """The request, with the files that were sent among the job's inputs, as the job itself would copy them.

        If the block raises, those that the job did not take over are removed.

        Raises:
            BadRequest: A file was not sent, or the request names one that is none of those.
        """
        folder, placed = self.serve(job), []

        def inside(field: str, name: str) -> str:
            sha256, plain = _sent(field, name)
            copy = layout.input_copy(sha256, plain)
            if not _is_whole(folder, copy, sha256):
                placed.append(copy)
                self._place(folder, field, sha256, copy)
            return copy

        def model(field: str, name: str) -> str:
            return str(self._found(field, *_sent(field, name))) if field.endswith(".file") else name

        try:
            yield with_models(with_files(request, inside), model)
        except BaseException:
            kept = {entry["file"] for entry in read_index(folder).values()}
            for copy in set(placed) - kept:
                with contextlib.suppress(OSError, RefusedFile):
                    folder.remove(copy)
                    folder.remove_empty(copy.rpartition("/")[0])
            folder.remove_empty(layout.INPUTS)
            raise

    def forget_old(self) -> None:
        """Remove files that were sent and not used for KEPT_DAYS."""
        store, oldest = ContainedFolder(self.root), time.time() - KEPT_DAYS * 86400
        with contextlib.suppress(OSError, RefusedFile):
            for digest, state in list(store.names(STORE)):
                if not SHA256.fullmatch(digest) or state.st_mtime > oldest:
                    continue
                for name, _ in list(store.names(f"{STORE}/{digest}")):
                    store.remove(f"{STORE}/{digest}/{name}")
                (self.root / STORE / digest).rmdir()

    def _make_private(self) -> None:
        if not self.root.is_dir():
            Folder(self.root).create()

    def _found(self, field: str, sha256: str, name: str) -> Path:
        path = self.received(sha256)
        if path is None:
            raise BadRequest(field, f"must be sent before the request that names it; {name} was not")
        return path

    def _place(self, folder: Folder, field: str, sha256: str, copy: str) -> None:
        """Give a job a file that was sent."""
        source = self._found(field, sha256, copy.rpartition("/")[2])
        with source.open("rb") as file:
            if sha256_of(file) != sha256:
                source.unlink()
                raise BadRequest(field, f"must be sent again; {source.name} was damaged on the server's disk")

        def write(temporary: Path) -> None:
            try:
                os.link(source, temporary)
            except OSError:
                shutil.copyfile(source, temporary)

        folder.write_with(copy, write)


def check_sent(sha256: object, size: object, name: object) -> tuple[str, int, str]:
    """What a client tells of a file that it sends. Raises BadRequest for what can't be."""
    if not isinstance(sha256, str) or not SHA256.fullmatch(sha256):
        raise BadRequest("sha256", "must be 64 hexadecimal digits")
    most = most_bytes(".splats")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= most:
        raise BadRequest("bytes", f"must be a whole number from 0 to {most:,}")
    if not isinstance(name, str) or not is_contained(name) or "/" in name:
        raise BadRequest("name", "must be a file name without folders")
    return sha256, size, name


def _sent(field: str, name: str) -> tuple[str, str]:
    """SHA-256 and name of a file that a client's request names."""
    parts = name.split("/")
    if len(parts) != 3 or parts[0] != RECEIVED or not SHA256.fullmatch(parts[1]) or not is_contained(parts[2]):
        raise BadRequest(field, f"must be {RECEIVED}/<sha256>/<name>, for a file that was sent; got {name[:80]!r}")
    return parts[1], parts[2]


def _files_in(folder: Folder, top: str) -> Iterator[str]:
    """The names of the regular files in a folder of a job and in the folders of that."""
    for name, state in list(folder.files.names(top)):
        if stat.S_ISREG(state.st_mode) and not is_temporary(name):
            yield f"{top}/{name}"
        elif stat.S_ISDIR(state.st_mode) and not is_link(state):
            yield from _files_in(folder, f"{top}/{name}")


def _is_whole(folder: Folder, name: str, sha256: str) -> bool:
    try:
        return folder.digest(name) == sha256
    except FileNotFoundError:
        return False
