"""The pool's end of the connection to a worker process: sends orders, and sorts the events by ticket."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

SERVER = Path(__file__).resolve().parents[2]
"""The folder that holds the packages `core` and `dreamzoom`."""


class WorkerDied(Exception):
    """The process behind a channel ended; what it last wrote to standard error is the message."""


class Channel:
    """A worker process.

    Args:
        module: The module that is run, as "dreamzoom.cluster.worker".
        arguments: Its arguments.
        variables: Environment variables beside the ones of this process.
        told: Receives events of the worker that belong to no order, after the first.
    """

    def __init__(
        self,
        module: str,
        arguments: Sequence[str] = (),
        variables: Mapping[str, str] = {},
        told: Callable[[dict[str, Any]], None] = lambda event: None,
    ):
        paths = [str(SERVER), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONUTF8": "1"} | dict(variables)
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            start_new_session=os.name != "nt",
        )
        self._lock = threading.Lock()
        self._events: dict[int, queue.SimpleQueue[dict[str, Any] | None]] = {0: queue.SimpleQueue()}
        self._last_words: list[str] = []
        self._tickets, self._dead, self._reason = 0, False, ""
        self._told, self._heard, self._is_started = told, time.monotonic(), False
        threading.Thread(target=self._read, name="worker events", daemon=True).start()
        threading.Thread(target=self._listen, name="worker errors", daemon=True).start()

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return not self._dead and self._process.poll() is None

    @property
    def silence(self) -> float:
        """Seconds since the worker was last heard of."""
        return time.monotonic() - self._heard

    def started(self, timeout: float) -> dict[str, Any] | None:
        """The worker's first event; None after `timeout` seconds without it. Raises WorkerDied."""
        return self.event(0, timeout)

    def order(self, words: Mapping[str, Any]) -> int:
        """Send an order; returns its ticket. Raises WorkerDied."""
        with self._lock:
            if self._dead:
                raise WorkerDied(self._why())
            self._tickets += 1
            ticket = self._tickets
            self._events[ticket] = queue.SimpleQueue()
        self._send(dict(words) | {"ticket": ticket})
        return ticket

    def cancel(self, ticket: int) -> None:
        """Ask the worker to cancel an order. Raises WorkerDied."""
        self._send({"cancel": ticket})

    def event(self, ticket: int, timeout: float) -> dict[str, Any] | None:
        """The next event of an order; None after `timeout` seconds without one. Raises WorkerDied."""
        try:
            event = self._events[ticket].get(timeout=timeout)
        except queue.Empty:
            return None
        if event is None:
            raise WorkerDied(self._why())
        return event

    def forget(self, ticket: int) -> None:
        """Drop the events of an order that is over."""
        with self._lock:
            self._events.pop(ticket, None)

    def kill(self, reason: str = "") -> None:
        """End the process at once; `reason` becomes the message of WorkerDied."""
        self._reason = self._reason or reason
        self._process.kill()
        self._process.wait()

    def close(self, timeout: float = 5.0) -> None:
        """Let the process end, and end it if it does not."""
        try:
            if self._process.stdin is not None:
                self._process.stdin.close()
            self._process.wait(timeout)
        except (OSError, subprocess.TimeoutExpired):
            self.kill()

    def _send(self, words: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        try:
            with self._lock:
                self._process.stdin.write(json.dumps(words).encode() + b"\n")
                self._process.stdin.flush()
        except (OSError, ValueError):
            raise WorkerDied(self._why()) from None

    def _why(self) -> str:
        if self._reason:
            return self._reason
        code = self._process.poll()
        words = self._last_words[-1] if self._last_words else "no message"
        return f"the worker process ended with code {code}: {words}"

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._heard = time.monotonic()
            try:
                event = json.loads(line)
                ticket = event["ticket"]
                waiting = self._events.get(ticket)
            except (ValueError, TypeError, KeyError):
                continue  # not one of ours
            if ticket == 0 and self._is_started:
                self._told(event)
            elif waiting is not None:
                self._is_started = True
                waiting.put(event)
        self._process.wait()
        with self._lock:
            self._dead = True
            everyone = list(self._events.values())
        for waiting in everyone:
            waiting.put(None)

    def _listen(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            words = line.decode(errors="replace").strip()
            if words:
                self._last_words = [*self._last_words[-19:], words]
