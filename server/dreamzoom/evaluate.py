"""Quality of a finished job against the procedural engine's truth: pictures on the flight, and depth of each level."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from dreamzoom.camera import Camera
from dreamzoom.flight import open_flight, truthful
from dreamzoom.job.folder import Folder
from dreamzoom.path import Key
from dreamzoom.report import Report
from dreamzoom.stages import files

MOMENTS_PER_LEVEL = 2
"""Where levels are whole: in between they open from the middle, while the truth dissolves."""
LONG_SIDE = 320


def psnr(a: np.ndarray, b: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Peak signal-to-noise ratio in dB of two pictures in 0..1 (any shape), over the pixels of `mask` (H, W)."""
    error = np.square(np.clip(a, 0, 1).astype(np.float64) - np.clip(b, 0, 1))
    mean = error.mean() if mask is None else error[mask].mean()
    return float(-10 * np.log10(max(mean, 1e-10)))


def evaluate(root: Path, report: Report) -> dict[str, Any]:
    """Measure a finished job.

    Args:
        root: The job folder.
        report: Progress.

    Returns:
        "flight": per moment (zoom, PSNR of the splats' picture against the truth, share of pixels that are holes);
        "levels": per level the median and 95th percentile of the relative error of the anchor view's depth, and the
        relative error at the focus; and the summary "psnr_mean", "psnr_min", "hole_share_max", "depth_error_median".

    Raises:
        EngineUnavailable: The job's engine knows no truth.
        DreamzoomError: No finished job is there.
    """
    flight = open_flight(root)
    engine = truthful(flight.request)
    folder = Folder(root)
    moments = []
    zooms = _moments(flight.path)
    for index, zoom in enumerate(zooms):
        report.progress(index / (len(zooms) + flight.path.levels), f"zoom {zoom:.2f}")
        key = flight.path.key_at(zoom)
        moments.append(_moment(flight, engine, key))
    levels = []
    for level in range(flight.path.levels):
        report.progress((len(zooms) + level) / (len(zooms) + flight.path.levels), f"depth of level {level}")
        levels.append(_level(folder, engine, level))
    return {
        "psnr_mean": float(np.mean([moment["psnr"] for moment in moments])),
        "psnr_min": min(moment["psnr"] for moment in moments),
        "hole_share_max": max(moment["hole_share"] for moment in moments),
        "depth_error_median": max(level["depth_error_median"] for level in levels),
        "flight": moments,
        "levels": levels,
    }


def _moments(path) -> list[float]:
    """Zooms to look at: two a level, over what the path covers."""
    keyed = [key.zoom for key in path.keys]
    low, high = max(min(keyed), 0.0), min(max(keyed), path.levels - 1.0)
    count = max(round((high - low) * MOMENTS_PER_LEVEL), 0) + 1
    return [float(zoom) for zoom in np.linspace(low, high, count)]


def _small(camera: Camera) -> Camera:
    scale = min(1.0, LONG_SIDE / max(camera.width, camera.height))
    return camera.resized(max(round(camera.width * scale), 1), max(round(camera.height * scale), 1))


def _moment(flight, engine, key: Key) -> dict[str, float]:
    camera = _small(key.camera)
    raster = flight.view(key, camera)
    truth, _ = engine.truth(flight.path, key.zoom, camera)
    return {
        "zoom": key.zoom,
        "psnr": psnr(raster.rgb, truth),
        "hole_share": float((raster.alpha < 0.5).mean()),
    }


def _level(folder: Folder, engine, level: int) -> dict[str, float]:
    anchor = files.read_views(folder, f"levels/{level:03d}/parts/views.npz")[0]
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
    """The same for people."""
    lines = [
        f"flight against the truth: {found['psnr_mean']:.1f} dB on average, {found['psnr_min']:.1f} dB at worst; "
        f"holes at most {found['hole_share_max']:.2%}",
        "",
        "  zoom   PSNR   holes",
    ]
    lines += [f"{row['zoom']:6.2f} {row['psnr']:6.1f} {row['hole_share']:7.2%}" for row in found["flight"]]
    lines += ["", " level  depth error: median   95 %   at the focus"]
    lines += [
        f"{row['level']:6d} {row['depth_error_median']:20.2%} {row['depth_error_p95']:6.2%} {row['focus_error']:14.2%}"
        for row in found["levels"]
    ]
    return "\n".join(lines)
