"""Variants of PLY and SPZ files of the same splats: orders, types, line ends, lists, comments; and headers that lie."""

from __future__ import annotations

import gzip
import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import plyfile
from hypothesis import strategies as st

from core import formats
from core.errors import SplatFileError
from core.formats import axes
from core.gaussians import FLATNESS, Gaussians

TYPES = {
    "float": "f4", "float32": "f4", "double": "f8", "float64": "f8", "char": "i1", "uchar": "u1", "uint8": "u1",
    "short": "i2", "ushort": "u2", "int": "i4", "int32": "i4", "uint": "u4",
}  # fmt: skip
KINDS = {"binary_little_endian": "<", "binary_big_endian": ">", "ascii": ""}
SAYINGS = {
    "": "-Y",
    "made by someone": "-Y",
    "Vertical Axis: z": "Z",
    "Vertical axis: 0 1 0": "Y",
    "up: -y": "-Y",
    "coordinate system: RUB": "Y",
    "EPSG:25832": "Z",
    "axes RFU": "Z",
}


@dataclass(frozen=True)
class Variant:
    """A way to write the same splats.

    Attributes:
        kind: Of PLY.
        end: Of lines.
        degree: Of harmonics.
        order: Seed of the order of columns, and of all random values.
        types: Of floats, one for all columns.
        colour: "f_dc", "rgb" or "both".
        extra: Types of further columns.
        lists: Whether the vertex table has a list.
        before, after: Rows of a table before and behind it; negative for lists of different lengths.
        saying: A comment.
        normals, flat, packed: Whether there are normals, no third scale, gzip.
        lie: What the header says wrong, "" for nothing.
    """

    kind: str
    end: str
    degree: int
    order: int
    types: str
    colour: str
    extra: tuple[str, ...]
    lists: bool
    before: int
    after: int
    saying: str
    normals: bool
    flat: bool
    packed: bool
    lie: str


LIES = ("count", "few", "type", "drop", "swap", "list", "format", "twice", "word")


def variants() -> st.SearchStrategy[Variant]:
    """All of them; a third lies."""
    return st.builds(
        Variant,
        kind=st.sampled_from(sorted(KINDS)),
        end=st.sampled_from(["\n", "\r\n", "\r"]),
        degree=st.integers(0, 3),
        order=st.integers(0, 10**6),
        types=st.sampled_from(["float", "float32", "double", "float64"]),
        colour=st.sampled_from(["f_dc", "rgb", "both"]),
        extra=st.lists(st.sampled_from(sorted(TYPES)), max_size=4).map(tuple),
        lists=st.booleans(),
        before=st.integers(-4, 4),
        after=st.integers(-2, 2),
        saying=st.sampled_from(sorted(SAYINGS)),
        normals=st.booleans(),
        flat=st.booleans(),
        packed=st.booleans(),
        lie=st.sampled_from([""] * 2 * len(LIES) + list(LIES)),
    )


def truth(variant: Variant, count: int = 23) -> Gaussians:
    """The splats of a variant."""
    rng = np.random.default_rng(variant.order)
    turns = rng.standard_normal((count, 4)).astype(np.float32)
    logs = rng.uniform(-8, -2, (count, 3)).astype(np.float32)
    if variant.flat:
        logs[:, 2] = logs[:, :2].min(1) + FLATNESS
    return Gaussians(
        rng.uniform(-1, 1, (count, 3)).astype(np.float32),
        logs,
        turns / np.linalg.norm(turns, axis=-1, keepdims=True),
        rng.uniform(-4, 4, count).astype(np.float32),
        rng.uniform(-0.9, 0.9, (count, (variant.degree + 1) ** 2, 3)).astype(np.float32),
    )


def columns_of(variant: Variant) -> dict[str, tuple[str, np.ndarray]]:
    """Type and values of each column, in the variant's order."""
    splats, rng = truth(variant), np.random.default_rng(variant.order + 1)
    count, kind = len(splats), variant.types
    found: dict[str, tuple[str, np.ndarray]] = {}
    for names, values in (
        ("x y z", splats.means),
        ("scale_0 scale_1 scale_2", splats.log_scales),
        ("rot_0 rot_1 rot_2 rot_3", splats.quaternions),
        ("opacity", splats.logit_opacities[:, None]),
    ):
        found |= {name: (kind, column) for name, column in zip(names.split(), values.T)}
    if variant.flat:
        del found["scale_2"]
    if variant.colour != "rgb":
        found |= {f"f_dc_{index}": (kind, column) for index, column in enumerate(splats.sh[:, 0].T)}
    if variant.colour != "f_dc":
        levels = np.clip(np.round(splats.rgb * 255), 0, 255)
        found |= {name: ("uchar", column) for name, column in zip(("red", "green", "blue"), levels.T)}
    rest = splats.sh[:, 1:].transpose(0, 2, 1).reshape(count, -1)
    found |= {f"f_rest_{index}": (kind, column) for index, column in enumerate(rest.T)}
    if variant.normals:
        found |= {name: (kind, np.zeros(count)) for name in ("nx", "ny", "nz")}
    for index, code in enumerate(variant.extra):
        found[f"own_{index}"] = (code, rng.integers(0, 100, count))
    names = rng.permutation(list(found))
    return {str(name): found[str(name)] for name in names}


def content(variant: Variant) -> bytes:
    """The bytes of a variant."""
    columns, rng = columns_of(variant), np.random.default_rng(variant.order + 2)
    count = len(next(iter(columns.values()))[1])
    fields: list[tuple[str, str, Any]] = [(name, code, values) for name, (code, values) in columns.items()]
    if variant.lists:
        lists = [rng.integers(0, 99, 2 if variant.before >= 0 else rng.integers(0, 4)) for _ in range(count)]
        fields.insert(int(rng.integers(0, len(fields))), ("neighbours", "list uchar short", lists))
    tables = [("vertex", count, fields)]
    for name, rows, place in (("face", variant.before, 0), ("camera", variant.after, 9)):
        if rows:
            lists = [rng.integers(0, 9, 3 if rows > 0 else rng.integers(0, 5)) for _ in range(abs(rows))]
            tables.insert(
                place, (name, abs(rows), [("i", "list uchar int", lists), ("w", "float", np.ones(abs(rows)))])
            )
    lines = ["ply", f"format {variant.kind} 1.0", f"comment {variant.saying}", "obj_info none  here"]
    for name, rows, some in tables:
        lines += [f"element {name} {rows}", *(f"property {code} {field}" for field, code, _ in some), "comment between"]
    lines = _with_lie(variant, [*lines, "end_header"])
    data = (variant.end.join(lines) + variant.end).encode()
    data += b"".join(_rows(variant, rows, some) for _, rows, some in tables)
    return gzip.compress(data, 1) if variant.packed else data


def _rows(variant: Variant, count: int, fields: list[tuple[str, str, Any]]) -> bytes:
    order, parts = KINDS[variant.kind], []
    for row in range(count):
        words: list[str] = []
        for _, code, values in fields:
            kinds = code.split()
            numbers = values[row] if kinds[0] == "list" else [values[row]]
            kind = np.dtype(TYPES[kinds[-1]])
            if kinds[0] == "list":
                words.append(str(len(numbers)))
                parts += [bytes([len(numbers)])] if order else []
            words += [repr(kind.type(number).item()) for number in numbers]
            parts += [np.array(numbers, kind.newbyteorder(">" if order == ">" else "<")).tobytes()] if order else []
        parts += [] if order else [(" ".join(words) + variant.end).encode()]
    return b"".join(parts)


def _with_lie(variant: Variant, lines: list[str]) -> list[str]:
    rng = np.random.default_rng(variant.order + 3)
    properties = [index for index, line in enumerate(lines) if line.startswith("property")]
    one, other = (int(index) for index in rng.choice(properties, 2, replace=False))
    vertex = next(index for index, line in enumerate(lines) if line.startswith("element vertex"))
    if variant.lie == "count":
        lines[vertex] = f"element vertex {rng.integers(24, 10**9)}"
    elif variant.lie == "few":
        lines[vertex] = f"element vertex {rng.integers(0, 23)}"
    elif variant.lie == "type":
        lines[one] = re.sub(r"(float|double)\d*", "uchar", lines[one])
    elif variant.lie == "drop":
        del lines[one]
    elif variant.lie == "swap":
        lines[one], lines[other] = lines[other], lines[one]
    elif variant.lie == "list":
        lines[one] = lines[one].replace("property ", "property list uchar ", 1)
    elif variant.lie == "format":
        lines[1] = "format binary_big_endian 1.0" if "little" in lines[1] else "format binary_little_endian 1.0"
    elif variant.lie == "twice":
        lines.insert(one, lines[one])
    elif variant.lie == "word":
        lines.insert(one, "surprise 1 2")
    return lines


def check(variant: Variant, folder: Path) -> str:
    """Read a variant: "read", "noted" or "refused".

    Raises:
        AssertionError: It was read as what it is not, without a word.
    """
    data = content(variant)
    path = folder / ("a.ply.gz" if variant.packed else "a.ply")
    path.write_bytes(data)
    try:
        found = formats.read(path)
    except SplatFileError as error:
        assert variant.lie, f"{error}: {variant}"
        assert str(error).startswith(path.name), str(error)
        assert "\n" not in str(error), str(error)
        return "refused"
    if variant.lie:
        if found.dropped or found.notes:
            return "noted"
        try:
            other = _by_plyfile(gzip.decompress(data) if variant.packed else data, variant)
        except plyfile.PlyParseError:  # it is stricter with numbers in texts
            other = truth(variant)
        _assert_like(found.splats, other, variant)
        return "read"
    assert np.array_equal(found.axes.matrix, axes.UPRIGHT[SAYINGS[variant.saying]]), variant
    _assert_like(found.splats, truth(variant), variant)
    return "read"


def _by_plyfile(data: bytes, variant: Variant) -> Gaussians:
    """What an independent reader finds; it knows no carriage returns alone."""
    head, end, body = data.partition(b"end_header" + variant.end.encode())
    if variant.end == "\r":
        body = body.replace(b"\r", b"\n") if not KINDS[variant.kind] else body
        head, end = head.replace(b"\r", b"\n"), end.replace(b"\r", b"\n")
    vertex = plyfile.PlyData.read(io.BytesIO(head + end + body))["vertex"].data
    names = vertex.dtype.names or ()

    def of(*wanted: str) -> np.ndarray:
        return np.stack([np.asarray(vertex[name], np.float32) for name in wanted], 1)

    logs = np.full((len(vertex), 3), np.nan, np.float32)
    logs[:, :2] = of("scale_0", "scale_1")
    logs[:, 2] = vertex["scale_2"] if "scale_2" in names else logs[:, :2].min(1) + FLATNESS
    rest = [f"f_rest_{index}" for index in range(sum(name.startswith("f_rest_") for name in names))]
    sh = np.zeros((len(vertex), 1 + len(rest) // 3, 3), np.float32)
    if "f_dc_0" in names:
        sh[:, 0] = of("f_dc_0", "f_dc_1", "f_dc_2")
    else:
        sh[:, 0] = (of("red", "green", "blue") / 255 - 0.5) / 0.28209479177387814
    if rest:
        sh[:, 1:] = of(*rest).reshape(len(vertex), 3, -1).transpose(0, 2, 1)
    turns = of("rot_0", "rot_1", "rot_2", "rot_3")
    lengths = np.linalg.norm(turns, axis=1, keepdims=True)
    turns = np.where(lengths > 0, turns / np.maximum(lengths, 1e-30), (1, 0, 0, 0)).astype(np.float32)
    opacity = vertex["opacity"]
    if opacity.dtype.kind == "u":
        opacity = np.log(np.clip(opacity / 255, 1e-6, 1 - 1e-6) / (1 - np.clip(opacity / 255, 1e-6, 1 - 1e-6)))
    return Gaussians(of("x", "y", "z"), logs, turns, np.asarray(np.clip(opacity, -30, 30), np.float32), sh)


def _assert_like(found: Gaussians, true: Gaussians, variant: Variant) -> None:
    assert len(found) == len(true), variant
    tolerances = (1e-6, 1e-4, 1e-4, 1e-4, 1e-5)
    for now, was, tolerance in zip(found.parts, true.parts, tolerances):
        assert now.shape == was.shape, variant
        if now is found.sh and variant.colour == "rgb":
            now, was, tolerance = now[:, 1:], was[:, 1:], 1e-5
        assert np.allclose(now, was, rtol=1e-4, atol=tolerance), variant
    assert np.abs(found.rgb - true.rgb).max(initial=0) < 1 / 255, variant
