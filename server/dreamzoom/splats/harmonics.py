"""Spherical harmonics up to degree 3, compiled: a splat's colour seen from a direction, and its derivatives.

The basis is that of `core.spherical_harmonics`. Its constants keep their names here, on which the
digest of the compiled kernels' sources depends.
"""

from __future__ import annotations

import numpy as np

from core.spherical_harmonics import C1 as _C1
from core.spherical_harmonics import C2 as _C2
from core.spherical_harmonics import C3 as _C3
from core.spherical_harmonics import SH_C0
from dreamzoom.splats.project import compiled


@compiled
def _basis(terms, x, y, z, value, slope):
    """The first `terms` functions of the unit direction (x, y, z) into value (16,), their slopes into slope (16, 3)."""
    value[0] = SH_C0
    slope[:terms] = 0.0
    if terms >= 4:
        value[1], value[2], value[3] = -_C1 * y, _C1 * z, -_C1 * x
        slope[1, 1], slope[2, 2], slope[3, 0] = -_C1, _C1, -_C1
    if terms >= 9:
        value[4], value[5], value[7] = _C2[0] * x * y, _C2[1] * y * z, _C2[3] * x * z
        value[6], value[8] = _C2[2] * (2 * z * z - x * x - y * y), _C2[4] * (x * x - y * y)
        slope[4, 0], slope[4, 1] = _C2[0] * y, _C2[0] * x
        slope[5, 1], slope[5, 2] = _C2[1] * z, _C2[1] * y
        slope[6, 0], slope[6, 1], slope[6, 2] = -2 * _C2[2] * x, -2 * _C2[2] * y, 4 * _C2[2] * z
        slope[7, 0], slope[7, 2] = _C2[3] * z, _C2[3] * x
        slope[8, 0], slope[8, 1] = 2 * _C2[4] * x, -2 * _C2[4] * y
    if terms >= 16:
        xx, yy, zz = x * x, y * y, z * z
        value[9], value[10] = _C3[0] * y * (3 * xx - yy), _C3[1] * x * y * z
        value[11], value[12] = _C3[2] * y * (4 * zz - xx - yy), _C3[3] * z * (2 * zz - 3 * xx - 3 * yy)
        value[13], value[14] = _C3[4] * x * (4 * zz - xx - yy), _C3[5] * z * (xx - yy)
        value[15] = _C3[6] * x * (xx - 3 * yy)
        slope[9, 0], slope[9, 1] = _C3[0] * 6 * x * y, _C3[0] * 3 * (xx - yy)
        slope[10, 0], slope[10, 1], slope[10, 2] = _C3[1] * y * z, _C3[1] * x * z, _C3[1] * x * y
        slope[11, 0], slope[11, 1] = -2 * _C3[2] * x * y, _C3[2] * (4 * zz - xx - 3 * yy)
        slope[11, 2] = 8 * _C3[2] * y * z
        slope[12, 0], slope[12, 1] = -6 * _C3[3] * x * z, -6 * _C3[3] * y * z
        slope[12, 2] = _C3[3] * (6 * zz - 3 * xx - 3 * yy)
        slope[13, 0], slope[13, 1] = _C3[4] * (4 * zz - 3 * xx - yy), -2 * _C3[4] * x * y
        slope[13, 2] = 8 * _C3[4] * x * z
        slope[14, 0], slope[14, 1], slope[14, 2] = 2 * _C3[5] * x * z, -2 * _C3[5] * y * z, _C3[5] * (xx - yy)
        slope[15, 0], slope[15, 1] = _C3[6] * 3 * (xx - yy), -6 * _C3[6] * x * y


@compiled
def _linear(colour):
    """Decode sRGB to linear light, negative values to black, broken ones to NaN; and the slope there."""
    if not np.isfinite(colour):
        return np.nan, 0.0
    if colour <= 0.0:
        return 0.0, 0.0
    if colour <= 0.04045:
        return colour / 12.92, 1 / 12.92
    base = (colour + 0.055) / 1.055
    return base**2.4, 2.4 / 1.055 * base**1.4


@compiled
def shade(begin, end, means, sh, centre, rgb_linear):
    """Rows begin:end of rgb_linear (N, 3) float32: sh (N, K, 3) seen from `centre` (3,), in linear light."""
    value, slope, way = np.zeros(16), np.zeros((16, 3)), np.zeros(3)
    terms = sh.shape[1]
    for i in range(begin, end):
        if terms > 1:
            for k in range(3):
                way[k] = float(means[i, k]) - centre[k]
            way /= max(np.sqrt(np.dot(way, way)), 1e-30)
        _basis(terms, way[0], way[1], way[2], value, slope)
        for channel in range(3):
            colour = 0.5
            for term in range(terms):
                colour += value[term] * sh[i, term, channel]
            rgb_linear[i, channel] = _linear(colour)[0]


@compiled
def shade_back(begin, end, means, sh, centre, grad_rgb, grad_sh, grad_means):
    """Rows begin:end: from the gradient of the linear colours (N, 3) to that of sh, and added to the means'."""
    value, slope, way, grad_way = np.zeros(16), np.zeros((16, 3)), np.zeros(3), np.zeros(3)
    terms = sh.shape[1]
    for i in range(begin, end):
        length = 1.0
        if terms > 1:
            for k in range(3):
                way[k] = float(means[i, k]) - centre[k]
            length = max(np.sqrt(np.dot(way, way)), 1e-30)
            way /= length
        _basis(terms, way[0], way[1], way[2], value, slope)
        grad_way[:] = 0.0
        for channel in range(3):
            colour = 0.5
            for term in range(terms):
                colour += value[term] * sh[i, term, channel]
            grad = grad_rgb[i, channel] * _linear(colour)[1]
            for term in range(terms):
                grad_sh[i, term, channel] = grad * value[term]
                for k in range(3):
                    grad_way[k] += grad * sh[i, term, channel] * slope[term, k]
        along = np.dot(grad_way, way)
        if terms > 1:
            for k in range(3):
                grad_means[i, k] += (grad_way[k] - along * way[k]) / length
