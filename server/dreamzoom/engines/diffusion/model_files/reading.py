"""JSON and the headers of safetensors files in a model's folder, with limits on size, nesting and count."""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import Any

from core.errors import EngineUnavailable, RefusedFile
from core.safety import limits
from core.safety.bounded_json import decode_json
from core.safety.regular_files import open_regular, read_regular

AGAIN = "download the model again, whole"
PICKLES = {".bin", ".ckpt", ".pt", ".pth", ".pkl", ".pickle", ".msgpack", ".h5"}
BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F8_E5M2FNUZ": 8, "F8_E4M3FNUZ": 8,
    "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32, "I64": 64, "U64": 64, "F64": 64,
    "C64": 64, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
}  # fmt: skip
"""Bits of a number, by the type's name in safetensors files."""
DIMENSIONS = 16


def read_json(file: Path, values: int = limits.MODEL_CONFIG_VALUES) -> dict[str, Any]:
    """A JSON object in a file, of at most so many values. Raises EngineUnavailable."""
    try:
        data = read_regular(file, limits.MODEL_CONFIG_BYTES, links=True)
        value = decode_json(data, str(file), limits.MODEL_CONFIG_BYTES, values=values, finite=False)
    except FileNotFoundError:
        raise EngineUnavailable(f"{file} is missing", AGAIN) from None
    except RefusedFile as error:
        raise EngineUnavailable(f"{file} can't be read as JSON: {without(str(error), file)}", AGAIN) from None
    except OSError as error:
        raise EngineUnavailable(f"{file} can't be read: {error.strerror}", AGAIN) from None
    if not isinstance(value, dict):
        raise EngineUnavailable(f"{file} does not hold a JSON object", AGAIN)
    return value


def read_start(file: Path, characters: int) -> str:
    """The beginning of a text file; empty where there is none that can be read."""
    try:
        with open_regular(file, links=True) as stream:
            return stream.read(characters).decode("utf-8", "replace")
    except (OSError, RefusedFile):
        return ""


def whole_weights(folder: Path) -> list[Path]:
    """The safetensors files of one component, each looked at for completeness. Raises EngineUnavailable."""
    indices = sorted(folder.glob("*.safetensors.index*.json"))
    files = sorted(folder.glob("*.safetensors"))
    if not files and not indices:
        pickled = next((p for p in sorted(folder.iterdir()) if p.suffix in PICKLES), None) if folder.is_dir() else None
        if pickled is not None:
            raise EngineUnavailable(
                f"{folder} holds its weights as a pickle ({shown(pickled.name)}), which could run code and is not "
                "opened",
                "get the model's safetensors version",
            )
        raise EngineUnavailable(f"{folder} holds no weights", AGAIN)
    for index in indices:
        shards = read_json(index, limits.MODEL_VALUES).get("weight_map")
        if not isinstance(shards, dict) or not all(isinstance(name, str) for name in shards.values()):
            raise EngineUnavailable(f"{index} is damaged", AGAIN)
        for name in sorted(set(shards.values())):
            if Path(name).name != name or len(name) > 200 or not (folder / name).is_file():
                raise EngineUnavailable(f"{folder} lacks {shown(name)}, a part of its weights", AGAIN)
    for file in files:
        tensors(file)
    return files


def tensors(file: Path) -> dict[str, Any]:
    """The header of a safetensors file: for each tensor its dtype, shape and data_offsets, all of them checked.

    Not by `safetensors.safe_open`, which gives no offsets, and of a file cut short only "incomplete metadata".

    Raises:
        EngineUnavailable: It is damaged, cut short, no regular file, or above a limit.
    """
    try:
        with open_regular(file, links=True) as stream:
            size = stream.seek(0, 2)
            stream.seek(0)
            (length,) = struct.unpack("<Q", stream.read(8))
            if length > min(size, limits.SAFETENSORS_HEADER_BYTES):
                raise ValueError(f"it claims {length:,} bytes")
            text = stream.read(length)
        header = decode_json(text, "it", limits.SAFETENSORS_HEADER_BYTES, depth=8, values=limits.MODEL_VALUES)
        entries = {name: value for name, value in header.items() if name != "__metadata__"}
        end = _end(entries)
    except RefusedFile as error:
        raise EngineUnavailable(f"{file}: its header can't be read: {without(str(error), file)}", AGAIN) from None
    except OSError as error:
        raise EngineUnavailable(f"{file} can't be read: {error.strerror}", AGAIN) from None
    except (ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise EngineUnavailable(f"{file} is damaged: its header can't be read: {short(error)}", AGAIN) from None
    if size != 8 + length + end:
        raise EngineUnavailable(f"{file} is cut short or damaged: {size} bytes of {8 + length + end}", AGAIN)
    return entries


def numbers_in(entry: dict[str, Any]) -> int:
    """How many numbers a tensor of a header has."""
    return math.prod(entry["shape"])


def shown(value: Any, most: int = 80) -> str:
    """A value out of a file, printable and of at most so many characters."""
    text = str(value) if value is not None else "model without a class"
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text[:most])


def short(error: BaseException) -> str:
    """The text of an exception, in one short line."""
    return shown(" ".join(f"{type(error).__name__}: {error}".split())[:160])


def without(text: str, file: Path) -> str:
    """A message without the file's name, which is already said."""
    return text.removeprefix(f"{file} ").removeprefix(f"{file.name} ")


def _end(entries: dict[str, Any]) -> int:
    """Where the last tensor ends. Raises ValueError, KeyError, TypeError for entries that can't be true."""
    if len(entries) > limits.SAFETENSORS_TENSORS:
        raise ValueError(f"more than {limits.SAFETENSORS_TENSORS:,} tensors")
    last = 0
    for value in entries.values():
        shape, (begin, end), bits = value["shape"], value["data_offsets"], BITS[value["dtype"]]
        if len(shape) > DIMENSIONS or not all(type(side) is int and 0 <= side < 1 << 48 for side in (*shape, begin)):
            raise ValueError("the shape of a tensor")
        if type(end) is not int or end < begin or (end - begin) * 8 != numbers_in(value) * bits:
            raise ValueError("the size of a tensor")
        last = max(last, end)
    return last
