"""The pictures of docs/blender.md that measurements explain: rendered by Cycles beside what they are compared with."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from core.colour import linear_to_srgb, to_bytes
from dreamzoom.flight import open_flight

from . import files, viewer
from .session import Bench, served

SIZE = [288, 162]
FRAMES = [1, 9, 17, 25, 33]
"""Whole levels, and half way between them, where one gives way to the next."""

STRONGER = 8
"""So many times larger than they are do differences show."""

SIDE = 280
GAP = 4


def draw(bench: Bench, plan: dict, folder: Path) -> None:
    """Write blender_f12.jpg and blender_general.jpg into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    _save(folder / "blender_f12.jpg", _flight(bench, plan | {"size": SIZE}))
    _save(folder / "blender_general.jpg", _general(bench))


def _flight(bench: Bench, plan: dict) -> np.ndarray:
    """Frames of a flight in Cycles, below them the server's, below them their difference."""
    job = bench.job(plan)
    more = {"engine": "CYCLES", "samples": 64, "frames": FRAMES, "pictures": "pictures.npz"}
    bench.ask("flight", job=str(job), **more, **plan)
    flight = open_flight(job)
    ours, theirs = bench.pictures("pictures.npz"), [served(flight, frame) for frame in FRAMES]
    return _under([_beside(list(ours)), _beside(theirs), _beside([_apart(a, b) for a, b in zip(ours, theirs)])])


def _general(bench: Bench) -> np.ndarray:
    """A capture's kind of splats: what viewers show, As Viewers Do and how it differs, Gaussians and how they do."""
    splats, camera = files.surface(20_000), files.camera(SIDE, SIDE)
    plan = {"file": files.write(bench.folder / "general.ply", splats), "camera": files.described(camera)}
    shown = viewer.view(splats, camera)
    bench.ask("file", representation="viewers", samples=1, pictures="general.npz", **plan)
    alike = np.load(bench.folder / "general.npz")["pictures"][0]  # view transform Raw: they are sRGB already
    bench.ask("file", samples=64, pictures="general.npz", **plan)
    exact = linear_to_srgb(np.load(bench.folder / "general.npz")["pictures"][0])
    return _beside([shown, alike, _apart(alike, shown), exact, _apart(exact, shown)])


def _apart(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """How two pictures differ, as brightness."""
    grey = np.clip(STRONGER * np.abs(a - b).mean(-1, keepdims=True), 0, 1)
    return np.repeat(grey, 3, -1)


def _beside(pictures: list[np.ndarray]) -> np.ndarray:
    joined = np.concatenate([np.pad(p, ((0, 0), (0, GAP), (0, 0)), constant_values=1) for p in pictures], 1)
    return joined[:, :-GAP]


def _under(pictures: list[np.ndarray]) -> np.ndarray:
    joined = np.concatenate([np.pad(p, ((0, GAP), (0, 0), (0, 0)), constant_values=1) for p in pictures], 0)
    return joined[:-GAP]


def _save(path: Path, rgb: np.ndarray) -> None:
    buffer = io.BytesIO()
    Image.fromarray(to_bytes(np.clip(rgb, 0, 1))).save(buffer, "jpeg", quality=88)
    path.write_bytes(buffer.getvalue())
