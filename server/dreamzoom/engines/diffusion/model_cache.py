"""Where models lie: any folder, or the standard Hugging Face cache. Never the network."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from huggingface_hub import constants

from core.errors import ModelMissing
from dreamzoom.engines.diffusion.model_files import reading


def cache_folder() -> Path:
    """The Hugging Face cache, where the hub's own client puts it by its environment variables."""
    return Path(constants.HF_HUB_CACHE)


def find(name: str) -> Path:
    """The folder of a model: a path, or owner/name in the cache.

    Raises:
        ModelMissing: It is on this machine under neither.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder.resolve()
    snapshot = snapshot_of(name)
    if snapshot is None:
        raise ModelMissing(
            f"there is no model {name!r} on this machine",
            "`dreamzoom models` lists what there is, `dreamzoom models get NAME` downloads",
        )
    return snapshot


def snapshot_of(name: str) -> Path | None:
    """The cached revision of owner/name that `main` points to, else the newest."""
    parts = name.split("/")
    if len(parts) != 2 or any(part in ("", ".", "..") or not _plain(part) for part in parts):
        return None
    return _current(cache_folder() / f"models--{parts[0]}--{parts[1]}")


def cached() -> Iterator[tuple[str, Path]]:
    """Every model of the cache: owner/name, and the folder of its current revision.

    Not by `huggingface_hub.scan_cache_dir`: it looks at every file, and passes over models that are damaged, which are
    to be listed here with what is wrong with them.
    """
    for place in sorted(cache_folder().glob("models--*--*")):
        snapshot = _current(place)
        if snapshot is not None:
            yield place.name.removeprefix("models--").replace("--", "/", 1), snapshot


MARK = ".dreamzoom"
"""A file in the cached folder of a model that Dreamzoom downloaded; others belong to other programs."""


def is_ours(place: Path) -> bool:
    """Whether Dreamzoom downloaded the model in a folder of the cache."""
    return place.name.startswith("models--") and (place / MARK).is_file()


def name_of(folder: Path) -> tuple[str, str]:
    """A model's name without a path, and its revision where the cache knows it (else empty)."""
    if folder.parent.name == "snapshots" and folder.parent.parent.name.startswith("models--"):
        return folder.parent.parent.name.removeprefix("models--").replace("--", "/", 1), folder.name
    return folder.name, ""


def weights_digest(files: list[Path]) -> str:
    """SHA-256 over names and contents of weight files; cached files are named by their hash already."""
    whole = hashlib.sha256()
    for file in sorted(files, key=lambda file: (file.parent.name, file.name)):
        real = file.resolve()
        stored = real.name if real != file and len(real.name) == 64 else ""
        state = real.stat()
        digest = stored or _digest(real, state.st_size, state.st_mtime_ns)
        whole.update(f"{file.parent.name}/{file.name} {digest}\n".encode())
    return whole.hexdigest()


@lru_cache(maxsize=256)
def _digest(file: Path, size: int, changed: int) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _current(place: Path) -> Path | None:
    name = reading.read_start(place / "refs" / "main", 100).strip()
    if name and _plain(name) and (place / "snapshots" / name).is_dir():
        return place / "snapshots" / name
    snapshots = [path for path in place.glob("snapshots/*") if path.is_dir()]
    return max(snapshots, key=lambda path: path.stat().st_mtime, default=None)


def _plain(part: str) -> bool:
    return part not in (".", "..") and all(char.isalnum() or char in "-_." for char in part)
