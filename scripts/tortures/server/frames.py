"""Frames that are no frames, and requests that are wrong: does the server go on, answer at once and keep its memory?

Random damage of good frames, crafted input that takes time or memory in careless readers, and a quarter as many
requests that are well-formed but wrong.
"""

from __future__ import annotations

import json
import os
import random
import time
from pathlib import Path

from tortures.support import wrong_requests
from tortures.support.speaker import Speaker

SHORT = 200
FULL = 20_000
FILLER = b"\r\n" * 6000
"""Fills up any body that a damaged frame has begun: they announce four digits at most."""

SLOWEST, GROWTH = 1.0, 60.0
"""Seconds until an answer; megabytes that the process may hold more afterwards than before."""

PIECES = (b"\r\n", b"\n\n", b"Content-Length: 5\r\n", b"\0", b"{", b'"', b"\xff")


def run(rng: random.Random, rounds: int | None, folder: Path) -> tuple[bool, str]:
    """Send `rounds` damaged frames, the crafted ones, and wrong requests."""
    count = FULL if rounds is None else rounds
    passed, line = _frames(rng, count, 1 if rounds is None else 64, folder)
    well, more = wrong_requests.send(rng, count // 4, folder)
    return passed and well, f"{line}; {more}"


def _frames(rng: random.Random, count: int, share: int, folder: Path) -> tuple[bool, str]:
    """Ask for an answer after each few damaged frames, and each crafted one, whose size is divided by `share`."""
    speaker = Speaker(folder)
    asker = _Asker(speaker)
    for method in ("ping", "initialize", "generate"):  # all that they import is there before memory is measured
        speaker.ask(f"first {method}", method)
    for number in range(min(count, 2000)):  # the parsers' and threads' own memory
        speaker.raw(_damaged(rng))
        if number % 20 == 0:
            asker.ask()
    for data in _crafted(64).values():  # what malloc keeps of such texts, in each thread's arena
        speaker.raw(data)
        asker.ask("small")
    before = _settled(speaker)
    for number in range(count):
        speaker.raw(_damaged(rng))
        if number % 20 == 0:
            asker.ask()
    crafted = _crafted(share)
    for name, data in crafted.items():
        speaker.raw(data)
        asker.ask(name)
    growth = speaker.memory() - before
    alive = speaker.process.poll() is None
    speaker.end()
    passed = alive and asker.slowest <= SLOWEST and growth <= GROWTH and not speaker.bad
    return passed, (
        f"{count} damaged and {len(crafted)} crafted frames, slowest answer {asker.slowest:.2f} s ({asker.when}), "
        f"memory {growth:+.0f} MB, {'alive' if alive else 'DEAD'}"
    )


def _settled(speaker: Speaker) -> float:
    """The memory once nothing is imported any more in the background."""
    held, since, until = speaker.memory(), time.monotonic(), time.monotonic() + 20
    while time.monotonic() < min(since + 1.0, until):
        time.sleep(0.1)
        if speaker.memory() > held + 1:
            held, since = speaker.memory(), time.monotonic()
    return held


class _Asker:
    """Sends a good request now and then, and takes the time of its answer.

    Attributes:
        slowest, when: Seconds, and after what.
    """

    def __init__(self, speaker: Speaker):
        self._speaker, self._number = speaker, 0
        self.slowest, self.when = 0.0, ""

    def ask(self, when: str = "damage") -> None:
        self._number += 1
        identity = f"asked {self._number}"
        body = json.dumps({"jsonrpc": "2.0", "id": identity, "method": "ping"}).encode()
        self._speaker.raw(FILLER)
        began = time.monotonic()
        self._speaker.body(body)
        answer = self._speaker.answer(identity, 120)
        seconds = answer["arrived"] - began
        if seconds > self.slowest:
            self.slowest, self.when = seconds, when
        self._speaker.rest()


def _damaged(rng: random.Random) -> bytes:
    """A frame, damaged in one of many ways. Bodies that it announces are at most some kilobytes long."""
    body = json.dumps(
        {
            "jsonrpc": rng.choice(["2.0", "2.0", "1.0", 2]),
            "id": rng.choice([rng.randrange(10**6), "x", None, [], {}, 1.5, True, "é" * 300, 2**70]),
            "method": rng.choice(["ping", "initialize", "cancel", "none", "", 5, None, "x" * 5000]),
            "params": rng.choice([{}, [], None, {"id": []}, {"id": {"a": 1}}, "text", {"x": [[[]]] * 50}]),
        }
    ).encode()
    header = rng.choice([b"Content-Length: %d\r\n\r\n", b"content-length:%d\n\n", b"Content-Length: %d\r\nX: y\n\n"])
    frame = bytearray(header % (len(body) + rng.choice([0, 0, 0, 0, -3, 7])) + body)
    for _ in range(rng.choice([0, 1, 1, 3, 20])):
        place = rng.randrange(len(frame))
        way = rng.randrange(4)
        if way == 0:
            frame[place] = rng.randrange(256)
        elif way == 1:
            del frame[place : place + rng.randrange(1, 9)]
        elif way == 2:
            frame[place:place] = rng.randbytes(rng.randrange(1, 9))
        else:
            frame[place:place] = rng.choice(PIECES)
        if not frame:
            break
    # a damaged length must not swallow the rest of the torture: no number of more than four digits is left
    return _short_numbers(bytes(frame))


def _short_numbers(data: bytes) -> bytes:
    out, digits = bytearray(), 0
    for byte in data:
        digits = digits + 1 if 48 <= byte <= 57 else 0
        if digits <= 4:
            out.append(byte)
    return bytes(out)


def _crafted(share: int) -> dict[str, bytes]:
    """Input that is expensive for careless readers, in full size or a share of it."""

    def frame(body: bytes) -> bytes:
        return b"Content-Length: %d\r\n\r\n" % len(body) + body

    def request(params: bytes) -> bytes:
        return frame(b'{"jsonrpc":"2.0","id":"crafted","method":"generate","params":%s}' % params)

    mega = 60_000_000 // share
    return {
        "repeated lengths": b"Content-Length: 1\r\n" * (mega // 400),
        "nested header": b"Content-Length: 1\nA: content-length: 1\nB:\n" * (mega // 900),
        "garbage": os.urandom(mega // 4).replace(b"C", b"c"),
        "spaces": b" " * mega,
        "lines": b"\r\n" * (mega // 2),
        "lists": request(b'{"request":[' + b"[]," * (mega // 3) + b"1]}"),
        "objects": request(b'{"request":{"levels":[' + b'{"prompt":""},' * (mega // 14) + b'{}]},"out":"x"}'),
        "numbers": request(b'{"request":[' + b"1," * (mega // 2) + b"1]}"),
        "batch": frame(b"[" + b"[]," * (mega // 3) + b"1]"),
        "depth": request(b'{"request":' + b"[" * (mega // 2) + b"]" * (mega // 2) + b"}"),
        "one text": request(b'{"request":"' + b"x" * mega + b'"}'),
        "many names": request(b"{" + b",".join(b'"%d":1' % k for k in range(mega // 12)) + b"}"),
        "a long number": request(b'{"request":' + b"9" * (mega // 10) + b"}"),
        "too large": b"Content-Length: 999999999999\r\n\r\n" + b"x" * 1000,
    }
