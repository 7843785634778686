"""Projection of splats and its backward pass: one thread per splat.

The functions are compiled from the CPU's source; only those that allocate arrays there are written again.
"""

from __future__ import annotations

import math

from numba import cuda, float64

from dreamzoom.splats import backward as back
from dreamzoom.splats import harmonics
from dreamzoom.splats import splat_projection as ahead
from dreamzoom.splats.cuda.kernels.device import borrowed, device
from dreamzoom.splats.splat_projection import GRADIENTS

TERMS = 16
"""Spherical harmonics up to degree 3."""


@device
def _dot(a, b):
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@device
def _cross(a, b):
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


@device
def _sum(s, a, t, b):
    """s·a + t·b of two vectors."""
    return s * a[0] + t * b[0], s * a[1] + t * b[1], s * a[2] + t * b[2]


@device
def _whitened(axes, m, scales, fx, fy):
    """The vector o = −S⁻¹Rᵀm and the derivatives of r = S⁻¹Rᵀd by the pixel position, (3,) each."""
    o = (
        -(axes[0, 0] * m[0] + axes[1, 0] * m[1] + axes[2, 0] * m[2]) / scales[0],
        -(axes[0, 1] * m[0] + axes[1, 1] * m[1] + axes[2, 1] * m[2]) / scales[1],
        -(axes[0, 2] * m[0] + axes[1, 2] * m[1] + axes[2, 2] * m[2]) / scales[2],
    )
    by_x = axes[0, 0] / (scales[0] * fx), axes[0, 1] / (scales[1] * fx), axes[0, 2] / (scales[2] * fx)
    by_y = axes[1, 0] / (scales[0] * fy), axes[1, 1] / (scales[1] * fy), axes[1, 2] / (scales[2] * fy)
    return o, by_x, by_y


@device
def _general(axes, m, scales, fx, fy, out):
    """`splat_projection.general`, without arrays."""
    o, gx, gy = _whitened(axes, m, scales, fx, fy)
    cross_x, cross_y = _cross(o, gx), _cross(o, gy)
    r0 = (-o[0] / m[2], -o[1] / m[2], -o[2] / m[2])
    p0 = _dot(r0, r0)
    out[0], out[1] = _dot(cross_x, cross_x) / p0, 2.0 * _dot(cross_x, cross_y) / p0
    out[2], out[3] = _dot(cross_y, cross_y) / p0, 2.0 * _dot(r0, gx) / p0
    out[4], out[5] = 2.0 * _dot(r0, gy) / p0, _dot(gx, gx) / p0
    out[6], out[7], out[8] = 2.0 * _dot(gx, gy) / p0, _dot(gy, gy) / p0, 0.0


@device
def _general_back(axes, m, scales, focal, plain, grad, grad_axes, grad_m, grad_scales):
    """`backward._general_back`, without arrays."""
    o, gx, gy = _whitened(axes, m, scales, focal[0], focal[1])
    cross_x, cross_y = _cross(o, gx), _cross(o, gy)
    r0 = (-o[0] / m[2], -o[1] / m[2], -o[2] / m[2])
    p0 = _dot(r0, r0)
    grad_p0 = 0.0
    for k in range(8):
        grad_p0 -= grad[k] * plain[k] / p0
    w = 2.0 / p0
    by_cross_x = _sum(w * grad[0], cross_x, w * grad[1], cross_y)
    by_cross_y = _sum(w * grad[2], cross_y, w * grad[1], cross_x)
    by_r0 = _sum(1.0, _sum(w * grad[3], gx, w * grad[4], gy), 2.0 * grad_p0, r0)
    by_gx = _sum(w * grad[3], r0, w * grad[5], gx)
    by_gx = _sum(1.0, by_gx, 1.0, _sum(w * grad[6], gy, 1.0, _cross(by_cross_x, o)))
    by_gy = _sum(w * grad[4], r0, w * grad[7], gy)
    by_gy = _sum(1.0, by_gy, 1.0, _sum(w * grad[6], gx, 1.0, _cross(by_cross_y, o)))
    by_o = _sum(1.0, _cross(gx, by_cross_x), 1.0, _cross(gy, by_cross_y))
    by_o = _sum(1.0, by_o, -1.0 / m[2], by_r0)
    grad_m[0] = grad[8] * focal[0] / m[2]
    grad_m[1] = grad[9] * focal[1] / m[2]
    grad_m[2] = _dot(by_r0, o) / (m[2] * m[2]) - (grad_m[0] * m[0] + grad_m[1] * m[1]) / m[2]
    for i in range(3):
        grad_scales[i] = -(by_o[i] * o[i] + by_gx[i] * gx[i] + by_gy[i] * gy[i])
        for k in range(3):
            grad_axes[k, i] = -by_o[i] * m[k] / scales[i]
            grad_m[k] -= by_o[i] * axes[k, i] / scales[i]
        grad_axes[0, i] += by_gx[i] / (scales[i] * focal[0])
        grad_axes[1, i] += by_gy[i] / (scales[i] * focal[1])


_shared = {
    "rotation_of": borrowed(ahead.rotation_of),
    "reference": borrowed(ahead.reference),
    "surfel": borrowed(ahead.surfel),
    "general": _general,
    "pixel_filter": borrowed(ahead.pixel_filter),
    "flattened": borrowed(ahead.flattened),
    "is_surfel": borrowed(ahead.is_surfel),
}
_shared["apply_filter"] = borrowed(ahead.apply_filter, flattened=_shared["flattened"])
_shape = borrowed(ahead._shape, _filter_general=borrowed(ahead._filter_general), **_shared)
_project_splat = borrowed(
    ahead.project_splat,
    _placed=borrowed(ahead._placed),
    _shape=_shape,
    _deepest=borrowed(ahead._deepest),
    _extents=borrowed(ahead._extents),
    _row=borrowed(ahead._row),
    **_shared,
)
_chain_splat = borrowed(
    back.chain_splat,
    _filter_back=borrowed(back._filter_back, flattened=_shared["flattened"]),
    _surfel_back=borrowed(back._surfel_back),
    _conic_back=borrowed(back._conic_back),
    _general_back=_general_back,
    _quaternion_back=borrowed(back._quaternion_back),
    **_shared,
)
_basis = borrowed(harmonics._basis)
_linear = borrowed(harmonics._linear)


@cuda.jit
def shade(means, sh, centre, rgb_linear):
    """`harmonics.shade`: linear colours rgb_linear (N, 3) float32 of sh (N, K, 3) seen from centre (3,) float64."""
    i = cuda.grid(1)
    if i >= means.shape[0]:
        return
    value = cuda.local.array(TERMS, float64)
    terms = sh.shape[1]
    x, y, z = float(means[i, 0]) - centre[0], float(means[i, 1]) - centre[1], float(means[i, 2]) - centre[2]
    length = max(math.sqrt(x * x + y * y + z * z), 1e-30)
    _basis(terms, x / length, y / length, z / length, value)
    for channel in range(3):
        colour = 0.5
        for term in range(terms):
            colour += value[term] * sh[i, term, channel]
        rgb_linear[i, channel] = _linear(colour)


@cuda.jit
def project(
    means, log_scales, quaternions, opacities, rgb, rotation, centre, intrinsics, width, height, tau, near, table, box
):
    """`splat_projection.project` with the camera as three float64 arrays; rows with an empty box are not written."""
    i = cuda.grid(1)
    if i >= means.shape[0]:
        return
    m, scales, axes = cuda.local.array(3, float64), cuda.local.array(3, float64), cuda.local.array((3, 3), float64)
    scratch = m, scales, axes, cuda.local.array(9, float64), cuda.local.array(3, float64)
    camera = rotation, centre, intrinsics
    _project_splat(
        i, means, log_scales, quaternions, opacities, rgb, camera, width, height, tau, near, scratch, table, box
    )


@cuda.jit
def chain(
    means, log_scales, quaternions, opacities, rotation, centre, intrinsics, width, height, tau, near, box, rows,
    out_means, out_scales, out_quaternions, out_logits
):  # fmt: skip
    """`backward.chain` for splats with a box (N, 4) that is not empty, from rows (N, GRADIENTS); outputs start at 0."""
    i = cuda.grid(1)
    if i >= rows.shape[0] or box[i, 1] <= box[i, 0]:
        return
    m, grad_m, chol = cuda.local.array(3, float64), cuda.local.array(3, float64), cuda.local.array(3, float64)
    scales, grad_scales = cuda.local.array(3, float64), cuda.local.array(3, float64)
    axes, grad_axes = cuda.local.array((3, 3), float64), cuda.local.array((3, 3), float64)
    turn, plain = cuda.local.array((3, 3), float64), cuda.local.array(9, float64)
    filtered, grad = cuda.local.array(9, float64), cuda.local.array(10, float64)
    row = cuda.local.array(GRADIENTS, float64)
    scratch = m, grad_m, scales, grad_scales, axes, grad_axes, turn, chol, plain, filtered, grad, row
    camera, out = (rotation, centre, intrinsics), (out_means, out_scales, out_quaternions, out_logits)
    splats = means, log_scales, quaternions, opacities
    _chain_splat(i, *splats, camera, width, height, tau, near, rows, scratch, out)
