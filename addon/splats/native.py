"""Blender's own Gaussian splats, which came with 5.3."""

from __future__ import annotations

import bpy
import numpy as np

from ..core import spherical_harmonics
from ..core.arrays import in_chunks, largest, mapped_zeros
from ..core.gaussians import Gaussians
from .materials import native_material
from .points import new_pointcloud, set_attribute

FAINTEST = -np.log(254)
"""The logit of 1/255: what is fainter does not show."""

SMALLEST = -20
GLANCE = 4096
CHUNK = 1 << 15


def available() -> bool:
    """Whether this Blender has splats of its own."""
    kind = bpy.types.PointCloud.bl_rna.properties.get("type")
    return kind is not None and "GAUSSIAN_SPLAT" in kind.enum_items


def native_cloud(name: str, splats: Gaussians) -> bpy.types.PointCloud:
    """A PointCloud of the type GAUSSIAN_SPLAT; degrees above 3 are left out.

    EEVEE quantises positions and scales over the object's whole range, so splats that show nothing or whose size lies
    far from the others' are left out.
    """
    usual = _usual(splats)
    splats = splats if usual is None else splats[usual]
    cloud = new_pointcloud(name, splats.means)
    cloud.type = "GAUSSIAN_SPLAT"
    if len(splats):
        for attribute, (kind, field, values) in attributes_of(splats).items():
            if attribute != "position":  # the cloud was made with it
                set_attribute(cloud, attribute, kind, field, values)
    cloud.materials.append(native_material())
    return cloud


def attributes_of(splats: Gaussians) -> dict[str, tuple[str, str, np.ndarray]]:
    """What Blender's own importer stores: name to kind, field, and values (N, width)."""
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


def _usual(splats: Gaussians) -> np.ndarray | None:
    """Mask of the splats that show and are at most e⁶ larger than the middle one; None where those are all."""
    logs, logits = splats.log_scales, splats.logit_opacities
    if not len(splats):
        return None
    most = np.median(largest(logs[:: max(1, len(logs) // GLANCE)])) + 6
    if logits.min() > FAINTEST and logs.min() > SMALLEST and logs.max() < most:
        return None
    longest = largest(logs)
    return (logits > FAINTEST) & (longest < most) & (longest > SMALLEST)
