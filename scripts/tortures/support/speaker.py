"""A server process, and the client that a torture plays."""

from __future__ import annotations

import collections
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.protocol.framing import FrameError, Reader

SERVER = [sys.executable, "-m", "dreamzoom", "serve"]


class Speaker:
    """A running server. A thread reads all that it says, as Blender's client does.

    Args:
        folder: Its working folder; standard error goes to a file there.
        command: Its command line.
    """

    def __init__(self, folder: Path, command: list[str] = SERVER):
        self.log = Path(folder) / "server.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, cwd=folder, start_new_session=True
            )
        self.messages: collections.deque[dict[str, Any]] = collections.deque(maxlen=20_000)
        self.count, self.bad = 0, 0
        self._arrived = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()

    def raw(self, data: bytes) -> None:
        """Send bytes. Raises OSError if the server has ended."""
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def body(self, body: bytes) -> None:
        """Send a frame."""
        self.raw(b"Content-Length: %d\r\n\r\n" % len(body) + body)

    def send(self, identity: Any, method: str, **params: Any) -> float:
        """Send a request; returns when, in seconds of `time.monotonic`."""
        began = time.monotonic()
        self.body(json.dumps({"jsonrpc": "2.0", "id": identity, "method": method, "params": params}).encode())
        return began

    def wait(self, wanted: Callable[[dict[str, Any]], bool], seconds: float = 60.0) -> dict[str, Any]:
        """Take messages until one is wanted, and return it. Raises TimeoutError."""
        until = time.monotonic() + seconds
        while True:
            with self._arrived:
                if not self._arrived.wait_for(lambda: bool(self.messages), max(0.0, until - time.monotonic())):
                    raise TimeoutError(f"nothing from the server in {seconds} s; its log ends {self.last_words()!r}")
                message = self.messages.popleft()
            if message.get("ended") and not wanted(message):
                raise TimeoutError(f"the server ended with {self.process.wait()}: {self.last_words()!r}")
            if wanted(message):
                return message

    def answer(self, identity: Any, seconds: float = 60.0) -> dict[str, Any]:
        """Wait for the answer to a request."""
        return self.wait(lambda message: "method" not in message and message.get("id") == identity, seconds)

    def ask(self, identity: Any, method: str, **params: Any) -> dict[str, Any]:
        """Send a request and wait for its answer."""
        self.send(identity, method, **params)
        return self.answer(identity)

    def rest(self) -> None:
        """Forget the messages that have come so far."""
        with self._arrived:
            self.messages.clear()

    def memory(self) -> float:
        """Megabytes of main memory that the process holds now (Linux)."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGESIZE") / 1e6

    def descriptors(self) -> int:
        """Number of open files of the process (Linux)."""
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def threads(self) -> int:
        """Number of threads of the process (Linux)."""
        return len(list(Path(f"/proc/{self.process.pid}/task").iterdir()))

    def last_words(self) -> str:
        """The end of its standard error."""
        return self.log.read_text(errors="replace")[-300:]

    def end(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()

    def _read(self) -> None:
        reader = Reader(self.process.stdout.fileno())
        try:
            while (body := reader.read()) is not None:
                message = json.loads(body)
                message["arrived"] = time.monotonic()
                with self._arrived:
                    self.messages.append(message)
                    self.count += 1
                    self._arrived.notify_all()
        except (FrameError, ValueError, OSError):
            self.bad += 1
        with self._arrived:
            self.messages.append({"ended": True})
            self._arrived.notify_all()
