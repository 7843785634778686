"""Point rendering φ3→2: draws a cloud with a z-buffer and returns colour, depth, a mask and point indices per pixel.

Each point is a small patch in the plane of its normal, as large as one pixel of its source view. In each pixel the
colours of the fragments of the nearest surface are averaged, so neighbouring points interpolate. Small gaps *within*
one surface (a plane seen at a flatter angle than in the source view) are filled if points of that plane lie on both
sides. A surface seen from behind occludes what is behind it, but its pixels are UNKNOWN: no view has seen that side.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.camera import Camera
from dreamzoom.geometry.cloud import Cloud
from dreamzoom.geometry.view import COARSE, KNOWN, UNKNOWN
from dreamzoom.jit import njit
from dreamzoom.progress import check

REACH = 3
"""A gap within one surface is filled if points lie on both sides within this many pixels."""


@dataclass(frozen=True)
class Projection:
    """A cloud rendered from a camera.

    Attributes:
        rgb: (H, W, 3) float32 sRGB in 0..1; 0 where unknown.
        depth: (H, W) float32 z-depth in the camera's frame; inf where unknown.
        mask: (H, W) uint8: UNKNOWN, COARSE or KNOWN of `view`.
        ids: (H, W) int32: row in the cloud of the point with the largest weight; -1 where unknown.
        footprint: (H, W) float32: size of that point's source pixel in pixels of this camera; 0 where unknown.
    """

    rgb: np.ndarray
    depth: np.ndarray
    mask: np.ndarray
    ids: np.ndarray
    footprint: np.ndarray


def project(cloud: Cloud, camera: Camera, *, coarse_above: float = 1.5) -> Projection:
    """Render a cloud without its superseded points.

    Args:
        cloud: In the frame that the camera is placed in.
        camera: Gives size and pose of the rendering.
        coarse_above: A pixel is COARSE if its point's footprint is larger than this many pixels, unless the artist's
            own picture gives the point.
    """
    check()
    size = (camera.height, camera.width)
    intrinsics = np.array([camera.fx, camera.fy, camera.cx, camera.cy])
    rows, points = _transform(
        np.ascontiguousarray(cloud.position),
        np.ascontiguousarray(cloud.normal),
        cloud.footprint,
        cloud.superseded,
        np.ascontiguousarray(camera.rotation.T),
        np.ascontiguousarray(camera.centre),
        intrinsics,
        size,
    )
    rgb_points, confidence = cloud.rgb[rows], cloud.confidence[rows]
    nearest = _z_buffer(points, intrinsics, size)
    rgb, depth, ids, back = _blend(points, rgb_points, confidence, nearest, intrinsics)
    filled = _fill_gaps(rgb, depth, ids, back, points, rgb_points, intrinsics)
    unknown = back | (ids < 0)
    rgb[unknown], depth[unknown], ids[unknown] = 0, np.inf, -1
    focal = np.sqrt(camera.fx * camera.fy)
    span = np.zeros(size, np.float32)
    span[~unknown] = points[ids[~unknown], FOOTPRINT] * focal / depth[~unknown]
    span[filled] = np.maximum(span[filled], 1.01 * coarse_above)
    ids[~unknown] = rows[ids[~unknown]]
    coarse = span > coarse_above
    coarse[~unknown] &= ~cloud.given[ids[~unknown]]
    mask = np.where(unknown, UNKNOWN, np.where(coarse, COARSE, KNOWN)).astype(np.uint8)
    return Projection(rgb, depth, mask, ids, span)


COLUMN, ROW, DEPTH, NX, NY, NZ, PLANE, FOOTPRINT, SPAN = range(9)
"""Columns of a transformed point (M, 9): pixel position x and y of its centre, z-depth, normal in camera axes, n·P,
footprint in the frame's units, and footprint in pixels."""
NEAR = 1e-3
WIDEST = 64.0


@njit(cache=True, nogil=True)
def _transform(position, normal, footprint, superseded, to_camera, centre, intrinsics, size):
    """Transform points to the camera and cull those outside of the image.

    Args:
        position: (N, 3) float32, in the frame.
        normal: (N, 3) float32, unit, in the frame.
        footprint: (N,) float32, in the frame's units.
        superseded: (N,) bool; these are culled.
        to_camera: (3, 3) float64, rotation from frame to camera axes.
        centre: (3,) float64, of the camera, in the frame.
        intrinsics: (4,) fx, fy, cx, cy in pixels.
        size: (H, W) of the image in pixels.

    Returns:
        rows: (M,) int32, indices of the remaining points.
        points: (M, 9) float32, columns as above.
    """
    fx, fy, cx, cy = intrinsics
    focal = np.sqrt(fx * fy)
    height, width = size
    rows = np.empty(len(position), np.int32)
    points = np.empty((len(position), 9), np.float32)
    count = 0
    for n in range(len(position)):
        x, y, z = position[n, 0] - centre[0], position[n, 1] - centre[1], position[n, 2] - centre[2]
        depth = to_camera[2, 0] * x + to_camera[2, 1] * y + to_camera[2, 2] * z
        if superseded[n] or not depth > NEAR:
            continue
        span = footprint[n] * focal / depth
        right = to_camera[0, 0] * x + to_camera[0, 1] * y + to_camera[0, 2] * z
        below = to_camera[1, 0] * x + to_camera[1, 1] * y + to_camera[1, 2] * z
        column, row = fx * right / depth + cx, fy * below / depth + cy
        if not (-span < column < width + span and -span < row < height + span and span < WIDEST):
            continue
        nx, ny, nz = normal[n, 0], normal[n, 1], normal[n, 2]
        a = to_camera[0, 0] * nx + to_camera[0, 1] * ny + to_camera[0, 2] * nz
        b = to_camera[1, 0] * nx + to_camera[1, 1] * ny + to_camera[1, 2] * nz
        c = to_camera[2, 0] * nx + to_camera[2, 1] * ny + to_camera[2, 2] * nz
        rows[count] = n
        point = points[count]
        point[0], point[1], point[2], point[3], point[4], point[5] = column, row, depth, a, b, c
        point[6], point[7], point[8] = a * right + b * below + c * depth, footprint[n], span
        count += 1
    return rows[:count].copy(), points[:count].copy()


@njit(cache=True, nogil=True)
def _extent(point, height, width):
    """Half-open ranges of rows and columns (top, bottom, left, right) of the pixel centres that a point (9,) covers."""
    half = max(np.float32(0.5), np.float32(0.72) * point[8])
    top, bottom = int(np.ceil(point[1] - half - 0.5)), int(np.floor(point[1] + half - 0.5)) + 1
    left, right = int(np.ceil(point[0] - half - 0.5)), int(np.floor(point[0] + half - 0.5)) + 1
    return max(top, 0), min(bottom, height), max(left, 0), min(right, width)


@njit(cache=True, nogil=True)
def _plane_depth(point, ray_x, ray_y, limit):
    """Z-depth at which the ray (ray_x, ray_y, 1) meets the plane of a point (9,), within ± `limit` of the point's."""
    slope = point[3] * ray_x + point[4] * ray_y + point[5]
    if slope * point[6] <= 0:
        return point[2]
    return min(max(point[6] / slope, point[2] - limit), point[2] + limit)


@njit(cache=True, nogil=True)
def _z_buffer(points, intrinsics, size):
    """The z-buffer (H, W) float32 z-depth of points (M, 9); inf where no point is."""
    height, width = size
    fx, fy, cx, cy = intrinsics
    nearest = np.full((height, width), np.inf, np.float32)
    for n in range(len(points)):
        point = points[n]
        top, bottom, left, right = _extent(point, height, width)
        for i in range(top, bottom):
            ray_y = (i + 0.5 - cy) / fy
            for j in range(left, right):
                z = np.float32(_plane_depth(point, (j + 0.5 - cx) / fx, ray_y, 4 * point[7]))
                if z < nearest[i, j]:
                    nearest[i, j] = z
    return nearest


@njit(cache=True, nogil=True)
def _blend(points, rgb_points, confidence, nearest, intrinsics):
    """Average the fragments of the nearest surface in each pixel, with Gaussian weights about the points' centres.

    Args:
        points: (M, 9) float32.
        rgb_points: (M, 3) float32 sRGB.
        confidence: (M,) float32 in 0..1, a factor of the weight.
        nearest: (H, W) float32, the z-buffer.
        intrinsics: (4,) fx, fy, cx, cy in pixels.

    Returns:
        rgb: (H, W, 3) float32.
        depth: (H, W) float32 z-depth; 0 where no point is.
        ids: (H, W) int32, row in `points` of the largest weight; -1 where no point is.
        back: (H, W) bool: the surface faces away from the camera.
    """
    height, width = nearest.shape
    fx, fy, cx, cy = intrinsics
    rgb = np.zeros((height, width, 3), np.float32)
    depth = np.zeros((height, width), np.float32)
    total = np.zeros((height, width), np.float32)
    behind = np.zeros((height, width), np.float32)
    best = np.zeros((height, width), np.float32)
    ids = np.full((height, width), -1, np.int32)
    for n in range(len(points)):
        point = points[n]
        top, bottom, left, right = _extent(point, height, width)
        span = max(point[8], np.float32(0.5))
        spread = np.float32(-0.5) / (np.float32(0.4) * max(span, np.float32(1.0))) ** 2
        away = point[6] > 0.2 * point[2]
        for i in range(top, bottom):
            ray_y = (i + 0.5 - cy) / fy
            for j in range(left, right):
                z = np.float32(_plane_depth(point, (j + 0.5 - cx) / fx, ray_y, 4 * point[7]))
                if z > nearest[i, j] * np.float32(1.015) + 2 * point[7]:
                    continue
                dx, dy = j + np.float32(0.5) - point[0], i + np.float32(0.5) - point[1]
                weight = np.exp((dx * dx + dy * dy) * spread) * (confidence[n] + np.float32(1e-3)) / (span * span)
                total[i, j] += weight
                depth[i, j] += weight * z
                rgb[i, j, 0] += weight * rgb_points[n, 0]
                rgb[i, j, 1] += weight * rgb_points[n, 1]
                rgb[i, j, 2] += weight * rgb_points[n, 2]
                if away:
                    behind[i, j] += weight
                if weight > best[i, j]:
                    best[i, j] = weight
                    ids[i, j] = n
    back = np.zeros((height, width), np.bool_)
    for i in range(height):
        for j in range(width):
            if ids[i, j] >= 0:
                depth[i, j] /= total[i, j]
                rgb[i, j] /= total[i, j]
                back[i, j] = behind[i, j] > 0.5 * total[i, j]
    return rgb, depth, ids, back


@njit(cache=True, nogil=True)
def _fill_gaps(rgb, depth, ids, back, points, rgb_points, intrinsics):
    """Fill gaps within one surface; changes rgb, depth, ids and back (as from `_blend`) in place.

    Returns:
        (H, W) bool: the filled pixels.
    """
    height, width = depth.shape
    filled = np.zeros((height, width), np.bool_)
    source = ids.copy()
    front = _nearest_around(source, points)
    for i in range(height):
        for j in range(width):
            found, best_z, best_a, best_b, share = False, np.inf, 0, 0, 0.5
            limit = depth[i, j] * 0.97 if source[i, j] >= 0 else np.inf
            if front[i, j] >= limit:  # the usual case: no nearer point around
                continue
            for axis in range(4):
                di, dj = (0, 1, 1, 1)[axis], (1, 0, 1, -1)[axis]
                a, step_a = _first_in_front(source, back, points, i, j, -di, -dj, limit)
                b, step_b = _first_in_front(source, back, points, i, j, di, dj, limit)
                if a < 0 or b < 0 or step_a + step_b > REACH + 1:
                    continue
                z = _common_plane_depth(points[a], points[b], i, j, intrinsics)
                if z < best_z and z < limit:
                    found, best_z, best_a, best_b, share = True, z, a, b, step_b / (step_a + step_b)
            if found:
                filled[i, j] = True
                depth[i, j] = best_z
                ids[i, j] = best_a if share >= 0.5 else best_b
                back[i, j] = False
                rgb[i, j] = share * rgb_points[best_a] + (1 - share) * rgb_points[best_b]
    return filled


@njit(cache=True, nogil=True)
def _nearest_around(ids, points):
    """The least z-depth (H, W) float32 of the points within REACH rows and columns of each pixel; inf if none.

    `ids` is (H, W) int32, rows in `points` (M, 9), or -1.
    """
    height, width = ids.shape
    rows = np.full((height, width), np.inf, np.float32)
    around = np.full((height, width), np.inf, np.float32)
    for i in range(height):
        for j in range(width):
            n = ids[i, j]
            if n >= 0:
                for x in range(max(j - REACH, 0), min(j + REACH + 1, width)):
                    rows[i, x] = min(rows[i, x], points[n, 2])
    for i in range(height):
        for y in range(max(i - REACH, 0), min(i + REACH + 1, height)):
            for j in range(width):
                around[y, j] = min(around[y, j], rows[i, j])
    return around


@njit(cache=True, nogil=True)
def _first_in_front(ids, back, points, i, j, di, dj, limit):
    """Search from pixel (i, j) in direction (di, dj) for the first point with z-depth below `limit`.

    Returns:
        The point's row, or -1 if there is none within REACH or it faces away, and the distance in steps.
    """
    height, width = ids.shape
    for step in range(1, REACH + 1):
        y, x = i + di * step, j + dj * step
        if y < 0 or y >= height or x < 0 or x >= width:
            break
        n = ids[y, x]
        if n >= 0 and points[n, 2] < limit:
            return (-1 if back[y, x] else n), step
    return -1, 0


@njit(cache=True, nogil=True)
def _common_plane_depth(a, b, i, j, intrinsics):
    """Z-depth at pixel (i, j) of the common plane of points a and b (9,); inf if they differ or are too far apart."""
    fx, fy, cx, cy = intrinsics
    ray_x, ray_y = (j + 0.5 - cx) / fx, (i + 0.5 - cy) / fy
    size = max(a[7], b[7])
    z_a, z_b = _plane_depth(a, ray_x, ray_y, 4 * size), _plane_depth(b, ray_x, ray_y, 4 * size)
    if a[3] * b[3] + a[4] * b[4] + a[5] * b[5] < 0.5 or abs(z_a - z_b) > 2 * size + 0.01 * min(z_a, z_b):
        return np.inf
    dx = (a[0] - cx) / fx * a[2] - (b[0] - cx) / fx * b[2]
    dy = (a[1] - cy) / fy * a[2] - (b[1] - cy) / fy * b[2]
    dz = a[2] - b[2]
    if dx * dx + dy * dy + dz * dz > 36 * size * size:
        return np.inf
    return 0.5 * (z_a + z_b)
