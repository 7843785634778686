"""Hostile pictures and depth maps: each is refused by name in one line, quickly and without taking memory.

Each case is a file that is made on the spot. It is read in a process of its own, which reports its time and the growth
of its memory; only what reading adds to a process that has read a good picture before counts.
"""

from __future__ import annotations

import json
import os
import random
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tortures.support import picture_files as made

SHORT = 8
MOST_SECONDS, MOST_BYTES = 1.0, 500e6

_READER = """
import json, sys, time
try:
    import resource
except ImportError:  # Windows
    resource = None
from pathlib import Path
import numpy as np
from PIL import Image
from core.errors import BadRequest
from dreamzoom.request import images

def attempt(path, depth):
    try:
        if depth:
            images.read_depth(path, (64, 48), lambda message: None, field="levels[0].depth")
        else:
            images.picture_size(path, field="levels[0].image")
            images.read_picture(path, (64, 48), lambda message: None, field="levels[0].image")
    except BadRequest as error:
        return str(error)
    return ""

def peak():
    return 0 if resource is None else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

for line in sys.stdin:
    asked = json.loads(line)
    before = peak()
    start = time.process_time(), time.perf_counter()
    try:
        said = attempt(Path(asked["path"]), asked["depth"])
    except BaseException as error:
        said = f"ESCAPED {type(error).__name__}: {error}"
    took = min(time.process_time() - start[0], time.perf_counter() - start[1])
    grown = (peak() - before) * 1024
    print(json.dumps({"said": said, "seconds": took, "bytes": grown}), flush=True)
"""

Case = tuple[str, bool, Callable[[random.Random], bytes]]
"""The file's name, whether it is read as a depth map, and what makes its bytes."""


def run(rng: random.Random, rounds: int | None, folder: Path) -> tuple[bool, str]:
    """Read all hostile files, or `rounds` of them; each must be refused by name."""
    cases = list(CASES)
    if rounds is not None:
        rng.shuffle(cases)
        cases = cases[:rounds]
    programs, marker = folder / "programs", folder / "a-program-ran"
    _fake_ghostscript(programs, marker)
    reader = subprocess.Popen(
        [sys.executable, "-c", _READER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env=os.environ | {"PATH": os.pathsep.join([str(programs), os.environ.get("PATH", "")])},
    )
    good = folder / "good.png"
    good.write_bytes(made.png(40, 30))
    wrong, slowest, largest = [], 0.0, 0.0
    try:
        if _ask(reader, good, False)["said"]:
            wrong.append("the good picture is refused")
        for name, depth, make in cases:
            path = folder / name
            path.write_bytes(make(rng))
            found = _ask(reader, path, depth)
            wrong += _faults(name, found)
            slowest, largest = max(slowest, found["seconds"]), max(largest, found["bytes"])
            path.unlink()
    finally:
        reader.stdin.close()  # pyright: ignore[reportOptionalMemberAccess]
        reader.wait()
    if marker.exists():
        wrong.append("a picture ran a program")
    for line in wrong:
        print(f"  {line}")
    figures = f"slowest {slowest:.2f} s, most memory {largest / 1e6:.0f} MB"
    return not wrong, f"{len(cases)} hostile pictures, {len(wrong)} not refused as they should be, {figures}"


def _fake_ghostscript(folder: Path, marker: Path) -> None:
    """Programs that a decoder could call; each leaves a marker."""
    folder.mkdir()
    for name in ("gs", "gswin32c", "gswin64c", "djpeg"):
        (folder / name).write_text(f'#!/bin/sh\ntouch "{marker}"\n', encoding="utf-8")
        (folder / name).chmod(0o755)


def _ask(reader: subprocess.Popen, path: Path, depth: bool) -> dict:
    assert reader.stdin is not None and reader.stdout is not None
    reader.stdin.write(json.dumps({"path": str(path), "depth": depth}) + "\n")
    reader.stdin.flush()
    answer = reader.stdout.readline()
    if not answer:
        raise RuntimeError(f"{path.name} ended the process that reads it")
    return json.loads(answer)


def _faults(name: str, found: dict) -> list[str]:
    wrong = []
    if not found["said"]:
        wrong.append(f"{name}: not refused")
    elif found["said"].startswith("ESCAPED") or name not in found["said"] or "\n" in found["said"]:
        wrong.append(f"{name}: {found['said'][:200]}")
    if found["seconds"] > MOST_SECONDS:
        wrong.append(f"{name}: {found['seconds']:.1f} s")
    if found["bytes"] > MOST_BYTES:
        wrong.append(f"{name}: {found['bytes'] / 1e6:.0f} MB")
    return wrong


CASES: tuple[Case, ...] = (
    ("bomb_400mp.png", False, lambda rng: made.png(20000, 20000)),
    ("bomb_100mp.png", False, lambda rng: made.png(10000, 10000, data=made.zeros(10001 * 10000))),
    ("endless_side.png", False, lambda rng: made.png(2**31 - 1, 1)),
    ("no_size.png", False, lambda rng: made.png(0, 0)),
    ("cut.png", False, lambda rng: made.cut(made.saved("PNG"), 0.4)),
    ("noise.png", False, lambda rng: made.flipped(rng, made.saved("PNG"), 33)),
    ("text_bomb.png", False, lambda rng: made.text_bomb()),
    ("lying_chunk.png", False, lambda rng: made.png(64, 48, extra=made.chunk(b"tEXt", b"a\0b", length=0x7FFFFFFF))),
    ("really_eps.png", False, lambda rng: made.eps()),
    ("eps_in_dos.jpg", False, lambda rng: b"\xc5\xd0\xd3\xc6" + struct.pack("<6I", 30, 200, 0, 0, 0, 0) + made.eps()),
    ("really_pdf.png", False, lambda rng: b"%PDF-1.7\n1 0 obj\n"),
    ("really_psd.tif", False, lambda rng: b"8BPS\0\x01" + bytes(6) + struct.pack(">HIIHH", 3, 30000, 30000, 8, 3)),
    ("really_svg.png", False, lambda rng: b"<svg xmlns='http://www.w3.org/2000/svg'><image href='/etc/passwd'/></svg>"),
    ("really_fli.png", False, lambda rng: struct.pack("<IHHHHHH", 128, 0xAF12, 1, 64, 48, 8, 3) + bytes(200)),
    ("huge_frame.jpg", False, lambda rng: made.jpeg_of(65500, 65500)),
    ("bomb_144mp.jpg", False, lambda rng: made.jpeg_of(12000, 12000)),
    ("many_scans.jpg", False, lambda rng: made.jpeg_scans(500)),
    ("cut.jpg", False, lambda rng: made.cut(made.saved("JPEG", (640, 480)), 0.3)),
    ("noise.jpg", False, lambda rng: b"\xff\xd8\xff\xe0" + rng.randbytes(5000)),
    ("huge.webp", False, lambda rng: made.webp(16383, 16383)),
    ("cut.webp", False, lambda rng: made.cut(made.saved("WEBP"), 0.5)),
    ("huge.gif", False, lambda rng: made.gif(65535, 65535)),
    ("huge.bmp", False, lambda rng: made.bmp(30000, 30000)),
    ("broken.heic", False, lambda rng: made.heif(0xFFFFFFF0)),
    ("cut.avif", False, lambda rng: b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf" + rng.randbytes(300)),
    ("huge_tile.tif", False, lambda rng: made.tiff({256: (4, [64]), 257: (4, [48]), 258: (3, [8] * 3), 259: (3, [8]),
        262: (3, [2]), 277: (3, [3]), 322: (4, [2**20]), 323: (4, [2**20]), 324: (4, [8]), 325: (4, [64])},
        bytes(64))),
    ("huge.tif", False, lambda rng: made.tiff({256: (4, [60000]), 257: (4, [60000]), 258: (3, [8] * 3), 259: (3, [8]),
        262: (3, [2]), 273: (4, [8]), 277: (3, [3]), 279: (4, [64])}, bytes(64))),
    ("many_tags.tif", False, lambda rng: b"II*\0\x08\0\0\0\xff\xff" + bytes(100)),
    ("outside.tif", False, lambda rng: b"II*\0\xf0\xff\xff\xff"),
    ("samples.tif", False, lambda rng: made.tiff({256: (4, [64]), 257: (4, [48]), 258: (3, [8]), 259: (3, [1]),
        262: (3, [2]), 273: (4, [8]), 277: (3, [60000]), 279: (4, [64])}, bytes(64))),
    ("preview.dng", False, lambda rng: made.tiff({254: (4, [1]), 256: (4, [8]), 257: (4, [6]), 258: (3, [8]),
        259: (3, [1]), 262: (3, [1]), 273: (4, [8]), 277: (3, [1]), 278: (4, [6]), 279: (4, [48])}, bytes(48))),
    ("float_bomb.tif", True, lambda rng: made.float_tiff(7000, 7000, made.zeros(4 * 7000 * 7000), 8)),
    ("float_cut.tif", True, lambda rng: made.float_tiff(64, 48, bytes(100), 1, length=64 * 48 * 4)),
    ("float_huge.tif", True, lambda rng: made.float_tiff(60000, 60000, bytes(64), 8)),
    ("float_noise_lzw.tif", True, lambda rng: made.float_tiff(64, 48, rng.randbytes(3), 5)),
    ("float_odd.tif", True, lambda rng: made.float_tiff(64, 48, bytes(64), 50000)),
    ("claims_900mp.exr", False, lambda rng: made.exr(30000, 30000)),
    ("claims_49mp.exr", False, lambda rng: made.exr(7000, 7000, chunks=bytes(3000))),
    ("bomb_64mp.exr", False, lambda rng: made.exr_bomb(8000)),
    ("bomb_25mp.exr", False, lambda rng: made.exr_bomb(5000)),
    ("bomb_depth.exr", True, lambda rng: made.exr_bomb(5000)),
    ("cut.exr", False, lambda rng: made.cut(made.good_exr(), 0.7)),
    ("cut_in_header.exr", False, lambda rng: made.cut(made.good_exr(), 0.1)),
    ("noise.exr", False, lambda rng: made.flipped(rng, made.good_exr(), 330)),
    ("negative_window.exr", False, lambda rng: made.exr(-5, -5, chunks=bytes(1000))),
    ("wide_window.exr", False, lambda rng: made.exr(2**31 - 1, 1, chunks=bytes(1000))),
    ("many_channels.exr", False, lambda rng: made.exr(64, 48, channels=5000, chunks=bytes(1000))),
    ("long_attribute.exr", False, lambda rng: struct.pack("<II", 20000630, 2)
        + made.attribute("x", "y", b"", 2**31 - 1)),
    ("deep.exr", False, lambda rng: made.exr(64, 48, flags=0x802, chunks=bytes(1000))),
    ("tiny_tiles.exr", False, lambda rng: made.exr(8000, 8000, flags=0x202, chunks=bytes(1000),
        more=made.attribute("tiles", "tiledesc", struct.pack("<IIB", 1, 1, 0)))),
    ("huge_tiles.exr", False, lambda rng: made.exr(64, 48, flags=0x202, chunks=bytes(1000),
        more=made.attribute("tiles", "tiledesc", struct.pack("<IIB", 2**31, 2**31, 0)))),
    ("claims_2gp.hdr", False, lambda rng: made.hdr("-Y 50000 +X 50000", bytes(100))),
    ("cut.hdr", False, lambda rng: made.hdr("-Y 300 +X 400", b"\x02\x02\x01\x90\xff")),
    ("bomb.hdr", False, lambda rng: made.hdr("-Y 9000 +X 9000", (b"\x02\x02" + struct.pack(">H", 9000)
        + (b"\xff\0" * 70 + b"\xee\0") * 4) * 9000)),
    ("no_size.hdr", False, lambda rng: made.hdr("-Q 1 +Z 2", bytes(100))),
    ("repeat.hdr", False, lambda rng: made.hdr("-Y 4 +X 4", b"\x01\x01\x01\xff" * 64)),
    ("claims.npy", True, lambda rng: made.npy_of("(1000000, 1000000)", data=bytes(64))),
    ("cut.npy", True, lambda rng: made.npy_of("(480, 640)", data=bytes(1000))),
    ("pickle.npy", True, lambda rng: made.pickle()),
    ("negative.npy", True, lambda rng: made.npy_of("(-4, 8)", data=bytes(256))),
    ("nested.npy", True, lambda rng: made.npy("(" * 9000 + ")" * 9000)),
    ("huge_header.npy", True, lambda rng: made.npy(" " * (1 << 22), version=2)),
    ("code.npy", True, lambda rng: made.npy("__import__('os').system('echo')")),
    ("bomb.npz", True, lambda rng: made.npz_bomb(7000)),
    ("lying.npz", True, lambda rng: made.lying_npz()),
    ("pickle.npz", True, lambda rng: made.npz({"depth.npy": made.pickle()})),
    ("many.npz", True, lambda rng: made.npz({f"{n}.npy": b"" for n in range(30000)})),
    ("cut.npz", True, lambda rng: made.cut(made.npz({"depth.npy": made.npy_of("(8, 8)", data=bytes(256))}), 0.6)),
    ("empty.png", False, lambda rng: b""),
    ("program.png", False, lambda rng: b"\x7fELF\x02\x01\x01" + bytes(200)),
)  # fmt: skip
"""All hostile files."""
