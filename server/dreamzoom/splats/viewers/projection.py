"""The EWA projection of splats for one camera, and its backward pass (compiled).

A Gaussian of covariance V around m (camera axes) becomes a 2D Gaussian of covariance J V Jᵀ + `BLUR` · I around the
projection of m, where J is the projection's Jacobian at m (Zwicker et al. 2001, eq. 31). As in 3DGS and gsplat the
slopes x/z and y/z of J are limited to `MARGIN` half pictures beyond the picture's border.

In this module `axes` (3, 3) has the local axes in camera axes as columns, T (2, 3) is J · axes · scales, and a row of
the table holds `COLUMNS` values: pixel position u, v of the centre; the inverse covariance A, B, C, of which
q = A dx² + 2 B dx dy + C dy²; opacity; sRGB colour; and the largest q / 2 that is shown.
"""

from __future__ import annotations

import numpy as np

from dreamzoom.splats.backward import _quaternion_back as quaternion_back
from dreamzoom.splats.splat_projection import compiled, rotation_of

BLUR = 0.3
"""The variance, in pixels², that viewers add to every projected splat."""
MIN_ALPHA = 1 / 255
"""Less alpha is not shown."""
MARGIN = 0.3
COLUMNS = 10
GRADIENTS = 9
"""Gradients per splat: of the first columns, from u to blue."""


@compiled
def _centre(mean, rotation, centre, m):
    """Write the camera coordinates of a point (3,) of the frame to m (3,)."""
    for k in range(3):
        m[k] = 0.0
        for j in range(3):
            m[k] += rotation[j, k] * (float(mean[j]) - centre[j])


@compiled
def _limited(slope, focal, middle, size):
    """The slope x/z or y/z, limited to the picture and its margin."""
    margin = MARGIN * 0.5 * size / focal
    return min(max(slope, -middle / focal - margin), (size - middle) / focal + margin)


@compiled
def _spread(axes, scales, focal, slope, depth, row, out):
    """Write row `row` (0 for x, 1 for y) of T to out[row] (3,)."""
    for k in range(3):
        out[row, k] = focal / depth * (axes[row, k] - slope * axes[2, k]) * scales[k]


@compiled
def project(
    begin, end, means, log_scales, quaternions, opacities, rgb, camera, width, height, near, table, box, depth
):  # fmt: skip
    """Compute rows begin:end of table (N, COLUMNS) float32, box (N, 4) int32 and depth (N,) float32.

    Args:
        means, log_scales, quaternions, opacities: As in `Gaussians`, in the frame of the camera; opacities in 0..1.
        rgb: (N, 3) float32 sRGB, as seen from the camera.
        camera: Rotation (3, 3) camera to frame, centre (3,), (fx, fy, cx, cy), float64.
        width, height: Of the picture, in pixels.
        near: Z-depth in the frame's units up to which centres are not shown.
        table, depth: Written for splats that the picture shows; depth is the centre's z-depth.
        box: Pixel bounds, columns and rows, ends exclusive; empty for splats that the picture doesn't show.
    """
    rotation, centre, intrinsics = camera
    fx, fy, cx, cy = intrinsics
    m, axes, spread, scales = np.empty(3), np.empty((3, 3)), np.empty((2, 3)), np.empty(3)
    for i in range(begin, end):
        box[i, 0], box[i, 1], box[i, 2], box[i, 3] = 0, 0, 0, 0
        _centre(means[i], rotation, centre, m)
        opacity = float(opacities[i])
        if not (m[2] > near and opacity > MIN_ALPHA):
            continue
        x, y = m[0] / m[2], m[1] / m[2]
        u, v = fx * x + cx, fy * y + cy
        widest = max(log_scales[i, 0], log_scales[i, 1], log_scales[i, 2])
        reach = 12.0 * np.exp(float(widest)) / m[2] * max(fx, fy) + 4.0  # at limited slopes J grows a vector to < 3.6
        if u < -reach or u > width + reach or v < -reach or v > height + reach:
            continue
        if not rotation_of(quaternions[i], rotation, axes) > 0.0:
            continue
        for k in range(3):
            scales[k] = np.exp(float(log_scales[i, k]))
        _spread(axes, scales, fx, _limited(x, fx, cx, width), m[2], 0, spread)
        _spread(axes, scales, fy, _limited(y, fy, cy, height), m[2], 1, spread)
        a, b, c = BLUR, 0.0, BLUR
        for k in range(3):
            a += spread[0, k] * spread[0, k]
            b += spread[0, k] * spread[1, k]
            c += spread[1, k] * spread[1, k]
        det = a * c - b * b
        if not (det > 0.0 and np.isfinite(det)):
            continue
        most = np.log(opacity / MIN_ALPHA)
        rx, ry = np.sqrt(2 * most * a) + 1e-3, np.sqrt(2 * most * c) + 1e-3
        box[i, 0] = int(np.ceil(min(max(u - rx - 0.5, 0.0), float(width))))
        box[i, 1] = int(np.floor(min(max(u + rx - 0.5, -1.0), width - 1.0))) + 1
        box[i, 2] = int(np.ceil(min(max(v - ry - 0.5, 0.0), float(height))))
        box[i, 3] = int(np.floor(min(max(v + ry - 0.5, -1.0), height - 1.0))) + 1
        if box[i, 3] <= box[i, 2]:
            box[i, 1] = box[i, 0]
        table[i, 0], table[i, 1], table[i, 2], table[i, 3], table[i, 4] = u, v, c / det, -b / det, a / det
        table[i, 5], table[i, 9], depth[i] = opacity, most, m[2]
        for k in range(3):
            table[i, 6 + k] = max(rgb[i, k], np.float32(0))


@compiled
def chain(begin, end, order, means, log_scales, quaternions, opacities, camera, width, height, rows, out):
    """The gradients of the splats order[begin:end] by their parameters.

    Args:
        order: (M,) the splats that the picture shows.
        means, log_scales, quaternions, opacities, camera, width, height: As in `project`.
        rows: (M, GRADIENTS) float32, in that order.
        out: Gradients of means (N, 3), log-scales (N, 3), quaternions (N, 4), logit-opacities (N, 1) and sRGB (N, 3),
            float32; the splats' rows are written.
    """
    rotation, centre, intrinsics = camera
    fx, fy, cx, cy = intrinsics
    by_means, by_scales, by_quaternions, by_logits, by_rgb = out
    m, axes, spread, scales = np.empty(3), np.empty((3, 3)), np.empty((2, 3)), np.empty(3)
    back, by_axes, turn, by_m = np.empty((2, 3)), np.empty((3, 3)), np.empty((3, 3)), np.empty(3)
    for j in range(begin, end):
        i, row = order[j], rows[j]
        _centre(means[i], rotation, centre, m)
        z = m[2]
        length = rotation_of(quaternions[i], rotation, axes)
        for k in range(3):
            scales[k] = np.exp(float(log_scales[i, k]))
        x, y = m[0] / z, m[1] / z
        sx, sy = _limited(x, fx, cx, width), _limited(y, fy, cy, height)
        _spread(axes, scales, fx, sx, z, 0, spread)
        _spread(axes, scales, fy, sy, z, 1, spread)
        a, b, c = BLUR, 0.0, BLUR
        for k in range(3):
            a += spread[0, k] * spread[0, k]
            b += spread[0, k] * spread[1, k]
            c += spread[1, k] * spread[1, k]
        det = a * c - b * b
        p, q, r = c / det, -b / det, a / det  # the inverse covariance
        gp, gq, gr = float(row[2]), 0.5 * float(row[3]), float(row[4])
        # by the covariance: −K G K of the inverse K and its symmetric gradient G; the mixed term stands for two
        kp, kq = p * gp + q * gq, p * gq + q * gr
        kr, ks = q * gp + r * gq, q * gq + r * gr
        by_a, by_b, by_c = -(kp * p + kq * q), -2 * (kp * q + kq * r), -(kr * q + ks * r)
        by_sx, by_sy, along = 0.0, 0.0, 0.0
        for k in range(3):
            back[0, k] = 2 * by_a * spread[0, k] + by_b * spread[1, k]
            back[1, k] = 2 * by_c * spread[1, k] + by_b * spread[0, k]
            by_sx -= back[0, k] * fx / z * axes[2, k] * scales[k]
            by_sy -= back[1, k] * fy / z * axes[2, k] * scales[k]
            along += back[0, k] * spread[0, k] + back[1, k] * spread[1, k]
            by_axes[0, k] = back[0, k] * fx / z * scales[k]
            by_axes[1, k] = back[1, k] * fy / z * scales[k]
            by_axes[2, k] = -(sx * by_axes[0, k] + sy * by_axes[1, k])
            by_scales[i, k] = by_axes[0, k] * axes[0, k] + by_axes[1, k] * axes[1, k] + by_axes[2, k] * axes[2, k]
        by_x = row[0] * fx + (by_sx if sx == x else 0.0)
        by_y = row[1] * fy + (by_sy if sy == y else 0.0)
        by_m[0], by_m[1], by_m[2] = by_x / z, by_y / z, -(along + by_x * x + by_y * y) / z
        for k in range(3):
            by_means[i, k] = rotation[k, 0] * by_m[0] + rotation[k, 1] * by_m[1] + rotation[k, 2] * by_m[2]
            by_rgb[i, k] = row[6 + k]
        quaternion_back(quaternions[i], length, rotation, by_axes, turn, by_quaternions[i])
        by_logits[i, 0] = row[5] * opacities[i] * (1 - opacities[i])
