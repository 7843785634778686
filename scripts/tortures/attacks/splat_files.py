"""Hostile files of splats, made on the spot: each a function that writes one into a folder and returns its path."""

from __future__ import annotations

import gzip
import json
import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Maker = Callable[[Path], Path]

PLY = b"ply\nformat binary_little_endian 1.0\n"
NAMES = [
    *"xyz",
    "f_dc_0",
    "f_dc_1",
    "f_dc_2",
    "opacity",
    "scale_0",
    "scale_1",
    "scale_2",
    "rot_0",
    "rot_1",
    "rot_2",
    "rot_3",
]
FLOATS = "".join(f"property float {name}\n" for name in NAMES).encode()
ROW = 4 * len(NAMES)


def named(name: str, content: bytes | Callable[[], bytes]) -> Maker:
    """Writes this content."""

    def make(folder: Path) -> Path:
        path = folder / name
        path.write_bytes(content() if callable(content) else content)
        return path

    return make


def zeros_packed(count: int, head: bytes = b"", wbits: int = 31) -> bytes:
    """`head` and then `count` zeros, by deflate."""
    packer = zlib.compressobj(9, zlib.DEFLATED, wbits)
    piece = bytes(1 << 22)
    parts = [packer.compress(head)] + [packer.compress(piece) for _ in range(count >> 22)]
    return b"".join([*parts, packer.flush()])


def ply(
    count: object, properties: bytes = FLOATS, before: bytes = b"", kind: bytes = PLY, body: bytes = bytes(ROW)
) -> bytes:
    """A PLY that claims `count` vertices."""
    return kind + before + b"element vertex %s\n" % str(count).encode() + properties + b"end_header\n" + body


def plys() -> dict[str, Maker]:
    text = PLY.replace(b"binary_little_endian", b"ascii")
    lists = b"element face %d\nproperty list %s int i\n"
    chunks = b"".join(b"property float %s\n" % name for name in (b"min_x", b"min_y"))
    packed = b"".join(b"property uint packed_%s\n" % name for name in (b"position", b"rotation", b"scale", b"color"))
    return {
        "ply: 10^17 rows": named("a.ply", ply(10**17)),
        "ply: 10^10 rows": named("a.ply", ply(10**10)),
        "ply: a count of 5000 digits": named("a.ply", ply("9" * 5000)),
        "ply: a negative count": named("a.ply", ply(-1)),
        "ply: 2000 columns": named("a.ply", ply(1, b"".join(b"property float p%d\n" % i for i in range(2000)))),
        "ply: repeated columns": named("a.ply", ply(1, FLOATS * 2)),
        "ply: a header without end": named("a.ply", PLY + b"comment x\n" * (1 << 20)),
        "ply: one line of 4 MB": named("a.ply", PLY + b"comment " + b"x" * (4 << 20)),
        "ply: lists of 2^32 - 1": named("a.ply", ply(1, before=lists % (3, b"uint"), body=b"\xff" * 400)),
        "ply: lists of -1": named("a.ply", ply(1, before=lists % (3, b"char"), body=b"\3" + bytes(12) + b"\xff" * 400)),
        "ply: 10^9 lists": named("a.ply", ply(1, before=lists % (10**9, b"uchar"), body=bytes(1 << 20))),
        "ply: 10^6 uneven lists": named(
            "a.ply", ply(1, before=lists % (10**6, b"uchar"), body=(b"\0" * 9 + b"\1" + bytes(4)) * 120_000)
        ),
        "ply: a list as long as the file says not": named("a.ply", ply(2, b"property list uint double x\n" + FLOATS)),
        "ply: text of 10^9 rows": named("a.ply", ply(10**9, kind=text, body=b"0 " * 999)),
        "ply: text of one line": named("a.ply", ply(9, kind=text, body=b"0 " * (1 << 20))),
        "ply: text with a list of 10^18": named(
            "a.ply", ply(1, b"property list int int i\n" + FLOATS, kind=text, body=b"1" + b"0" * 18 + b" 0" * 40)
        ),
        "ply: text of words": named("a.ply", ply(2, kind=text, body=b"import os " * 30)),
        "ply: no bytes": named("a.ply", b""),
        "ply: compressed, 10^12 chunks": named(
            "a.ply", PLY + b"element chunk 1000000000000\n" + chunks + b"end_header\n"
        ),
        "ply: compressed, packed rows of 10^11": named(
            "a.ply", ply(10**11, packed, before=b"element chunk 1\n" + chunks)
        ),
        "gz: a bomb of zeros": named("a.ply.gz", lambda: zeros_packed(100 << 20)),
        "gz: a bomb that claims as many rows": named(
            "a.ply.gz", lambda: zeros_packed(100 << 20, ply((100 << 20) // ROW))
        ),
        "gz: cut": named("a.ply.gz", gzip.compress(ply(1))[:-9]),
        "gz: in gz in gz": named("a.ply.gz", gzip.compress(gzip.compress(gzip.compress(ply(1))))),
        "gz: noise": named("a.ply.gz", b"\x1f\x8b\x08" + bytes(range(256)) * 4),
    }


def spz_head(version: int = 4, count: int = 1, degree: int = 0, fraction: int = 12, flags: int = 0, streams: int = 5):
    return struct.pack("<4sIIBBBB", b"NGSP", version, count, degree, fraction, flags, streams)


def zstd_bomb(count: int) -> bytes:
    """A whole SPZ of version 4 whose values are all zero."""
    import zstandard

    sizes = [9 * count, count, 3 * count, 3 * count, 4 * count]
    parts = [zstandard.ZstdCompressor(3).compress(bytes(size)) for size in sizes]
    entries = b"".join(struct.pack("<QQ", len(part), size) for part, size in zip(parts, sizes))
    return spz_head(count=count) + struct.pack("<I12x", 32) + entries + b"".join(parts)


def spzs() -> dict[str, Maker]:
    entry = struct.pack("<QQ", 10, 9)
    return {
        "spz: 2^32 - 1 splats": named("a.spz", spz_head(count=(1 << 32) - 1) + struct.pack("<I12x", 32) + entry * 5),
        "spz: 2^32 - 1 splats by gzip": named("a.spz", gzip.compress(spz_head(2, (1 << 32) - 1))),
        "spz: version 2^31": named("a.spz", spz_head(1 << 31) + bytes(99)),
        "spz: degree 255": named("a.spz", spz_head(degree=255) + bytes(99)),
        "spz: table of streams behind the end": named(
            "a.spz", spz_head() + struct.pack("<I12x", (1 << 32) - 1) + bytes(99)
        ),
        "spz: table of streams in the header": named("a.spz", spz_head() + struct.pack("<I12x", 3) + bytes(99)),
        "spz: streams of 2^64 - 1": named("a.spz", spz_head() + struct.pack("<I12x", 32) + b"\xff" * 160),
        "spz: streams that are no zstd": named(
            "a.spz",
            spz_head()
            + struct.pack("<I12x", 32)
            + b"".join(struct.pack("<QQ", 9, n) for n in (9, 1, 3, 3, 4))
            + b"x" * 99,
        ),
        "spz: a bomb of zstd": named("a.spz", lambda: zstd_bomb(6_000_000)),
        "spz: a bomb of gzip": named("a.spz", lambda: zeros_packed(100 << 20, spz_head(2, 10_000_000))),
        "spz: cut": named("a.spz", gzip.compress(spz_head(3, 9))[:-12]),
        "spz: no bytes": named("a.spz", b""),
        "splat: a web page": named("a.splat", b"<!DOCTYPE html><title>404</title>" * 40),
        "splat: 31 bytes": named("a.splat", bytes(31)),
    }


def glb(document: Any, data: bytes = b"") -> bytes:
    """A GLB with this JSON, or these bytes for it."""
    text = document if isinstance(document, bytes) else json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    size = 12 + 8 + len(text) + 8 + len(data)
    return (
        struct.pack("<4sII", b"glTF", 2, size)
        + struct.pack("<I4s", len(text), b"JSON")
        + text
        + struct.pack("<I4s", len(data), b"BIN\0")
        + data
    )


def scene(count: int = 10, **changes: Any) -> dict[str, Any]:
    """A document of `count` splats in one node, all attributes of which are one accessor."""
    extension = {"KHR_gaussian_splatting": {"kernel": "ellipse"}}
    names = (
        "POSITION",
        *(f"KHR_gaussian_splatting:{name}" for name in ("SCALE", "ROTATION", "OPACITY", "SH_DEGREE_0_COEF_0")),
    )
    document = {
        "asset": {"version": "2.0"},
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"mode": 0, "attributes": dict.fromkeys(names, 0), "extensions": extension}]}],
        "buffers": [{"byteLength": 12 * count}],
        "bufferViews": [{"buffer": 0, "byteLength": 12 * count}],
        "accessors": [{"bufferView": 0, "componentType": 5126, "count": count, "type": "VEC3"}],
    }
    return document | changes


def glbs() -> dict[str, Maker]:
    floats = bytes(120)
    view, accessor = scene()["bufferViews"][0], scene()["accessors"][0]
    spz = scene(10)
    spz["meshes"][0]["primitives"][0]["extensions"]["KHR_gaussian_splatting"]["extensions"] = {
        "KHR_gaussian_splatting_compression_spz_2": {"bufferView": 0}
    }
    bomb = spz_head(2, 3_000_000_000)
    chain = [{"children": [index + 1, index + 1]} for index in range(60)] + [{"mesh": 0}]
    many = [{"mesh": 0} for _ in range(9000)]
    documents: dict[str, tuple[Any, bytes]] = {
        "glb: JSON that is none": (b"{" * 99, floats),
        "glb: JSON nested 10^6 times": (b'{"a":' + b"[" * 10**6 + b"]" * 10**6 + b"}", floats),
        "glb: JSON of 10^6 values": (b'{"nodes":[' + b"0," * 10**6 + b"0]}", floats),
        "glb: JSON that is a list": ([1], floats),
        "glb: NaN in JSON": (b'{"nodes":[{"translation":[NaN,0,0],"mesh":0}]}', floats),
        "glb: numbers of 400 digits": (scene(accessors=[accessor | {"count": 10**400}]), floats),
        "glb: 2^40 splats": (scene(accessors=[accessor | {"count": 1 << 40}]), floats),
        "glb: a view outside": (scene(bufferViews=[view | {"byteOffset": 1 << 40}]), floats),
        "glb: a stride of 1": (
            scene(bufferViews=[view | {"byteStride": 1}], accessors=[accessor | {"count": 90}]),
            floats,
        ),
        "glb: a negative offset": (scene(bufferViews=[view | {"byteOffset": -4}]), floats),
        "glb: indices of text": (scene(nodes=[{"mesh": "0"}]), floats),
        "glb: data in a file of the system": (
            scene(buffers=[{"byteLength": 120, "uri": "file:///etc/passwd"}]),
            floats,
        ),
        "glb: sparse": (scene(accessors=[accessor | {"sparse": {"count": 1 << 40}}]), floats),
        "glb: nodes in a circle": (
            scene(nodes=[{"children": [1]}, {"children": [0], "mesh": 0}], scenes=[{"nodes": [0]}]),
            floats,
        ),
        "glb: nodes with 2^60 paths": (scene(nodes=chain, scenes=[{"nodes": [0]}]), floats),
        "glb: a mesh in 9000 places": (scene(2000, nodes=many), bytes(24_000)),
        "glb: a compression that is not known": (scene(extensionsRequired=["EXT_meshopt_compression"]), floats),
        "glb: an SPZ of 3 * 10^9 splats": (
            spz | {"bufferViews": [{"buffer": 0, "byteLength": len(gzip.compress(bomb))}]},
            gzip.compress(bomb),
        ),
        "glb: a mesh": ({"asset": {"version": "2.0"}, "nodes": [{}]}, b""),
    }
    found = {name: named("a.glb", glb(*content)) for name, content in documents.items()}
    whole = glb(scene(), floats)
    return found | {
        "glb: JSON of 4 GB": named("a.glb", whole[:12] + struct.pack("<I", (1 << 32) - 1) + whole[16:]),
        "glb: cut": named("a.glb", whole[:-50]),
        "glb: version 1": named("a.glb", whole[:4] + b"\1" + whole[5:]),
    }


def gltfs() -> dict[str, Maker]:
    """A .gltf that names its data: outside its folder, in what is no file, or far too many."""

    def beside(uri: object, prepare: Callable[[Path], object] = lambda place: None, link: bool = False) -> Maker:
        def make(folder: Path) -> Path:
            place = folder / "scan"
            place.mkdir()
            (folder / "secret.bin").write_bytes(bytes(120))
            if link:
                (place / "l.bin").symlink_to(folder / "secret.bin")
            prepare(place)
            (place / "a.gltf").write_text(json.dumps(scene(buffers=[{"byteLength": 120, "uri": uri}])))
            return place / "a.gltf"

        return make

    def sparse(place: Path) -> None:
        with (place / "b.bin").open("wb") as file:
            file.truncate(1 << 35)

    large = "data:application/octet-stream;base64," + "A" * (20 << 20)
    found = {
        "gltf: data above its folder": beside("../secret.bin"),
        "gltf: data above its folder, escaped": beside("%2e%2e/secret.bin"),
        "gltf: data by a full path": beside(os.devnull),
        "gltf: data by the address of a file": beside("file:///etc/passwd"),
        "gltf: data on another machine": beside("http://127.0.0.1:9/a.bin"),
        "gltf: data that are missing": beside("a.bin"),
        "gltf: data that are a folder": beside("b", lambda place: (place / "b").mkdir()),
        "gltf: data of 32 GiB": beside("b.bin", sparse),
        "gltf: data within it of 20 MB": beside(large),
        "gltf: data within it that are none": beside("data:;base64,####"),
        "gltf: data by a number": beside(7),
        "gltf: a name of 10^6 characters": beside("a" * 10**6),
        "gltf: JSON nested 10^6 times": named("a.gltf", b'{"a":' + b"[" * 10**6 + b"]" * 10**6 + b"}"),
        "gltf: 50 MB of spaces": named("a.gltf", lambda: b" " * (50 << 20)),
    }
    if hasattr(os, "mkfifo"):
        found |= {
            "gltf: data in a link": beside("l.bin", link=True),
            "gltf: data in a pipe": beside("p.bin", lambda place: os.mkfifo(place / "p.bin")),
            "gltf: data in a device": beside("z.bin", lambda place: (place / "z.bin").symlink_to("/dev/zero")),
        }
    return found


def webp(width: int, height: int, kind: bytes = b"VP8L") -> bytes:
    """A lossless WebP of this size in which all pixels are alike."""
    bits = (width - 1) | (height - 1) << 14
    single = 0b00000000101  # a code of one symbol, 0
    data = (
        b"\x2f"
        + struct.pack("<I", bits)
        + (single << 3 | single << 14 | single << 25 | single << 36 | single << 47).to_bytes(8, "little")
    )
    data += b"\0" * (len(data) % 2)
    return b"RIFF" + struct.pack("<I", len(data) + 12) + b"WEBP" + kind + struct.pack("<I", len(data)) + data


def meta(count: object = 16, **changes: Any) -> dict[str, Any]:
    book = np.linspace(-4, 4, 256).tolist()
    return {
        "version": 2,
        "count": count,
        "means": {"mins": [0, 0, 0], "maxs": [1, 1, 1], "files": ["l.webp", "u.webp"]},
        "scales": {"codebook": book, "files": ["s.webp"]},
        "quats": {"files": ["q.webp"]},
        "sh0": {"codebook": book, "files": ["c.webp"]},
    } | changes


def sog(document: Any, picture: bytes, method: int = zipfile.ZIP_STORED, extra: int = 0) -> bytes:
    """A SOG with this metadata, all of whose pictures are this one."""
    import io

    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr("meta.json", document if isinstance(document, bytes) else json.dumps(document))
        for name in ("l.webp", "u.webp", "s.webp", "q.webp", "c.webp"):
            archive.writestr(name, picture)
        for index in range(extra):
            archive.writestr(f"{index}", b"")
    return file.getvalue()


def sogs() -> dict[str, Maker]:
    small = webp(4, 4)
    outside = {"mins": [0, 0, 0], "maxs": [1, 1, 1]}

    def in_folder(files: list[str], link: str = "") -> Maker:
        def make(folder: Path) -> Path:
            (folder / "scan").mkdir()
            (folder / "secret.webp").write_bytes(small)
            if link:
                (folder / "scan" / "l.webp").symlink_to(folder / link)
            path = folder / "scan" / "meta.json"
            path.write_text(json.dumps(meta(means=outside | {"files": files})))
            return path

        return make

    huge = webp(16383, 16383)
    whole = sog(meta(), small)
    end = whole.rindex(b"PK\5\6")
    claims = whole[: end + 8] + struct.pack("<HHL", 65535, 65535, 1 << 31) + whole[end + 16 :]
    return {
        "sog: pictures of 16383 x 16383": named("a.sog", sog(meta(16383 * 16383), huge)),
        "sog: more splats than pixels": named("a.sog", sog(meta(1_000_000), small)),
        "sog: a count of 400 digits": named("a.sog", sog(meta(10**400), small)),
        "sog: a negative count": named("a.sog", sog(meta(-1), small)),
        "sog: a count of text": named("a.sog", sog(meta("16"), small)),
        "sog: a codebook of text": named(
            "a.sog", sog(meta(scales={"codebook": ["x"] * 256, "files": ["s.webp"]}), small)
        ),
        "sog: a codebook of 10^5": named(
            "a.sog", sog(meta(scales={"codebook": [0] * 10**5, "files": ["s.webp"]}), small)
        ),
        "sog: metadata nested 10^5 times": named("a.sog", sog(b"[" * 10**5 + b"]" * 10**5, small)),
        "sog: metadata of 50 MB": named("a.sog", lambda: sog(b" " * (50 << 20), small, zipfile.ZIP_DEFLATED)),
        "sog: a picture of 100 MB of zeros": named(
            "a.sog", lambda: sog(meta(), bytes(100 << 20), zipfile.ZIP_DEFLATED)
        ),
        "sog: a picture with loss": named("a.sog", sog(meta(), webp(4, 4, b"VP8 "))),
        "sog: a picture that is none": named("a.sog", sog(meta(), b"RIFFxxxxWEBPVP8L" + bytes(30))),
        "sog: a cut picture": named("a.sog", sog(meta(), small[:26])),
        "sog: 20 000 files": named("a.sog", lambda: sog(meta(), small, extra=20_000)),
        "sog: a directory of 2 GB": named("a.sog", claims),
        "sog: cut": named("a.sog", whole[: end - 40]),
        "sog: a zip of something else": named("a.zip", sog(b"{}", small).replace(b"meta.json", b"data.json")),
        "sog: version 9": named("a.sog", sog(meta(version=9), small)),
        "sog: a picture above its folder": in_folder(["../secret.webp", "u.webp"]),
        "sog: a picture by its full path": in_folder([os.devnull, "u.webp"]),
        "sog: a picture that is a link": in_folder(["l.webp", "u.webp"], "secret.webp"),
    }


def no_files() -> dict[str, Maker]:
    """What is no file."""

    def pipe(folder: Path) -> Path:
        os.mkfifo(folder / "a.ply")
        return folder / "a.ply"

    def device(folder: Path) -> Path:
        (folder / "a.ply").symlink_to("/dev/zero")
        return folder / "a.ply"

    return {"a pipe": pipe, "a device": device} if hasattr(os, "mkfifo") else {}
