"""The server's process and its messages, without Blender; no call here waits for the server.

The messages are those of `core.protocol`, over the process's standard input and output. Four threads do all waiting:
one reads messages into a queue, one writes, one copies standard error into a log file of limited size, and one sends
pings, by whose answers a hung server is noticed.
"""

from __future__ import annotations

import collections
import contextlib
import itertools
import os
import queue
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from ..core.protocol import messages
from ..core.protocol.framing import FrameError, Reader, encode
from ..core.safety import limits
from .process_group import ProcessGroup
from .server_messages import parse

MAX_LOG = 1 << 20
LAST_LINES = 20
LONGEST_LINE = 1 << 16
"""Bytes of standard error that are taken for one line."""

MOST_WAITING = 2000
"""Messages that may wait to be taken; further notifications are dropped."""

PING = "ping"
"""The id of pings. One at a time is under way."""
PING_SECONDS = 2.0
"""Seconds between two pings."""
START_SECONDS = 60.0
"""Seconds that a server may take for its first message: its first start reads much from disk."""


@dataclass(frozen=True)
class Ended:
    """The last message of every server: its process has ended.

    Attributes:
        code: Exit code, negative for a signal; None where it could not be started.
        reason: What happened, in one line.
        lines: The last lines of its standard error.
        is_wanted: Whether the add-on or the artist ended it.
    """

    code: int | None
    reason: str
    lines: tuple[str, ...] = ()
    is_wanted: bool = False


class Client:
    """One server process.

    Args:
        command: Program and arguments.
        environment: All environment variables of the process.
        log: File that receives its standard error, of a megabyte at the most.

    Attributes:
        is_working: Whether the server worked on a request when it last answered a ping, also on one that was cancelled.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: Path):
        self.log = Path(log)
        self._messages: queue.SimpleQueue[dict[str, Any] | Ended] = queue.SimpleQueue()
        self._outgoing: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._last_lines: collections.deque[str] = collections.deque(maxlen=LAST_LINES)
        self._ids = itertools.count(1)
        self._questions: dict[Any, queue.SimpleQueue[dict[str, Any] | Ended | None]] = {}
        self._ended: Ended | None = None
        self._lock = threading.Lock()
        self._silence, self._pinged = -START_SECONDS, False
        self.is_working = False
        self._group: ProcessGroup | None = None
        self._closed = threading.Event()
        try:
            self._group = ProcessGroup(command, {**environment, messages.CLIENT_VARIABLE: str(os.getpid())})
        except (OSError, ValueError) as error:
            program = command[0] if command else "an empty command"
            reason = error.strerror if isinstance(error, OSError) else None
            self._end_with(Ended(None, f"{program} can't be started: {reason or error}"))
            return
        process = self._group.process
        self._log_thread = self._thread(self._keep_log, process.stderr)
        self._thread(self._read, process.stdout)
        self._thread(self._write, process.stdin)
        self._thread(self._ping)

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def silence(self) -> float:
        """Seconds for which the server has left a ping unanswered and sent nothing else; 0 for one that is well.

        Time during which this process itself did not run does not count.
        """
        return max(0.0, self._silence)

    @property
    def _process(self) -> subprocess.Popen[bytes] | None:
        return self._group.process if self._group else None

    @property
    def pid(self) -> int | None:
        """The process's id, None where it could not be started."""
        return self._process.pid if self._process else None

    def request(self, method: str, params: Mapping[str, Any]) -> int:
        """Send a request and return its id, which its answer among the messages carries too."""
        identity = next(self._ids)
        self._outgoing.put(encode({"id": identity, "method": method, "params": params}))
        return identity

    def ask(
        self,
        method: str,
        params: Mapping[str, Any],
        answers: queue.SimpleQueue[dict[str, Any] | Ended | None],
        attachment: bytes = b"",
    ) -> int:
        """Send a request from any thread; its answer, or the server's end, is put into `answers`.

        It does not pass through `messages`, and so does not wait for the main thread.

        Args:
            method, params: Of the request.
            answers: Receives the answer; what came with it is its "attachment".
            attachment: Bytes that are sent with the request, at most `limits.CHUNK_BYTES`.
        """
        identity = next(self._ids)
        with self._lock:
            if self._ended is not None:
                answers.put(self._ended)
                return identity
            self._questions[identity] = answers
        self._outgoing.put(encode({"id": identity, "method": method, "params": params}, attachment))
        return identity

    def messages(self) -> list[dict[str, Any] | Ended]:
        """The messages since the last call, in order; never waits."""
        found = []
        with contextlib.suppress(queue.Empty):
            while True:
                found.append(self._messages.get_nowait())
        return found

    def wait_for_message(self, seconds: float) -> bool:
        """Wait up to `seconds` for a message; whether there is one. For scripts without a window only."""
        try:
            message = self._messages.get(timeout=seconds)
        except queue.Empty:
            return False
        rest = self.messages()
        for item in (message, *rest):
            self._messages.put(item)
        return True

    def close(self, patience: float = 1.5) -> None:
        """End the server: close its input, upon which it ends within a second, and kill it if it does not.

        Args:
            patience: Seconds to wait for it; with 0 a thread does the waiting.
        """
        self._closed.set()
        self._outgoing.put(None)
        if self._group is None:
            return
        if patience:
            self._end(patience)
        else:
            threading.Thread(target=self._end, args=(1.5,), name="dreamzoom-end").start()

    def kill(self) -> None:
        """End the server and what it has started at once, even if it is hung."""
        self._closed.set()
        self._outgoing.put(None)
        if self._group is not None:
            self._group.kill()

    def _end(self, patience: float) -> None:
        assert self._group is not None
        try:
            self._group.process.wait(patience)
        except subprocess.TimeoutExpired:
            self._group.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):  # a process in the kernel ends when that lets it
                self._group.process.wait(5)

    def _thread(self, work, *arguments) -> threading.Thread:
        thread = threading.Thread(target=work, args=arguments, name=f"dreamzoom{work.__name__}", daemon=True)
        thread.start()
        return thread

    def _write(self, stream: BinaryIO) -> None:
        with contextlib.suppress(OSError), stream:  # a server that died is reported by the reader
            while (frame := self._outgoing.get()) is not None:
                stream.write(frame)
                stream.flush()

    def _read(self, stream: BinaryIO) -> None:
        reader, reason = Reader(stream.fileno(), limits.ANSWER_BYTES), ""
        try:
            while (body := reader.read()) is not None:
                self._take(parse(body))
        except (FrameError, ValueError, OSError) as error:
            reason = f"the server sent something that can't be read: {error}"
            self._group.kill()
        code = self._process.wait()
        self._closed.set()
        self._log_thread.join(1.0)
        cut_off = " in the middle of a message" if reader.is_cut_off else ""
        self._end_with(Ended(code, reason or _reason(code) + cut_off, tuple(self._last_lines)))

    def _end_with(self, ended: Ended) -> None:
        """Tell everybody who waits for the server that it has ended."""
        with self._lock:
            self._ended, waiting, self._questions = ended, set(self._questions.values()), {}
        for answers in waiting:
            answers.put(ended)
        self._messages.put(ended)

    def _take(self, message: dict[str, Any]) -> None:
        """Queue a message, but for answers to pings, and notifications where too many wait already."""
        self._silence = 0.0
        is_answer = "method" not in message
        answers = self._questions.pop(message.get("id"), None) if is_answer else None
        if answers is not None:
            answers.put(message)
        elif is_answer and message.get("id") == PING:
            self._pinged = False
            self.is_working = (message.get("result") or {}).get("working") is True
        elif is_answer or self._messages.qsize() < MOST_WAITING:
            self._messages.put(message)

    def _ping(self) -> None:
        """Send a ping every two seconds, and count the time in which a ping is not answered."""
        interval, before, waited = PING_SECONDS / 4, time.monotonic(), 0.0
        while not self._closed.wait(interval):
            now = time.monotonic()
            passed, before = min(now - before, 2 * interval), now
            waited += passed
            if self._pinged:
                self._silence += passed
            elif waited >= PING_SECONDS:
                waited, self._pinged = 0.0, True
                self._outgoing.put(encode({"id": PING, "method": messages.PING, "params": {}}))

    def _keep_log(self, stream: BinaryIO) -> None:
        """Copy standard error to the log file; a file that has grown too large starts again from empty."""
        file = _open_log(self.log)
        try:
            while line := stream.readline(LONGEST_LINE):
                self._last_lines.append(line.decode("utf-8", "replace").rstrip())
                if file and file.tell() > MAX_LOG:
                    file.seek(0)
                    file.truncate()
                    file.write(b"(older lines were dropped)\n")
                if file:
                    file.write(line)
                    file.flush()
        except (OSError, ValueError):
            pass  # the disk is full or the stream was closed: the server keeps running without a log
        finally:
            if file:
                file.close()


def _open_log(path: Path) -> BinaryIO | None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("wb")
    except OSError:
        return None


def _reason(code: int) -> str:
    if code < 0:
        return f"the server was stopped by signal {-code}"
    return f"the server ended with code {code}" if code else "the server ended"
