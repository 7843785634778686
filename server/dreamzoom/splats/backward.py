"""The backward pass of the CPU rasteriser (compiled): from the gradients of a picture to those of all parameters.

Two kernels do the work: `hit_gradients` goes from the picture to the table of `splat_projection`, and `chain` from the
table to the parameters. In the functions below `row` or `rows` hold GRADIENTS values per splat (nine coefficients,
opacity, linear RGB, one more), `axes`, `m` and the coefficients are as in `splat_projection`, and grad_x has the shape
of x.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dreamzoom.splats.cpu_rasterizer import Hits, sum_pairs
from dreamzoom.splats.hit_gradients import hit_gradients
from dreamzoom.splats.splat_projection import (
    GRADIENTS,
    apply_filter,
    compiled,
    flattened,
    general,
    is_surfel,
    pixel_filter,
    reference,
    rotation_of,
    surfel,
)
from dreamzoom.splats.threads import run_chunks


@compiled
def _filter_back(row, filtered, plain, chol, m_depth, tau, opacity, grad):
    """Backward pass of the 2D filter: from gradients of the filtered coefficients to those of the unfiltered ones.

    Args:
        row: (GRADIENTS,) of the filtered coefficients and opacity.
        filtered, plain: (9,) coefficients after and before the filter.
        chol: (3,) from `splat_projection.pixel_filter`.
        m_depth: Z-depth of the centre.
        tau: Variance of the pixel filter, pixels².
        opacity: Before the filter.
        grad: (9,), written.

    Returns:
        The gradients of the unfiltered opacity and of the centre's z-depth.
    """
    l11, l21, l22 = chol[0], chol[1], chol[2]
    shrunk = opacity / (l11 * l22)
    grad_opacity = row[9] / (l11 * l22)
    g11, g21, g22 = -row[9] * shrunk / l11, 0.0, -row[9] * shrunk / l22
    for k in range(3):
        grad_b = row[3 + k] / l22
        grad_a = row[k] - l21 * grad_b
        g22 -= grad_b * filtered[3 + k]
        g21 -= grad_b * filtered[k]
        g11 -= grad_a / l11 * filtered[k]
        grad[k], grad[3 + k], grad[6 + k] = grad_a / l11, grad_b, row[6 + k]
    s22 = g22 / (2 * l22)
    g21 -= g22 * l21 / l22
    s12 = g21 / l11
    s11 = (g11 - g21 * l21 / l11) / (2 * l11)
    scale = tau * m_depth * m_depth
    ax, ay, bx, by = plain[1], plain[2], plain[4], plain[5]
    grad[1] += scale * (2 * s11 * ax + s12 * bx)
    grad[2] += scale * (2 * s11 * ay + s12 * by)
    grad[4] += scale * (2 * s22 * bx + s12 * ax)
    grad[5] += scale * (2 * s22 * by + s12 * ay)
    along = s11 * (ax * ax + ay * ay) + s12 * (ax * bx + ay * by) + s22 * (bx * bx + by * by)
    cx, cy = filtered[7], filtered[8]
    hx, hy = flattened(plain, m_depth, tau, row[7], row[8])
    grad[7], grad[8] = hx, hy
    for slot in (1, 4):
        by_h = hx * plain[slot] + hy * plain[slot + 1]
        by_c = cx * plain[slot] + cy * plain[slot + 1]
        grad[slot] -= scale * (hx * by_c + cx * by_h)
        grad[slot + 1] -= scale * (hy * by_c + cy * by_h)
        along -= by_h * by_c
    return grad_opacity, 2 * tau * m_depth * along


@compiled
def _surfel_back(axes, m, s1, s2, d0, focal, grad, grad_axes, grad_m, grad_scales):
    """From gradients of a surfel's nine unfiltered coefficients to those of axes (3, 3), centre (3,), log-scales (3,).

    `d0` (3,) is the reference ray, `focal` is (fx, fy, 1); axes and centre are in camera axes.
    """
    w = axes[0, 2] * m[0] + axes[1, 2] * m[1] + axes[2, 2] * m[2]
    alpha1 = axes[0, 0] * m[0] + axes[1, 0] * m[1] + axes[2, 0] * m[2]
    alpha2 = axes[0, 1] * m[0] + axes[1, 1] * m[1] + axes[2, 1] * m[2]
    grad_alpha1, grad_alpha2, grad_w = 0.0, 0.0, 0.0
    grad_scales[0], grad_scales[1], grad_scales[2] = 0.0, 0.0, 0.0
    for i in range(3):
        c = axes[i, 2] / w
        a = (axes[i, 0] - alpha1 * c) / s1
        b = (axes[i, 1] - alpha2 * c) / s2
        grad_a, grad_b, grad_c = grad[0] * d0[i], grad[3] * d0[i], grad[6] * d0[i]
        if i < 2:
            grad_a += grad[1 + i] / focal[i]
            grad_b += grad[4 + i] / focal[i]
            grad_c += grad[7 + i] / focal[i]
        grad_axes[i, 0] = grad_a / s1
        grad_axes[i, 1] = grad_b / s2
        grad_alpha1 -= grad_a * c / s1
        grad_alpha2 -= grad_b * c / s2
        grad_c -= grad_a * alpha1 / s1 + grad_b * alpha2 / s2
        grad_scales[0] -= grad_a * a
        grad_scales[1] -= grad_b * b
        grad_axes[i, 2] = grad_c / w
        grad_w -= grad_c * c / w
    for i in range(3):
        grad_m[i] = grad_alpha1 * axes[i, 0] + grad_alpha2 * axes[i, 1] + grad_w * axes[i, 2]
        grad_axes[i, 0] += grad_alpha1 * m[i]
        grad_axes[i, 1] += grad_alpha2 * m[i]
        grad_axes[i, 2] += grad_w * m[i]


@compiled
def _conic_back(row, plain, tau, opacity, grad):
    """Backward pass of the filter on a conic: write the gradients of (qxx, 2qxy, qyy) to grad[0:3].

    Returns the gradient of the unfiltered opacity.
    """
    xx, xy, yy = plain[0], plain[1] / 2, plain[2]
    det = xx * yy - xy * xy
    grown = 1.0 + tau * (xx + yy) + tau * tau * det
    factor = 1.0 / np.sqrt(grown)
    shown = row[0] * (xx + tau * det) + row[1] * 2 * xy + row[2] * (yy + tau * det)
    grad_grown = -shown / (grown * grown) - 0.5 * row[9] * opacity * factor / grown
    grad_det = tau * (row[0] + row[2]) / grown + tau * tau * grad_grown
    grad[0] = row[0] / grown + tau * grad_grown + grad_det * yy
    grad[1] = row[1] / grown - grad_det * xy
    grad[2] = row[2] / grown + tau * grad_grown + grad_det * xx
    return row[9] * factor


@compiled
def _general_back(axes, m, scales, focal, plain, grad, grad_axes, grad_m, grad_scales):
    """From gradients of the two quadratics (grad[0:8]) and of the centre's pixel position (grad[8], grad[9]).

    Writes the gradients of axes (3, 3) and centre (3,) in camera axes, and of log-scales (3,).
    """
    o, gx, gy = np.empty(3), np.empty(3), np.empty(3)
    for i in range(3):
        o[i] = -(axes[0, i] * m[0] + axes[1, i] * m[1] + axes[2, i] * m[2]) / scales[i]
        gx[i] = axes[0, i] / (scales[i] * focal[0])
        gy[i] = axes[1, i] / (scales[i] * focal[1])
    cross_x, cross_y = np.cross(o, gx), np.cross(o, gy)
    r0 = -o / m[2]
    p0 = np.dot(r0, r0)
    grad_p0 = 0.0
    for k in range(8):
        grad_p0 -= grad[k] * plain[k] / p0
    grad_cross_x = 2 * (grad[0] * cross_x + grad[1] * cross_y) / p0
    grad_cross_y = 2 * (grad[2] * cross_y + grad[1] * cross_x) / p0
    grad_r0 = 2 * (grad[3] * gx + grad[4] * gy) / p0 + 2 * grad_p0 * r0
    grad_gx = 2 * (grad[3] * r0 + grad[5] * gx + grad[6] * gy) / p0 + np.cross(grad_cross_x, o)
    grad_gy = 2 * (grad[4] * r0 + grad[7] * gy + grad[6] * gx) / p0 + np.cross(grad_cross_y, o)
    grad_o = np.cross(gx, grad_cross_x) + np.cross(gy, grad_cross_y) - grad_r0 / m[2]
    grad_m[0] = grad[8] * focal[0] / m[2]
    grad_m[1] = grad[9] * focal[1] / m[2]
    grad_m[2] = np.dot(grad_r0, o) / (m[2] * m[2]) - (grad_m[0] * m[0] + grad_m[1] * m[1]) / m[2]
    for i in range(3):
        grad_scales[i] = -(grad_o[i] * o[i] + grad_gx[i] * gx[i] + grad_gy[i] * gy[i])
        for k in range(3):
            grad_axes[k, i] = -grad_o[i] * m[k] / scales[i]
            grad_m[k] -= grad_o[i] * axes[k, i] / scales[i]
        grad_axes[0, i] += grad_gx[i] / (scales[i] * focal[0])
        grad_axes[1, i] += grad_gy[i] / (scales[i] * focal[1])


@compiled
def _quaternion_back(quaternion, length, rotation, grad_axes, g, out):
    """From gradients of the axes (3, 3) in camera axes to those of the quaternion, written to out (4,).

    `quaternion` is (4,) wxyz of any `length`, `rotation` (3, 3) camera to frame, `g` (3, 3) scratch.
    """
    for row in range(3):
        for column in range(3):
            g[row, column] = 0.0
            for k in range(3):
                g[row, column] += rotation[row, k] * grad_axes[k, column]
    w, x = quaternion[0] / length, quaternion[1] / length
    y, z = quaternion[2] / length, quaternion[3] / length
    gw = 2 * (-z * g[0, 1] + y * g[0, 2] + z * g[1, 0] - x * g[1, 2] - y * g[2, 0] + x * g[2, 1])
    gx = 2 * (y * (g[0, 1] + g[1, 0]) + z * (g[0, 2] + g[2, 0]) + w * (g[2, 1] - g[1, 2]) - 2 * x * (g[1, 1] + g[2, 2]))
    gy = 2 * (x * (g[0, 1] + g[1, 0]) + z * (g[1, 2] + g[2, 1]) + w * (g[0, 2] - g[2, 0]) - 2 * y * (g[0, 0] + g[2, 2]))
    gz = 2 * (x * (g[0, 2] + g[2, 0]) + y * (g[1, 2] + g[2, 1]) + w * (g[1, 0] - g[0, 1]) - 2 * z * (g[0, 0] + g[1, 1]))
    along = gw * w + gx * x + gy * y + gz * z
    out[0], out[1] = (gw - along * w) / length, (gx - along * x) / length
    out[2], out[3] = (gy - along * y) / length, (gz - along * z) / length


@compiled
def chain_splat(
    i, means, log_scales, quaternions, opacities, camera, width, height, tau, near, rows, scratch, out
):  # fmt: skip
    """Compute row i of `chain`; `scratch` holds the arrays allocated there."""
    rotation, centre, intrinsics = camera
    out_means, out_scales, out_quaternions, out_logits = out
    m, grad_m, scales, grad_scales, axes, grad_axes, turn, chol, plain, filtered, grad, row = scratch
    focal = (intrinsics[0], intrinsics[1], 1.0)
    for k in range(3):
        m[k] = 0.0
        for j in range(3):
            m[k] += rotation[j, k] * (float(means[i, j]) - centre[j])
        scales[k] = np.exp(float(log_scales[i, k]))
    for k in range(GRADIENTS):
        row[k] = rows[i, k]
    length = rotation_of(quaternions[i], rotation, axes)
    opacity = float(opacities[i])
    grad_opacity = row[9]
    if is_surfel(log_scales[i]):
        crossing = not m[2] > near
        d0x, d0y = reference(m, crossing, intrinsics, width, height)
        surfel(axes, m, scales[0], scales[1], d0x, d0y, focal[0], focal[1], plain)
        for k in range(9):
            grad[k], filtered[k] = row[k], plain[k]
        grad_depth = 0.0
        if tau > 0.0 and not crossing:
            pixel_filter(plain, m[2], tau, chol)
            apply_filter(filtered, m[2], tau, chol)
            grad_opacity, grad_depth = _filter_back(row, filtered, plain, chol, m[2], tau, opacity, grad)
        _surfel_back(axes, m, scales[0], scales[1], (d0x, d0y, 1.0), focal, grad, grad_axes, grad_m, grad_scales)
        grad_m[2] += grad_depth
        if tau > 0.0 and not crossing:
            by_x, by_y = row[6] * (plain[7] - filtered[7]) * focal[0], row[6] * (plain[8] - filtered[8]) * focal[1]
            grad_m[0] += by_x / m[2]
            grad_m[1] += by_y / m[2]
            grad_m[2] -= (by_x * d0x + by_y * d0y) / m[2]
    else:
        general(axes, m, scales, focal[0], focal[1], plain)
        for k in range(3, 9):
            grad[k] = row[k]
        grad[9] = row[13]
        grad_opacity = _conic_back(row, plain, tau, opacity, grad)
        _general_back(axes, m, scales, focal, plain, grad, grad_axes, grad_m, grad_scales)
    for k in range(3):
        out_scales[i, k] = grad_scales[k]
        for j in range(3):
            out_means[i, k] += rotation[k, j] * grad_m[j]
    _quaternion_back(quaternions[i], length, rotation, grad_axes, turn, out_quaternions[i])
    out_logits[i] = grad_opacity * opacity * (1 - opacity)


@compiled
def chain(begin, end, means, log_scales, quaternions, opacities, camera, width, height, tau, near, seen, rows, out):
    """Compute rows begin:end of the gradients of means, log-scales, quaternions and logit-opacities.

    Args:
        means, log_scales, quaternions, opacities, camera, width, height, tau, near: As in `splat_projection.project`.
        seen: (N,) bool: splats that overlap any tile; the others are skipped.
        rows: (N, GRADIENTS) float32, `hit_gradients` summed per splat.
        out: Arrays (N, 3), (N, 3), (N, 4), (N,) float32, zero at entry.
    """
    splats = means, log_scales, quaternions, opacities
    vectors = np.empty(3), np.empty(3), np.empty(3), np.empty(3)
    matrices = np.empty((3, 3)), np.empty((3, 3)), np.empty((3, 3)), np.empty(3)
    scratch = (*vectors, *matrices, np.empty(9), np.empty(9), np.empty(10), np.empty(GRADIENTS))
    for i in range(begin, end):
        if seen[i]:
            chain_splat(i, *splats, camera, width, height, tau, near, rows, scratch, out)


@dataclass(frozen=True)
class Gradients:
    """Gradients of a loss by the parameters of N splats, float32; shapes as in `Gaussians`, rgb_linear (N, 3)."""

    means: np.ndarray
    log_scales: np.ndarray
    quaternions: np.ndarray
    logit_opacities: np.ndarray
    rgb_linear: np.ndarray


def gradients(splats, hits: Hits, camera_arrays, tau, near, background, grad_rgb, grad_alpha, count=None) -> Gradients:
    """The complete backward pass.

    Args:
        splats: The rendered `Gaussians`, with their own opacities.
        hits: From `cpu_rasterizer.find_hits`.
        camera_arrays, tau, near, background: As in the forward pass.
        grad_rgb, grad_alpha: (H, W, 3) and (H, W) float32, of the loss by the linear picture and its alpha.
        count: Only the first `count` splats get gradients; None for all.
    """
    count = len(splats) if count is None else count
    entries = np.zeros((len(hits.tiles.tile_splats), GRADIENTS), np.float32)
    shared = (hits.tiles.tile_splats, hits.table, np.asarray(background, np.float32), count)
    hits.run(hit_gradients, *shared, grad_rgb, grad_alpha, entries)
    rows = np.zeros((count, GRADIENTS), np.float32)
    run_chunks(sum_pairs, count, hits.tiles.pair_start, hits.tiles.pair_entry, entries, rows)
    means, log_scales = np.zeros((count, 3), np.float32), np.zeros((count, 3), np.float32)
    quaternions, logit_opacities = np.zeros((count, 4), np.float32), np.zeros(count, np.float32)
    out = means, log_scales, quaternions, logit_opacities
    seen = np.diff(hits.tiles.pair_start[: count + 1]) > 0
    parameters = (splats.means, splats.log_scales, splats.quaternions, splats.opacities)
    run_chunks(
        chain, count, *parameters, camera_arrays, hits.width, hits.height, float(tau), float(near), seen, rows, out
    )
    return Gradients(means, log_scales, quaternions, logit_opacities, rows[:, 10:13])
