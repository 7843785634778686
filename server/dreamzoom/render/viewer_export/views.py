"""What a refit is to show: frames along the flight, and views around it, as our own rasteriser shows them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from core.camera import Camera
from dreamzoom.geometry.zoom_path import Key
from dreamzoom.progress import Report
from dreamzoom.render.flight import Flight
from dreamzoom.render.viewer_export.world import World
from dreamzoom.splats.viewers.refit import View

PER_LEVEL = 12
"""Frames along the flight for each unit of zoom, and at least for the whole flight."""
AROUND = 0.25
"""Views around the flight, as a share of the frames."""
MOST_SIDE = 1280
"""The longer side, in pixels, of the pictures that are compared; larger frames are fitted at this size."""
TURN = 3.0
"""Angle in degrees, around the focus, by which these are off the flight."""


def fitted_frames(flight: Flight, per_level: int = PER_LEVEL) -> list[float]:
    """Frames at which the refit looks, evenly spaced along the flight; they may lie between whole ones."""
    frames = flight.frames()
    zooms = np.array([flight.path.at_frame(frame).zoom for frame in frames])
    travelled = float(np.abs(np.diff(zooms)).sum())
    count = max(round(per_level * travelled), per_level) + 1
    if len(frames) <= count:
        return [float(frame) for frame in frames]
    return [float(frame) for frame in np.linspace(frames[0], frames[-1], count)]


def held_out_frames(flight: Flight, count: int = 12) -> list[float]:
    """Frames in the middle between those that the refit looks at, at most `count`, evenly spaced."""
    fitted = np.array(fitted_frames(flight))
    between = (fitted[1:] + fitted[:-1]) / 2
    if not len(between):
        return [float(fitted[0])]
    rows = np.unique(np.linspace(0, len(between) - 1, min(count, len(between))).round().astype(int))
    return [float(frame) for frame in between[rows]]


def view_of(world: World, frame: float, turn: tuple[float, float] = (0.0, 0.0)) -> View:
    """The flight's picture at a frame.

    Args:
        world: The flight and its frame.
        frame: Of the animation.
        turn: Angles in degrees by which the camera is turned around the focus, sideways and upwards.
    """
    key = world.flight.path.at_frame(frame)
    key = replace(key, skew=0.0)  # viewers have no sheared cameras
    camera = turned(key, turn) if any(turn) else key.camera
    scale = MOST_SIDE / max(camera.width, camera.height)
    if scale < 1:
        camera = camera.resized(round(camera.width * scale), round(camera.height * scale))
    rgb = np.clip(world.flight.view(key, camera).rgb, 0, 1).astype(np.float16)
    return View(world.camera(key, camera), rgb, world.near(key.zoom))


def views_of(world: World, seed: int, report: Report) -> list[View]:
    """All views of the refit: of the fitted frames, and around every fourth of them."""
    frames = [(frame, (0.0, 0.0)) for frame in fitted_frames(world.flight)]
    rng = np.random.default_rng(seed)
    for frame, _ in frames[:: round(1 / AROUND)]:
        angle = rng.uniform(0, 2 * np.pi)
        frames.append((frame, (TURN * float(np.cos(angle)), TURN * float(np.sin(angle)))))
    found = []
    for index, (frame, turn) in enumerate(frames):
        report.progress(index / len(frames), "rendering what is to be shown")
        found.append(view_of(world, frame, turn))
    return found


def turned(key: Key, degrees: tuple[float, float]) -> Camera:
    """The key's camera, turned in the gauge around its origin, the focus: about z, then about the camera's x axis."""
    sideways, upwards = np.radians(degrees)
    pose = key.camera.camera_to_frame
    turn = _rotation(pose[:3, 0], upwards) @ _rotation(np.array([0.0, 0.0, 1.0]), sideways)
    moved = np.eye(4)
    moved[:3, :3] = turn
    return key.camera.posed(moved @ pose)


def _rotation(axis: np.ndarray, angle: float) -> np.ndarray:
    """The rotation (3, 3) by an angle in radians about a unit axis (Rodrigues)."""
    x, y, z = axis
    cross = np.array([(0, -z, y), (z, 0, -x), (-y, x, 0)])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
