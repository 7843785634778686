"""Projection of splats for one camera (compiled): from parameters to the coefficients that pixels evaluate.

A surfel with centre m, unit axes t1, t2, normal n (camera axes) and standard deviations s1, s2 meets the ray
d = (x, y, 1) at z-depth z, where with C = n / (n·m), A = (t1 − (t1·m) C) / s1 and B likewise

    1/z = C·d,  u = z A·d,  v = z B·d,  alpha = opacity · exp(−(u² + v²) / 2).

(The ray-splat intersection of Huang et al. 2024, "2D Gaussian Splatting", eq. 8 to 10, solved for one plane.) All three
are affine in the pixel position, so nine coefficients suffice, relative to the pixel of the centre for accuracy in
float32. A Gaussian that is not flat uses its smallest squared distance along the ray, |o×r|²/|r|² with o = −S⁻¹Rᵀm and
r = S⁻¹Rᵀd: a ratio of two quadratics in the pixel position.

Antialiasing convolves a splat with a Gaussian pixel filter of variance tau (in pixels²) and keeps its mass: the 2D
filter of Mip-Splatting (Yu et al. 2024), applied in the surfel's plane, where it changes only A, B and the opacity. The
slope of the depth becomes that of the part of the surfel's mass that falls on each pixel, c' = (1 + tau·KᵀK)⁻¹ c with
K = ∂(u, v)/∂pixel, so that a surfel seen edge-on does not extend in depth beyond its size.

In this module m is the centre (3,) in camera axes, `axes` (3, 3) has the local axes in camera axes as columns, lengths
are in the frame's units, (d0x, d0y, 1) is the reference ray, fx and fy are in pixels; scratch arrays are float64.
"""

from __future__ import annotations

import numpy as np

from dreamzoom.jit import njit

CUT = 2.5
"""Cut-off radius of a splat in standard deviations: the half-size of the quad that Blender shows."""
FLAT = 1e-2
"""A splat is a surfel if its third scale is below this fraction of the smaller of the other two."""
COLUMNS = 16
"""Columns per splat: pixel position x, y of the reference ray; nine coefficients; opacity; linear RGB; 0 for a surfel,
else the centre's z-depth."""
GRADIENTS = 14
"""Gradients per splat: of the nine coefficients, opacity, linear RGB, and one more for Gaussians that are not flat."""

compiled = njit(cache=True, nogil=True, error_model="numpy")


@compiled
def rotation_of(quaternion, camera_rotation, out):
    """Write the local axes in camera axes to the columns of `out` (3, 3); return the quaternion's length.

    `quaternion` is (4,) wxyz of any length; `camera_rotation` is (3, 3), camera to frame. A zero length leaves `out`.
    """
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
def reference(m, crossing, intrinsics, width, height):
    """The reference ray's x and y: through the centre, or the image's middle if the surfel crosses the near plane."""
    if crossing:
        return (0.5 * width - intrinsics[2]) / intrinsics[0], (0.5 * height - intrinsics[3]) / intrinsics[1]
    return m[0] / m[2], m[1] / m[2]


@compiled
def _extents(coefficients, flat, x0, y0, width, height, box):
    """Write to `box` (4,) the bounds of the pixels in which q < CUT²: columns, then rows, ends exclusive.

    The condition is δᵀAδ − 2h·δ < k with δ from the pixel position (x0, y0): for a surfel u² + v² < CUT²/z², else
    N < CUT² L with q = N / L. If the conic is not an ellipse, the box is the whole image.
    """
    s, cut = coefficients, CUT * CUT
    if flat:
        xx = s[1] * s[1] + s[4] * s[4] - cut * s[7] * s[7]
        xy = s[1] * s[2] + s[4] * s[5] - cut * s[7] * s[8]
        yy = s[2] * s[2] + s[5] * s[5] - cut * s[8] * s[8]
        hx, hy, k = cut * s[6] * s[7] - s[0] * s[1], cut * s[6] * s[8] - s[0] * s[2], cut * s[6] * s[6]
    else:
        xx, xy, yy = s[0] - cut * s[5], 0.5 * (s[1] - cut * s[6]), s[2] - cut * s[7]
        hx, hy, k = 0.5 * cut * s[3], 0.5 * cut * s[4], cut
    det = xx * yy - xy * xy
    if not (xx > 0.0 and yy > 0.0 and det > 1e-9 * xx * yy):
        box[0], box[1], box[2], box[3] = 0, width, 0, height
        return
    mx, my = (yy * hx - xy * hy) / det, (xx * hy - xy * hx) / det
    level = max(k + hx * mx + hy * my, 0.0) / det
    rx, ry = np.sqrt(level * yy) * (1 + 1e-6) + 1e-3, np.sqrt(level * xx) * (1 + 1e-6) + 1e-3
    box[0] = int(np.ceil(min(max(x0 + mx - rx - 0.5, 0.0), float(width))))
    box[1] = int(np.floor(min(max(x0 + mx + rx - 0.5, -1.0), width - 1.0))) + 1
    box[2] = int(np.ceil(min(max(y0 + my - ry - 0.5, 0.0), float(height))))
    box[3] = int(np.floor(min(max(y0 + my + ry - 0.5, -1.0), height - 1.0))) + 1


@compiled
def surfel(axes, m, s1, s2, d0x, d0y, fx, fy, out):
    """Write the nine unfiltered coefficients of a surfel to out[0:9]; return False if it is seen edge-on.

    They are u/z, v/z and 1/z, each as value at the reference ray and slopes per pixel in x and y.
    """
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
def pixel_filter(coefficients, m_depth, tau, chol):
    """Write the Cholesky factor (l11, l21, l22) of the 2D filter S = I + tau·K·Kᵀ, K = ∂(u, v)/∂pixel, to `chol` (3,).

    K is taken at the centre, of z-depth `m_depth`.
    """
    scale = tau * m_depth * m_depth
    ax, ay, bx, by = coefficients[1], coefficients[2], coefficients[4], coefficients[5]
    chol[0] = np.sqrt(1.0 + scale * (ax * ax + ay * ay))
    chol[1] = scale * (ax * bx + ay * by) / chol[0]
    chol[2] = np.sqrt(1.0 + scale * (bx * bx + by * by) - chol[1] * chol[1])


@compiled
def flattened(coefficients, m_depth, tau, x, y):
    """(1 + tau·KᵀK)⁻¹ applied to the vector (x, y); K as in `pixel_filter`."""
    scale = tau * m_depth * m_depth
    ax, ay, bx, by = coefficients[1], coefficients[2], coefficients[4], coefficients[5]
    xx, xy, yy = 1.0 + scale * (ax * ax + bx * bx), scale * (ax * ay + bx * by), 1.0 + scale * (ay * ay + by * by)
    det = xx * yy - xy * xy
    return (yy * x - xy * y) / det, (xx * y - xy * x) / det


@compiled
def apply_filter(coefficients, m_depth, tau, chol):
    """Apply the filter to the nine coefficients in place; `chol` is from `pixel_filter`."""
    slope = flattened(coefficients, m_depth, tau, coefficients[7], coefficients[8])
    coefficients[7], coefficients[8] = slope
    for slot in range(3):
        coefficients[slot] /= chol[0]
        coefficients[3 + slot] = (coefficients[3 + slot] - chol[1] * coefficients[slot]) / chol[2]


@compiled
def general(axes, m, scales, fx, fy, out):
    """Write the two quadratics of a Gaussian that is not flat to out[0:9], in pixels from the centre's.

    (qxx, 2qxy, qyy) of N, (px, py, pxx, 2pxy, pyy) of L = 1 + …, and 0; the squared distance is N / L.
    """
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
    """Apply the filter to the conic Q in out[0:3]: Q' = (Q⁻¹ + tau)⁻¹; return the opacity factor √(det Q'/det Q)."""
    xx, xy, yy = out[0], out[1] / 2, out[2]
    det = xx * yy - xy * xy
    grown = 1.0 + tau * (xx + yy) + tau * tau * det
    out[0] = (xx + tau * det) / grown
    out[1] = 2 * xy / grown
    out[2] = (yy + tau * det) / grown
    return 1.0 / np.sqrt(grown)


@compiled
def is_surfel(log_scales):
    """Whether a splat with these log-scales (3,) is flat along its third axis."""
    return log_scales[2] < min(log_scales[0], log_scales[1]) + np.log(FLAT)


@compiled
def _placed(mean, log_scales, rgb, rotation, centre, m, scales):
    """Write the centre in camera axes to m (3,) and standard deviations to scales (3,); False if any is not finite."""
    finite = True
    for k in range(3):
        m[k] = 0.0
        for j in range(3):
            m[k] += rotation[j, k] * (float(mean[j]) - centre[j])
        scales[k] = np.exp(float(log_scales[k]))
        finite = finite and np.isfinite(m[k]) and np.isfinite(scales[k]) and scales[k] > 0.0 and np.isfinite(rgb[k])
    return finite


@compiled
def _shape(flat, crossing, axes, m, scales, d0x, d0y, fx, fy, tau, chol, coefficients):
    """Write the filtered coefficients (9,); return the factor on the opacity, 0 if a surfel is seen edge-on."""
    if not flat:
        general(axes, m, scales, fx, fy, coefficients)
        return _filter_general(coefficients, tau) if tau > 0.0 else 1.0
    if not surfel(axes, m, scales[0], scales[1], d0x, d0y, fx, fy, coefficients):
        return 0.0
    if not tau > 0.0 or crossing:
        return 1.0
    pixel_filter(coefficients, m[2], tau, chol)
    apply_filter(coefficients, m[2], tau, chol)
    return 1.0 / (chol[0] * chol[2])


@compiled
def _deepest(flat, axes, m, scales):
    """The largest z-depth within CUT standard deviations."""
    depth2 = 0.0
    for k in range(2 if flat else 3):
        depth2 += (CUT * scales[k] * axes[2, k]) ** 2
    return m[2] + np.sqrt(depth2)


@compiled
def _row(x, y, coefficients, opacity, rgb, kind, out):
    """Write one row (COLUMNS,) of the table."""
    out[0], out[1] = x, y
    for slot in range(9):
        out[2 + slot] = coefficients[slot]
    out[11] = opacity
    for k in range(3):
        out[12 + k] = rgb[k]
    out[15] = kind


@compiled
def project_splat(
    i, means, log_scales, quaternions, opacities, rgb_linear, camera, width, height, tau, near, scratch, out, box
):
    """Compute row i of `project`; `scratch` holds float64 arrays (3,), (3,), (3, 3), (9,) and (3,)."""
    rotation, centre, intrinsics = camera
    m, scales, axes, coefficients, chol = scratch
    fx, fy, cx, cy = intrinsics[0], intrinsics[1], intrinsics[2], intrinsics[3]
    for k in range(4):
        box[i, k] = 0
    finite = _placed(means[i], log_scales[i], rgb_linear[i], rotation, centre, m, scales)
    if not finite or not 0.0 < opacities[i] < np.inf:
        return
    length = rotation_of(quaternions[i], rotation, axes)
    flat, crossing = is_surfel(log_scales[i]), not m[2] > near
    if not (length > 0.0 and np.isfinite(length)) or (crossing and not flat):
        return
    d0x, d0y = reference(m, crossing, intrinsics, width, height)
    factor = _shape(flat, crossing, axes, m, scales, d0x, d0y, fx, fy, tau, chol, coefficients)
    if not factor > 0.0 or _deepest(flat, axes, m, scales) <= near:
        return
    x, y = d0x * fx + cx, d0y * fy + cy
    if crossing:
        box[i, 1], box[i, 3] = width, height
    else:
        _extents(coefficients, flat, x, y, width, height, box[i])
    if box[i, 1] <= box[i, 0] or box[i, 3] <= box[i, 2]:
        for k in range(4):
            box[i, k] = 0
        return
    _row(x, y, coefficients, opacities[i] * factor, rgb_linear[i], 0.0 if flat else m[2], out[i])


@compiled
def project(
    begin, end, means, log_scales, quaternions, opacities, rgb_linear, camera, width, height, tau, near, out, box
):
    """Compute rows begin:end of out (N, COLUMNS) float32 and box (N, 4) int32 (columns, then rows, ends exclusive).

    Args:
        means, log_scales, quaternions: As in `Gaussians`.
        opacities: (N,) float32 in 0..1.
        rgb_linear: (N, 3) float32, linear light.
        camera: ((3, 3) camera to frame, (3,) centre in the frame, (fx, fy, cx, cy) in pixels), float64.
        width, height: Of the image, in pixels.
        tau: Variance of the pixel filter, pixels².
        near: Splats entirely nearer than this z-depth get an empty box, as do invisible ones and those not finite.
    """
    splats = means, log_scales, quaternions, opacities, rgb_linear
    scratch = np.empty(3), np.empty(3), np.empty((3, 3)), np.empty(9), np.empty(3)
    for i in range(begin, end):
        project_splat(i, *splats, camera, width, height, tau, near, scratch, out, box)
