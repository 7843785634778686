"""The connection to the server: its process, started when needed, and the receivers of its messages."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ..core.protocol import messages
from . import current_job, installation, launch, main_loop
from .client import Client, Ended

IDLE_SECONDS = 60.0
"""The server is stopped this long after its last use, so that it holds no GPU memory while Cycles renders."""

Receiver = Callable[["dict[str, Any] | Ended"], None]
"""Called on the main thread with the notifications of a request, then with its answer or the server's end."""


class Connection:
    """One server process at a time.

    Attributes:
        client: The process and its messages, None where no server runs.
    """

    def __init__(self):
        self.client: Client | None = None
        self._command: list[str] = []
        self._receivers: dict[Any, Receiver] = {}
        self._last_used = 0.0

    def request(self, method: str, params: dict[str, Any], receive: Receiver) -> int:
        """Send a request, starting the server if need be; the request's id, by which it can be cancelled.

        Raises:
            DreamzoomError: The server is not installed.
        """
        identity = self._started(launch.command()).request(method, params)
        self._receivers[identity] = receive
        main_loop.start(self.step)
        return identity

    def cancel(self, identity: int) -> None:
        """Ask the server to stop a request; it then answers the request with an error."""
        if self.client is not None:
            self.client.request(messages.CANCEL, {"id": identity})

    def step(self) -> float | None:
        """Pass new messages to their receivers; stop the server after it has been idle for IDLE_SECONDS."""
        for message in self.client.messages() if self.client is not None else ():
            self._take(message)
        now = time.monotonic()
        if self._receivers or current_job.is_busy() or installation.state.running is not None:
            self._last_used = now
        elif now - self._last_used > IDLE_SECONDS:
            self.close(patience=0)
        return None if self.client is None else main_loop.TICK

    def wait(self, seconds: float = 0.05) -> None:
        """Wait for a message, up to `seconds`, unless other tasks are running. For scripts."""
        if self.client is not None and main_loop.runs_only(self.step):
            self.client.wait_for_message(seconds)

    def close(self, patience: float = 1.5) -> None:
        """Stop the server.

        Args:
            patience: Seconds to wait for its end; with 0 a thread waits.
        """
        if self.client is not None:
            self.client.close(patience)
            self.client = None
        self._end_requests(Ended(None, "The server was stopped", ()))

    def _started(self, command: list[str]) -> Client:
        """The running server, or a new one where none is running or the command has changed."""
        if self.client is None or not self.client.is_alive or self._command != command:
            self.close(patience=0)
            self._command = command
            self.client = Client(command, launch.environment(), launch.log_file())
            self.client.request(messages.INITIALIZE, {})
        return self.client

    def _take(self, message: dict[str, Any] | Ended) -> None:
        if isinstance(message, Ended):
            self.client = None
            installation.note_end(message)
            self._end_requests(message)
        else:
            is_answer = "method" not in message
            identity = message.get("id") if is_answer else (message.get("params") or {}).get("id")
            receive = self._receivers.get(identity)
            if receive is not None:
                if is_answer:
                    del self._receivers[identity]
                receive(message)
        main_loop.redraw()

    def _end_requests(self, ended: Ended) -> None:
        for identity in list(self._receivers):
            self._receivers.pop(identity)(ended)


connection = Connection()
