"""Renders the flight along a job's path with the server's rasteriser, and the procedural engine's ground truth."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from core import fading
from core.camera import Camera
from core.errors import BadRequest, EngineUnavailable
from core.formats.splat_ply import read_splats
from core.gaussians import Gaussians, moved, padded_join, transformed
from dreamzoom.engines import registry
from dreamzoom.geometry.zoom_path import Key, ZoomPath
from dreamzoom.pipeline.folder import Folder
from dreamzoom.pipeline.generate import read_request, read_result
from dreamzoom.pipeline.integrity.verify import require
from dreamzoom.progress import Report
from dreamzoom.render.passes import Passes, passes, write_passes
from dreamzoom.request import schema
from dreamzoom.splats.rasterize import Raster, rasterize
from dreamzoom.stages.base import files

WINDOW = 3
"""Levels coarser than the current zoom by more than this are outside the picture or hidden by finer ones."""


@dataclass
class Flight:
    """A finished job that can be rendered from any point of its path."""

    request: schema.Request
    path: ZoomPath
    levels: list[Gaussians]

    def frames(self) -> range:
        """All frames of the path."""
        return range(self.path.keys[0].frame, self.path.keys[-1].frame + 1)

    def view(self, key: Key, camera: Camera | None = None) -> Raster:
        """Render the picture at a key of the path.

        Args:
            key: Zoom and camera in the gauge.
            camera: Another camera in the gauge, used instead of the key's.
        """
        camera = camera or key.camera
        shown, shares = self.shown(key, camera)
        return rasterize(shown, camera, opacity_scale=shares)

    def passes(self, key: Key, camera: Camera | None = None) -> Passes:
        """The passes of the same picture, for compositing."""
        camera = camera or key.camera
        shown, shares = self.shown(key, camera)
        return passes(shown, camera, shares)

    def shown(self, key: Key, camera: Camera) -> tuple[Gaussians, np.ndarray]:
        """The splats that a picture shows, in the gauge, and the factors (N,) on their opacities.

        If the key's camera is sheared, the splats are sheared instead.
        """
        parts, shares = [], []
        for level in self.levels_shown(key.zoom):
            splats = self.levels[level % self.path.levels]
            to_gauge = self.path.gauge(key.zoom, level).inverse()
            marked = splats.extra["superseded"] > 0
            for part, superseded in ((~marked, False), (marked, True)):
                share = self.path.opacity(key.zoom, level, superseded)
                if share > 0 and part.any():
                    parts.append(moved(splats[part], to_gauge))
                    shares.append(np.full(len(parts[-1]), share, np.float32))
        shown = padded_join(parts)
        if key.skew:
            shown = transformed(shown, _shear(key, camera))
        return shown, np.concatenate(shares)

    def levels_shown(self, zoom: float) -> range:
        """The levels that may be visible at a zoom; in a loop, each at most once."""
        top = math.ceil(zoom + 1 - fading.OPENS_FROM)
        if self.path.loop:
            return range(top - min(WINDOW + 2, self.path.levels), top)
        near = min(max(math.floor(zoom), 0), self.path.levels - 1)
        return range(max(near - WINDOW, 0), min(top, self.path.levels))


def _shear(key: Key, camera: Camera) -> np.ndarray:
    """The shear (4, 4) of the gauge after which `camera`, which has no skew, shows what the key's sheared one shows.

    With K = K₀ A, where K₀ has no skew and A = ((1, skew / fx, 0), (0, 1, 0), (0, 0, 1)), the picture K R (X − C) is
    K₀ of points that A moves along the camera's x axis. Depths are unchanged.
    """
    shear = np.eye(4)
    shear[0, 1] = key.skew / key.camera.fx
    pose = camera.camera_to_frame
    return pose @ shear @ np.linalg.inv(pose)


def open_flight(root: Path, report: Report | None = None, also: Callable[[int], str] | None = None) -> Flight:
    """Load a finished job.

    Args:
        root: The job's folder.
        report: Receives a warning for each damaged file that is not needed.
        also: Gives a further file of each level that the caller will read.

    Raises:
        DreamzoomError: The folder contains no finished job, or what is needed of it is damaged.
    """
    folder = Folder(root)
    request, result = read_request(folder), read_result(folder)
    needed = [level["splats"] for level in result["levels"]]
    needed += [also(level) for level in range(len(needed))] if also else []
    require(folder, needed, lambda line: (report or Report()).log(line, level="warning"))
    levels = [read_splats(folder.path(level["splats"])) for level in result["levels"]]
    return Flight(request, request.path(), levels)


def render(
    root: Path,
    out: Path,
    frames: Iterable[int] | None,
    size: tuple[int, int] | None,
    report: Report,
    *,
    with_passes: bool = False,
) -> int:
    """Write the job's flight as frame_00001.png, ..., with passes also as .exr; returns the number of pictures."""
    flight = open_flight(root, report)
    chosen = chosen_frames(flight.frames(), frames)
    target = Folder(out)
    for index, frame in enumerate(chosen):
        report.progress(index / len(chosen), f"frame {frame}")
        key = flight.path.at_frame(frame)
        camera = key.camera.resized(*size) if size else key.camera
        target.save(files.PICTURES, f"frame_{frame:05d}.png", flight.view(key, camera).rgb)
        if with_passes:
            found = flight.passes(key, camera)
            target.write_with(f"frame_{frame:05d}.exr", partial(write_passes, found))
    return len(chosen)


def reference(request: schema.Request, out: Path, frames: Iterable[int] | None, report: Report) -> int:
    """Write the ground-truth pictures (PNG) and z-depths (npz, gauge units) on the path; returns their number.

    Raises:
        EngineUnavailable: The request's engine has no ground truth.
    """
    engine = truthful(request)
    path = request.path()
    chosen = chosen_frames(range(path.keys[0].frame, path.keys[-1].frame + 1), frames)
    target = Folder(out)
    for index, frame in enumerate(chosen):
        report.progress(index / len(chosen), f"frame {frame}")
        key = path.at_frame(frame)
        rgb, depth = engine.truth(path, key.zoom, key.camera)  # pyright: ignore[reportAttributeAccessIssue]
        target.save(files.PICTURES, f"frame_{frame:05d}.png", rgb)
        target.save(files.ARRAYS, f"frame_{frame:05d}.npz", {"depth": depth.astype(np.float32)})
    return len(chosen)


def truthful(request: schema.Request):
    """The request's engine, if it has ground truth. Raises EngineUnavailable otherwise."""
    engine = registry.make(request)
    if not hasattr(engine, "truth"):
        raise EngineUnavailable(
            f"the engine {engine.name} has no ground truth", "use the procedural engine in the request"
        )
    return engine


def chosen_frames(available: range, wanted: Iterable[int] | None) -> list[int]:
    """The frames to render. Raises BadRequest for a frame outside the path."""
    chosen = list(available if wanted is None else wanted)
    for frame in chosen:
        if frame not in available:
            raise BadRequest("frames", f"must be within {available[0]}-{available[-1]}, the path's frames, got {frame}")
    return chosen
