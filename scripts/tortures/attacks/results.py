"""Forged results: what anyone may write into a job's result.json."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from core.safety.seal import CHECK, sealed

Forged = dict[str, Callable[[], bytes]]
"""Contents of result.json, by what is wrong with them; made when they are asked for, as some are large."""


def forged(found: dict[str, Any], most_bytes: int = 96 << 20) -> Forged:
    """Forged contents of result.json.

    Args:
        found: A result that is right.
        most_bytes: The largest file that is read.
    """

    def made(**changes: Any) -> Callable[[], bytes]:
        return lambda: json.dumps(sealed({key: item for key, item in found.items() if key != CHECK} | changes)).encode()

    def level(**changes: Any) -> Callable[[], bytes]:
        return made(levels=[{**found["levels"][0], **changes}, *found["levels"][1:]])

    many_levels = [{**found["levels"][0], "index": index} for index in range(1000)]
    return (
        _values(made, level)
        | {"1000 levels": made(levels=many_levels)}
        | _names(made, level)
        | _texts(found, most_bytes)
    )


def _values(made: Callable[..., Callable[[], bytes]], level: Callable[..., Callable[[], bytes]]) -> Forged:
    """Values of a wrong type or size."""
    return {
        "text for zoom_factor": made(zoom_factor="2"),
        "true for zoom_factor": made(zoom_factor=True),
        "a whole number of 400 digits for zoom_factor": made(zoom_factor=10**400),
        "version 99": made(version=99),
        "version as text": made(version="2"),
        "huge version": made(version=10**300),
        "version 0": made(version=0),
        "no levels": made(levels=[]),
        "levels as text": made(levels="ab"),
        "levels as object": made(levels={"0": {}}),
        "true for an index": level(index=False),
        "a prompt of numbers": level(prompt=[1, 2]),
        "a focus of texts": level(focus=["a", "b", "c"]),
        "a focus of one": level(focus=[1.0]),
        "negative points": level(points=-5),
        "cameras of numbers": made(cameras=[1, 2, 3]),
        "cameras as object": made(cameras={}),
        "engine as text": made(engine="procedural"),
    }


def _names(made: Callable[..., Callable[[], bytes]], level: Callable[..., Callable[[], bytes]]) -> Forged:
    """Names of files that lead out of the folder, or are none."""
    return {
        "NUL in a name": level(splats="levels/\0/x.ply"),
        "a newline in a name": level(splats="levels/000/a\nb.ply"),
        "a command of a terminal in a name": level(splats="levels/000/\x1b[2Ja.ply"),
        "name outside": level(splats="../../../etc/passwd"),
        "name outside, later": level(splats="levels/000/../../../outside.ply"),
        "absolute name": level(cloud="/etc/passwd"),
        "absolute name of Windows": level(cloud="C:\\Windows\\win.ini"),
        "drive": level(cloud="C:/x.ply"),
        "drive without a slash": level(cloud="C:x.ply"),
        "share": level(cloud="\\\\host\\share\\x"),
        "share with slashes": level(cloud="//host/share/x"),
        "address": level(cloud="file:///etc/passwd"),
        "address of the web": level(cloud="https://example.com/x.ply"),
        "home": level(cloud="~/x.ply"),
        "device name": level(cloud="levels/000/NUL"),
        "device name with a suffix": level(cloud="levels/000/com1.ply"),
        "device name in superscript": level(cloud="levels/000/lpt¹.ply"),
        "stream": level(cloud="levels/000/cloud.ply::$DATA"),
        "dot at the end": level(cloud="levels/000/cloud.ply."),
        "space at the end": level(cloud="levels/000 /cloud.ply"),
        "other case": level(cloud="LEVELS/000/CLOUD.PLY"),
        "very long name": level(cloud="a/" * 100_000),
        "very long part": level(cloud="a" * 900 + ".ply"),
        "a name that is empty": level(cloud=""),
        "a name that is a folder": level(cloud="levels/000"),
        "half a surrogate": level(cloud="\ud800.ply"),
        "a name that turns its direction": level(cloud="levels/000/\u202eylp.duolc"),
        "files outside": made(files={"../x": "0" * 64}),
        "files of numbers": made(files={"x": 1}),
        "files as list": made(files=[]),
    }


def _texts(found: dict[str, Any], most_bytes: int) -> Forged:
    """What is no JSON, or JSON that costs much to read."""

    def text(data: bytes) -> Callable[[], bytes]:
        return lambda: data

    whole = json.dumps(found).encode()
    many = most_bytes - 1000
    return {
        "huge zoom_factor": text(whole.replace(b'"zoom_factor": 2.0', b'"zoom_factor": 1e999')),
        "NaN": lambda: json.dumps(found | {"zoom_factor": float("nan")}).encode(),
        "another key twice": text(b'{"levels": [{"index": 0, "cloud": "../x", "splats": "../x"}], ' + whole[1:-1]
                                  + b', "levels": []}'),
        "a check of a number": text(whole.replace(b'"check": "', b'"check": 5, "x": "')),
        "nothing": text(b""),
        "zeros": text(bytes(1 << 20)),
        "a byte order mark": text(b"\xef\xbb\xbf" + whole),
        "UTF-16": lambda: json.dumps(found).encode("utf-16"),
        "UTF-32": lambda: json.dumps(found).encode("utf-32"),
        "no UTF-8": text(whole[:-1] + b', "x": "\xff\xfe"}'),
        "deep": text(b'{"version": 2, "levels": ' + b"[" * 1_000_000),
        "deep objects": text(b'{"a":' * 1_000_000),
        "many values": lambda: b'{"version": 2, "levels": [' + b"[]," * 12_000_000 + b"[]]}",
        "many keys": lambda: b'{"version": 2' + b',"0":0' * 4_100_000 + b"}",
        "much text": lambda: b'{"version": 2, "x": "' + b"x" * many + b'"}',
        "much text with one wide letter": lambda: '{"version": 2, "x": "\U0001f600'.encode() + b"x" * many + b'"}',
        "much text with one escaped letter": lambda: b'{"version": 2, "x": "\\ud83d\\ude00' + b"x" * many + b'"}',
        "much space after a wide letter": lambda: '{"version": 2, "x": "\U0001f600"'.encode() + b" " * many + b"}",
        "many backslashes": lambda: b'{"version": 2, "x": "' + b"\\\\" * (many // 2) + b'"}',
        "larger than is read": lambda: b" " * (most_bytes + 1),
        "long number": text(b'{"version": ' + b"9" * 5_000_000 + b"}"),
    }  # fmt: skip
