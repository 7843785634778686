"""The container of glTF 2.0 in one binary file (GLB): chunks, JSON, accessors and nodes, all checked before use."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import numpy as np

from ...errors import SplatFileError
from ...safety import limits
from ...safety.bounded_json import decode_json
from ..source import Source, check_rows, refused

MAGIC = b"glTF"
HEADER = struct.Struct("<4sII")
CHUNK = struct.Struct("<I4s")
COMPONENTS: dict[object, str] = {5120: "i1", 5121: "u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
WIDTHS: dict[object, int] = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}


class Glb:
    """A GLB file: its JSON is read at once, its data when they are asked for.

    Args:
        source: The file.

    Attributes:
        name: The file's name.
        document: The JSON.

    Raises:
        SplatFileError: The file is damaged, of another version, or above a limit.
    """

    def __init__(self, source: Source):
        self.name, self.source = source.name, source
        head = source.read(0, HEADER.size + CHUNK.size)
        if len(head) < HEADER.size + CHUNK.size or not head.startswith(MAGIC):
            raise SplatFileError(f"{self.name}: not a GLB file, or truncated")
        _, version, length = HEADER.unpack_from(head)
        if version != 2:
            raise SplatFileError(f"{self.name}: is glTF of version {version}; only 2 is read")
        size, kind = CHUNK.unpack_from(head, HEADER.size)
        if kind != b"JSON" or size > limits.GLB_JSON_BYTES:
            raise SplatFileError(
                f"{self.name}: the GLB's JSON is damaged, or has more than {limits.GLB_JSON_BYTES:,} bytes"
            )
        if length > source.size or len(head) + size > source.size:
            raise SplatFileError(f"{self.name}: the GLB is truncated", "copy or export it again")
        with refused(self.name):
            self.document: Any = decode_json(
                source.read(len(head), size), "its JSON", limits.GLB_JSON_BYTES, values=limits.GLB_JSON_VALUES
            )
        if not isinstance(self.document, dict):
            raise SplatFileError(f"{self.name}: the GLB's JSON is no object")
        self._data = self._binary_chunk(len(head) + size, min(length, source.size))

    def _binary_chunk(self, place: int, end: int) -> tuple[int, int]:
        """The byte offset and the size of the binary chunk."""
        while place + CHUNK.size <= end:
            size, kind = CHUNK.unpack(self.source.read(place, CHUNK.size))
            place += CHUNK.size
            if place + size > end:
                raise SplatFileError(f"{self.name}: the GLB is truncated", "copy or export it again")
            if kind == b"BIN\0":
                return place, size
            place += size
        return 0, 0

    def item(self, kind: str, index: object) -> dict[str, Any]:
        """An object of one of the JSON's lists, such as "accessors"."""
        items = self.document.get(kind)
        if not isinstance(items, list) or type(index) is not int or not 0 <= index < len(items):
            raise SplatFileError(f"{self.name}: the GLB refers to {kind}[{index!r:.20}], which it has not")
        if not isinstance(items[index], dict):
            raise SplatFileError(f"{self.name}: the GLB's {kind}[{index}] is no object")
        return items[index]

    def view(self, index: object) -> tuple[int, int, int]:
        """The byte offset in the file, the size and the stride (0 for packed) of a buffer view."""
        view = self.item("bufferViews", index)
        buffer = self.item("buffers", view.get("buffer"))
        if view.get("buffer") != 0 or "uri" in buffer:
            raise SplatFileError(f"{self.name}: its data are in another file", "export it as one GLB file")
        start, size, stride = (self._whole(view, key) for key in ("byteOffset", "byteLength", "byteStride"))
        if start + size > self._data[1]:
            raise SplatFileError(f"{self.name}: the GLB's bufferViews[{index}] is larger than its data: it is damaged")
        return self._data[0] + start, size, stride

    def bytes_of(self, index: object) -> bytes:
        """The bytes of a buffer view."""
        start, size, _ = self.view(index)
        return self.source.read(start, size)

    def count_of(self, index: object) -> int:
        """The number of elements of an accessor."""
        count = self._whole(self.item("accessors", index), "count")
        check_rows(self.name, count)
        return count

    def values(self, index: object, width: int) -> np.ndarray:
        """The elements of an accessor, (count, width) float32; integers that stand for numbers in ±1 are those.

        Raises:
            SplatFileError: It has another width, or does not fit its data.
        """
        accessor = self.item("accessors", index)
        count, code = self.count_of(index), COMPONENTS.get(accessor.get("componentType"), "")
        if "sparse" in accessor or not code:
            raise SplatFileError(f"{self.name}: the GLB's accessors[{index}] is of a kind that is not read")
        found = WIDTHS.get(accessor.get("type"), 0)
        if found != width and not (width == 3 and found == 4):
            raise SplatFileError(f"{self.name}: the GLB's accessors[{index}] has not {width} values per splat")
        if "bufferView" not in accessor:
            raise SplatFileError(f"{self.name}: the GLB's accessors[{index}] has no data")
        place, size, stride = self.view(accessor["bufferView"])
        start, item = self._whole(accessor, "byteOffset"), np.dtype(code).itemsize
        stride = stride or found * item
        if stride < found * item or (count and start + stride * (count - 1) + found * item > size):
            raise SplatFileError(
                f"{self.name}: the GLB claims {count:,} splats, more than its accessors[{index}] has data for"
            )
        if not count:
            return np.zeros((0, width), np.float32)
        data = self.source.rows(np.uint8, stride * (count - 1) + found * item, place + start)
        if len(data) < stride * (count - 1) + found * item:
            raise SplatFileError(f"{self.name}: the file became shorter while it was read")
        packed = np.ndarray((count, width), code, data, 0, (stride, item))
        values = packed.astype(np.float32)
        if accessor.get("normalized") and packed.dtype.kind in "iu":
            values = np.maximum(values / np.float32(np.iinfo(packed.dtype).max), -1)
        return values

    def nodes(self) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
        """The nodes of the scene with their transforms to it, (4, 4) float64."""
        children = [(index, np.eye(4)) for index in reversed(self._roots())]
        seen: set[int] = set()
        while children:
            index, above = children.pop()
            node = self.item("nodes", index)
            if index in seen or len(seen) >= limits.GLB_NODES:
                raise SplatFileError(f"{self.name}: the GLB's nodes form no tree or exceed {limits.GLB_NODES:,}")
            seen.add(index)
            matrix = above @ self._matrix_of(node)
            yield node, matrix
            below = node.get("children", [])
            if isinstance(below, list):
                children += [(child, matrix) for child in reversed(below)]

    def _roots(self) -> list:
        if isinstance(self.document.get("scenes"), list) and self.document["scenes"]:
            roots = self.item("scenes", self.document.get("scene", 0)).get("nodes", [])
            return roots if isinstance(roots, list) else []
        nodes = self.document.get("nodes")
        nodes = [node for node in nodes if isinstance(node, dict)] if isinstance(nodes, list) else []
        lists = [node["children"] for node in nodes if isinstance(node.get("children"), list)]
        below = {child for some in lists for child in some if type(child) is int}
        return [index for index in range(len(nodes)) if index not in below]

    def _matrix_of(self, node: dict[str, Any]) -> np.ndarray:
        """A node's own transform: its matrix, or translation, rotation (xyzw) and scale."""
        if "matrix" in node:
            return self._numbers(node, "matrix", np.eye(4).ravel()).reshape(4, 4).T
        matrix = np.eye(4)
        x, y, z, w = self._numbers(node, "rotation", np.array([0.0, 0, 0, 1]))
        length = max(x * x + y * y + z * z + w * w, 1e-30)
        cross = np.array([(0, -z, y), (z, 0, -x), (-y, x, 0)])
        turn = np.eye(3) + 2 / length * (w * cross + cross @ cross)
        matrix[:3, :3] = turn * self._numbers(node, "scale", np.ones(3))
        matrix[:3, 3] = self._numbers(node, "translation", np.zeros(3))
        return matrix

    def _numbers(self, node: dict[str, Any], key: str, default: np.ndarray) -> np.ndarray:
        found = node.get(key, default)
        try:
            values = np.array(found, np.float64)
        except (ValueError, TypeError, OverflowError):
            values = np.zeros(0)
        if values.shape != default.shape or not np.isfinite(values).all():
            raise SplatFileError(f"{self.name}: the GLB has a node whose {key} is no {len(default)} numbers")
        return values

    def _whole(self, item: dict[str, Any], key: str) -> int:
        value = item.get(key, 0)
        if type(value) is not int or not 0 <= value < 1 << 48:
            raise SplatFileError(f"{self.name}: the GLB has a {key} that is no number of bytes or rows")
        return value
