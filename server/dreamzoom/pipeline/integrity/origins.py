"""Where the artist's files of a request lay on this machine. A job's folder does not tell: it may be shared.

What a job needs is copied into its folder; the paths of the originals stand only in the user's own cache, by the hash
of the request. So a resumed job notices that an original has changed, and finds its models and LoRAs; on another
machine it takes the copies, and names what it does not find. The cache may be deleted.
"""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path

from core.atomic_files import beside
from core.disk import cache_home
from core.safety.bounded_json import read_json

KEPT_DAYS = 365
MOST_BYTES = 1 << 20


def save(request_sha256: str, paths: dict[str, str]) -> None:
    """Remember the absolute paths of a request's files, by field. Does nothing where the cache can't be written."""
    with contextlib.suppress(OSError, UnicodeError):
        if load(request_sha256) == paths:
            return
        folder = _folder()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with beside(folder / f"{request_sha256}.json") as temporary:
            temporary.write_text(json.dumps(paths), encoding="utf-8")
        for other in folder.glob("*.json"):
            if other.stat().st_mtime < time.time() - KEPT_DAYS * 86400:
                other.unlink()


def load(request_sha256: str) -> dict[str, str]:
    """The paths that were remembered for a request, by field; empty if there are none."""
    try:
        found = read_json(_folder() / f"{request_sha256}.json", MOST_BYTES)
    except (OSError, ValueError):
        return {}
    pairs = found.items() if isinstance(found, dict) else ()
    return {field: path for field, path in pairs if isinstance(path, str) and "\0" not in path}


def _folder() -> Path:
    return cache_home() / "dreamzoom" / "origins"
