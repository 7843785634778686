"""Pictures of splats as viewers show them, and their gradients, on the CPU."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.camera import Camera
from core.gaussians import Gaussians
from core.spherical_harmonics import basis, degree_of
from dreamzoom.splats.cpu_rasterizer import Tiles, bin_tiles, sum_pairs
from dreamzoom.splats.threads import run_chunks
from dreamzoom.splats.view_table import NEAR, camera_arrays
from dreamzoom.splats.viewers.blending import blend, blend_back
from dreamzoom.splats.viewers.projection import COLUMNS, GRADIENTS, chain, project


@dataclass(frozen=True)
class ViewerPicture:
    """A picture, and what its backward pass needs.

    Attributes:
        rgb: (H, W, 3) float32 sRGB, over the background.
        alpha: (H, W) float32 in 0..1.
        order: (M,) the splats that overlap the picture, by depth.
        seen: (M,) bool, those that add to a pixel.
        table, box, tiles: Of these splats.
    """

    rgb: np.ndarray
    alpha: np.ndarray
    order: np.ndarray
    seen: np.ndarray
    table: np.ndarray
    box: np.ndarray
    tiles: Tiles


def show(splats: Gaussians, camera: Camera, background_rgb=(0.0, 0.0, 0.0), near: float = NEAR) -> ViewerPicture:
    """Render splats as viewers do.

    Args:
        splats: In the frame that the camera is placed in.
        camera: The camera.
        background_rgb: (3,) sRGB.
        near: Z-depth in the frame's units up to which centres are not shown.
    """
    count, arrays = len(splats), camera_arrays(camera)
    table, depth = np.empty((count, COLUMNS), np.float32), np.empty(count, np.float32)
    box = np.empty((count, 4), np.int32)
    shape = (camera.width, camera.height)
    parameters = (splats.means, splats.log_scales, splats.quaternions, splats.opacities, seen_colours(splats, camera))
    parameters = tuple(np.ascontiguousarray(part, np.float32) for part in parameters)
    run_chunks(project, count, *parameters, arrays, *shape, float(near), table, box, depth)
    shown = np.flatnonzero(box[:, 1] > box[:, 0])
    order = shown[np.argsort(depth[shown], kind="stable")]
    table, box = table[order], box[order]
    tiles = bin_tiles(box, *shape)
    rgb, clear = np.empty((*shape[::-1], 3), np.float32), np.empty(shape[::-1], np.float32)
    seen = np.zeros(len(order), np.bool_)
    background = np.asarray(background_rgb, np.float32)
    shared = (tiles.columns, *shape, tiles.tile_start, tiles.tile_splats, table, box)
    run_chunks(blend, tiles.columns * tiles.rows, *shared, background, rgb, clear, seen)
    return ViewerPicture(rgb, 1 - clear, order, seen, table, box, tiles)


def gradients(picture: ViewerPicture, splats: Gaussians, camera: Camera, by_rgb: np.ndarray) -> dict[str, np.ndarray]:
    """The gradients of a loss by the parameters of the splats, from those by the picture (H, W, 3) float32.

    Returns:
        "means" (N, 3), "log_scales" (N, 3), "quaternions" (N, 4), "logit_opacities" (N, 1) and "rgb" (N, 3), the last
        by the view-independent part of the sRGB colour; float32, zero for splats outside the picture.
    """
    tiles, count, shown = picture.tiles, len(splats), len(picture.order)
    shape = (camera.width, camera.height)
    entries = np.zeros((len(tiles.tile_splats), GRADIENTS), np.float32)
    shared = (tiles.columns, *shape, tiles.tile_start, tiles.tile_splats, picture.table, picture.box)
    by_rgb = np.ascontiguousarray(by_rgb, np.float32)
    run_chunks(blend_back, tiles.columns * tiles.rows, *shared, picture.rgb, by_rgb, entries)
    rows = np.zeros((shown, GRADIENTS), np.float32)
    run_chunks(sum_pairs, shown, tiles.pair_start, tiles.pair_entry, entries, rows)
    rows[:, 6:9] *= picture.table[:, 6:9] > 0
    widths = {"means": 3, "log_scales": 3, "quaternions": 4, "logit_opacities": 1, "rgb": 3}
    found = {name: np.zeros((count, width), np.float32) for name, width in widths.items()}
    parameters = (splats.means, splats.log_scales, splats.quaternions, splats.opacities)
    parameters = tuple(np.ascontiguousarray(part, np.float32) for part in parameters)
    run_chunks(chain, shown, picture.order, *parameters, camera_arrays(camera), *shape, rows, tuple(found.values()))
    return found


def seen_colours(splats: Gaussians, camera: Camera) -> np.ndarray:
    """The sRGB colours (N, 3) that a camera sees, not clipped."""
    degree = degree_of(splats.sh)
    rgb = splats.rgb
    if not degree:
        return rgb
    away = splats.means - camera.centre
    x, y, z = (away / np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-30)).astype(np.float32).T
    return rgb + sum(value[:, None] * splats.sh[:, 1 + row] for row, value in enumerate(basis(x, y, z, min(degree, 3))))
