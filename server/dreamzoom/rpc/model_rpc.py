"""RPC methods about models: list installed models, describe a download, and download."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from core.errors import BadRequest
from core.protocol.model_offers import OFFERS, SETS
from dreamzoom.engines.diffusion import catalogue, download
from dreamzoom.progress import Report

MOST = 8
"""Maximum number of models in one download."""


def listed() -> dict[str, Any]:
    """The cached models (`models`, of `catalogue.Entry`), and the downloadable `sets`, by GPU memory."""
    return {
        "models": [asdict(entry) for entry in catalogue.entries()],
        "sets": {name: [OFFERS[part].repository for part in parts] for name, parts in SETS.items()},
        "memory": round(catalogue.card_memory(), 1),
    }


def offered(name: Any) -> dict[str, Any]:
    """Describe a download: `offers` with repository, revision, licence, bytes, and missing bytes.

    Args:
        name: A set, one of `model_offers.OFFERS`, or owner/name.

    Raises:
        BadRequest: `name` is not a string.
        DreamzoomError: There is no such model, or the hub can't be reached.
    """
    if not isinstance(name, str):
        raise BadRequest("name", "must be the name of a model or of a set")
    found = [download.listing(repository) for repository in download.repositories(name)]
    return {
        "offers": [
            {
                "repository": one.repository,
                "revision": one.revision,
                "licence": one.licence,
                "bytes": one.bytes,
                "missing": download.missing_bytes(one),
            }
            for one in found
        ]
    }


def fetched(offers: Any, report: Report) -> dict[str, Any]:
    """Download models at the revisions that were offered; returns their `folders`.

    Args:
        offers: Objects with `repository` and `revision`.
        report: Receives the progress of the whole download.

    Raises:
        BadRequest: `offers` has another form.
        DreamzoomError, Cancelled: As in `download.fetch`.
    """
    if not isinstance(offers, list) or not 0 < len(offers) <= MOST or not all(map(_is_offer, offers)):
        raise BadRequest("offers", f"must be 1 to {MOST} objects with repository and revision, as they were offered")
    found = [download.listing(offer["repository"], offer["revision"]) for offer in offers]
    total = max(1, sum(one.bytes for one in found))
    folders, before = [], 0
    for one in found:
        folders.append(str(download.fetch(one, _Part(report, before / total, one.bytes / total, one.repository))))
        before += one.bytes
    return {"folders": folders}


def _is_offer(offer: Any) -> bool:
    return isinstance(offer, dict) and all(isinstance(offer.get(key), str) for key in ("repository", "revision"))


class _Part(Report):
    """Converts the progress of one model to that of the whole download."""

    def __init__(self, report: Report, begin: float, share: float, name: str):
        self._report, self._begin, self._share, self._name = report, begin, share, name

    def progress(self, fraction: float, message: str = "") -> None:
        self._report.progress(self._begin + fraction * self._share, f"{self._name}: {message}" if message else "")

    def check(self) -> None:
        self._report.check()

    def log(self, message: str, *, level: str = "info") -> None:
        self._report.log(message, level=level)
