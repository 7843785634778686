"""One camera's view of every splat, compiled: parameters in, the few numbers that a pixel needs out; and the way back.

A surfel with centre m, unit axes t1, t2, normal n (camera axes) and standard deviations s1, s2 meets the ray
d = (x, y, 1) at z-depth z, where with C = n / (n·m), A = (t1 − (t1·m) C) / s1 and B likewise

    1/z = C·d,  u = z A·d,  v = z B·d,  alpha = opacity · exp(−(u² + v²) / 2).

(The ray-splat intersection of Huang et al. 2024, "2D Gaussian Splatting", eq. 8 to 10, solved for one plane.) All three
are affine in the pixel, so nine numbers do, taken relative to the centre's own pixel to keep float32 exact. A Gaussian
that is not flat uses its smallest squared distance along the ray, |o×r|²/|r|² with o = −S⁻¹Rᵀm and r = S⁻¹Rᵀd: a ratio
of two quadratics in the pixel.

Antialiasing convolves a splat with a Gaussian pixel of variance tau (in pixels²), keeping its mass: the 2D filter of
Mip-Splatting (Yu et al. 2024), done in the surfel's own plane, where it only changes A, B and the opacity.
"""

from __future__ import annotations

import numba
import numpy as np

CUT = 2.5
"""Where a splat ends, in standard deviations: the half-size of the quad that Blender shows."""
FLAT = 1e-2
"""A splat whose third scale is below this share of its smaller other one is a surfel."""
COLUMNS = 16
"""Per splat: x, y of its pixel; nine coefficients; opacity; linear RGB; 0 for a surfel, else the centre's z-depth."""
GRADIENTS = 13
"""Per splat: the nine coefficients, opacity, linear RGB."""

compiled = numba.njit(cache=True, nogil=True, error_model="numpy")


@compiled
def _rotation(quaternion, camera_rotation, out):
    """The own axes in camera axes, as columns (3, 3) of `out`; returns the quaternion's length."""
    w, x, y, z = float(quaternion[0]), float(quaternion[1]), float(quaternion[2]), float(quaternion[3])
    length = np.sqrt(w * w + x * x + y * y + z * z)
    if not length > 0.0:
        return 0.0
    w, x, y, z = w / length, x / length, y / length, z / length
    frame = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    )
    for row in range(3):
        for column in range(3):
            total = 0.0
            for k in range(3):
                total += camera_rotation[k, row] * frame[k][column]
            out[row, column] = total
    return length


@compiled
def _extent(focal, middle, near_sum, mixed_sum, side_sum, m_side, m_depth, size):
    """First and last pixel (exclusive) that the cut ellipsoid touches along one image axis.

    The tangent planes through the camera solve D·x² − 2·E·x + F = 0 with the sums over e_i = CUT · s_i · t_i.
    """
    d = m_depth * m_depth - near_sum
    if d <= 1e-12 * m_depth * m_depth:
        return 0, size
    e = m_depth * m_side - mixed_sum
    f = m_side * m_side - side_sum
    root = np.sqrt(max(e * e - d * f, 0.0))
    low = focal * (e - root) / d + middle
    high = focal * (e + root) / d + middle
    first = int(np.ceil(min(max(low - 0.5 - 1e-4, 0.0), float(size))))
    last = int(np.floor(min(max(high - 0.5 + 1e-4, -1.0), size - 1.0))) + 1
    return first, last


@compiled
def _surfel(axes, m, s1, s2, d0x, d0y, fx, fy, out):
    """The nine unfiltered coefficients of a surfel into out[0:9]; False where it is seen edge-on."""
    w = axes[0, 2] * m[0] + axes[1, 2] * m[1] + axes[2, 2] * m[2]
    length = np.sqrt(m[0] * m[0] + m[1] * m[1] + m[2] * m[2])
    if abs(w) <= 1e-4 * length:
        return False
    alpha1 = axes[0, 0] * m[0] + axes[1, 0] * m[1] + axes[2, 0] * m[2]
    alpha2 = axes[0, 1] * m[0] + axes[1, 1] * m[1] + axes[2, 1] * m[2]
    focal = (fx, fy, 1.0)
    d0 = (d0x, d0y, 1.0)
    for slot in range(9):
        out[slot] = 0.0
    for i in range(3):
        c = axes[i, 2] / w
        a = (axes[i, 0] - alpha1 * c) / s1
        b = (axes[i, 1] - alpha2 * c) / s2
        out[0] += a * d0[i]
        out[3] += b * d0[i]
        out[6] += c * d0[i]
        if i < 2:
            out[1 + i] = a / focal[i]
            out[4 + i] = b / focal[i]
            out[7 + i] = c / focal[i]
    return True


@compiled
def _filter(coefficients, m_depth, tau, chol):
    """The 2D filter: S = I + tau·K·Kᵀ, K = ∂(u, v)/∂pixel at the centre; its Cholesky factor (l11, l21, l22)."""
    scale = tau * m_depth * m_depth
    ax, ay, bx, by = coefficients[1], coefficients[2], coefficients[4], coefficients[5]
    chol[0] = np.sqrt(1.0 + scale * (ax * ax + ay * ay))
    chol[1] = scale * (ax * bx + ay * by) / chol[0]
    chol[2] = np.sqrt(1.0 + scale * (bx * bx + by * by) - chol[1] * chol[1])


@compiled
def _apply_filter(coefficients, chol):
    for slot in range(3):
        coefficients[slot] /= chol[0]
        coefficients[3 + slot] = (coefficients[3 + slot] - chol[1] * coefficients[slot]) / chol[2]


@compiled
def _general(axes, m, scales, fx, fy, out):
    """The two quadratics of a Gaussian that is not flat: (qxx, 2qxy, qyy), (px, py, pxx, 2pxy, pyy), 0."""
    o = np.empty(3)
    gx = np.empty(3)
    gy = np.empty(3)
    for i in range(3):
        o[i] = -(axes[0, i] * m[0] + axes[1, i] * m[1] + axes[2, i] * m[2]) / scales[i]
        gx[i] = axes[0, i] / (scales[i] * fx)
        gy[i] = axes[1, i] / (scales[i] * fy)
    crossx = np.cross(o, gx)
    crossy = np.cross(o, gy)
    r0 = -o / m[2]
    p0 = np.dot(r0, r0)
    out[0] = np.dot(crossx, crossx) / p0
    out[1] = 2 * np.dot(crossx, crossy) / p0
    out[2] = np.dot(crossy, crossy) / p0
    out[3] = 2 * np.dot(r0, gx) / p0
    out[4] = 2 * np.dot(r0, gy) / p0
    out[5] = np.dot(gx, gx) / p0
    out[6] = 2 * np.dot(gx, gy) / p0
    out[7] = np.dot(gy, gy) / p0
    out[8] = 0.0


@compiled
def _filter_general(out, tau):
    """The same filter on a conic: Q' = (Q⁻¹ + tau)⁻¹; returns the factor on the opacity, √(det Q'/det Q)."""
    xx, xy, yy = out[0], out[1] / 2, out[2]
    det = xx * yy - xy * xy
    grown = 1.0 + tau * (xx + yy) + tau * tau * det
    out[0] = (xx + tau * det) / grown
    out[1] = 2 * xy / grown
    out[2] = (yy + tau * det) / grown
    return 1.0 / np.sqrt(grown)


@compiled
def is_surfel(log_scales):
    """Whether the third axis is a normal and not a third extent."""
    return log_scales[2] < min(log_scales[0], log_scales[1]) + np.log(FLAT)


@compiled
def project(
    begin, end, means, log_scales, quaternions, opacities, rgb_linear, camera, width, height, tau, near, out, box
):
    """Fill rows begin:end of out (N, COLUMNS) float32 and box (N, 4) int32 (columns, then rows, ends exclusive).

    Args:
        means, log_scales, quaternions: As in `Gaussians`.
        opacities: (N,) float32 in 0..1.
        rgb_linear: (N, 3) float32, linear light.
        camera: ((3, 3) camera to frame, (3,) centre, (fx, fy, cx, cy)), float64.
        tau: Variance of the pixel filter, pixels².
        near: Splats wholly nearer than this z-depth get an empty box, as do those not seen or not finite.
    """
    rotation, centre, intrinsics = camera
    fx, fy, cx, cy = intrinsics[0], intrinsics[1], intrinsics[2], intrinsics[3]
    m = np.empty(3)
    axes = np.empty((3, 3))
    scales = np.empty(3)
    coefficients = np.empty(9)
    chol = np.empty(3)
    for i in range(begin, end):
        for side in range(4):
            box[i, side] = 0
        finite = np.isfinite(opacities[i])
        for k in range(3):
            m[k] = 0.0
            for j in range(3):
                m[k] += rotation[j, k] * (float(means[i, j]) - centre[j])
            scales[k] = np.exp(float(log_scales[i, k]))
            finite = finite and np.isfinite(m[k]) and np.isfinite(scales[k]) and scales[k] > 0.0
            finite = finite and np.isfinite(rgb_linear[i, k])
        if not finite or not opacities[i] > 0.0:
            continue
        length = _rotation(quaternions[i], rotation, axes)
        if not (length > 0.0 and np.isfinite(length)):
            continue
        surfel = is_surfel(log_scales[i])
        crossing = not m[2] > near
        if crossing and not surfel:
            continue
        d0x = 0.5 * (width - 2 * cx) / fx if crossing else m[0] / m[2]
        d0y = 0.5 * (height - 2 * cy) / fy if crossing else m[1] / m[2]
        factor = 1.0
        if surfel:
            if not _surfel(axes, m, scales[0], scales[1], d0x, d0y, fx, fy, coefficients):
                continue
            if tau > 0.0 and not crossing:
                _filter(coefficients, m[2], tau, chol)
                _apply_filter(coefficients, chol)
                factor = 1.0 / (chol[0] * chol[2])
        else:
            _general(axes, m, scales, fx, fy, coefficients)
            if tau > 0.0:
                factor = _filter_general(coefficients, tau)
        depth2, xz, xx, yz, yy = 0.0, 0.0, 0.0, 0.0, 0.0
        for k in range(2 if surfel else 3):
            e = CUT * scales[k]
            ex, ey, ez = e * axes[0, k], e * axes[1, k], e * axes[2, k]
            depth2 += ez * ez
            xz += ex * ez
            xx += ex * ex
            yz += ey * ez
            yy += ey * ey
        if m[2] + np.sqrt(depth2) <= near:
            continue
        if tau > 0.0 and not crossing:
            grown = CUT * CUT * tau * m[2] * m[2]
            xx += grown / (fx * fx)
            yy += grown / (fy * fy)
        first_x, last_x = _extent(fx, cx, depth2, xz, xx, m[0], m[2], width)
        first_y, last_y = _extent(fy, cy, depth2, yz, yy, m[1], m[2], height)
        if last_x <= first_x or last_y <= first_y:
            continue
        box[i, 0], box[i, 1], box[i, 2], box[i, 3] = first_x, last_x, first_y, last_y
        out[i, 0] = d0x * fx + cx
        out[i, 1] = d0y * fy + cy
        for slot in range(9):
            out[i, 2 + slot] = coefficients[slot]
        out[i, 11] = opacities[i] * factor
        for k in range(3):
            out[i, 12 + k] = rgb_linear[i, k]
        out[i, 15] = 0.0 if surfel else m[2]
