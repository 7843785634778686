"""Evaluation of spherical harmonics up to degree 3 (compiled): view-dependent colours of splats.

The basis is that of `core.spherical_harmonics`. The constants are imported under the names that enter the digest of the
kernels' sources.
"""

from __future__ import annotations

import numpy as np

from core.spherical_harmonics import C1 as _C1
from core.spherical_harmonics import C2 as _C2
from core.spherical_harmonics import C3 as _C3
from core.spherical_harmonics import SH_C0
from dreamzoom.splats.splat_projection import compiled


@compiled
def _basis(terms, x, y, z, value):
    """Write the first `terms` (1, 4, 9 or 16) basis functions at the unit direction (x, y, z) to value (16,)."""
    value[0] = SH_C0
    if terms >= 4:
        value[1], value[2], value[3] = -_C1 * y, _C1 * z, -_C1 * x
    if terms >= 9:
        value[4], value[5], value[7] = _C2[0] * x * y, _C2[1] * y * z, _C2[3] * x * z
        value[6], value[8] = _C2[2] * (2 * z * z - x * x - y * y), _C2[4] * (x * x - y * y)
    if terms >= 16:
        xx, yy, zz = x * x, y * y, z * z
        value[9], value[10] = _C3[0] * y * (3 * xx - yy), _C3[1] * x * y * z
        value[11], value[12] = _C3[2] * y * (4 * zz - xx - yy), _C3[3] * z * (2 * zz - 3 * xx - 3 * yy)
        value[13], value[14] = _C3[4] * x * (4 * zz - xx - yy), _C3[5] * z * (xx - yy)
        value[15] = _C3[6] * x * (xx - 3 * yy)


@compiled
def _linear(colour):
    """Decode an sRGB value to linear light; negative values give 0, NaN and infinite ones NaN."""
    if not np.isfinite(colour):
        return np.nan
    if colour <= 0.0:
        return 0.0
    if colour <= 0.04045:
        return colour / 12.92
    return ((colour + 0.055) / 1.055) ** 2.4


@compiled
def shade(begin, end, means, sh, centre, rgb_linear):
    """Compute rows begin:end of rgb_linear (N, 3) float32: colours in linear light, seen from the camera.

    Args:
        means: (N, 3) float32, in the frame.
        sh: (N, K, 3) float32 coefficients of the sRGB colour.
        centre: (3,) float64, the camera's centre in the frame.
    """
    value, way = np.zeros(16), np.zeros(3)
    terms = sh.shape[1]
    for i in range(begin, end):
        if terms > 1:
            for k in range(3):
                way[k] = float(means[i, k]) - centre[k]
            way /= max(np.sqrt(np.dot(way, way)), 1e-30)
        _basis(terms, way[0], way[1], way[2], value)
        for channel in range(3):
            colour = 0.5
            for term in range(terms):
                colour += value[term] * sh[i, term, channel]
            rgb_linear[i, channel] = _linear(colour)
