"""JSON-RPC 2.0 in frames (`Content-Length: N`, an empty line, N bytes of JSON in UTF-8) over two descriptors.

The reader survives whatever arrives: garbage between frames is skipped to the next header, a frame that is too large is
refused before it is read.
"""

from __future__ import annotations

import json
import os
import re
import threading
from typing import Any

PARSE_ERROR, INVALID_REQUEST, UNKNOWN_METHOD, BAD_REQUEST = -32700, -32600, -32601, -32602
OTHER, NOT_AVAILABLE, BUSY, CANCELLED = -32000, -32001, -32002, -32800

MAX_FRAME = 65 << 20
MAX_HEADER = 8192
HEADER = re.compile(rb"Content-Length: *(\d{1,18}) *\r?\n(?:[A-Za-z-]+:[^\r\n]*\r?\n)*\r?\n", re.IGNORECASE)


class FrameError(Exception):
    """What came is no frame; reading can go on.

    Args:
        code: JSON-RPC's error code.
        message: One line.
    """

    def __init__(self, code: int, message: str):
        super().__init__(message)
        self.code = code


class Reader:
    """Reads frames from a descriptor.

    Args:
        descriptor: Of a pipe or file, in binary mode.
        limit: The most bytes of a frame.
    """

    def __init__(self, descriptor: int, limit: int = MAX_FRAME):
        self._descriptor, self._limit = descriptor, limit
        self._buffer = bytearray()
        self._lost = False  # whether garbage was told already, so that a flood of it gives one answer

    def read(self) -> bytes | None:
        """The next frame's body, or None at the end of input.

        Raises:
            FrameError: Garbage or a frame that is too large came; call again for what follows.
        """
        while True:
            header = HEADER.search(self._buffer)
            if header is None:
                if len(self._buffer) > MAX_HEADER:
                    del self._buffer[:-MAX_HEADER]
                    self._tell_garbage()
                if not self._fill():
                    return None
                continue
            garbage, length = bytes(self._buffer[: header.start()]).strip(), int(header[1])
            if garbage:
                del self._buffer[: header.start()]
                self._tell_garbage()
                continue
            del self._buffer[: header.end()]
            self._lost = False
            if length > self._limit:
                # not skipped by its length, which may be a lie: its bytes are garbage up to the next header
                self._lost = True
                raise FrameError(INVALID_REQUEST, f"a frame of {length} bytes; the most is {self._limit}")
            while len(self._buffer) < length:
                if not self._fill():
                    return None
            body = bytes(self._buffer[:length])
            del self._buffer[:length]
            return body

    def _fill(self) -> bool:
        data = os.read(self._descriptor, 1 << 18)
        self._buffer += data
        return bool(data)

    def _tell_garbage(self) -> None:
        told, self._lost = self._lost, True
        if not told:
            raise FrameError(PARSE_ERROR, "bytes that are no frame: expected a Content-Length header")


class Writer:
    """Writes messages to a descriptor, from any thread."""

    def __init__(self, descriptor: int):
        self._descriptor = descriptor
        self._lock = threading.Lock()

    def result(self, identity: Any, value: Any) -> None:
        """Answer a request."""
        self._send({"id": identity, "result": value})

    def error(self, identity: Any, code: int, message: str, data: dict[str, Any] | None = None) -> None:
        """Refuse a request; `identity` is None where it can't be known."""
        error = {"code": code, "message": message} | ({"data": data} if data else {})
        self._send({"id": identity, "error": error})

    def notify(self, method: str, params: dict[str, Any]) -> None:
        """Tell something."""
        self._send({"method": method, "params": params})

    def _send(self, message: dict[str, Any]) -> None:
        # ASCII, so that any text at all (half of a surrogate pair in a file's name) can be told
        body = json.dumps({"jsonrpc": "2.0"} | message, allow_nan=False).encode("ascii")
        data = memoryview(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        with self._lock:
            while data:
                data = data[os.write(self._descriptor, data) :]


def parse(body: bytes) -> tuple[Any, str, dict[str, Any]]:
    """A frame's body as (id, method, params); the id is None for a notification.

    Raises:
        FrameError: It is no JSON-RPC request.
    """
    try:
        message = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise FrameError(PARSE_ERROR, f"not JSON: {error}") from None
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0" or not isinstance(message.get("method"), str):
        raise FrameError(INVALID_REQUEST, 'not a JSON-RPC request: needs "jsonrpc": "2.0" and a "method"')
    identity, params = message.get("id"), message.get("params", {})
    if not isinstance(identity, (int, str, type(None))) or isinstance(identity, bool):
        raise FrameError(INVALID_REQUEST, "not a JSON-RPC request: id must be a number or text")
    if not isinstance(params, dict):
        raise FrameError(INVALID_REQUEST, "not a JSON-RPC request: params must be an object")
    return identity, message["method"], params
