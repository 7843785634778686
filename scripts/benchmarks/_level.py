"""One level of the procedural world as the splats' benchmark uses it: views to fit, views held out, and its cloud."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dreamzoom.camera import Camera, look_at
from dreamzoom.colour import linear_to_srgb, srgb_to_linear
from dreamzoom.engines.base import KNOWN, UNKNOWN, View
from dreamzoom.engines.procedural.world import World
from dreamzoom.geometry.cloud import Cloud
from dreamzoom.geometry.lift import lift
from dreamzoom.geometry.project import project
from dreamzoom.geometry.views import support_cameras
from dreamzoom.splats.fit import Target, initial
from dreamzoom.splats.gaussians import Gaussians

PROMPTS = ["mountains with snow", "a forest valley"]
LEVEL = 1
ANCHOR = (0.0, -2.0, 1.3)
SIDES = ((0.5, -1.8, 1.2), (-0.5, -1.9, 1.4))
HELD_OUT = ((0.25, -1.9, 1.25), (-0.2, -1.8, 1.2), (0.1, -2.1, 1.4))
SAMPLES = 2
"""Rays per pixel along each side of a true picture: with one, the truth itself flickers."""


@dataclass(frozen=True)
class Level:
    """What is known of a level, and what is asked of its splats.

    Attributes:
        start: Untouched surfels.
        targets: What the fit sees: anchor and side views, and views of the cloud.
        held_out: True pictures of other views, masked to what the cloud knows.
        far, near: The same from u = k − 1 and k + 1, and own: the anchor.
    """

    start: Gaussians
    targets: list[Target]
    held_out: list[Target]
    far: Target
    near: Target
    own: Target


def make(size: int, supports: int = 0) -> Level:
    """The level with pictures of size × size pixels.

    Views of the cloud (`supports`) are off: they are blurred where points are sparse, and cost 0.8 dB held out.
    """
    world = World(PROMPTS, [1, 2], 2.0, np.zeros((2, 3)))
    cameras = [_camera(place, size) for place in (ANCHOR, *SIDES)]
    seen = [_truth(world, camera) for camera in cameras]
    cloud = lift(cameras[0], seen[0][1], seen[0][0], view=0)
    for index, (camera, (rgb, depth)) in enumerate(zip(cameras[1:], seen[1:]), start=1):
        fresh = project(cloud, camera).mask != KNOWN
        cloud = Cloud.joined([cloud, lift(camera, depth, rgb, view=index, keep=fresh)])
    targets = [Target(camera, rgb, np.isfinite(depth)) for camera, (rgb, depth) in zip(cameras, seen)]
    for camera in support_cameras(View("anchor", LEVEL, float(LEVEL), cameras[0]), count=supports):
        shown = project(cloud, camera)
        targets.append(Target(camera, shown.rgb, shown.mask != UNKNOWN))

    def asked(place):
        camera = _camera(place, size)
        return Target(camera, _truth(world, camera)[0], project(cloud, camera).mask != UNKNOWN)

    far, near = (tuple(factor * np.array(ANCHOR)) for factor in (2.0, 0.5))
    start = initial(cloud, cameras)
    return Level(start, targets, [asked(place) for place in HELD_OUT], asked(far), asked(near), targets[0])


def _camera(place, size: int) -> Camera:
    focal = 1.1 * size
    return Camera(size, size, focal, focal, size / 2, size / 2, look_at(place, (0, 0, 0)))


def _truth(world: World, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """The antialiased picture (H, W, 3) sRGB, and the depth of the pixels' centres (H, W)."""
    fine, _ = world.render(camera.resized(camera.width * SAMPLES, camera.height * SAMPLES), LEVEL)
    light = srgb_to_linear(fine).reshape(camera.height, SAMPLES, camera.width, SAMPLES, 3).mean((1, 3))
    return linear_to_srgb(light).astype(np.float32), world.render(camera, LEVEL)[1]
