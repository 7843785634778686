"""Unprojection φ2→3 of a picture with depth to points with normals (LucidDreamer, sec. 3.1).

Occlusion edges are detected first, so that no points lie between foreground and background.
"""

from __future__ import annotations

import numpy as np

from core.camera import Camera
from dreamzoom.geometry.cloud import Cloud
from dreamzoom.geometry.depth_edges import Edges, behind_edges, find_edges
from dreamzoom.jit import njit
from dreamzoom.progress import check


def lift(
    camera: Camera,
    depth: np.ndarray,
    rgb: np.ndarray,
    *,
    view: int,
    keep: np.ndarray | None = None,
    confidence: np.ndarray | None = None,
    edges: Edges | None = None,
    given: np.ndarray | None = None,
    measured: np.ndarray | None = None,
) -> Cloud:
    """Unproject pixel centres to points in the frame that the camera is placed in.

    Args:
        camera: Has the size of the picture.
        depth: (H, W) z-depth in the frame's units; pixels that are not finite or not positive give no point.
        rgb: (H, W, 3) sRGB in 0..1.
        view: The index of this view in the plan.
        keep: (H, W) bool, the pixels to unproject; all if None. The others still contribute to normals and edges.
        confidence: (H, W) in 0..1; 1 if None.
        edges: The edges of this depth, if the caller has them already.
        given: (H, W) bool, the pixels of the artist's own picture; none if None.
        measured: (H, W) bool, the pixels whose depth is the artist's own or follows it; none if None.

    Returns:
        One point per pixel, in row-major order, without mixed pixels at discontinuities. Points directly behind a
        discontinuity get the colour of nearby pixels of their own surface, since their pixels contain foreground.
    """
    check()
    shape = (camera.height, camera.width)
    if depth.shape != shape or rgb.shape != (*shape, 3):
        raise ValueError(f"depth {depth.shape} and rgb {rgb.shape} must have the camera's size {shape}")
    edges = edges or find_edges(depth, camera)
    valid = np.isfinite(depth) & (depth > 0) & ~edges.mixed & np.isfinite(rgb).all(-1)
    mixed = behind_edges(depth, edges)
    rgb = _replace_mixed_colours(rgb.astype(np.float32), depth.astype(np.float32), mixed, edges.threshold)
    chosen = np.flatnonzero(valid if keep is None else valid & keep)
    z = depth.ravel()[chosen].astype(np.float64)
    rays = camera.rays().reshape(-1, 3)[chosen]
    normal = (normals(camera, depth, edges) @ camera.rotation.T).reshape(-1, 3)[chosen]  # per image row: faster
    chosen_confidence = np.ones(len(chosen)) if confidence is None else confidence.ravel()[chosen]
    return Cloud(
        (camera.centre + z[:, None] * rays).astype(np.float32),
        rgb.reshape(-1, 3)[chosen].astype(np.float32),
        normal.astype(np.float32),
        (z / np.sqrt(camera.fx * camera.fy)).astype(np.float32),
        np.full(len(chosen), view, np.int32),
        chosen_confidence.astype(np.float32),
        np.zeros(len(chosen), bool),
        *(np.zeros(len(chosen), bool) if mask is None else mask.ravel()[chosen] for mask in (given, measured)),
    )


@njit(cache=True, nogil=True)
def _replace_mixed_colours(rgb, depth, mixed, threshold):
    """The picture, in which each mixed pixel gets the mean of unmixed pixels of the same surface within three pixels.

    Weights are the inverse squared distance.

    Args:
        rgb: (H, W, 3) float32 sRGB.
        depth: (H, W) float32 z-depth.
        mixed: (H, W) bool, the pixels to replace.
        threshold: Pixels whose relative depth difference is below twice this belong to the same surface.

    Returns:
        (H, W, 3) float32 sRGB.
    """
    height, width = depth.shape
    out = rgb.copy()
    for i in range(height):
        for j in range(width):
            if not mixed[i, j]:
                continue
            total, r, g, b = 0.0, 0.0, 0.0, 0.0
            for y in range(max(i - 3, 0), min(i + 4, height)):
                for x in range(max(j - 3, 0), min(j + 4, width)):
                    if mixed[y, x] or not abs(depth[y, x] - depth[i, j]) < 2 * threshold * depth[i, j]:
                        continue
                    weight = 1.0 / ((y - i) ** 2 + (x - j) ** 2)
                    total += weight
                    r, g, b = r + weight * rgb[y, x, 0], g + weight * rgb[y, x, 1], b + weight * rgb[y, x, 2]
            if total > 0.0:
                out[i, j, 0], out[i, j, 1], out[i, j, 2] = r / total, g / total, b / total
    return out


def normals(camera: Camera, depth: np.ndarray, edges: Edges) -> np.ndarray:
    """Unit normals (H, W, 3) float32 in camera axes, pointing towards the camera, of a z-depth (H, W).

    On the plane a·x + b·y + c·z = 1 holds 1/z = a·x/z + b·y/z + c, so a weighted linear fit of 1/z in a window gives
    the normal (a, b, c) directly. The window grows with the noise of the depth. Pixels across an occlusion edge get
    almost no weight, and each slope is limited by the difference to the neighbour that is closer in depth: too steep a
    slope would make a surfel protrude from the edge.
    """
    focal = np.sqrt(camera.fx * camera.fy)
    wanted = np.sqrt(np.sqrt(12) * edges.noise * focal / 0.25)
    radius = int(np.clip(np.ceil((wanted - 1) / 2), 1, 4))
    disparity = np.where(np.isfinite(depth) & (depth > 0), 1 / np.where(depth > 0, depth, np.nan), np.nan)
    return _fit_normals(
        np.ascontiguousarray(disparity, np.float32),
        radius,
        3 * edges.threshold,
        float(0.5 / focal + edges.noise),
        float(camera.fx),
        float(camera.fy),
        float(camera.cx),
        float(camera.cy),
    )


@njit
def _bounded(slope, disparity, i, j, down, right, slack):
    """Limit a slope of the disparity (H, W), in disparity per pixel, by the neighbours of pixel (i, j) on both sides.

    The limit is 1.2 times the smaller absolute difference to the neighbours at ± (down, right), plus `slack` times the
    pixel's own disparity.
    """
    height, width = disparity.shape
    here, least = disparity[i, j], np.float32(np.inf)
    if i >= down and j >= right:
        least = abs(here - disparity[i - down, j - right])
    if i + down < height and j + right < width:
        step = abs(disparity[i + down, j + right] - here)
        if step < least:
            least = step
    most = 1.2 * least + slack * here
    return min(max(slope, -most), most) if least == least and least < np.inf else slope


@njit(cache=True, nogil=True, fastmath={"contract", "arcp", "reassoc", "nsz"})
def _fit_normals(disparity, radius, tolerance, slack, fx, fy, cx, cy):
    """The fit of `normals`.

    Args:
        disparity: (H, W) float32, 1 / z-depth in the frame's inverse units; NaN where there is none.
        radius: Of the window, in pixels.
        tolerance: Relative difference of disparity from which a pixel's weight falls.
        slack: Relative tolerance of the slope limit, see `_bounded`.
        fx, fy, cx, cy: Intrinsics in pixels.

    Returns:
        (H, W, 3) float32 unit normals in camera axes.
    """
    height, width = disparity.shape
    normal = np.zeros((height, width, 3), np.float32)
    for i in range(height):
        for j in range(width):
            here = disparity[i, j]
            ray_x, ray_y = (j + 0.5 - cx) / fx, (i + 0.5 - cy) / fy
            a, b, c = 0.0, 0.0, 1.0
            if here == here and here > 0:
                s = sx = sy = sxx = syy = sxy = sd = sxd = syd = 0.0
                softness = 1 / (tolerance * here) ** 2
                for di in range(max(-radius, -i), min(radius, height - 1 - i) + 1):
                    for dj in range(max(-radius, -j), min(radius, width - 1 - j) + 1):
                        there = disparity[i + di, j + dj]
                        if there == there:
                            change = there - here
                            weight = 1 / (1 + change * change * softness)
                            weight *= weight
                            s += weight
                            sx += weight * dj
                            sy += weight * di
                            sxx += weight * dj * dj
                            syy += weight * di * di
                            sxy += weight * di * dj
                            sd += weight * change
                            sxd += weight * dj * change
                            syd += weight * di * change
                mx, my, md = sx / s, sy / s, sd / s
                vxx, vyy, vxy = sxx - s * mx * mx + 1e-3, syy - s * my * my + 1e-3, sxy - s * mx * my
                vxd, vyd = sxd - s * mx * md, syd - s * my * md
                determinant = vxx * vyy - vxy * vxy
                right = _bounded((vxd * vyy - vyd * vxy) / determinant, disparity, i, j, 0, 1, slack)
                down = _bounded((vyd * vxx - vxd * vxy) / determinant, disparity, i, j, 1, 0, slack)
                a, b = fx * right, fy * down
                c = here - a * ray_x - b * ray_y
            length = np.sqrt(a * a + b * b + c * c)
            if a * ray_x + b * ray_y + c > 0:
                length = -length
            normal[i, j, 0], normal[i, j, 1], normal[i, j, 2] = a / length, b / length, c / length
    return normal
