"""Blender's own Gaussian splats, which came with 5.3."""

from __future__ import annotations

import bpy
import numpy as np

from . import harmonics
from .arrays import Splats, largest
from .material import native_material
from .points import new_pointcloud, set_attribute


def available() -> bool:
    """Whether this Blender has splats of its own."""
    kind = bpy.types.PointCloud.bl_rna.properties.get("type")
    return kind is not None and "GAUSSIAN_SPLAT" in kind.enum_items


def native_cloud(name: str, splats: Splats) -> bpy.types.PointCloud:
    """A PointCloud of the type GAUSSIAN_SPLAT; degrees above 3 are left out.

    EEVEE quantises positions and scales over the object's whole range, so splats that show nothing or whose size lies
    far from the others' are left out.
    """
    usual = _usual(splats)
    splats = splats if usual.all() else splats[usual]
    cloud = new_pointcloud(name, splats.means)
    cloud.type = "GAUSSIAN_SPLAT"
    if len(splats):
        for attribute, (kind, field, values) in attributes_of(splats).items():
            set_attribute(cloud, attribute, kind, field, values)
    cloud.materials.append(native_material())
    return cloud


def attributes_of(splats: Splats) -> dict[str, tuple[str, str, np.ndarray]]:
    """What Blender's own importer stores: name to kind, field, and values (N, width)."""
    base = np.empty((len(splats), 4), np.float32)
    base[:, :3], base[:, 3] = splats.sh[:, 0], splats.opacities
    coefficients = (min(harmonics.degree_of(splats.sh), harmonics.MOST_DEGREE) + 1) ** 2
    found = {
        "position": ("FLOAT_VECTOR", "vector", splats.means),
        "scale": ("FLOAT_VECTOR", "vector", np.exp(splats.log_scales)),
        "rotation": ("QUATERNION", "value", splats.quaternions),
        "radiance:base": ("FLOAT4", "vector", base),
    }
    for index in range(1, coefficients):
        found[f"radiance:sh_{index - 1}"] = ("FLOAT_VECTOR", "vector", splats.sh[:, index])
    return found


def _usual(splats: Splats) -> np.ndarray:
    """Mask of the splats that show and are at most e⁶ larger than the middle one."""
    if not len(splats):
        return np.zeros(0, bool)
    longest = largest(splats.log_scales)
    return (splats.opacities > 1 / 255) & (longest < np.median(longest) + 6) & (longest > -20)
