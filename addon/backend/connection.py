"""The connection to the server: its process, started when needed, and the receivers of its messages."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from typing import Any

from ..core.protocol import messages
from . import current_job, installation, launch, main_loop
from .client import Client, Ended

HUNG_SECONDS = 10.0
"""A server that leaves pings unanswered for this long is taken for hung."""

CANCEL_SECONDS = 20.0
"""A server whose cancelled job has not stopped after this long is ended. Finished steps are kept in any case."""

IDLE_SECONDS = 60.0
"""The server is stopped this long after its last use, so that it holds no GPU memory while Cycles renders."""

Receiver = Callable[["dict[str, Any] | Ended"], None]
"""Called on the main thread with the notifications of a request, then with its answer or the server's end."""


class Connection:
    """One server process at a time.

    Attributes:
        client: The process and its messages, None where no server runs.
        host: Name of the machine that the server runs on, as it tells; empty before it has told.
    """

    def __init__(self):
        self.client: Client | None = None
        self.host = ""
        self._command: list[str] = []
        self._receivers: dict[Any, Receiver] = {}
        self._cancelled: dict[Any, float] = {}
        self._last_used, self._last_answer, self._shown_silence = 0.0, 0.0, 0

    def request(self, method: str, params: dict[str, Any], receive: Receiver) -> int:
        """Send a request, starting the server if need be; the request's id, by which it can be cancelled.

        Raises:
            DreamzoomError: The server is not installed.
        """
        identity = self.open().request(method, params)
        self._receivers[identity] = receive
        return identity

    def open(self) -> Client:
        """The server, which is started if need be. Raises DreamzoomError: it is not installed."""
        self._end_stuck()
        client = self._started(launch.command())
        main_loop.start(self.step)
        return client

    def cancel(self, identity: int) -> None:
        """Ask the server to stop a request; it then answers the request with an error.

        If it has not done so after CANCEL_SECONDS, it is ended with all that it has started.
        """
        if self.client is not None:
            self.client.request(messages.CANCEL, {"id": identity})
            self._cancelled.setdefault(identity, time.monotonic() + CANCEL_SECONDS)

    @property
    def hung_seconds(self) -> float:
        """For how long the server has not answered, if that is long enough to take it for hung; else 0."""
        silence = self.client.silence if self.client is not None else 0.0
        return silence if silence >= HUNG_SECONDS else 0.0

    def kill(self) -> None:
        """End the server at once, even if it is hung, with all that it has started. The next request starts another."""
        if self.client is not None:
            self.client.kill()
            self.client = None
        self._end_requests(Ended(None, "The server was stopped", is_wanted=True))
        main_loop.redraw()

    def step(self) -> float | None:
        """Pass new messages to their receivers; stop the server after it has been idle for IDLE_SECONDS."""
        client = self.client
        for message in client.messages() if client is not None else ():
            if self.client is client:  # a message may have ended it
                self._take(message)
        now = time.monotonic()
        if any(until < now for identity, until in self._cancelled.items() if identity in self._receivers):
            self.kill()
        self._show_silence()
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
        self._end_requests(Ended(None, "The server was stopped", is_wanted=True))

    def _end_stuck(self) -> None:
        """End a server that still works on what was cancelled long ago, instead of letting the next request wait."""
        is_free = not self._receivers and self.client is not None
        if is_free and self.client.is_working and time.monotonic() - self._last_answer > CANCEL_SECONDS:
            self.kill()

    def _show_silence(self) -> None:
        """Let the panels be drawn again when the seconds that they show of a hung server change."""
        shown = int(self.hung_seconds)
        if shown != self._shown_silence:
            self._shown_silence = shown
            main_loop.redraw()

    def _started(self, command: list[str]) -> Client:
        """The running server, or a new one where none is running or the command has changed."""
        if self.client is None or not self.client.is_alive or self._command != command:
            self.close(patience=0)
            self._command = command
            self.client, self.host = Client(command, launch.environment(), launch.log_file()), ""
            self._receivers[self.client.request(messages.INITIALIZE, {})] = self._meet
        return self.client

    def _meet(self, message: dict[str, Any] | Ended) -> None:
        """Take the server's answer to who it is."""
        result = message.get("result") if isinstance(message, dict) else None
        host = result.get("host") if isinstance(result, dict) else None
        self.host = host[:100] if isinstance(host, str) else ""

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
                    self._last_answer = time.monotonic()
                    self._cancelled.pop(identity, None)
                self._deliver(identity, receive, message)
        main_loop.redraw()

    def _deliver(self, identity: Any, receive: Receiver, message: dict[str, Any]) -> None:
        """Hand a message to its receiver. One that it can't take ends the server, and with it all requests."""
        try:
            receive(message)
        except Exception as error:
            traceback.print_exc()
            if self.client is not None:
                self.client.kill()
                self.client = None
            self._receivers.setdefault(identity, receive)
            self._end_requests(Ended(1, f"the server sent something that can't be read: {error!r}"))

    def _end_requests(self, ended: Ended) -> None:
        self._cancelled.clear()
        receivers, self._receivers = self._receivers, {}
        for receive in receivers.values():
            receive(ended)


connection = Connection()
