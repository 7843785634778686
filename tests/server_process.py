"""The server as a process, spoken to as Blender speaks to it."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

from core.protocol.framing import Reader

SERVER = Path(__file__).parents[1] / "server"


class ServerProcess:
    """`python -m dreamzoom serve`, spoken to over its pipes."""

    def __init__(self, cwd, variables=os.environ):
        environment = {**variables, "PYTHONPATH": str(SERVER)}
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "dreamzoom", "serve"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env=environment,
        )
        self._reader = Reader(self.process.stdout.fileno())
        self.errors = []
        threading.Thread(target=lambda: self.errors.extend(self.process.stderr), daemon=True).start()
        self.notifications = []

    def raw(self, data: bytes):
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def body(self, body: bytes):
        self.raw(b"Content-Length: %d\r\n\r\n" % len(body) + body)

    def send(self, identity, method, **params):
        self.body(json.dumps({"jsonrpc": "2.0", "id": identity, "method": method, "params": params}).encode())

    def next(self):
        """The next message, or None when the server has ended."""
        body = self._reader.read()
        return None if body is None else json.loads(body)

    def answer(self):
        """The next answer; notifications before it are kept."""
        while True:
            message = self.next()
            assert message is not None, b"".join(self.errors)
            if "method" not in message:
                return message
            self.notifications.append(message)

    def ask(self, identity, method, **params):
        self.send(identity, method, **params)
        answer = self.answer()
        assert answer["id"] == identity
        return answer
