"""The job folder on this machine, where the server's files are put as they arrive, and what it knows of them."""

from __future__ import annotations

import contextlib
import json
import re
import secrets
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...core.atomic_files import beside
from ...core.disk import free_bytes, size_text
from ...core.errors import DreamzoomError, RefusedFile
from ...core.protocol import result, versions
from ...core.safety import limits
from ...core.safety.bounded_json import decode_json
from ...core.safety.contained import ContainedFolder
from ...core.safety.seal import check_seal, sealed, sha256_of, stamp
from ...core.transfer.partial import PartialFile

STATE = ".remote.json"
"""Which job of the server's machine is shown here, and which files are known to be its files."""

RECEIVING = ".receiving-"
LIVE = "live.png"

_EXPECTED = re.compile(r"(request|result|plan)\.json|levels/\d{3}/[a-z][a-z0-9_]{0,40}\.(png|npz|ply|json)")
_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9_-]{{0,{limits.JOB_NAME_CHARACTERS - 1}}}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MOST = {".json": limits.RESULT_BYTES, ".png": limits.PICTURE_BYTES}
_FIRST, _LAST = versions.REQUEST, result.NAME
_EARLY = ("preview.png", "splats.ply", "cloud.ply")
"""What is fetched first of each level."""


@dataclass(frozen=True)
class Offered:
    """A file that the server offers.

    Attributes:
        name: Relative to the job folder.
        bytes: Its size.
        sha256: Of its content, in hex.
    """

    name: str
    bytes: int
    sha256: str


def checked(answer: dict[str, Any]) -> list[Offered]:
    """The files that a server lists: only such as a job's result has, of sizes that can be.

    Raises:
        DreamzoomError: There is anything else among them.
    """
    listed = answer.get("files")
    if not isinstance(listed, list) or len(listed) > limits.TRANSFER_FILES:
        raise DreamzoomError("The server lists no files that can be fetched", "Update Dreamzoom there and here")
    found = [_checked_one(one) for one in listed]
    if len({one.name for one in found}) != len(found):
        raise DreamzoomError("The server lists a file twice", "Update Dreamzoom there and here")
    return found


def _checked_one(one: object) -> Offered:
    if isinstance(one, list) and len(one) == 3:
        name, size, sha256 = one
        is_named = isinstance(name, str) and _EXPECTED.fullmatch(name)
        if is_named and isinstance(sha256, str) and _SHA256.fullmatch(sha256):
            most = _MOST.get(Path(name).suffix, limits.SPLAT_FILE_BYTES)
            if isinstance(size, int) and not isinstance(size, bool) and 0 <= size <= most:
                return Offered(name, size, sha256)
    raise DreamzoomError(f"The server offers a file that no job has: {one!r:.100}", "Update Dreamzoom there and here")


def share(source: Path, target: Path) -> None:
    """Let a copy of a job folder know from which job its own one is to take finished steps on the server's machine.

    Nothing, where the first folder's job does not run on another machine. Raises NotWritten.
    """
    first = Mirror(source)
    if first.is_known:
        copy = Mirror(target)
        copy.source, copy._known = first.job, dict(first._known)
        copy.save()


class Mirror:
    """The folder. It belongs to one thread.

    Args:
        folder: The job folder, which exists.

    Attributes:
        job: The name that the job has for the server.
        source: The name of the job that this one is a copy of; empty for none.
        is_known: Whether the server has been told of the job.
    """

    def __init__(self, folder: Path):
        self._files = ContainedFolder(folder)
        state = self._read_state()
        self.job: str = state.get("job") or _new_name(folder.name)
        self.source: str = state.get("source") or ""
        self.is_known = bool(state)
        self._known: dict[str, list[Any]] = state.get("files") or {}

    @property
    def root(self) -> Path:
        """The folder."""
        return self._files.root

    def write_nonce(self) -> tuple[str, str]:
        """Write a file of random name and content, for the server to look for; both. Raises NotWritten."""
        name, nonce = f".here-{secrets.token_hex(8)}", secrets.token_hex(16)
        with beside(self._files.path(name)) as temporary:
            temporary.write_text(nonce, encoding="ascii")
        return name, nonce

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        with contextlib.suppress(OSError, RefusedFile):
            self._files.remove(name)

    def begin(self, offered: Sequence[Offered]) -> None:
        """Before anything is fetched: keep the result of another request as a version, and then show none.

        Raises:
            NotWritten: The disk is full or the like; nothing was changed.
        """
        request = next((one for one in offered if one.name == _FIRST), None)
        if request is not None and self._files.exists(_LAST) and not self._has(request, thorough=False):
            versions.keep_result(self._files)
            self._files.remove(_LAST)

    def missing(self, offered: Sequence[Offered], *, thorough: bool = False) -> list[Offered]:
        """The files that are not here as they are there, in the order in which they are to be fetched.

        Args:
            offered: What the server offers.
            thorough: Whether to read each file that is here, also one whose size and time are known.
        """
        found = [one for one in offered if not self._has(one, thorough=thorough)]
        return sorted(found, key=lambda one: (one.name != _FIRST, one.name == _LAST, _place(one.name)))

    def check_room(self, files: Sequence[Offered]) -> None:
        """Raise DreamzoomError if the disk has no room for these files."""
        needed = sum(one.bytes for one in files)
        free = free_bytes(self.root)
        if free is not None and free < needed:
            told = f"{size_text(needed)} are to come, and {size_text(free)} are free"
            raise DreamzoomError(f"There is no room for the result in {self.root}: {told}", "Free some space there")

    def partial(self, one: Offered) -> PartialFile:
        """What has arrived of a file. Files of the same content have one each."""
        name = f"{RECEIVING}{one.sha256}-{zlib.crc32(one.name.encode()):08x}"
        return PartialFile(self._files.path(name), one.sha256, one.bytes)

    def put(self, one: Offered, partial: PartialFile) -> None:
        """Put a file that has arrived in its place. Raises RefusedFile if it is damaged, NotWritten."""
        partial.finish(self._files.make_parents(one.name))
        self._known[one.name] = [one.sha256, *stamp(self._files.stat(one.name))]

    def write_live(self, picture: bytes) -> None:
        """Write the picture of unfinished work."""
        with beside(self._files.path(LIVE)) as temporary:
            temporary.write_bytes(picture)

    def save(self) -> None:
        """Write down the job's name and what is known of its files. Raises NotWritten."""
        state = {"job": self.job, "source": self.source, "files": self._known}
        with beside(self._files.path(STATE)) as temporary:
            temporary.write_text(json.dumps(sealed(state)), encoding="utf-8")

    def forget_partials(self) -> None:
        """Remove what was begun to be fetched."""
        for name, _ in list(self._files.names()):
            if name.startswith(RECEIVING):
                self.remove(name)

    def _has(self, one: Offered, *, thorough: bool) -> bool:
        try:
            here = stamp(self._files.stat(one.name))
            if here[0] != one.bytes:
                return False
            if not thorough and self._known.get(one.name) == [one.sha256, *here]:
                return True
            with self._files.open(one.name) as file:
                digest = sha256_of(file)
        except FileNotFoundError:
            return False
        self._known[one.name] = [digest, *here]
        return digest == one.sha256

    def _read_state(self) -> dict[str, Any]:
        try:
            found = decode_json(self._files.read(STATE, limits.RECORD_BYTES), STATE, limits.RECORD_BYTES)
            check_seal(found, STATE)
            names = found["job"], found.get("source") or "none"
            good = all(map(_NAME.fullmatch, names)) and isinstance(found["files"], dict)
        except (OSError, RefusedFile, KeyError, TypeError, AttributeError):
            return {}
        return found if good else {}


def _place(name: str) -> tuple[str, int]:
    """Levels in their order, and of each what is shown first."""
    folder, _, file = name.rpartition("/")
    return folder, _EARLY.index(file) if file in _EARLY else len(_EARLY)


def _new_name(name: str) -> str:
    """A name for a job that no other has, and that tells which it is."""
    plain = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")[:40] or "job"
    return f"{plain}-{secrets.token_hex(6)}"
