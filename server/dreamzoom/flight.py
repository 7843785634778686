"""The flight along a job's path: by the server's own rasteriser, and the procedural engine's truth beside it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core import fading
from core.camera import Camera
from core.errors import BadRequest, EngineUnavailable
from core.formats.splat_ply import read_splats
from core.gaussians import Gaussians, joined, moved
from dreamzoom import wire
from dreamzoom.engines import registry
from dreamzoom.geometry.zoom_path import Key, ZoomPath
from dreamzoom.pipeline.folder import Folder
from dreamzoom.pipeline.generate import read_request, read_result
from dreamzoom.report import Report
from dreamzoom.splats.rasterize import Raster, rasterize
from dreamzoom.stages.base import files

WINDOW = 3
"""Levels more than this far above the current zoom are outside the picture or behind finer ones."""


@dataclass
class Flight:
    """A finished job, ready to be looked at from anywhere along its path."""

    request: wire.Request
    path: ZoomPath
    levels: list[Gaussians]

    def frames(self) -> range:
        """All frames of the path."""
        return range(self.path.keys[0].frame, self.path.keys[-1].frame + 1)

    def view(self, key: Key, camera: Camera | None = None) -> Raster:
        """The picture at a moment of the path, by the server's rasteriser.

        Args:
            key: Zoom and camera in the gauge.
            camera: Another camera in the gauge, to be used instead of the key's.
        """
        parts, shares = [], []
        for level in self._shown(key.zoom):
            splats = self.levels[level % self.path.levels]
            to_gauge = self.path.gauge(key.zoom, level).inverse()
            marked = splats.extra["superseded"] > 0
            for part, superseded in ((~marked, False), (marked, True)):
                share = self.path.opacity(key.zoom, level, superseded)
                if share > 0 and part.any():
                    parts.append(moved(splats[part], to_gauge))
                    shares.append(np.full(len(parts[-1]), share, np.float32))
        return rasterize(joined(parts), camera or key.camera, opacity_scale=np.concatenate(shares))

    def _shown(self, zoom: float) -> range:
        """The levels that may be in the picture; in a loop, each at most once."""
        top = math.ceil(zoom + 1 - fading.OPENS_FROM)
        if self.path.loop:
            return range(top - min(WINDOW + 2, self.path.levels), top)
        near = min(max(math.floor(zoom), 0), self.path.levels - 1)
        return range(max(near - WINDOW, 0), min(top, self.path.levels))


def open_flight(root: Path) -> Flight:
    """Load a finished job.

    Raises:
        DreamzoomError: There is no finished job in the folder, or its result was damaged.
    """
    folder = Folder(root)
    request, result = read_request(folder), read_result(folder)
    levels = [read_splats(folder.path(level["splats"])) for level in result["levels"]]
    return Flight(request, request.path(), levels)


def render(root: Path, out: Path, frames: Iterable[int] | None, size: tuple[int, int] | None, report: Report) -> int:
    """Write the job's flight as frame_00001.png, ...; returns the count of pictures."""
    flight = open_flight(root)
    chosen = _chosen(flight.frames(), frames)
    target = Folder(out)
    for index, frame in enumerate(chosen):
        report.progress(index / len(chosen), f"frame {frame}")
        key = flight.path.at_frame(frame)
        camera = key.camera.resized(*size) if size else key.camera
        target.save(files.PICTURES, f"frame_{frame:05d}.png", flight.view(key, camera).rgb)
    return len(chosen)


def reference(request: wire.Request, out: Path, frames: Iterable[int] | None, report: Report) -> int:
    """Write the procedural engine's true pictures (PNG) and z-depths (npz, gauge units) on the path; returns the count.

    Raises:
        EngineUnavailable: The request's engine knows no truth.
    """
    engine = truthful(request)
    path = request.path()
    chosen = _chosen(range(path.keys[0].frame, path.keys[-1].frame + 1), frames)
    target = Folder(out)
    for index, frame in enumerate(chosen):
        report.progress(index / len(chosen), f"frame {frame}")
        key = path.at_frame(frame)
        rgb, depth = engine.truth(path, key.zoom, key.camera)  # pyright: ignore[reportAttributeAccessIssue]
        target.save(files.PICTURES, f"frame_{frame:05d}.png", rgb)
        target.save(files.ARRAYS, f"frame_{frame:05d}.npz", {"depth": depth.astype(np.float32)})
    return len(chosen)


def truthful(request: wire.Request):
    """The request's engine, if it knows the truth. Raises EngineUnavailable."""
    engine = registry.make(request)
    if not hasattr(engine, "truth"):
        raise EngineUnavailable(
            f"the engine {engine.name} knows no true pictures", "only the procedural engine does: use it in the request"
        )
    return engine


def _chosen(available: range, wanted: Iterable[int] | None) -> list[int]:
    """The frames to make. Raises BadRequest for one outside the path."""
    chosen = list(available if wanted is None else wanted)
    for frame in chosen:
        if frame not in available:
            raise BadRequest(
                "frames", f"must lie within {available[0]}-{available[-1]}, the path's frames, got {frame}"
            )
    return chosen
