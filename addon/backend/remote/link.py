"""Questions to the server from the thread of a transfer, several at a time, so that a distant server is kept busy."""

from __future__ import annotations

import collections
import queue
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ...core.errors import DreamzoomError
from ...core.protocol import error_codes
from ..client import Client, Ended

FIRST = 1 << 20
LEAST, MOST = 256 << 10, 4 << 20
"""Bytes that may be under way at a time: at the beginning, and what that adapts to."""
PATIENCE = 0.25
"""Seconds that a chunk may wait behind others; beyond, less is sent at a time. A cancellation waits as long."""

TOO_OLD = "Install the same version of Dreamzoom there as here"


class Stopped(Exception):
    """The transfer was ended from here."""


class ConnectionCut(DreamzoomError):
    """The server has ended, or the connection to it.

    Args:
        ended: How.
    """

    def __init__(self, ended: Ended):
        super().__init__(f"The connection to the server was cut: {ended.reason}")
        self.ended = ended


class ServerRefused(DreamzoomError):
    """The server answered with an error."""


class Link:
    """One thread's questions to a server.

    Args:
        client: The server.
    """

    def __init__(self, client: Client):
        self._client = client
        self._answers: queue.SimpleQueue[dict[str, Any] | Ended | None] = queue.SimpleQueue()
        self._early: dict[Any, dict[str, Any]] = {}
        self._waiting: collections.deque[_Waiting] = collections.deque()
        self._flying, self._most, self._shortest = 0, FIRST, float("inf")

    def stop(self) -> None:
        """End the thread's waiting, from another thread."""
        self._answers.put(None)

    def ask(self, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Ask and wait for the answer.

        Raises:
            ServerRefused: The server answers with an error.
            ConnectionCut: It has ended.
            Stopped: `stop` was called.
        """
        return self._answer(self._client.ask(method, params, self._answers))

    @property
    def is_full(self) -> bool:
        """Whether enough is under way."""
        return bool(self._waiting) and self._flying >= self._most

    @property
    def is_empty(self) -> bool:
        """Whether nothing is under way."""
        return not self._waiting

    def begin(
        self,
        method: str,
        params: Mapping[str, Any],
        size: int,
        take: Callable[[dict[str, Any]], None],
        data: bytes = b"",
        refused: Callable[[ServerRefused], None] | None = None,
    ) -> None:
        """Ask without waiting.

        Args:
            method, params: Of the request.
            size: Bytes of a file that travel with the request or its answer.
            take: Gets the answer, in `finish_one`.
            data: What is attached to the request.
            refused: Gets the error if the server answers with one; without, it is raised.
        """
        identity = self._client.ask(method, params, self._answers, data)
        was_full = self._flying + size >= self._most
        self._waiting.append(_Waiting(identity, size, take, refused, time.monotonic(), was_full))
        self._flying += size

    def finish_one(self) -> None:
        """Wait for the oldest answer and have it taken. Raises as `ask` does."""
        oldest = self._waiting.popleft()
        self._flying -= oldest.size
        try:
            answer = self._answer(oldest.identity)
        except ServerRefused as error:
            if oldest.refused is None:
                raise
            oldest.refused(error)
            return
        self._adapt(oldest)
        oldest.take(answer)

    def _adapt(self, done: _Waiting) -> None:
        """More under way while answers come as fast as the first did, less when they wait behind others."""
        took = time.monotonic() - done.began
        self._shortest = min(self._shortest, took)
        if took > self._shortest + PATIENCE:
            self._most = max(self._most - LEAST // 2, LEAST)
        elif done.was_full:
            self._most = min(self._most + LEAST // 2, MOST)

    def _answer(self, identity: int) -> dict[str, Any]:
        while identity not in self._early:
            message = self._answers.get()
            if message is None:
                raise Stopped
            if isinstance(message, Ended):
                raise ConnectionCut(message)
            self._early[message["id"]] = message
        message = self._early.pop(identity)
        error = message.get("error")
        if error is None:
            return message["result"] | {"attachment": message["attachment"]}
        if error.get("code") == error_codes.UNKNOWN_METHOD:
            raise ServerRefused("The server on the other machine is an older Dreamzoom that can't take files", TOO_OLD)
        remedy = str((error.get("data") or {}).get("remedy") or "Try again; the server's log has the details")
        raise ServerRefused(str(error["message"]), remedy)


@dataclass(frozen=True)
class _Waiting:
    """A question that is not answered yet: see `Link.begin`. It `began` at a time, when the link `was_full` or not."""

    identity: int
    size: int
    take: Callable[[dict[str, Any]], None]
    refused: Callable[[ServerRefused], None] | None
    began: float
    was_full: bool
