"""How evenly levels give way to each other: a flight at constant speed through one world that all levels show.

Where levels show different things a film changes because its subject does. Here every level is one world's picture,
dreamed by the pipeline from its true pictures and depths, so what changes from one frame to the next beyond the average
is the fade's own doing.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from core.camera import Camera
from core.colour import linear_to_srgb, srgb_to_linear
from core.formats.splat_ply import read_splats
from dreamzoom import wire
from dreamzoom.engines.procedural.world import World
from dreamzoom.evaluate import psnr
from dreamzoom.example import example
from dreamzoom.flight import Flight
from dreamzoom.geometry.view import DepthKind, DepthMap, View
from dreamzoom.geometry.zoom_path import ZoomPath
from dreamzoom.pipeline.folder import Folder
from dreamzoom.pipeline.runner import run
from dreamzoom.pipeline.steps import build
from dreamzoom.request import validation
from dreamzoom.stages.base import layout

PROMPT = "a continent from orbit, coasts and rivers"
LEVELS = 3
SIZE = (128, 72)
SAMPLES = 2
"""Rays per pixel along each side, of the truth and of the flight alike."""

OPEN = 0.5
"""Alpha below this is seen through."""


def measure() -> dict:
    """Figures of the flight.

    Returns:
        drop_db: How alike two consecutive frames are, as a PSNR, less how alike the same two true pictures are: by how
            much the worst pair lies below the average pair.
        plain_drop_db: The same without regard to the true pictures, so with the world's own changes.
        see_through: The largest share of a frame's pixels that let more than half of what is behind through.
        truth_db: The least PSNR of a frame against the true picture, and the average.
    """
    request = validation.convert_request(example(levels=LEVELS, size=SIZE) | {"quality": "draft"})
    path = request.path()
    world = World([PROMPT], [1], path.factor, np.zeros((1, 3)))
    with tempfile.TemporaryDirectory() as scratch:
        flight = made(request, _Truth(world, path), Path(scratch))
    shown, alphas, true = [], [], []
    for frame in flight.frames():
        key = path.at_frame(frame)
        fine = key.camera.resized(SAMPLES * SIZE[0], SAMPLES * SIZE[1])
        seen = flight.view(key, fine)
        shown.append(_averaged(seen.rgb))
        alphas.append(seen.alpha)
        true.append(_truth(world, key.camera.moved(path.gauge(key.zoom, 0)))[0])
    against = [psnr(ours, theirs) for ours, theirs in zip(shown, true)]
    return {
        "drop_db": _drop(_alike(shown) - _alike(true)),
        "plain_drop_db": _drop(_alike(shown)),
        "see_through": max(float(np.mean(alpha < OPEN)) for alpha in alphas),
        "truth_db": (min(against), float(np.mean(against))),
    }


def _alike(frames: list[np.ndarray]) -> np.ndarray:
    """PSNR of each pair of consecutive frames, in dB."""
    return np.array([psnr(before, after) for before, after in zip(frames, frames[1:])])


def _drop(values: np.ndarray) -> float:
    return float(values.mean() - values.min())


class _Truth:
    """The engine that imagines nothing: each of its views is the world's picture, with the world's depth."""

    name = "truth"
    multiview_consistent = True

    def __init__(self, world: World, path: ZoomPath):
        self.world, self.path = world, path

    def identity(self) -> dict:
        """As `Engine`."""
        return {"name": self.name}

    def dependencies(self, level: int) -> dict:
        """As `Engine`."""
        return {}

    def paint(self, view: View, *_) -> np.ndarray:
        """The world's picture (H, W, 3) sRGB."""
        return _truth(self.world, view.camera.moved(self.path.between(view.level, 0)))[0]

    def depth(self, view: View, *_) -> DepthMap:
        """The world's z-depth (H, W), in the frame of the view's level."""
        to_world = self.path.between(view.level, 0)
        depth = _truth(self.world, view.camera.moved(to_world))[1] / to_world.scale
        return DepthMap(depth.astype(np.float32), DepthKind.METRIC)


def made(request: wire.Request, engine: _Truth, root: Path) -> Flight:
    """The flight through the job that the pipeline makes of the request in a folder, with that engine."""
    folder = Folder(root)
    run(build(request, engine), folder)
    path = request.path()
    names = [folder.path(layout.SPLATS.path(level)) for level in range(path.levels)]
    return Flight(request, path, [read_splats(name) for name in names])


def _truth(world: World, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """The world's antialiased picture (H, W, 3) sRGB, and the depth of the pixels' centres (H, W)."""
    fine, _ = world.render(camera.resized(camera.width * SAMPLES, camera.height * SAMPLES), 0)
    return _averaged(fine), world.render(camera, 0)[1]


def _averaged(rgb: np.ndarray) -> np.ndarray:
    """Means over SAMPLES × SAMPLES pixels of a picture (H, W, 3) sRGB, in linear light."""
    height, width, _ = rgb.shape
    tiles = srgb_to_linear(rgb).reshape(height // SAMPLES, SAMPLES, width // SAMPLES, SAMPLES, 3)
    return linear_to_srgb(tiles.mean((1, 3))).astype(np.float32)
