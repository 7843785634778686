"""Downloads models from the Hugging Face hub on the artist's request: first a listing, then the files, each verified.

The only module that uses the network. A download is pinned to the listed revision, resumes after interruptions, and
fetches only data: safetensors, JSON, vocabularies.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, cast

from core.errors import DreamzoomError
from core.protocol.licences import is_non_commercial
from core.protocol.model_offers import OFFERS, SETS
from dreamzoom.engines.diffusion import model_cache
from dreamzoom.progress import Report

ENDINGS = (".safetensors", ".json", ".txt", ".model", ".jinja")
PARTS = {
    "vae", "unet", "transformer", "scheduler", "tokenizer", "tokenizer_2", "tokenizer_3",
    "text_encoder", "text_encoder_2", "text_encoder_3",
}  # fmt: skip
"""Subfolders of a model that are downloaded; other folders are never loaded."""

PIECE = 1 << 20
"""Bytes between two checks for cancellation, and the most that a cancelled download loses."""


@dataclass(frozen=True)
class File:
    """One file of a repository: its size in bytes, and its SHA-256 if the hub provides it (weights)."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Listing:
    """The contents of a download.

    Attributes:
        repository: owner/name.
        revision: The commit, 40 hex digits.
        licence: As stated in the model card; empty if not stated.
        files: The files that will be downloaded.
    """

    repository: str
    revision: str
    licence: str
    files: tuple[File, ...]

    @property
    def bytes(self) -> int:
        """Total size of all files."""
        return sum(file.bytes for file in self.files)

    def line(self) -> str:
        """One line that is shown to the artist for confirmation."""
        licence = self.licence or "no licence stated"
        limit = ", not for commercial use" if is_non_commercial(self.licence) else ""
        return f"{self.repository} at {self.revision[:12]}: {self.bytes / 1e9:.2f} GB, licence {licence}{limit}"


def repositories(name: str) -> list[str]:
    """The repositories of a name: a set for a GPU size, a single offer, or owner/name itself.

    Raises:
        DreamzoomError: The name is none of these.
    """
    if name in SETS:
        return [OFFERS[part].repository for part in SETS[name]]
    if name in OFFERS:
        return [OFFERS[name].repository]
    if name.count("/") == 1 and all(name.split("/")):
        return [name]
    known = ", ".join([*SETS, *OFFERS])
    raise DreamzoomError(f"no model is called {name!r}", f"choose one of {known}, or owner/name of a repository")


def listing(repository: str, revision: str | None = None) -> Listing:
    """Query the hub for the contents of a repository, at the latest or a given revision. Raises DreamzoomError."""
    from huggingface_hub import HfApi

    info = _query_hub(lambda: HfApi().model_info(repository, revision=revision, files_metadata=True), repository)
    files = []
    for entry in info.siblings or []:
        lfs = getattr(entry, "lfs", None)
        files.append(File(entry.rfilename, entry.size or 0, getattr(lfs, "sha256", "") or ""))
    card = info.card_data
    licence = str((card and (card.get("license_name") or card.get("license"))) or "")
    named = {name for offer in OFFERS.values() if offer.repository == repository for name in offer.files}
    wanted = tuple(wanted_files(files, named))
    if not any(file.name.endswith(".safetensors") for file in wanted):
        raise DreamzoomError(f"{repository} contains no safetensors weights", "choose another model")
    return Listing(repository, info.sha, licence, wanted)


def wanted_files(files: list[File], named: Collection[str] = ()) -> list[File]:
    """The files that are needed for loading: no code, no pickles, and only the smaller precision of weights.

    Args:
        files: All of the repository.
        named: The weights that are wanted alone, of a repository of several models; empty for all.
    """
    if named:
        return [file for file in files if file.name in named or file.name == "README.md"]
    whole = any(file.name == "model_index.json" for file in files)
    found = []
    for file in files:
        place = PurePosixPath(file.name)
        depth = len(place.parts)
        inside = depth == 2 and place.parts[0] in PARTS if whole else depth == 1
        top = depth == 1 and file.name in ("model_index.json", "README.md")
        if top or (inside and place.suffix in ENDINGS):
            found.append(file)
    halves = {str(PurePosixPath(f.name).parent) for f in found if ".fp16." in f.name and ".safetensors" in f.name}

    def kept(file: File) -> bool:
        folder = str(PurePosixPath(file.name).parent)
        return ".safetensors" not in file.name or (".fp16." in file.name) == (folder in halves)

    return [file for file in found if kept(file) and ".non_ema." not in file.name]


def fetch(chosen: Listing, report: Report) -> Path:
    """Download the listed files to the cache; returns the model's folder. Finished files are not downloaded again.

    Raises:
        DreamzoomError: The disk is full, the hub can't be reached, or a file fails verification.
        Cancelled: Raised by the report. Partial downloads are kept.
    """
    from huggingface_hub import constants, hf_hub_download

    constants.DOWNLOAD_CHUNK_SIZE = PIECE
    cache = model_cache.cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    missing = missing_bytes(chosen)
    if shutil.disk_usage(cache).free < missing * 1.02:
        raise DreamzoomError(
            f"{cache} needs {missing / 1e9:.1f} GB of free space", "free space there, or set HF_HOME to another disk"
        )
    if not _folder(chosen).exists():
        _folder(chosen).mkdir(parents=True)
        (_folder(chosen) / model_cache.MARK).touch()  # ours to remove; one that was there is another program's too
    told = _DownloadProgress(report, chosen)
    folder = cache
    for file in chosen.files:
        told.file = file
        if file.sha256:
            _fetch_weights(chosen, file, told)
        path = _query_hub(
            lambda name=file.name: hf_hub_download(
                chosen.repository, name, revision=chosen.revision, cache_dir=cache, tqdm_class=cast("Any", told.bar)
            ),
            chosen.repository,
        )
        _check_size(Path(path), file)
        told.finish()
        folder = Path(path).parents[len(PurePosixPath(file.name).parts) - 1]
    reference = folder.parent.parent / "refs" / "main"
    reference.parent.mkdir(exist_ok=True)
    temporary = reference.with_name("main.new")
    temporary.write_text(chosen.revision, encoding="utf-8")
    temporary.replace(reference)
    return folder


def _fetch_weights(chosen: Listing, file: File, told: _DownloadProgress) -> None:
    """Download a large file to the location where the hub's client expects it, resuming an earlier download.

    The client itself would restart such a file. The partial file is stored next to the final location, and moved there
    when it is complete and its hash is correct.
    """
    from huggingface_hub import hf_hub_url
    from huggingface_hub.file_download import are_symlinks_supported, http_get
    from huggingface_hub.utils import build_hf_headers

    folder = _folder(chosen)
    pointer, blob = folder / "snapshots" / chosen.revision / file.name, folder / "blobs" / file.sha256
    if pointer.exists() or blob.exists():
        return
    part = blob.with_name(f"{file.sha256}.incomplete")
    part.parent.mkdir(parents=True, exist_ok=True)
    url = hf_hub_url(chosen.repository, file.name, revision=chosen.revision)
    with part.open("r+b" if part.exists() else "w+b") as stream:
        there = stream.seek(0, os.SEEK_END)
        if there > file.bytes:
            there = stream.seek(0)
            stream.truncate()
        if there < file.bytes:
            _query_hub(
                lambda: http_get(
                    url,
                    stream,
                    resume_size=there,
                    headers=build_hf_headers(),
                    expected_size=file.bytes,
                    tqdm_class=cast("Any", told.bar),
                ),
                chosen.repository,
            )
    if _digest(part, told) != file.sha256:
        part.unlink()
        raise _damaged(file)
    target = blob if are_symlinks_supported(model_cache.cache_folder()) else pointer
    target.parent.mkdir(parents=True, exist_ok=True)
    part.replace(target)


def _digest(path: Path, told: _DownloadProgress) -> str:
    """SHA-256 of a file, computed in chunks with checks for cancellation."""
    whole = hashlib.sha256()
    with path.open("rb") as stream:
        while data := stream.read(PIECE):
            whole.update(data)
            told.check()
    return whole.hexdigest()


def _check_size(path: Path, file: File) -> None:
    """Remove a file whose size differs from the hub's, so that the next download fetches it again, and raise."""
    real = path.resolve()
    if real.stat().st_size != file.bytes:
        real.unlink()
        path.unlink(missing_ok=True)
        raise _damaged(file)


def _damaged(file: File) -> DreamzoomError:
    return DreamzoomError(f"{file.name} was damaged during the download and was removed", "download it again")


def _folder(chosen: Listing) -> Path:
    """The model's folder in the cache."""
    return model_cache.cache_folder() / f"models--{chosen.repository.replace('/', '--')}"


def missing_bytes(chosen: Listing) -> int:
    """Bytes of the files that are not downloaded yet."""
    snapshot = _folder(chosen) / "snapshots" / chosen.revision
    return sum(file.bytes for file in chosen.files if not (snapshot / file.name).exists())


def _query_hub(ask: Callable[[], Any], repository: str) -> Any:
    """Call the hub, and convert its errors to DreamzoomError with a remedy."""
    import httpx2
    from huggingface_hub import errors, is_offline_mode

    if is_offline_mode():
        raise DreamzoomError(
            "downloads are switched off by the environment variable HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE",
            "unset it, start Dreamzoom again, and try again",
        )
    try:
        return ask()
    except errors.GatedRepoError:
        raise DreamzoomError(
            f"{repository} is only available after accepting its licence",
            f"accept it on the page of {repository}, log in with `hf auth login`, and try again",
        ) from None
    except errors.RepositoryNotFoundError:
        raise DreamzoomError(f"the hub has no model {repository}", "check the name") from None
    except (errors.HfHubHTTPError, errors.LocalEntryNotFoundError, httpx2.HTTPError, ConnectionError) as error:
        line = " ".join(str(error).split())[:160]
        raise DreamzoomError(
            f"the connection to the hub failed: {line}", "try again: the download resumes where it stopped"
        ) from None


class _DownloadProgress:
    """Converts the downloader's progress bars to the progress of the whole download."""

    def __init__(self, report: Report, chosen: Listing):
        self._report, self._total = report, max(chosen.bytes, 1)
        self._before = 0
        self._part = 0
        self.file = chosen.files[0]

    def bar(self, *_, initial: int = 0, **__) -> _DownloadProgress:
        """Called by the downloader to create a progress bar."""
        self._part = int(initial or 0)
        return self

    def update(self, count: float = 1) -> None:
        """Add `count` downloaded bytes."""
        self._part += int(count)
        done = min(self._before + self._part, self._total)
        self._report.progress(done / self._total, f"{self.file.name}, {done / 1e9:.2f} of {self._total / 1e9:.2f} GB")

    def check(self) -> None:
        """Check for cancellation."""
        self._report.check()

    def finish(self) -> None:
        """Mark the current file as finished."""
        self._before += self.file.bytes
        self._part = 0
        self._report.progress(min(self._before / self._total, 1.0), self.file.name)

    def close(self) -> None:
        """As a bar."""

    def __enter__(self) -> _DownloadProgress:
        return self

    def __exit__(self, *_) -> None:
        pass
