"""glTF 2.0 with splats, as GLB or as .gltf with its data beside it: the ratified extension KHR_gaussian_splatting, and
its compression by SPZ.

- `container`: the file's chunks, JSON, nodes and accessors.
- `reading`, `writing`: splats.
"""

from __future__ import annotations

from ..format import Format
from .container import MAGIC
from .reading import read
from .writing import write_splats


def _recognises(source, magic: bytes) -> bool:
    """Whether a file is a glTF by its first bytes or its name."""
    return magic == MAGIC or str(getattr(source, "path", source)).lower().endswith((".glb", ".gltf"))


FORMAT = Format("glTF", ".glb", _recognises, read, write_splats, "Y", keeps_origin=True)
