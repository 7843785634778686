"""A bent round hall, whose true depth is known, and cameras in it."""

import numpy as np
from scipy.ndimage import gaussian_filter

from core.camera import Camera, look_at
from dreamzoom.geometry.project import Projection
from dreamzoom.geometry.view import COARSE, KNOWN, UNKNOWN, DepthKind

SIZE = 96


def camera(yaw=0.0, centre=(0.0, 0.0, 0.0), size=SIZE) -> Camera:
    """A camera in a hall, 47 degrees wide."""
    ahead = np.array([np.sin(np.radians(yaw)), np.cos(np.radians(yaw)), 0])
    return Camera(size, size, 1.14 * size, 1.14 * size, size / 2, size / 2, look_at(centre, np.asarray(centre) + ahead))


def hall(view: Camera) -> np.ndarray:
    """True z-depth of a bent round hall, seen from inside."""
    rays = view.rays()
    distance = np.full(rays.shape[:2], 2.0)
    for _ in range(60):
        point = view.centre + distance[..., None] * rays
        angle = np.arctan2(point[..., 0], point[..., 1])
        wall = 2 + 0.3 * np.sin(3 * angle) + 0.2 * np.cos(2 * point[..., 2])
        distance *= 1 + 0.5 * (wall / np.linalg.norm(point[..., :2], axis=-1) - 1)
    return distance.astype(np.float32)


def warp(seed: int, size=SIZE, amount=0.08) -> np.ndarray:
    field = gaussian_filter(np.random.default_rng(seed).normal(size=(size, size)), size / 7, mode="reflect")
    return amount * (field - field.mean()) / field.std()


def grey(view: Camera) -> np.ndarray:
    return np.full((view.height, view.width, 3), 0.5, np.float32)


def seen_from(view: Camera, known: np.ndarray, depth: np.ndarray, span=1.0) -> Projection:
    """A projection that knows `depth` where `known`."""
    spans = np.where(known, np.float32(span), 0).astype(np.float32)
    mask = np.where(known, KNOWN if span <= 1.5 else COARSE, UNKNOWN).astype(np.uint8)
    return Projection(grey(view), np.where(known, depth, np.inf).astype(np.float32), mask, mask.astype(np.int32), spans)


def left_half() -> np.ndarray:
    known = np.zeros((SIZE, SIZE), bool)
    known[:, : SIZE // 2] = True
    return known


def values_of(kind: DepthKind, depth: np.ndarray) -> np.ndarray:
    if kind == DepthKind.DISPARITY:
        return (3 / depth + 0.2).astype(np.float32)
    return (depth * (1.02 if kind == DepthKind.METRIC else 0.37) - (0.1 if kind == DepthKind.AFFINE else 0)).astype(
        "f4"
    )
