"""Makers of hostile picture and depth files: cut off, lying about their size, or packed a thousandfold."""

from __future__ import annotations

import io
import random
import struct
import zipfile
import zlib


def chunk(kind: bytes, data: bytes, length: int | None = None) -> bytes:
    head = struct.pack(">I", len(data) if length is None else length) + kind + data
    return head + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *, data: bytes | None = None, extra: bytes = b"", depth: int = 8) -> bytes:
    """A grey PNG; `data` in place of packed zeros, `extra` chunks before it."""
    packed = zlib.compress(b"\0" * min((width * depth // 8 + 1) * height, 1 << 24)) if data is None else data
    head = struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 0)
    chunks = chunk(b"IHDR", head) + extra + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def zeros(count: int) -> bytes:
    """`count` zeros packed by zlib, without holding them."""
    packer, parts = zlib.compressobj(9), []
    block = b"\0" * (1 << 20)
    for _ in range(count >> 20):
        parts.append(packer.compress(block))
    return b"".join(parts) + packer.compress(b"\0" * (count & ((1 << 20) - 1))) + packer.flush()


def saved(kind: str, size=(64, 48), **options) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", size, (9, 90, 200)).save(buffer, kind, **options)
    return buffer.getvalue()


def cut(data: bytes, share: float) -> bytes:
    return data[: max(int(len(data) * share), 1)]


def flipped(rng: random.Random, data: bytes, first: int) -> bytes:
    """Data with all bytes from `first` on replaced by random ones."""
    return data[:first] + rng.randbytes(max(len(data) - first, 1))


def jpeg_of(width: int, height: int) -> bytes:
    """A JPEG whose frame header claims another size than its data have."""
    data = bytearray(saved("JPEG"))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def jpeg_scans(count: int) -> bytes:
    data = saved("JPEG", (512, 512), progressive=True)
    scan = data.index(b"\xff\xda")
    last = data.rindex(b"\xff\xd9")
    return data[:last] + data[scan:last] * count + b"\xff\xd9"


def tiff(tags: dict[int, tuple[int, list[int]]], data: bytes = b"", order: str = "<") -> bytes:
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


def float_tiff(width: int, height: int, data: bytes, compression: int, length: int | None = None, **more) -> bytes:
    tags = {
        256: (4, [width]), 257: (4, [height]), 258: (3, [32]), 259: (3, [compression]), 262: (3, [1]),
        273: (4, [8]), 277: (3, [1]), 278: (4, [height]), 279: (4, [len(data) if length is None else length]),
        339: (3, [3]),
    }  # fmt: skip
    return tiff(tags | {int(tag[1:]): value for tag, value in more.items()}, data)


def webp(width: int, height: int) -> bytes:
    """A lossless WebP whose header claims a size."""
    data = bytearray(saved("WEBP", lossless=True))
    at = data.index(b"VP8L") + 9
    data[at : at + 4] = struct.pack("<I", (width - 1) | (height - 1) << 14)
    return bytes(data)


def attribute(name: str, kind: str, value: bytes, size: int | None = None) -> bytes:
    length = struct.pack("<i", len(value) if size is None else size)
    return name.encode() + b"\0" + kind.encode() + b"\0" + length + value


def exr_head(width: int, height: int, *, channels: int = 3, compression: int = 3, more: bytes = b"") -> bytes:
    names = [b"B", b"G", b"R"] + [b"c%d" % n for n in range(max(channels - 3, 0))]
    listed = b"".join(name + b"\0" + struct.pack("<iB3xii", 2, 0, 1, 1) for name in names[:channels]) + b"\0"
    box = struct.pack("<4i", 0, 0, width - 1, height - 1)
    head = attribute("channels", "chlist", listed) + attribute("compression", "compression", bytes([compression]))
    head += attribute("dataWindow", "box2i", box) + attribute("displayWindow", "box2i", box)
    head += attribute("lineOrder", "lineOrder", b"\0") + attribute("pixelAspectRatio", "float", struct.pack("<f", 1))
    head += attribute("screenWindowCenter", "v2f", bytes(8))
    return head + attribute("screenWindowWidth", "float", struct.pack("<f", 1)) + more + b"\0"


def exr(width: int, height: int, *, flags: int = 2, chunks: bytes = b"", **head) -> bytes:
    return struct.pack("<II", 20000630, flags) + exr_head(width, height, **head) + chunks


def exr_bomb(side: int) -> bytes:
    """An EXR of zeros whose chunks are all there: each unpacks to a thousand times its size."""
    head = exr(side, side)
    count = -(-side // 16)
    packed = zlib.compress(bytes(side * 16 * 12), 9)
    place = len(head) + 8 * count
    size = 8 + len(packed)
    table = b"".join(struct.pack("<Q", place + n * size) for n in range(count))
    return head + table + b"".join(struct.pack("<ii", n * 16, len(packed)) + packed for n in range(count))


def good_exr() -> bytes:
    """A small good EXR."""
    chunk = zlib.compress(bytes(64 * 16 * 12))
    head = exr(64, 48)
    place = len(head) + 24
    table = b"".join(struct.pack("<Q", place + n * (8 + len(chunk))) for n in range(3))
    return head + table + b"".join(struct.pack("<ii", n * 16, len(chunk)) + chunk for n in range(3))


def hdr(size: str, data: bytes = b"") -> bytes:
    return b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n" + size.encode() + b"\n" + data


def npy(header: str, data: bytes = b"", version: int = 1) -> bytes:
    text = header.encode() + b"\n"
    length = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + length + text + data


def npy_of(shape: str, kind: str = "<f4", data: bytes = b"") -> bytes:
    return npy(f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}}}", data)


def npz(entries: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def npz_bomb(side: int) -> bytes:
    """A zip of an array of zeros, packed a thousandfold."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("depth.npy", "w") as file:
        file.write(npy_of(f"({side}, {side})"))
        block = bytes(1 << 20)
        for _ in range(4 * side * side >> 20):
            file.write(block)
    return buffer.getvalue()


def lying_npz() -> bytes:
    """A zip entry that claims to unpack to much less than it does."""
    data = bytearray(npz({"depth.npy": npy_of("(4096, 4096)", data=bytes(4 * 4096 * 4096))}))
    for at in (22, data.index(b"PK\x01\x02") + 24):
        data[at : at + 4] = struct.pack("<I", 1000)
    return bytes(data)


def pickle() -> bytes:
    code = b"cos\nsystem\n(S'echo'\ntR."
    return npy_of("(1, 1)", "|O", code)


def heif(size: int) -> bytes:
    return struct.pack(">I", 24) + b"ftypheic" + bytes(4) + b"heicmif1" + struct.pack(">I", size) + b"meta" + bytes(64)


def eps() -> bytes:
    return b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 48\n%%EndComments\nshowpage\n%%EOF\n"


def gif(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6) + b"," + struct.pack(
        "<HHHHB", 0, 0, width, height, 0
    ) + b"\x02\x02D\x01\x00;"  # fmt: skip


def bmp(width: int, height: int) -> bytes:
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + head


def text_bomb() -> bytes:
    return png(64, 48, extra=chunk(b"zTXt", b"Comment\0\0" + zeros(200 << 20)) * 3, data=b"")
