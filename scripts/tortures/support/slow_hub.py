"""A hub of models in small, on this machine, that sends slowly: the part of its interface that the client uses."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import json
import threading
import time
from collections.abc import Iterator

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPOSITORY = "someone/slow"
NAME, BYTES = "model.safetensors", 40 << 20
PIECE, PAUSE = 1 << 20, 0.05


class _Hub(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    data = bytes(BYTES)
    digest = hashlib.sha256(data).hexdigest()

    def do_HEAD(self) -> None:
        self._answer(False)

    def do_GET(self) -> None:
        self._answer(True)

    def _answer(self, with_body: bool) -> None:
        if self.path.startswith("/api/models/"):
            time.sleep(0.1)
            file = {"rfilename": NAME, "size": BYTES, "lfs": {"sha256": self.digest, "size": BYTES, "pointerSize": 100}}
            facts = {"id": REPOSITORY, "sha": COMMIT, "siblings": [file], "cardData": {"license": "openrail"}}
            self._send(200, {"Content-Type": "application/json"}, json.dumps(facts).encode(), with_body)
            return
        begin = int((self.headers.get("Range") or "bytes=0-").partition("=")[2].rstrip("-") or 0)
        headers = {"ETag": f'"{self.digest}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        if begin:
            headers["Content-Range"] = f"bytes {begin}-{BYTES - 1}/{BYTES}"
        self._send(206 if begin else 200, headers, self.data[begin:], with_body)

    def _send(self, code: int, headers: dict[str, str], data: bytes, with_body: bool) -> None:
        self.send_response(code)
        for name, value in (headers | {"Content-Length": str(len(data))}).items():
            self.send_header(name, value)
        self.end_headers()
        with contextlib.suppress(OSError):  # the other side had enough
            for start in range(0, len(data) if with_body else 0, PIECE):
                self.wfile.write(data[start : start + PIECE])
                time.sleep(PAUSE if len(data) > PIECE else 0)

    def log_message(self, *_) -> None:
        """Say nothing."""


@contextlib.contextmanager
def running() -> Iterator[dict[str, str]]:
    """Such a hub, while the block runs; gives the environment variables with which a process takes it for the hub."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    local = dict.fromkeys(("no_proxy", "NO_PROXY"), "127.0.0.1")
    try:
        yield local | {"HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "HF_HUB_DISABLE_XET": "1"}
    finally:
        server.shutdown()
        server.server_close()
