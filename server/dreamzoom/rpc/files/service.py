"""Requests about files, answered in their order by a thread of their own: a slow disk keeps nothing else waiting."""

from __future__ import annotations

import contextlib
import queue
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from core.errors import BadRequest, DreamzoomError
from core.protocol import error_codes, messages
from core.safety import limits
from core.safety.bounded_json import decode_json
from dreamzoom.rpc.requests import Call, Text, parameters
from dreamzoom.rpc.streams import Writer

if TYPE_CHECKING:
    from core.transfer.packing import Packed, Packer
    from core.transfer.partial import PartialFile
    from dreamzoom.rpc.files.home import Home
    from dreamzoom.rpc.files.offers import Offers

MOST_WAITING = 256
"""Requests that may wait; further ones are refused."""

Answer = tuple[dict[str, Any], bytes]


class _Params(msgspec.Struct, forbid_unknown_fields=True):
    job: Text = msgspec.UNSET
    source: Text = msgspec.UNSET
    files: Text = msgspec.UNSET
    folder: Text = msgspec.UNSET
    name: Text = msgspec.UNSET
    nonce: Text = msgspec.UNSET
    sha256: Text = msgspec.UNSET
    bytes: Text = msgspec.UNSET
    offset: Text = msgspec.UNSET
    packing: Text = msgspec.UNSET
    chunk: Text = msgspec.UNSET


class Service:
    """Answers requests about files.

    Args:
        writer: Receives the answers.
        home: Where jobs are kept; called when the first request needs it.
        refused: Converts an exception to code, message and data of an answer.
        leave: Called when another process works for this one's client now.
    """

    def __init__(self, writer: Writer, home: Callable[[], Home], refused: Callable, leave: Callable[[], None]):
        self._writer, self._make_home, self._refused, self._leave = writer, home, refused, leave
        self._calls: queue.Queue[Call] = queue.Queue(MOST_WAITING)
        self._thread: threading.Thread | None = None
        self._work = {
            messages.FILES_SEEN: self._seen,
            messages.FILES_OPEN: self._open,
            messages.FILES_PUT: self._put,
            messages.FILES_LIST: self._list,
            messages.FILES_GET: self._get,
            messages.FILES_LIVE: self._live,
        }
        self._arriving: dict[str, tuple[PartialFile, str]] = {}
        self._offers: dict[str, Offers] = {}
        self._sending: _Sending | None = None

    def knows(self, method: str) -> bool:
        """Whether this is a request about files."""
        return method in self._work

    def take(self, call: Call) -> None:
        """Queue a request; it is answered later."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="dreamzoom-files", daemon=True)
            self._thread.start()
        try:
            self._calls.put_nowait(call)
        except queue.Full:
            self._writer.error(call.identity, error_codes.BUSY, f"more than {MOST_WAITING} requests about files wait")

    def _run(self) -> None:
        looked = time.monotonic()
        while True:
            with contextlib.suppress(queue.Empty):
                self._answer(self._calls.get(timeout=1.0))
            if time.monotonic() - looked > 1.0:
                looked = time.monotonic()
                self._leave_if_taken_over()

    def _leave_if_taken_over(self) -> None:
        job = self._make_home().taken_over()
        if job:
            sys.stderr.write(f"another connection works on the job {job} now, so this server ends\n")
            self._leave()

    def _answer(self, call: Call) -> None:
        try:
            result, attachment = self._work[call.method](call)
        except Exception as error:  # any error is sent as the answer; the thread keeps running
            if not call.is_notification:
                self._writer.error(call.identity, *self._refused(error))
            return
        if not call.is_notification:
            self._writer.result(call.identity, result, attachment)

    def _seen(self, call: Call) -> Answer:
        """Whether a file is where the client says, and holds what it says."""
        from core.safety.contained import ContainedFolder

        params = parameters(call, _Params)
        folder, name, nonce = _text(params, "folder"), _text(params, "name"), _text(params, "nonce")
        seen = False
        with contextlib.suppress(OSError, ValueError):
            seen = len(nonce) >= 16 and ContainedFolder(Path(folder)).read(name, 1000) == nonce.encode()
        return {"seen": seen}, b""

    def _open(self, call: Call) -> Answer:
        """Work for a job from now on; which of its files have to be sent."""
        from dreamzoom.rpc.files.home import check_sent

        params, home = parameters(call, _Params), self._make_home()
        listed = _value(params.files, limits.TRANSFER_PARAMETER_BYTES) or []
        if not isinstance(listed, list) or len(listed) > limits.TRANSFER_FILES:
            raise BadRequest("files", f"must be a list of at most {limits.TRANSFER_FILES:,} files")
        files = [check_sent(*_three(one, ("sha256", "bytes", "name"))) for one in listed]
        job, source = _text(params, "job"), _text(params, "source")
        folder = home.serve(job)
        if source:
            home.share(source, job)
        home.forget_old()
        self._end_arrivals()
        missing = {sha256: home.there(job, sha256) for sha256, _, name in files if not home.has(folder, sha256, name)}
        home.forget_others(job, missing)
        return {"folder": str(folder.root), "has_job": folder.is_job(), "missing": missing}, b""

    def _put(self, call: Call) -> Answer:
        """Take a chunk of a file that is sent."""
        from core.transfer.packing import unpack
        from dreamzoom.rpc.files.home import check_sent

        params, home = parameters(call, _Params), self._make_home()
        sha256, size, name = check_sent(*map(_value, (params.sha256, params.bytes, params.name)))
        fields, offset, job = _value(params.chunk), _value(params.offset), _text(params, "job")
        if not isinstance(fields, dict) or not isinstance(offset, int):
            raise BadRequest("chunk", "must be an object, and offset a whole number")
        if sha256 not in self._arriving or self._arriving[sha256][1] != job:
            self._end_arrivals()
            if offset != home.there(job, sha256):
                raise BadRequest("offset", "must be how many bytes are there")
            self._arriving[sha256] = home.receiving(job, sha256, size), job
        partial = self._arriving[sha256][0]
        try:
            partial.add(offset, unpack(call.attachment, fields))
            if partial.is_whole:
                del self._arriving[sha256]
                home.keep(partial, name)
        except Exception:
            self._end_arrivals()
            partial.close()
            raise
        return {"at": partial.at}, b""

    def _list(self, call: Call) -> Answer:
        """What can be fetched."""
        offers = self._offers_of(_text(parameters(call, _Params), "job")).list()
        return {"files": [[one.name, one.bytes, one.sha256] for one in offers]}, b""

    def _get(self, call: Call) -> Answer:
        """A chunk of a file."""
        params = parameters(call, _Params)
        job, name, sha256 = _text(params, "job"), _text(params, "name"), _text(params, "sha256")
        packing, offset = _text(params, "packing"), _value(params.offset)
        if not isinstance(offset, int) or offset < 0:
            raise BadRequest("offset", "must be a whole number of bytes")
        key = (job, name, sha256, packing)
        if self._sending is None or self._sending.key != key:
            self._end_sending()
            self._sending = _Sending(key, self._offers_of(job))
        packed = self._sending.chunk(offset)
        return {"chunk": packed.fields()}, packed.data

    def _live(self, call: Call) -> Answer:
        """The picture of unfinished work."""
        from core.transfer.packing import PLAIN, Packer
        from dreamzoom.stages.base import layout

        folder = self._make_home().folder(_text(parameters(call, _Params), "job"))
        try:
            picture = folder.read(layout.LIVE_PREVIEW, limits.CHUNK_BYTES)
        except FileNotFoundError:
            raise DreamzoomError("there is no unfinished picture") from None
        packed = Packer(layout.LIVE_PREVIEW, PLAIN).pack(picture)
        return {"chunk": packed.fields()}, packed.data

    def _offers_of(self, job: str) -> Offers:
        from dreamzoom.rpc.files.offers import Offers

        if job not in self._offers:
            self._offers.clear()  # one job is worked on at a time
            self._offers[job] = Offers(self._make_home().folder(job))
        return self._offers[job]

    def _end_arrivals(self) -> None:
        for partial, _ in self._arriving.values():
            partial.close()
        self._arriving.clear()

    def _end_sending(self) -> None:
        if self._sending is not None:
            self._sending.file.close()
            self._sending = None


class _Sending:
    """The file that is being fetched."""

    def __init__(self, key: tuple[str, str, str, str], offers: Offers):
        from core.transfer.packing import Packer

        self.key = key
        _, name, sha256, packing = key
        self.file = offers.open(name, sha256)
        self._packer: Packer = Packer(name, packing, self.file.read(4096))

    def chunk(self, offset: int) -> Packed:
        """The chunk that begins at an offset; empty at the end."""
        from core.transfer.packing import CHUNK

        self.file.seek(offset)
        return self._packer.pack(self.file.read(CHUNK))


def _value(text: Text, most_bytes: int = limits.PARAMETER_BYTES) -> Any:
    """A parameter's value; None where it is missing. Raises RefusedFile for what is too large or no JSON."""
    return None if text is msgspec.UNSET else decode_json(bytes(text), "a parameter", most_bytes)


def _text(params: _Params, name: str) -> str:
    """A parameter that is a text; empty where it is missing. Raises BadRequest for anything else."""
    value = _value(getattr(params, name))
    if value is None:
        return ""
    if not isinstance(value, str) or "\0" in value:
        raise BadRequest(name, "must be a text")
    return value


def _three(one: object, names: tuple[str, str, str]) -> list[Any]:
    if not isinstance(one, dict):
        raise BadRequest("files", "must be a list of objects")
    return [one.get(name) for name in names]
