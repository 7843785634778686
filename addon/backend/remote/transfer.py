"""How the files of one job travel: a thread looks whether the server sees the job folder, and where it does not, sends
what the request names and fetches what is finished while the job runs.
"""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import Any

from ...core.errors import DreamzoomError, explained
from ...core.protocol import messages
from ...core.transfer import packing
from ...core.transfer.packing import unpack
from ..client import Client
from . import fetching, sending
from .inputs import portable
from .link import Link, ServerRefused, Stopped
from .mirror import LIVE, Mirror, checked

LOOKING, SHARED, SENDING, SENT, WHOLE, FAILED = "looking", "shared", "sending", "sent", "whole", "failed"

GO_ON = "Go On", "dreamzoom.go_on"
AGAIN = 3
"""How often files are listed again that change while they are fetched."""


class Transfer:
    """The files of one job. The methods are called on the main thread, and return at once.

    Args:
        client: The server.
        folder: The job folder on this machine, which exists.
        request: What is to be dreamed; None where the server goes on with what it has, or checks it.

    Attributes:
        phase: LOOKING (whether the server sees the folder), then SHARED (it does: nothing travels) or SENDING (files
            of the request), SENT (the job may run; what it finishes is fetched), WHOLE (all is here); or FAILED.
        error: Why it failed.
        request: The request as the server understands it; None as above.
        job: The job's name for the server.
        sent, to_send, fetched, to_fetch: Bytes.
        picture: Path of the latest picture that has arrived.
    """

    def __init__(self, client: Client, folder: Path, request: dict[str, Any] | None):
        self.phase, self.error = LOOKING, None
        self.request, self.job, self.picture = None, "", ""
        self.sent = self.to_send = self.fetched = self.to_fetch = 0
        self._folder, self._given = folder, request
        self._link, self._stop, self._wake = Link(client), threading.Event(), threading.Event()
        self._lock = threading.Lock()
        self._announced: set[int] = set()
        self._arrived: set[int] = set()
        self._has_begun = self._is_live = self._is_last = self._is_thorough = False
        self._mirror: Mirror | None = None
        self._packing = packing.PLAIN
        threading.Thread(target=self._run, name="dreamzoom-transfer", daemon=True).start()

    @property
    def is_remote(self) -> bool:
        """Whether files travel."""
        return self.phase in (SENDING, SENT, WHOLE)

    def note_begun(self) -> None:
        """The job has begun there: fetch its request, by which it can go on later, and what was finished before."""
        self._has_begun = True
        self._wake.set()

    def announce(self, level: int) -> None:
        """A level is finished there: fetch it."""
        with self._lock:
            self._announced.add(level)
        self._wake.set()

    def announce_picture(self) -> None:
        """There is a picture of unfinished work."""
        self._is_live = True
        self._wake.set()

    def finish(self, *, thorough: bool = False) -> None:
        """The job is finished there: fetch all that is not here, then become WHOLE.

        Args:
            thorough: Whether to read every file that is here, and fetch those that are damaged.
        """
        self._is_thorough, self._is_last = thorough, True
        self._wake.set()

    def arrived(self) -> set[int]:
        """The levels that have arrived since the last call."""
        with self._lock:
            found, self._arrived = self._arrived, set()
        return found

    def close(self) -> None:
        """End the transfer; what has arrived is kept."""
        self._stop.set()
        self._wake.set()
        self._link.stop()

    def _run(self) -> None:
        try:
            self._work()
        except Stopped:
            pass
        except DreamzoomError as error:
            self._fail(error)
        except Exception as error:
            message, remedy = explained(error)
            self._fail(DreamzoomError(f"The files of the job can't be sent or fetched: {message}", remedy))

    def _fail(self, error: DreamzoomError) -> None:
        self.error = error
        self.phase = FAILED

    def _work(self) -> None:
        who = self._link.ask(messages.INITIALIZE, {})
        self._packing = packing.common(who.get("packings") or ())
        self._mirror = Mirror(self._folder)
        self.job = self._mirror.job
        if self._is_seen(self._mirror):
            self.phase = SHARED
            return
        self._send(self._mirror)
        self.phase = SENT
        while self.phase != WHOLE:
            self._wake.wait()
            self._wake.clear()
            if self._stop.is_set():
                return
            self._fetch(self._mirror)

    def _is_seen(self, mirror: Mirror) -> bool:
        """Whether the server finds a file that was just written into the job folder, under the same path."""
        name, nonce = mirror.write_nonce()
        try:
            answer = self._link.ask(messages.FILES_SEEN, {"folder": str(mirror.root), "name": name, "nonce": nonce})
        except ServerRefused:
            return True  # an older server, which can only work in a folder that it sees
        finally:
            mirror.remove(name)
        return answer.get("seen") is True

    def _send(self, mirror: Mirror) -> None:
        self.phase = SENDING
        files = []
        if self._given is not None:
            self.request, files = portable(self._given, self._stop)
        if self._stop.is_set():
            raise Stopped
        listed = [{"sha256": one.sha256, "bytes": one.bytes, "name": one.name} for one in files]
        mirror.save()  # its name is known before the server is told of it
        answer = self._link.ask(messages.FILES_OPEN, {"job": mirror.job, "source": mirror.source, "files": listed})
        if self._given is None and answer.get("has_job") is not True:
            raise DreamzoomError("The other machine does not have this job", "Press Generate: it is sent there again")
        there = _sizes(answer.get("missing"))
        missing = [one for one in files if one.sha256 in there]
        self.to_send = sum(max(one.bytes - there[one.sha256], 0) for one in missing)
        sending.send(self._link, mirror.job, missing, there, self._packing, self._count_sent)

    def _fetch(self, mirror: Mirror) -> None:
        """Fetch what is finished; at the end, all."""
        if self._is_live:
            self._is_live = False
            self._fetch_live(mirror)
        with self._lock:
            levels, is_last = set(self._announced), self._is_last
            has_begun, self._has_begun = self._has_begun, False
        if not (levels or is_last or has_begun):
            return
        is_whole = any(self._fetch_listed(mirror, levels) for _ in range(AGAIN))
        if is_last and not is_whole:
            raise DreamzoomError("Files of the result arrive damaged, or change all the time", *GO_ON)
        if is_last:
            mirror.remove(LIVE)
            mirror.forget_partials()
            self.phase = WHOLE

    def _fetch_listed(self, mirror: Mirror, levels: set[int]) -> bool:
        """List the job's files and fetch those that are not here; whether all are. Levels that are, leave `levels`."""
        offered = checked(self._link.ask(messages.FILES_LIST, {"job": mirror.job}))
        mirror.begin(offered)
        missing = mirror.missing(offered, thorough=self._is_thorough)
        mirror.check_room(missing)
        self.to_fetch = self.fetched + sum(one.bytes for one in missing)
        waiting = {one.name for one in missing}

        def settle() -> None:
            whole = {level for level in levels if not waiting & _shown(level)}
            levels.difference_update(whole)
            with self._lock:
                self._announced -= whole
                self._arrived |= whole

        def arrived(name: str) -> None:
            waiting.discard(name)
            if name.endswith(".png"):
                self.picture = str(mirror.root / name)
            settle()

        settle()
        try:
            return fetching.fetch(self._link, mirror, missing, self._packing, self._count_fetched, arrived)
        finally:
            mirror.save()

    def _fetch_live(self, mirror: Mirror) -> None:
        with contextlib.suppress(ServerRefused, ValueError, OSError):  # gone by now; the next one comes soon
            answer = self._link.ask(messages.FILES_LIVE, {"job": mirror.job})
            mirror.write_live(unpack(answer["attachment"], answer.get("chunk") or {}))
            self.picture = str(mirror.root / LIVE)

    def _count_sent(self, count: int) -> None:
        self.sent += count

    def _count_fetched(self, count: int) -> None:
        self.fetched += count


def _shown(level: int) -> set[str]:
    """The files of a level that have to be here before it can be shown."""
    return {f"levels/{level:03d}/{name}" for name in ("splats.ply", "cloud.ply", "preview.png")}


def _sizes(missing: object) -> dict[str, int]:
    """How many bytes of each file the server has, as it tells."""
    pairs = missing.items() if isinstance(missing, dict) else ()
    return {str(name): int(size) for name, size in pairs if isinstance(size, int) and size >= 0}
