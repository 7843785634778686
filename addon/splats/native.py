"""Blender's own Gaussian splats, available from 5.3 on."""

from __future__ import annotations

import bpy
import numpy as np

from ..core import spherical_harmonics
from ..core.arrays import in_chunks, largest, mapped_zeros
from ..core.gaussians import Gaussians
from .materials import native_material
from .points import new_pointcloud, set_attribute

MIN_LOGIT = -np.log(254)
"""The logit of opacity 1/255: fainter splats are invisible."""

MIN_LOG_SCALE = -20
MEDIAN_SAMPLES = 4096
CHUNK = 1 << 15


def available() -> bool:
    """Whether this Blender has splats of its own."""
    kind = bpy.types.PointCloud.bl_rna.properties.get("type")
    return kind is not None and "GAUSSIAN_SPLAT" in kind.enum_items


def native_cloud(name: str, splats: Gaussians) -> bpy.types.PointCloud:
    """A PointCloud of the type GAUSSIAN_SPLAT; degrees above 3 are dropped.

    EEVEE quantises positions and scales over the object's whole range, so splats that are invisible or whose size is
    far from the others' are dropped.
    """
    displayable = _displayable(splats)
    splats = splats if displayable is None else splats[displayable]
    cloud = new_pointcloud(name, splats.means)
    cloud.type = "GAUSSIAN_SPLAT"
    if len(splats):
        for attribute, (kind, field, values) in attributes_of(splats).items():
            if attribute != "position":  # the cloud was created with it
                set_attribute(cloud, attribute, kind, field, values)
    cloud.materials.append(native_material())
    return cloud


def attributes_of(splats: Gaussians) -> dict[str, tuple[str, str, np.ndarray]]:
    """The attributes that Blender's own importer stores: name to data type, field, and values (N, width)."""
    count = len(splats)
    base, scales = mapped_zeros((count, 4)), mapped_zeros((count, 3))

    def take(where: slice):
        base[where, :3], base[where, 3] = splats.sh[where, 0], splats[where].opacities
        np.exp(splats.log_scales[where], out=scales[where])

    in_chunks(take, count, CHUNK)
    coefficients = (min(spherical_harmonics.degree_of(splats.sh), spherical_harmonics.MOST_DEGREE) + 1) ** 2
    found = {
        "position": ("FLOAT_VECTOR", "vector", splats.means),
        "scale": ("FLOAT_VECTOR", "vector", scales),
        "rotation": ("QUATERNION", "value", splats.quaternions),
        "radiance:base": ("FLOAT4", "vector", base),
    }
    for index in range(1, coefficients):
        found[f"radiance:sh_{index - 1}"] = ("FLOAT_VECTOR", "vector", splats.sh[:, index])
    return found


def _displayable(splats: Gaussians) -> np.ndarray | None:
    """Mask (N,) of the visible splats that are at most e⁶ times larger than the median; None if that is all of them."""
    logs, logits = splats.log_scales, splats.logit_opacities
    if not len(splats):
        return None
    most = np.median(largest(logs[:: max(1, len(logs) // MEDIAN_SAMPLES)])) + 6
    if logits.min() > MIN_LOGIT and logs.min() > MIN_LOG_SCALE and logs.max() < most:
        return None
    longest = largest(logs)
    return (logits > MIN_LOGIT) & (longest < most) & (longest > MIN_LOG_SCALE)
