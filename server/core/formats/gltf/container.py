"""The container of glTF 2.0: one binary file (GLB), or JSON with its data in files beside it or within itself. Chunks,
JSON, accessors and nodes are checked before use; files are read from the JSON's own folder alone.
"""

from __future__ import annotations

import base64
import binascii
import re
import struct
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import numpy as np

from ...errors import SplatFileError
from ...safety import limits
from ...safety.bounded_json import decode_json
from ...safety.contained import ContainedFolder
from ..source import Source, check_rows, refused

MAGIC = b"glTF"
HEADER = struct.Struct("<4sII")
CHUNK = struct.Struct("<I4s")
COMPONENTS: dict[object, str] = {5120: "i1", 5121: "u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
WIDTHS: dict[object, int] = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}


class Glb:
    """A glTF file: its JSON is read at once, its data when they are asked for.

    Args:
        source: The file: a GLB, or the JSON of a .gltf.

    Attributes:
        name: The file's name.
        document: The JSON.
        size: Bytes of the file, and of the files beside it that were opened.

    Raises:
        SplatFileError: The file is damaged, of another version, or above a limit.
    """

    def __init__(self, source: Source):
        self.name, self.source, self.size = source.name, source, source.size
        self._buffers: dict[int, tuple[Source, int, int]] = {}
        head = source.read(0, HEADER.size + CHUNK.size)
        if head.startswith(MAGIC):
            self.document: Any = self._open_glb(head)
        elif source.name.lower().endswith(".gltf"):
            self.document = self._decoded(source.read(0, limits.GLB_JSON_BYTES + 1))
        else:
            raise SplatFileError(f"{self.name}: not a GLB file, or truncated")

    def _open_glb(self, head: bytes) -> dict[str, Any]:
        """Check the chunks of a GLB; returns its JSON."""
        source = self.source
        if len(head) < HEADER.size + CHUNK.size:
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
        document = self._decoded(source.read(len(head), size))
        place, found = self._binary_chunk(len(head) + size, min(length, source.size))
        buffers = document.get("buffers")
        first = buffers[0] if isinstance(buffers, list) and buffers else None
        if not (isinstance(first, dict) and "uri" in first):
            self._buffers[0] = source, place, found
        return document

    def _decoded(self, text: bytes) -> dict[str, Any]:
        with refused(self.name):
            found = decode_json(text, "its JSON", limits.GLB_JSON_BYTES, values=limits.GLB_JSON_VALUES)
        if not isinstance(found, dict):
            raise SplatFileError(f"{self.name}: the GLB's JSON is no object")
        return found

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

    def view(self, index: object) -> tuple[Source, int, int, int]:
        """What holds a buffer view, the byte offset there, the size and the stride (0 for packed)."""
        view = self.item("bufferViews", index)
        source, place, most = self._buffer(view.get("buffer"))
        start, size, stride = (self._whole(view, key) for key in ("byteOffset", "byteLength", "byteStride"))
        if start + size > most:
            raise SplatFileError(f"{self.name}: the GLB's bufferViews[{index}] is larger than its data: it is damaged")
        return source, place + start, size, stride

    def _buffer(self, index: object) -> tuple[Source, int, int]:
        """What holds a buffer, the byte offset there and the size."""
        buffer = self.item("buffers", index)
        assert isinstance(index, int)
        if index not in self._buffers:
            if len(self._buffers) >= limits.GLB_BUFFERS:
                raise SplatFileError(f"{self.name}: its data are in more than {limits.GLB_BUFFERS} files")
            source = self._opened(buffer.get("uri"))
            self.size += source.size
            if self.size > limits.SPLAT_FILE_BYTES:
                raise SplatFileError(f"{self.name}: its files have more than {limits.SPLAT_FILE_BYTES >> 30} GiB")
            self._buffers[index] = source, 0, source.size
        return self._buffers[index]

    def _opened(self, uri: object) -> Source:
        """A file beside this one, or the bytes in a data URI."""
        if not isinstance(uri, str):
            raise SplatFileError(f"{self.name}: a buffer of the GLB has no data")
        inside = re.match(r"data:[\w./+-]*;base64,", uri)
        if inside:
            try:
                return Source(self.source.path, base64.b64decode(uri[inside.end() :], validate=True))
            except binascii.Error as error:
                raise SplatFileError(f"{self.name}: the data within it are damaged ({error})") from None
        name = unquote(uri)
        try:
            with refused(self.name):
                path = ContainedFolder(self.source.path.parent).path(name)
            return Source(path)
        except SplatFileError as error:
            text = str(error)
            raise SplatFileError(text if text.startswith(self.name) else f"{self.name}: {text}", error.remedy) from None
        except FileNotFoundError:
            raise SplatFileError(
                f"{self.name}: its file {name[:80]!r} is not beside it", "put it there, or export one GLB file"
            ) from None

    def bytes_of(self, index: object) -> bytes:
        """The bytes of a buffer view."""
        source, start, size, _ = self.view(index)
        return source.read(start, size)

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
        source, place, size, stride = self.view(accessor["bufferView"])
        start, item = self._whole(accessor, "byteOffset"), np.dtype(code).itemsize
        stride = stride or found * item
        if stride < found * item or (count and start + stride * (count - 1) + found * item > size):
            raise SplatFileError(
                f"{self.name}: the GLB claims {count:,} splats, more than its accessors[{index}] has data for"
            )
        if not count:
            return np.zeros((0, width), np.float32)
        data = source.rows(np.uint8, stride * (count - 1) + found * item, place + start)
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
