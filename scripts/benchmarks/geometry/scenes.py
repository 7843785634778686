"""Scenes for the geometry benchmark: the procedural world from inside, true depth, and a model's distortion."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from core.camera import Camera, look_at
from dreamzoom.engines.procedural.distortion import distort
from dreamzoom.engines.procedural.world import World
from dreamzoom.geometry import views
from dreamzoom.geometry.view import DepthKind

PROMPTS = ("mountains with a forest", "city", "moss and rock")
"""The three scenes of the default run. All constants were chosen on these, with seed 1."""
FACTORS = {"±5 %": ((0.95, 1.05), DepthKind.METRIC, 0.05), "½ to 2": ((0.5, 2.0), DepthKind.SCALE, 1.0)}
"""The unknown factor's bounds, what the model says of itself, and how far it is believed."""
PATHS = ("rotate 360", "look down", "move back")
CELLS = tuple(f"{path}, {factor}" for path in PATHS for factor in FACTORS)


@dataclass(frozen=True)
class Sequence:
    """Views along a path: cameras, true pictures and depths; `between` are cameras for depth alone."""

    cameras: list[Camera]
    pictures: list[np.ndarray]
    depths: list[np.ndarray]
    between: list[Camera]
    depths_between: list[np.ndarray]


@lru_cache(maxsize=4)
def scene(prompt: str, size: int, seed: int = 1) -> tuple[World, Camera]:
    """A world, and a camera that stands in it: above the ground, the horizon in the picture, f = 582.69 px at 512."""
    world = World([prompt], [seed], 2.0, np.zeros((1, 3)))
    place = np.array([0.0, -0.6])
    around = np.linspace(0, 2 * np.pi, 40)
    ring = world.height(place + 0.6 * np.stack([np.cos(around), np.sin(around)], -1), 0).max()
    eye = np.array([*place, max(float(world.height(place[None], 0)[0]) + 0.45, float(ring) + 0.2)])
    focal = 582.69 * size / 512
    return world, Camera(size, size, focal, focal, size / 2, size / 2, look_at(eye, eye + [0, 1, -0.12]))


def paths(camera: Camera) -> dict[str, list[Camera]]:
    """LucidDreamer's three paths: 10, 14 and 11 views."""
    keys = (views.rotate360(camera, 10), views.lookdown(camera, 14), views.translation(camera, (0, 0, -1), 11))
    return {name: [key.camera for key in path] for name, path in zip(PATHS, keys, strict=True)}


def sequence(world: World, cameras: list[Camera], *, closed: bool = False, between: bool = True) -> Sequence:
    """Render a path's views, and those half-way between."""
    seen = [world.render(camera, 0) for camera in cameras]
    middle = views.bridges(cameras, closed=closed) if between else []
    return Sequence(
        cameras,
        [rgb for rgb, _ in seen],
        [depth for _, depth in seen],
        middle,
        [world.render(camera, 0)[1] for camera in middle],
    )


def predicted(depths: list[np.ndarray], rng: np.random.Generator, factor, *, unit: bool = True) -> list[np.ndarray]:
    """What a depth model says: factor, 10 % smooth warp, 1 % noise. With `unit` the first view's factor is 1."""
    return [
        distort(depth, rng, factor=(1, 1) if unit and not number else factor, warp=0.1, noise=0.01)
        for number, depth in enumerate(depths)
    ]
