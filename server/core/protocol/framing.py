"""Frames: `Content-Length: N`, an empty line, N bytes of JSON. Written and read alike by both processes.

The reader survives whatever arrives: garbage between frames is told of at once, and skipped to the next header; a frame
that is too large is refused before it is read. The server answers garbage and goes on; the add-on ends a server that
sends some.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from typing import Any

from .error_codes import INVALID_REQUEST, PARSE_ERROR

MAX_FRAME = 65 << 20
MAX_HEADER = 8192
HEADER = re.compile(rb"Content-Length: *(\d{1,18}) *\r?\n(?:[A-Za-z-]+:[^\r\n]*\r?\n)*\r?\n", re.IGNORECASE)
BEGINNING = re.compile(rb"Content-Length: *(\d{1,18}) *\r?\n(?:[A-Za-z-]+:[^\r\n]*\r?\n)*[^\r\n]*\r?", re.IGNORECASE)
FIRST = b"content-length:"


class FrameError(Exception):
    """What came is no frame; reading can go on.

    Args:
        code: JSON-RPC's error code.
        message: One line.
    """

    def __init__(self, code: int, message: str):
        super().__init__(message)
        self.code = code


def encode(message: Mapping[str, Any]) -> bytes:
    """A message as a frame; "jsonrpc" is added. Raises ValueError for NaN and infinities.

    ASCII, so that any text at all (half of a surrogate pair in a file's name) can be told.
    """
    body = json.dumps({"jsonrpc": "2.0", **message}, allow_nan=False).encode("ascii")
    return b"Content-Length: %d\r\n\r\n" % len(body) + body


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

    @property
    def is_cut_off(self) -> bool:
        """At the end of input: whether it ended within a frame."""
        return bool(self._buffer.strip())

    def read(self) -> bytes | None:
        """The next frame's body, or None at the end of input.

        Raises:
            FrameError: Garbage or a frame that is too large came; call again for what follows.
        """
        while True:
            header = HEADER.search(self._buffer)
            if header is None:
                if not self._may_begin_a_frame():
                    del self._buffer[:-MAX_HEADER]
                    self._tell_garbage()
                if not self._fill():
                    return None
                continue
            if self._buffer[: header.start()].strip():
                del self._buffer[: header.start()]
                self._tell_garbage()
                continue
            length = int(header[1])
            if length > self._limit:
                # not skipped by its length, which may be a lie: its bytes are garbage up to the next header
                del self._buffer[: header.end()]
                self._lost = True
                raise FrameError(INVALID_REQUEST, f"a frame of {length} bytes; the most is {self._limit}")
            while len(self._buffer) < header.end() + length:
                if not self._fill():
                    return None
            body = bytes(self._buffer[header.end() : header.end() + length])
            del self._buffer[: header.end() + length]
            self._lost = False
            return body

    def _may_begin_a_frame(self) -> bool:
        """Whether what has come, and is no whole header, may become one."""
        begun = self._buffer[: MAX_HEADER + 1].lstrip()
        if b"\n" not in begun:
            begun = begun[: len(FIRST)].lower()
            return len(self._buffer) <= MAX_HEADER and FIRST.startswith(begun)
        return len(self._buffer) <= MAX_HEADER and BEGINNING.fullmatch(begun) is not None

    def _fill(self) -> bool:
        data = os.read(self._descriptor, 1 << 18)
        self._buffer += data
        return bool(data)

    def _tell_garbage(self) -> None:
        told, self._lost = self._lost, True
        if not told:
            raise FrameError(PARSE_ERROR, "bytes that are no frame: expected a Content-Length header")
