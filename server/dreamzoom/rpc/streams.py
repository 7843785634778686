"""The server's output: messages from any thread, sent by a thread of its own, so that no other one waits for a client
that does not read.
"""

from __future__ import annotations

import collections
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from core.protocol import messages
from core.protocol.framing import encode

MOST_NOTIFICATIONS = 4 << 20
"""Bytes of notifications that may wait. Further ones are dropped: a client that reads again sees the latest progress
and every answer, but not every log line.
"""
MOST_ANSWERS = 16 << 20
"""Bytes that may wait in all. Further answers are dropped: this client sends requests and never reads."""


class Writer:
    """Writes messages to a descriptor. Methods may be called from any thread and never wait.

    Args:
        descriptor: Of a pipe or file.
        on_broken: Called in the writing thread if the client no longer accepts output.
    """

    def __init__(self, descriptor: int, on_broken: Callable[[], None] = lambda: None):
        self._descriptor, self._on_broken = descriptor, on_broken
        self._waiting: collections.deque[_Message] = collections.deque()
        self._progress: dict[Any, _Message] = {}
        self._bytes, self._is_writing, self._dropped = 0, False, 0
        self._changed = threading.Condition()
        threading.Thread(target=self._run, name="dreamzoom-output", daemon=True).start()

    def result(self, identity: Any, value: Any, attachment: bytes = b"") -> None:
        """Answer a request."""
        self._put(_Message(encode({"id": identity, "result": value}, attachment)), MOST_ANSWERS)

    def error(self, identity: Any, code: int, message: str, data: dict[str, Any] | None = None) -> None:
        """Answer a request with an error; `identity` is None if it is unknown."""
        error = {"code": code, "message": message} | ({"data": data} if data else {})
        self._put(_Message(encode({"id": identity, "error": error})), MOST_ANSWERS)

    def notify(self, method: str, params: dict[str, Any]) -> None:
        """Send a notification. Progress replaces progress of the same request that still waits."""
        message = _Message(encode({"method": method, "params": params}))
        if method == messages.PROGRESS:
            message.progress_of = params.get("id")
        self._put(message, MOST_NOTIFICATIONS)

    def flush(self, seconds: float) -> bool:
        """Wait until everything has been written, up to `seconds`; whether it has."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting and not self._is_writing, seconds)

    def _put(self, message: _Message, limit: int) -> None:
        with self._changed:
            older = None if message.progress_of is None else self._progress.get(message.progress_of)
            if older is not None:
                self._bytes += len(message.data) - len(older.data)
                older.data = message.data
                return
            if self._bytes + len(message.data) > limit:
                self._dropped += 1
                return
            if message.progress_of is not None:
                self._progress[message.progress_of] = message
            self._bytes += len(message.data)
            self._waiting.append(message)
            self._changed.notify_all()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._waiting))
                message = self._waiting.popleft()
                self._progress.pop(message.progress_of, None)
                self._is_writing = True
                dropped, self._dropped = self._dropped, 0
            if dropped:
                sys.stderr.write(f"{dropped} messages were dropped, because the client did not read\n")
            data = memoryview(message.data)
            try:
                while data:
                    data = data[os.write(self._descriptor, data) :]
            except OSError:
                self._on_broken()
                time.sleep(0.1)  # whatever else is sent is lost, but not in a busy loop
            with self._changed:
                self._bytes -= len(message.data)
                self._is_writing = False
                self._changed.notify_all()


class _Message:
    """A message that waits: its frame, and whose progress it is, if it is progress."""

    def __init__(self, data: bytes):
        self.data, self.progress_of = data, None
