"""The server's process and its messages, without Blender; no call here waits for the server.

The messages are those of `core.protocol`, over the process's standard input and output. Three threads do all waiting:
one reads messages into a queue, one writes, one copies standard error into a log file of limited size.
"""

from __future__ import annotations

import collections
import contextlib
import json
import os
import queue
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from ..core.protocol.framing import FrameError, Reader, encode

MAX_LOG = 1 << 20
LAST_LINES = 20


@dataclass(frozen=True)
class Ended:
    """The last message of every server: its process has ended.

    Attributes:
        code: Exit code, negative for a signal; None where it could not be started.
        reason: What happened, in one line.
        lines: The last lines of its standard error.
    """

    code: int | None
    reason: str
    lines: tuple[str, ...]


class Client:
    """One server process.

    Args:
        command: Program and arguments.
        environment: All environment variables of the process.
        log: File that receives its standard error, of a megabyte at the most.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: Path):
        self.log = Path(log)
        self._messages: queue.SimpleQueue[dict[str, Any] | Ended] = queue.SimpleQueue()
        self._outgoing: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._last_lines: collections.deque[str] = collections.deque(maxlen=LAST_LINES)
        self._next_id = 0
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self._process = _start(command, environment)
        except OSError as error:
            program = command[0] if command else "an empty command"
            self._messages.put(Ended(None, f"{program} can't be started: {error.strerror or error}", ()))
            return
        self._log_thread = self._thread(self._keep_log, self._process.stderr)
        self._thread(self._read, self._process.stdout)
        self._thread(self._write, self._process.stdin)

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """The process's id, None where it could not be started."""
        return self._process.pid if self._process else None

    def request(self, method: str, params: Mapping[str, Any]) -> int:
        """Send a request and return its id, which its answer among the messages carries too."""
        self._next_id += 1
        self._outgoing.put(encode({"id": self._next_id, "method": method, "params": params}))
        return self._next_id

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
        self._outgoing.put(None)
        if self._process is None:
            return
        if patience:
            self._end(patience)
        else:
            threading.Thread(target=self._end, args=(1.5,), name="dreamzoom-end").start()

    def _end(self, patience: float) -> None:
        assert self._process is not None
        try:
            self._process.wait(patience)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(5)

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
        reader, reason = Reader(stream.fileno()), ""
        try:
            while (body := reader.read()) is not None:
                self._messages.put(_parsed(body))
        except (FrameError, ValueError, OSError) as error:
            reason = f"the server sent something that can't be read: {error}"
            self._process.kill()
        code = self._process.wait()
        self._log_thread.join(1.0)
        cut_off = " in the middle of a message" if reader.is_cut_off else ""
        self._messages.put(Ended(code, reason or _reason(code) + cut_off, tuple(self._last_lines)))

    def _keep_log(self, stream: BinaryIO) -> None:
        """Copy standard error to the log file; a file that has grown too large starts again from empty."""
        file = _open_log(self.log)
        try:
            for line in stream:
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


def _parsed(body: bytes) -> dict[str, Any]:
    """A message of the server. Raises ValueError for what is none."""
    message = json.loads(body)
    if not isinstance(message, dict):
        raise ValueError(f"a message that is no object: {body[:60]!r}")
    return message


def _start(command: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start the process in a group of its own, so that Ctrl-C in Blender's terminal does not reach it."""
    options: dict[str, Any] = {"start_new_session": True}
    if os.name == "nt":
        options = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
    options |= {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": False}
    started: Any = subprocess.Popen(list(command), env=dict(environment), **options)
    return started


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
