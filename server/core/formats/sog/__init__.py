"""SOG, the format of SuperSplat: pictures of bytes and a meta.json, in one zip (`.sog`) or in a folder.

- `bundle`: the zip or the folder.
- `pictures`: the pictures: their sizes, decoding by whoever registered a decoder, and an encoder of lossless WebP.
- `codebooks`: 256 values, or a palette, that stand for many.
- `reading`, `writing`: splats.
"""

from __future__ import annotations

from ..format import Format
from .bundle import ZIP
from .reading import read
from .writing import write_splats

META = "meta.json"


def _recognises(source, magic: bytes) -> bool:
    """Whether a file is a zip by its first bytes, or a SOG by its name."""
    name = str(getattr(source, "name", source)).lower()
    return magic == ZIP or name.endswith(".sog") or name == META or name.endswith(f".{META}")


FORMAT = Format("SOG", ".sog", _recognises, read, write_splats)
