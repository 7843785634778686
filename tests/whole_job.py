"""A finished job with the artist's picture, and what may happen to its files."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dreamzoom.pipeline.folder import Folder
from dreamzoom.pipeline.generate import generate
from dreamzoom.pipeline.integrity.verify import verify
from dreamzoom.request.example import example
from dreamzoom.request.validation import convert_request

SPLATS, POINTS = "levels/000/splats.ply", "levels/000/parts/points.npz"
posix = pytest.mark.skipif(os.name == "nt", reason="Windows lets few users make links")


def make(folder, root, **changes):
    """A job of one level with the artist's picture."""
    photo = folder / "My Photos" / "a.png"
    photo.parent.mkdir(exist_ok=True)
    Image.fromarray(np.arange(40 * 60 * 3, dtype=np.uint8).reshape(40, 60, 3)).save(photo)
    raw = example(levels=1, size=(32, 24)) | {"quality": "draft"} | changes
    raw["levels"][0]["image"] = str(photo)
    generate(convert_request(raw), Folder(root))
    return photo


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def damaged(root, **options):
    return [one.file for one in verify(Folder(root), **options).damaged]


def contents(root):
    """All that a job is asked for: not what tells of times."""
    told = (".lock", "journal.jsonl", "inputs.json")
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in Path(root).rglob("*")
        if path.is_file() and path.name not in told and path.parent.name != "stages"
    }
