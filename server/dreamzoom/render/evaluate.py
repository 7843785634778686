"""Evaluates a finished job against the procedural engine's ground truth: frames of the flight, their consistency, and
the depth of each level.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from core.camera import Camera
from dreamzoom.geometry.zoom_path import ZoomPath
from dreamzoom.pipeline.folder import Folder
from dreamzoom.progress import Report
from dreamzoom.render.consistency import Frame, carried, carry, psnr
from dreamzoom.render.flight import open_flight, truthful
from dreamzoom.sampling.depth_warp import Seen, Warp
from dreamzoom.stages.base import layout

MOMENTS_PER_LEVEL = 4
LONG_SIDE = 320


class TrueFlight:
    """The ground-truth frames of a path, each rendered once and cached.

    Args:
        engine: An engine with ground truth.
        path: The flight's path.
        size: Width and height of the frames; None for those of the path's cameras.
    """

    def __init__(self, engine, path: ZoomPath, size: tuple[int, int] | None = None):
        self.engine, self.path, self.size = engine, path, size
        self.frames: dict[float, Frame] = {}

    def camera(self, zoom: float) -> Camera:
        """The path's camera in the gauge."""
        camera = self.path.key_at(zoom).camera
        return camera.resized(*self.size) if self.size else camera

    def at(self, zoom: float) -> Frame:
        """The true frame at a zoom; its camera is in the frame of level 0."""
        zoom = round(zoom, 6)
        if zoom not in self.frames:
            rgb, depth = self.engine.truth(self.path, zoom, self.camera(zoom))
            to_first = self.path.gauge(zoom, 0)
            seen = Seen(self.camera(zoom).moved(to_first), depth.astype(np.float64) * to_first.scale)
            self.frames[zoom] = Frame(rgb, seen)
        return self.frames[zoom]

    def warp(self, finer: float, coarser: float) -> Warp:
        """The warp from the frame at a finer zoom to that at a coarser zoom."""
        return carry(self.at(finer).seen, self.at(coarser).seen)


def evaluate(root: Path, report: Report) -> dict[str, Any]:
    """Evaluate a finished job.

    Args:
        root: The job's folder.
        report: Receives progress and raises `Cancelled`.

    Returns:
        "flight": per quarter level the zoom, the PSNR of the rendered splats against the ground truth, the PSNR of the
        frame half a level later warped into this one by true depth and camera ("carried"; None at the end), and the
        share of pixels that are holes. "levels": per level the median and 95th percentile of the relative error of the
        anchor view's depth, and the relative error at the focus. Summary: "psnr_mean", "psnr_min", "carried_mean",
        "carried_min" (None for a single level), "hole_share_max", "depth_error_median".

    Raises:
        EngineUnavailable: The job's engine has no ground truth.
        DreamzoomError: The folder contains no finished job.
    """
    flight = open_flight(root, report, layout.VIEWS.path)
    truth = TrueFlight(truthful(flight.request), flight.path, _size(flight.request.width, flight.request.height))
    zooms = quarters(flight.path)
    steps = len(zooms) + flight.path.levels
    shown, moments = [], []
    for index, zoom in enumerate(zooms):
        report.progress(index / steps, f"zoom {zoom:.2f}")
        shown.append(flight.view(flight.path.key_at(zoom), truth.camera(zoom)))
        against = psnr(shown[-1].rgb, truth.at(zoom).rgb)
        holes = float((shown[-1].alpha < 0.5).mean())
        moments.append({"zoom": zoom, "psnr": against, "carried": None, "hole_share": holes})
    for index in range(len(zooms) - MOMENTS_PER_LEVEL // 2):
        on = index + MOMENTS_PER_LEVEL // 2
        warp = truth.warp(zooms[on], zooms[index])
        moments[index]["carried"] = carried(shown[on].rgb, shown[index].rgb, warp)
    folder, levels = Folder(root), []
    for level in range(flight.path.levels):
        report.progress((len(zooms) + level) / steps, f"depth of level {level}")
        levels.append(_level(folder, truth.engine, level))
    across = [moment["carried"] for moment in moments if moment["carried"] is not None]
    return {
        "psnr_mean": float(np.mean([moment["psnr"] for moment in moments])),
        "psnr_min": min(moment["psnr"] for moment in moments),
        "carried_mean": float(np.mean(across)) if across else None,
        "carried_min": min(across) if across else None,
        "hole_share_max": max(moment["hole_share"] for moment in moments),
        "depth_error_median": max(level["depth_error_median"] for level in levels),
        "flight": moments,
        "levels": levels,
    }


def quarters(path: ZoomPath) -> list[float]:
    """The zooms that are evaluated: four per level, within the range of the path."""
    keyed = [key.zoom for key in path.keys]
    low, high = max(min(keyed), 0.0), min(max(keyed), path.levels - 1.0)
    return [float(zoom) for zoom in np.arange(low, high + 1e-6, 1 / MOMENTS_PER_LEVEL)]


def _size(width: int, height: int) -> tuple[int, int]:
    scale = min(1.0, LONG_SIDE / max(width, height))
    return max(round(width * scale), 1), max(round(height * scale), 1)


def _level(folder: Folder, engine, level: int) -> dict[str, float]:
    anchor = folder.load(layout.VIEWS.format, layout.VIEWS.path(level))[0]
    _, truth = engine.world.render(anchor.view.camera, level)
    error = np.abs(anchor.depth / truth - 1)
    error = error[np.isfinite(error)]
    (x, y), distance = anchor.view.camera.project(np.zeros(3))
    row, column = int(y), int(x)
    seen = 0 <= row < truth.shape[0] and 0 <= column < truth.shape[1]
    return {
        "level": level,
        "depth_error_median": float(np.median(error)),
        "depth_error_p95": float(np.percentile(error, 95)),
        "focus_error": float(abs(anchor.depth[row, column] / distance - 1)) if seen else float("nan"),
    }


def table(found: dict[str, Any]) -> str:
    """Format the result of `evaluate` as text."""
    lines = [
        f"PSNR of the flight against ground truth: mean {found['psnr_mean']:.1f} dB, "
        f"minimum {found['psnr_min']:.1f} dB; holes at most {found['hole_share_max']:.2%}",
        f"PSNR of frames half a level apart, warped into each other: mean {_db(found['carried_mean'])} dB, "
        f"minimum {_db(found['carried_min'])} dB",
        "",
        "  zoom   PSNR  warped   holes",
    ]
    lines += [
        f"{row['zoom']:6.2f} {row['psnr']:6.1f} {_db(row['carried']):>7} {row['hole_share']:7.2%}"
        for row in found["flight"]
    ]
    lines += ["", " level  depth error: median   95 %   at the focus"]
    lines += [
        f"{row['level']:6d} {row['depth_error_median']:20.2%} {row['depth_error_p95']:6.2%} {row['focus_error']:14.2%}"
        for row in found["levels"]
    ]
    return "\n".join(lines)


def _db(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
