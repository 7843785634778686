"""Frames through a pipe, as one process sends them to the other."""

from __future__ import annotations

import os
import threading

from core.protocol.framing import FrameError, Reader


def read_all(data: bytes, limit: int = 1000, piece: int = 1 << 20) -> list:
    """What a reader makes of bytes that come `piece` at a time: bodies, the codes of errors, "cut off" at the end."""
    source, sink = os.pipe()

    def feed():
        view = memoryview(data)
        while view:
            view = view[os.write(sink, view[:piece]) :]
        os.close(sink)

    feeder = threading.Thread(target=feed)
    feeder.start()
    reader, found = Reader(source, limit), []
    while True:
        try:
            body = reader.read()
        except FrameError as error:
            found.append(error.code)
            continue
        if body is None:
            break
        found.append(body)
    feeder.join()
    os.close(source)
    return found + ["cut off"] * reader.is_cut_off


def frame(body: bytes) -> bytes:
    return b"Content-Length: %d\r\n\r\n" % len(body) + body
