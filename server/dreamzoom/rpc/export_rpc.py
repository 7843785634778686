"""The method `export`: writes a finished job as one file of splats, for other viewers or for Blender."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import BadRequest
from dreamzoom.progress import Report
from dreamzoom.render.viewer_export.export import ROUNDS, export


def exported(given: dict[str, Any], report: Report) -> dict[str, Any]:
    """The result of the method.

    Args:
        given: The parameters by name; None for those that are missing.
        report: Receives progress and log lines, and raises Cancelled.

    Raises:
        BadRequest: A parameter is wrong.
        DreamzoomError: As `export`.
    """
    out, path = _path(given["out"], "out"), _path(given["path"], "path")
    cameras = None if given["cameras"] is None else _path(given["cameras"], "cameras")
    rounds = ROUNDS if given["rounds"] is None else given["rounds"]
    if not isinstance(rounds, int) or isinstance(rounds, bool):
        raise BadRequest("rounds", "must be a whole number")
    kind = "viewers" if given["kind"] is None else given["kind"]
    up = "" if given["up"] is None else given["up"]
    began = time.monotonic()
    done = export(out, path, report, kind=kind, up=up, rounds=rounds, cameras=cameras)
    found = {"path": str(path), "splats": done.splats, "cameras": done.cameras, "told": done.told()}
    figures = {"before": None, "after": None}
    if done.after:
        figures = {"before": float(np.mean(done.before)), "after": float(np.mean(done.after))}
    return found | figures | {"seconds": time.monotonic() - began}


def _path(value: Any, name: str) -> Path:
    if not isinstance(value, str) or not value or "\0" in value:
        raise BadRequest(name, "is required and must be a path")
    return Path(value)
