"""Message framing: `Content-Length: N`, an empty line, N bytes of JSON. Both processes use it.

With a further header line `Attachment-Length: M` the last M of the N bytes are no JSON but an attachment: bytes of a
file that travels.

The reader recovers from invalid input: it reports garbage between frames at once and skips to the next header, and it
rejects a frame that is too large before reading its body. The server answers garbage with an error and goes on; the
add-on stops a server that sends any.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from typing import Any

from ..safety import limits
from .error_codes import INVALID_REQUEST, PARSE_ERROR

MAX_HEADER = 8192
LENGTH = rb"Content-Length: *+(\d{1,18}) *+\r?\n"
OTHERS = rb"(?:(?![^\r\n]*Content-Length:)[A-Za-z-]++:[^\r\n]*+\r?\n)*+"
# No line of OTHERS holds "Content-Length:", so two attempts to match never look at the same line, and no quantifier
# gives back what it took: the search takes time in proportion to the bytes, whatever they are.
HEADER = re.compile(LENGTH + OTHERS + rb"\r?\n", re.IGNORECASE)
BEGINNING = re.compile(LENGTH + OTHERS + rb"[^\r\n]*+\r?", re.IGNORECASE)
FIRST = b"content-length:"
ATTACHED = re.compile(rb"^Attachment-Length: *+(\d{1,18}) *+\r?$", re.IGNORECASE | re.MULTILINE)


class FrameError(Exception):
    """The input is not a valid frame; reading can continue.

    Args:
        code: JSON-RPC error code.
        message: One line.
    """

    def __init__(self, code: int, message: str):
        super().__init__(message)
        self.code = code


class Body(bytes):
    """The JSON text of a frame.

    Attributes:
        attachment: The bytes that came with it.
    """

    attachment: bytes = b""


def encode(message: Mapping[str, Any], attachment: bytes = b"") -> bytes:
    """Encode a message as a frame; adds "jsonrpc". Raises ValueError for NaN and infinities.

    The JSON is ASCII, so that any string can be sent, even a file name with a lone surrogate.

    Args:
        message: The message.
        attachment: At most `limits.CHUNK_BYTES`, which the reader on the other side gives as `Body.attachment`.
    """
    text = json.dumps({"jsonrpc": "2.0", **message}, allow_nan=False).encode("ascii")
    further = b"Attachment-Length: %d\r\n" % len(attachment) if attachment else b""
    return b"Content-Length: %d\r\n%s\r\n%s%s" % (len(text) + len(attachment), further, text, attachment)


class Reader:
    """Reads frames from a file descriptor.

    Args:
        descriptor: Of a pipe or file, in binary mode.
        limit: The largest allowed body in bytes.
    """

    def __init__(self, descriptor: int, limit: int = limits.MESSAGE_BYTES):
        self._descriptor, self._limit = descriptor, limit
        self._buffer = bytearray()
        self._garbage_reported = False  # so that consecutive garbage gives one error

    @property
    def is_cut_off(self) -> bool:
        """Whether the input ended within a frame; meaningful at the end of input."""
        return bool(self._buffer.strip())

    def read(self) -> Body | None:
        """The next frame's JSON, with its attachment, or None at the end of input.

        Raises:
            FrameError: Garbage or a frame that is too large was received; call again to continue reading.
        """
        while True:
            header = HEADER.search(self._buffer)
            if header is None:
                if not self._may_begin_a_frame():
                    del self._buffer[:-MAX_HEADER]
                    self._report_garbage()
                if not self._fill():
                    return None
                continue
            if self._buffer[: header.start()].strip():
                del self._buffer[: header.start()]
                self._report_garbage()
                continue
            length, attached = int(header[1]), _attached(header[0])
            why = self._why_too_large(length, attached)
            if why:
                # the length may be wrong, so don't skip by it: treat the bytes up to the next header as garbage
                del self._buffer[: header.end()]
                self._garbage_reported = True
                raise FrameError(INVALID_REQUEST, why)
            while len(self._buffer) < header.end() + length:
                if not self._fill():
                    return None
            return self._taken(header.end(), length, attached)

    def _why_too_large(self, length: int, attached: int) -> str:
        if length > self._limit:
            return f"a frame of {length} bytes; the most is {self._limit}"
        most = min(length, limits.CHUNK_BYTES)
        return f"an attachment of {attached} bytes; the most is {most}" if attached > most else ""

    def _taken(self, start: int, length: int, attached: int) -> Body:
        """Take a whole frame, whose content begins at `start`, from the buffer."""
        body = Body(self._buffer[start : start + length - attached])
        body.attachment = bytes(self._buffer[start + length - attached : start + length])
        del self._buffer[: start + length]
        self._garbage_reported = False
        return body

    def _may_begin_a_frame(self) -> bool:
        """Whether the buffered bytes may be the beginning of a header."""
        begun = self._buffer[: MAX_HEADER + 1].lstrip()
        if b"\n" not in begun:
            begun = begun[: len(FIRST)].lower()
            return len(self._buffer) <= MAX_HEADER and FIRST.startswith(begun)
        return len(self._buffer) <= MAX_HEADER and BEGINNING.fullmatch(begun) is not None

    def _fill(self) -> bool:
        data = os.read(self._descriptor, 1 << 18)
        self._buffer += data
        return bool(data)

    def _report_garbage(self) -> None:
        reported, self._garbage_reported = self._garbage_reported, True
        if not reported:
            raise FrameError(PARSE_ERROR, "bytes that are no frame: expected a Content-Length header")


def _attached(header: bytes | bytearray) -> int:
    found = ATTACHED.search(header)
    return int(found[1]) if found else 0
