"""Hostile pictures and depth maps: each is refused by name in one line, quickly and without taking memory.

Each case is a file that is made on the spot. It is read in a process of its own, which reports its time and the growth
of its memory; only what reading adds to a process that has read a good picture before counts.
"""

from __future__ import annotations

import io
import json
import os
import random
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

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
    good.write_bytes(_png(40, 30))
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


def _chunk(kind: bytes, data: bytes, length: int | None = None) -> bytes:
    head = struct.pack(">I", len(data) if length is None else length) + kind + data
    return head + struct.pack(">I", zlib.crc32(kind + data))


def _png(width: int, height: int, *, data: bytes | None = None, extra: bytes = b"", depth: int = 8) -> bytes:
    """A grey PNG; `data` in place of packed zeros, `extra` chunks before it."""
    packed = zlib.compress(b"\0" * min((width * depth // 8 + 1) * height, 1 << 24)) if data is None else data
    head = struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 0)
    chunks = _chunk(b"IHDR", head) + extra + _chunk(b"IDAT", packed) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def _zeros(count: int) -> bytes:
    """`count` zeros packed by zlib, without holding them."""
    packer, parts = zlib.compressobj(9), []
    block = b"\0" * (1 << 20)
    for _ in range(count >> 20):
        parts.append(packer.compress(block))
    return b"".join(parts) + packer.compress(b"\0" * (count & ((1 << 20) - 1))) + packer.flush()


def _saved(kind: str, size=(64, 48), **options) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", size, (9, 90, 200)).save(buffer, kind, **options)
    return buffer.getvalue()


def _cut(data: bytes, share: float) -> bytes:
    return data[: max(int(len(data) * share), 1)]


def _flipped(rng: random.Random, data: bytes, first: int) -> bytes:
    """Data with all bytes from `first` on replaced by random ones."""
    return data[:first] + rng.randbytes(max(len(data) - first, 1))


def _jpeg_of(width: int, height: int) -> bytes:
    """A JPEG whose frame header claims another size than its data have."""
    data = bytearray(_saved("JPEG"))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def _jpeg_scans(count: int) -> bytes:
    data = _saved("JPEG", (512, 512), progressive=True)
    scan = data.index(b"\xff\xda")
    last = data.rindex(b"\xff\xd9")
    return data[:last] + data[scan:last] * count + b"\xff\xd9"


def _tiff(tags: dict[int, tuple[int, list[int]]], data: bytes = b"", order: str = "<") -> bytes:
    """A TIFF with these tags, as {tag: (type, values)}; data at offset 8."""
    codes = {3: "H", 4: "I"}
    at = 8 + len(data)
    entries, more = b"", b""
    place = at + 2 + 12 * len(tags) + 4
    for tag, (kind, values) in sorted(tags.items()):
        packed = struct.pack(f"{order}{len(values)}{codes[kind]}", *values)
        if len(packed) <= 4:
            field = packed.ljust(4, b"\0")
        else:
            field, more = struct.pack(order + "I", place + len(more)), more + packed
        entries += struct.pack(order + "HHI", tag, kind, len(values)) + field
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", at)
    return head + data + struct.pack(order + "H", len(tags)) + entries + b"\0\0\0\0" + more


def _float_tiff(width: int, height: int, data: bytes, compression: int, length: int | None = None, **more) -> bytes:
    tags = {
        256: (4, [width]), 257: (4, [height]), 258: (3, [32]), 259: (3, [compression]), 262: (3, [1]),
        273: (4, [8]), 277: (3, [1]), 278: (4, [height]), 279: (4, [len(data) if length is None else length]),
        339: (3, [3]),
    }  # fmt: skip
    return _tiff(tags | {int(tag[1:]): value for tag, value in more.items()}, data)


def _webp(width: int, height: int) -> bytes:
    """A lossless WebP whose header claims a size."""
    data = bytearray(_saved("WEBP", lossless=True))
    at = data.index(b"VP8L") + 9
    data[at : at + 4] = struct.pack("<I", (width - 1) | (height - 1) << 14)
    return bytes(data)


def _attribute(name: str, kind: str, value: bytes, size: int | None = None) -> bytes:
    length = struct.pack("<i", len(value) if size is None else size)
    return name.encode() + b"\0" + kind.encode() + b"\0" + length + value


def _exr_head(width: int, height: int, *, channels: int = 3, compression: int = 3, more: bytes = b"") -> bytes:
    names = [b"B", b"G", b"R"] + [b"c%d" % n for n in range(max(channels - 3, 0))]
    listed = b"".join(name + b"\0" + struct.pack("<iB3xii", 2, 0, 1, 1) for name in names[:channels]) + b"\0"
    box = struct.pack("<4i", 0, 0, width - 1, height - 1)
    head = _attribute("channels", "chlist", listed) + _attribute("compression", "compression", bytes([compression]))
    head += _attribute("dataWindow", "box2i", box) + _attribute("displayWindow", "box2i", box)
    head += _attribute("lineOrder", "lineOrder", b"\0") + _attribute("pixelAspectRatio", "float", struct.pack("<f", 1))
    head += _attribute("screenWindowCenter", "v2f", bytes(8))
    return head + _attribute("screenWindowWidth", "float", struct.pack("<f", 1)) + more + b"\0"


def _exr(width: int, height: int, *, flags: int = 2, chunks: bytes = b"", **head) -> bytes:
    return struct.pack("<II", 20000630, flags) + _exr_head(width, height, **head) + chunks


def _exr_bomb(side: int) -> bytes:
    """An EXR of zeros whose chunks are all there: each unpacks to a thousand times its size."""
    head = _exr(side, side)
    count = -(-side // 16)
    packed = zlib.compress(bytes(side * 16 * 12), 9)
    place = len(head) + 8 * count
    size = 8 + len(packed)
    table = b"".join(struct.pack("<Q", place + n * size) for n in range(count))
    return head + table + b"".join(struct.pack("<ii", n * 16, len(packed)) + packed for n in range(count))


def _good_exr(folder_free: bool = True) -> bytes:
    """A small good EXR."""
    chunk = zlib.compress(bytes(64 * 16 * 12))
    head = _exr(64, 48)
    place = len(head) + 24
    table = b"".join(struct.pack("<Q", place + n * (8 + len(chunk))) for n in range(3))
    return head + table + b"".join(struct.pack("<ii", n * 16, len(chunk)) + chunk for n in range(3))


def _hdr(size: str, data: bytes = b"") -> bytes:
    return b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n" + size.encode() + b"\n" + data


def _npy(header: str, data: bytes = b"", version: int = 1) -> bytes:
    text = header.encode() + b"\n"
    length = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + length + text + data


def _npy_of(shape: str, kind: str = "<f4", data: bytes = b"") -> bytes:
    return _npy(f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}}}", data)


def _npz(entries: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def _npz_bomb(side: int) -> bytes:
    """A zip of an array of zeros, packed a thousandfold."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("depth.npy", "w") as file:
        file.write(_npy_of(f"({side}, {side})"))
        block = bytes(1 << 20)
        for _ in range(4 * side * side >> 20):
            file.write(block)
    return buffer.getvalue()


def _lying_npz() -> bytes:
    """A zip entry that claims to unpack to much less than it does."""
    data = bytearray(_npz({"depth.npy": _npy_of("(4096, 4096)", data=bytes(4 * 4096 * 4096))}))
    for at in (22, data.index(b"PK\x01\x02") + 24):
        data[at : at + 4] = struct.pack("<I", 1000)
    return bytes(data)


def _pickle() -> bytes:
    code = b"cos\nsystem\n(S'echo'\ntR."
    return _npy_of("(1, 1)", "|O", code)


def _heif(size: int) -> bytes:
    return struct.pack(">I", 24) + b"ftypheic" + bytes(4) + b"heicmif1" + struct.pack(">I", size) + b"meta" + bytes(64)


def _eps() -> bytes:
    return b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 48\n%%EndComments\nshowpage\n%%EOF\n"


def _gif(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6) + b"," + struct.pack(
        "<HHHHB", 0, 0, width, height, 0
    ) + b"\x02\x02D\x01\x00;"  # fmt: skip


def _bmp(width: int, height: int) -> bytes:
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + head


def _text_bomb() -> bytes:
    return _png(64, 48, extra=_chunk(b"zTXt", b"Comment\0\0" + _zeros(200 << 20)) * 3, data=b"")


CASES: tuple[Case, ...] = (
    ("bomb_400mp.png", False, lambda rng: _png(20000, 20000)),
    ("bomb_100mp.png", False, lambda rng: _png(10000, 10000, data=_zeros(10001 * 10000))),
    ("endless_side.png", False, lambda rng: _png(2**31 - 1, 1)),
    ("no_size.png", False, lambda rng: _png(0, 0)),
    ("cut.png", False, lambda rng: _cut(_saved("PNG"), 0.4)),
    ("noise.png", False, lambda rng: _flipped(rng, _saved("PNG"), 33)),
    ("text_bomb.png", False, lambda rng: _text_bomb()),
    ("lying_chunk.png", False, lambda rng: _png(64, 48, extra=_chunk(b"tEXt", b"a\0b", length=0x7FFFFFFF))),
    ("really_eps.png", False, lambda rng: _eps()),
    ("eps_in_dos.jpg", False, lambda rng: b"\xc5\xd0\xd3\xc6" + struct.pack("<6I", 30, 200, 0, 0, 0, 0) + _eps()),
    ("really_pdf.png", False, lambda rng: b"%PDF-1.7\n1 0 obj\n"),
    ("really_psd.tif", False, lambda rng: b"8BPS\0\x01" + bytes(6) + struct.pack(">HIIHH", 3, 30000, 30000, 8, 3)),
    ("really_svg.png", False, lambda rng: b"<svg xmlns='http://www.w3.org/2000/svg'><image href='/etc/passwd'/></svg>"),
    ("really_fli.png", False, lambda rng: struct.pack("<IHHHHHH", 128, 0xAF12, 1, 64, 48, 8, 3) + bytes(200)),
    ("huge_frame.jpg", False, lambda rng: _jpeg_of(65500, 65500)),
    ("bomb_144mp.jpg", False, lambda rng: _jpeg_of(12000, 12000)),
    ("many_scans.jpg", False, lambda rng: _jpeg_scans(500)),
    ("cut.jpg", False, lambda rng: _cut(_saved("JPEG", (640, 480)), 0.3)),
    ("noise.jpg", False, lambda rng: b"\xff\xd8\xff\xe0" + rng.randbytes(5000)),
    ("huge.webp", False, lambda rng: _webp(16383, 16383)),
    ("cut.webp", False, lambda rng: _cut(_saved("WEBP"), 0.5)),
    ("huge.gif", False, lambda rng: _gif(65535, 65535)),
    ("huge.bmp", False, lambda rng: _bmp(30000, 30000)),
    ("broken.heic", False, lambda rng: _heif(0xFFFFFFF0)),
    ("cut.avif", False, lambda rng: b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf" + rng.randbytes(300)),
    ("huge_tile.tif", False, lambda rng: _tiff({256: (4, [64]), 257: (4, [48]), 258: (3, [8] * 3), 259: (3, [8]),
        262: (3, [2]), 277: (3, [3]), 322: (4, [2**20]), 323: (4, [2**20]), 324: (4, [8]), 325: (4, [64])},
        bytes(64))),
    ("huge.tif", False, lambda rng: _tiff({256: (4, [60000]), 257: (4, [60000]), 258: (3, [8] * 3), 259: (3, [8]),
        262: (3, [2]), 273: (4, [8]), 277: (3, [3]), 279: (4, [64])}, bytes(64))),
    ("many_tags.tif", False, lambda rng: b"II*\0\x08\0\0\0\xff\xff" + bytes(100)),
    ("outside.tif", False, lambda rng: b"II*\0\xf0\xff\xff\xff"),
    ("samples.tif", False, lambda rng: _tiff({256: (4, [64]), 257: (4, [48]), 258: (3, [8]), 259: (3, [1]),
        262: (3, [2]), 273: (4, [8]), 277: (3, [60000]), 279: (4, [64])}, bytes(64))),
    ("preview.dng", False, lambda rng: _tiff({254: (4, [1]), 256: (4, [8]), 257: (4, [6]), 258: (3, [8]), 259: (3, [1]),
        262: (3, [1]), 273: (4, [8]), 277: (3, [1]), 278: (4, [6]), 279: (4, [48])}, bytes(48))),
    ("float_bomb.tif", True, lambda rng: _float_tiff(7000, 7000, _zeros(4 * 7000 * 7000), 8)),
    ("float_cut.tif", True, lambda rng: _float_tiff(64, 48, bytes(100), 1, length=64 * 48 * 4)),
    ("float_huge.tif", True, lambda rng: _float_tiff(60000, 60000, bytes(64), 8)),
    ("float_noise_lzw.tif", True, lambda rng: _float_tiff(64, 48, rng.randbytes(3), 5)),
    ("float_odd.tif", True, lambda rng: _float_tiff(64, 48, bytes(64), 50000)),
    ("claims_900mp.exr", False, lambda rng: _exr(30000, 30000)),
    ("claims_49mp.exr", False, lambda rng: _exr(7000, 7000, chunks=bytes(3000))),
    ("bomb_64mp.exr", False, lambda rng: _exr_bomb(8000)),
    ("bomb_25mp.exr", False, lambda rng: _exr_bomb(5000)),
    ("bomb_depth.exr", True, lambda rng: _exr_bomb(5000)),
    ("cut.exr", False, lambda rng: _cut(_good_exr(), 0.7)),
    ("cut_in_header.exr", False, lambda rng: _cut(_good_exr(), 0.1)),
    ("noise.exr", False, lambda rng: _flipped(rng, _good_exr(), 330)),
    ("negative_window.exr", False, lambda rng: _exr(-5, -5, chunks=bytes(1000))),
    ("wide_window.exr", False, lambda rng: _exr(2**31 - 1, 1, chunks=bytes(1000))),
    ("many_channels.exr", False, lambda rng: _exr(64, 48, channels=5000, chunks=bytes(1000))),
    ("long_attribute.exr", False, lambda rng: struct.pack("<II", 20000630, 2) + _attribute("x", "y", b"", 2**31 - 1)),
    ("deep.exr", False, lambda rng: _exr(64, 48, flags=0x802, chunks=bytes(1000))),
    ("tiny_tiles.exr", False, lambda rng: _exr(8000, 8000, flags=0x202, chunks=bytes(1000),
        more=_attribute("tiles", "tiledesc", struct.pack("<IIB", 1, 1, 0)))),
    ("huge_tiles.exr", False, lambda rng: _exr(64, 48, flags=0x202, chunks=bytes(1000),
        more=_attribute("tiles", "tiledesc", struct.pack("<IIB", 2**31, 2**31, 0)))),
    ("claims_2gp.hdr", False, lambda rng: _hdr("-Y 50000 +X 50000", bytes(100))),
    ("cut.hdr", False, lambda rng: _hdr("-Y 300 +X 400", b"\x02\x02\x01\x90\xff")),
    ("bomb.hdr", False, lambda rng: _hdr("-Y 9000 +X 9000", (b"\x02\x02" + struct.pack(">H", 9000)
        + (b"\xff\0" * 70 + b"\xee\0") * 4) * 9000)),
    ("no_size.hdr", False, lambda rng: _hdr("-Q 1 +Z 2", bytes(100))),
    ("repeat.hdr", False, lambda rng: _hdr("-Y 4 +X 4", b"\x01\x01\x01\xff" * 64)),
    ("claims.npy", True, lambda rng: _npy_of("(1000000, 1000000)", data=bytes(64))),
    ("cut.npy", True, lambda rng: _npy_of("(480, 640)", data=bytes(1000))),
    ("pickle.npy", True, lambda rng: _pickle()),
    ("negative.npy", True, lambda rng: _npy_of("(-4, 8)", data=bytes(256))),
    ("nested.npy", True, lambda rng: _npy("(" * 9000 + ")" * 9000)),
    ("huge_header.npy", True, lambda rng: _npy(" " * (1 << 22), version=2)),
    ("code.npy", True, lambda rng: _npy("__import__('os').system('echo')")),
    ("bomb.npz", True, lambda rng: _npz_bomb(7000)),
    ("lying.npz", True, lambda rng: _lying_npz()),
    ("pickle.npz", True, lambda rng: _npz({"depth.npy": _pickle()})),
    ("many.npz", True, lambda rng: _npz({f"{n}.npy": b"" for n in range(30000)})),
    ("cut.npz", True, lambda rng: _cut(_npz({"depth.npy": _npy_of("(8, 8)", data=bytes(256))}), 0.6)),
    ("empty.png", False, lambda rng: b""),
    ("program.png", False, lambda rng: b"\x7fELF\x02\x01\x01" + bytes(200)),
)  # fmt: skip
"""All hostile files."""
