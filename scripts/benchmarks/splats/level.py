"""One level of the procedural world as the splats' benchmark uses it: views to fit, views held out, and its cloud.

Every true picture comes from the world, never from splats, and is box-filtered from SAMPLES² rays a pixel. A ray stands
for the same size on the ground in all of them, since the world shows as much detail as a ray's footprint lets through:
from u = k − 1, twice as far, a pixel gets (2·SAMPLES)² rays; from u = k + 1, at half the distance, the picture has half
as many pixels a side. That is the level's own world, band-limited to what its anchor view could see: finer detail is
the next level's, and no fit could know it.

What is asked of the splats is what the views that they were fitted to have seen: a pixel of a held-out picture counts
where each of its rays, by the world's true depth, ends on a surface that lies in the open from one of the fit's
cameras, and not so far from it that a pixel there is COARSE times as large or more, which is when the pipeline calls
what it knows "coarse".
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from core.camera import Camera, look_at
from core.colour import linear_to_srgb, srgb_to_linear
from core.gaussians import Gaussians
from dreamzoom.engines.procedural.world import World
from dreamzoom.geometry.cloud import Cloud
from dreamzoom.geometry.lift import lift
from dreamzoom.geometry.project import project
from dreamzoom.geometry.view import KNOWN, UNKNOWN, View
from dreamzoom.geometry.views import bridges, support_cameras
from dreamzoom.splats.initial import initial
from dreamzoom.splats.target import Target
from dreamzoom.stages.splat import cover

PROMPTS = ["mountains with snow", "a forest valley"]
LEVEL = 1
ANCHOR = (0.0, -2.0, 1.3)
SIDES = ((0.5, -1.8, 1.2), (-0.5, -1.9, 1.4))
MORE_SIDES = ((0.3, -2.1, 1.45), (-0.3, -1.7, 1.1))
"""Quality "preview" dreams two side views of a level, "final" four."""
HELD_OUT = ((0.25, -1.9, 1.25), (-0.2, -1.8, 1.2), (0.1, -2.1, 1.4))
SUPPORTS = 4
SAMPLES = 2
"""Rays per pixel along each side of a true picture: with one, the truth itself flickers."""
COARSE = 1.5
SAME = 0.01
"""Depths that differ by less than this share are one surface."""


@dataclass(frozen=True)
class Level:
    """What is known of a level, and what is asked of its splats.

    Attributes:
        start: Untouched surfels.
        targets: What the fit sees: the anchor and side views.
        depths: The true depth of each (H, W).
        covers: Views that it has to close: support views, and half-way to the side views.
        held_out: True pictures of other views, masked to what a target has seen.
        believed: The same, masked to all that the cloud believes to know there, small gaps closed.
        far, near: From u = k − 1 and k + 1, and own: the anchor.
    """

    start: Gaussians
    targets: list[Target]
    depths: list[np.ndarray]
    covers: list[Target]
    held_out: list[Target]
    believed: list[Target]
    far: Target
    near: Target
    own: Target


def make(size: int, sides=SIDES) -> Level:
    """The level with pictures of size × size pixels, and the side views that the fit has."""
    world = World(PROMPTS, [1, 2], 2.0, np.zeros((2, 3)))
    cameras = [_camera(place, size) for place in (ANCHOR, *sides)]
    seen = [(_truth(world, camera, SAMPLES)[0], world.render(camera, LEVEL)[1]) for camera in cameras]
    cloud = lift(cameras[0], seen[0][1], seen[0][0], view=0)
    for index, (camera, (rgb, depth)) in enumerate(zip(cameras[1:], seen[1:]), start=1):
        fresh = project(cloud, camera).mask != KNOWN
        cloud = Cloud.joined([cloud, lift(camera, depth, rgb, view=index, keep=fresh)])
    targets = [Target(camera, rgb, np.isfinite(depth)) for camera, (rgb, depth) in zip(cameras, seen)]
    anchor = View("anchor", LEVEL, float(LEVEL), cameras[0])
    supports = support_cameras(anchor, SUPPORTS) + [bridges([cameras[0], side])[0] for side in cameras[1:]]
    depths = [depth for _, depth in seen]

    def asked(camera: Camera, samples: int = SAMPLES) -> Target:
        rgb, depth = _truth(world, camera, samples)
        fine = camera.resized(camera.width * samples, camera.height * samples)
        known = in_the_open(fine, depth, samples, cameras, depths)
        return Target(camera, rgb, known.reshape(camera.height, samples, camera.width, samples).all((1, 3)))

    held_out = [asked(_camera(place, size)) for place in HELD_OUT]
    believed = [replace(view, mask=project(cloud, view.camera).mask != UNKNOWN) for view in held_out]
    far = asked(_camera(2.0 * np.array(ANCHOR), size), 2 * SAMPLES)
    near = asked(_camera(0.5 * np.array(ANCHOR), size // 2))
    covers = [cover(cloud, camera) for camera in supports]
    return Level(initial(cloud, cameras), targets, depths, covers, held_out, believed, far, near, targets[0])


def in_the_open(
    camera: Camera, depth: np.ndarray, samples: int, cameras: list[Camera], depths: list[np.ndarray]
) -> np.ndarray:
    """Which rays (H, W), `samples` a pixel along each side, end on a surface that one of `cameras` sees too.

    Args:
        camera, depth: The rays and their true depth (H, W).
        samples: How many of them make a pixel's side.
        cameras, depths: Who may see it too, and their true depth; not a number where nothing is known.
    """
    places = camera.unproject(depth).reshape(-1, 3)
    seen = np.zeros(len(places), bool)
    for other, true in zip(cameras, depths):
        x, y, z = other.to_camera(places).T
        column, row = x / z * other.fx + other.cx, y / z * other.fy + other.cy
        inside = (z > 0) & (column >= 0) & (column < other.width) & (row >= 0) & (row < other.height)
        inside &= z / other.fx < COARSE * samples * depth.ravel() / camera.fx
        for shift in ((-0.5, -0.5), (-0.5, 0.5), (0.5, -0.5), (0.5, 0.5)):
            j = np.clip(column + shift[0], 0, other.width - 1).astype(int)
            i = np.clip(row + shift[1], 0, other.height - 1).astype(int)
            seen |= inside & (np.abs(true[i, j] - z) < SAME * z)
    return seen.reshape(depth.shape)


def _camera(place, size: int) -> Camera:
    focal = 1.1 * size
    return Camera(size, size, focal, focal, size / 2, size / 2, look_at(place, (0, 0, 0)))


def _truth(world: World, camera: Camera, samples: int) -> tuple[np.ndarray, np.ndarray]:
    """The antialiased picture (H, W, 3) sRGB, and the depth of its rays, `samples` a pixel along each side."""
    fine, depth = world.render(camera.resized(camera.width * samples, camera.height * samples), LEVEL)
    light = srgb_to_linear(fine).reshape(camera.height, samples, camera.width, samples, 3).mean((1, 3))
    return linear_to_srgb(light).astype(np.float32), depth
