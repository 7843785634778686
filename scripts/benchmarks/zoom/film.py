"""The film through the levels: does it close a loop, is its speed constant?"""

from __future__ import annotations

import math
import tempfile
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy import ndimage

from dreamzoom.engines.spectral import SpectralEngine
from dreamzoom.report import Report
from dreamzoom.zoom.levels import sample_levels
from dreamzoom.zoomstack import Film

from .agreement import agreement, psnr

PROMPTS = ["space", "a blue planet", "a continent", "forest", "a leaf"]


def measure_loop():
    """A ring of four levels: agreement round the ring, and the film's last frame against its first."""
    pictures = sample_levels(
        SpectralEngine().denoiser(Report()), PROMPTS[:4], range(4), 2, [], (128, 128), steps=30, loop=True
    )
    with tempfile.TemporaryDirectory() as folder:
        film = Film(_saved(pictures, Path(folder)), [(64.0, 64.0)] * 4, 2.0, (88, 88), loop=True)
        film.write(Path(folder) / "loop.mp4", Report(), per_level=12)
        frames = _decoded(Path(folder) / "loop.mp4")
        first, last = (torch.from_numpy(film.frame(zoom).astype(np.float32) / 255) for zoom in (0.0, 4.0))
    ring = agreement([*pictures, pictures[0]])
    ends = psnr(torch.from_numpy(frames[0] - frames[-1]))
    rows = [
        {"loop": "agreement round the ring dB", "per level": ring},
        {"loop": "rendered, last frame against first dB", "value": psnr(first - last)},
        {"loop": "decoded H.264, last frame against first dB", "value": ends},
        {"loop": "H.264 alone, first frame dB", "value": psnr(torch.from_numpy(frames[0]) - first)},
    ]
    return {"loop_db": min([*ring, psnr(first - last)])}, rows


def measure_speed():
    """Scale between frames of the encoded film, by registration; drifting focus."""
    centres = [(104.0, 88.0), (90.0, 100.0)]
    pictures = sample_levels(
        SpectralEngine().denoiser(Report()), ["rock"] * 3, range(3), 2, centres, (192, 192), steps=24
    )
    with tempfile.TemporaryDirectory() as folder:
        film = Film(_saved(pictures, Path(folder)), centres, 2.0, (136, 136))
        film.write(Path(folder) / "zoom.mp4", Report(), per_level=24)
        frames = [ndimage.gaussian_filter(frame.mean(2), 1.0) for frame in _decoded(Path(folder) / "zoom.mp4")]
    gap = 4
    speeds = (
        np.array([_log_scale(a, b, math.log(2) * gap / 24) for a, b in zip(frames, frames[gap:])])
        / gap
        * 24
        / math.log(2)
    )
    rows = [{"speed": "levels per second over nominal", "mean": float(speeds.mean()), "least": float(speeds.min()),
             "most": float(speeds.max()), "deviation": float(speeds.std())}]  # fmt: skip
    return {"speed_variation": float(np.abs(speeds / speeds.mean() - 1).max())}, rows


def _log_scale(first: np.ndarray, second: np.ndarray, guess: float) -> float:
    """The log of how much larger the second frame shows the first, by Gauss-Newton over scale and shift."""
    height, width = first.shape
    y, x = np.mgrid[0:height, 0:width] - np.array([height - 1, width - 1])[:, None, None] / 2.0
    inner = (np.abs(y) < height * 0.4) & (np.abs(x) < width * 0.4)
    gy, gx = np.gradient(second)
    basis = np.stack([-(gy * y + gx * x)[inner], -gy[inner], -gx[inner]], 1)
    state = np.array([guess, 0.0, 0.0])
    for _ in range(8):
        scale = math.exp(-state[0])
        at = [(y - state[1]) * scale + (height - 1) / 2, (x - state[2]) * scale + (width - 1) / 2]
        moved = ndimage.map_coordinates(first, at, order=3, mode="nearest")
        error = (moved - second)[inner]
        state -= np.linalg.lstsq(basis, -error, rcond=None)[0] * -1
    return float(state[0])


def _saved(pictures, folder: Path) -> list[Path]:
    paths = [folder / f"{k}.png" for k in range(len(pictures))]
    for path, picture in zip(paths, pictures):
        Image.fromarray((picture * 255).round().astype(np.uint8)).save(path)
    return paths


@lru_cache
def _reader():
    import av

    return av


def _decoded(path: Path) -> list[np.ndarray]:
    with _reader().open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24").astype(np.float32) / 255 for frame in container.decode(video=0)]
