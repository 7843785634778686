"""Passes of a frame for compositing, as multilayer OpenEXR: colour, depth, normal and mask.

R G B A              linear light, premultiplied by alpha, over nothing
depth.Z              z-depth: distance from the camera along its view axis, not along the ray; in units of the gauge,
                     which are Blender's for a rig that is not scaled; 1e10 where nothing is seen, as in Blender
normal.X Y Z         unit, in the axes of the gauge (Blender's world), towards the camera; 0 where nothing is seen
mask.A               1 where the dream covers at least half of the pixel, else 0
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from core.camera import Camera
from core.colour import linear_to_srgb
from core.gaussians import Gaussians
from core.quaternions import axes_of
from core.spherical_harmonics import SH_C0
from dreamzoom.splats.rasterize import Raster, rasterize

NOTHING = 1e10
"""Depth of pixels in which nothing is seen, as Blender writes it."""

SEEN_ALPHA = 0.5
"""Alpha from which a pixel has a depth, a normal and a mask of 1."""


@dataclass(frozen=True)
class Passes:
    """One frame's passes.

    Attributes:
        rgba: (H, W, 4) float32, linear light, premultiplied.
        depth: (H, W) float32 z-depth.
        normal: (H, W, 3) float32.
        mask: (H, W) float32, 0 or 1.
    """

    rgba: np.ndarray
    depth: np.ndarray
    normal: np.ndarray
    mask: np.ndarray


def passes(splats: Gaussians, camera: Camera, shares: np.ndarray) -> Passes:
    """Render the passes.

    Args:
        splats: In the frame that the camera is placed in.
        camera: The camera.
        shares: (N,) factors on the opacities.
    """
    shown = rasterize(splats, camera, opacity_scale=shares, linear=True)
    facing = rasterize(_with_normals(splats, camera), camera, opacity_scale=shares, linear=True)
    seen = shown.alpha >= SEEN_ALPHA
    return Passes(
        np.concatenate([shown.rgb, shown.alpha[..., None]], -1).astype(np.float32),
        np.where(seen, shown.depth, np.float32(NOTHING)).astype(np.float32),
        _normals(facing, seen),
        seen.astype(np.float32),
    )


def write_passes(found: Passes, path: Path) -> None:
    """Write the passes as OpenEXR, float32, losslessly compressed. Raises OSError."""
    import OpenEXR

    channels = {name: np.ascontiguousarray(found.rgba[..., index]) for index, name in enumerate("RGBA")}
    channels |= {f"normal.{axis}": np.ascontiguousarray(found.normal[..., n]) for n, axis in enumerate("XYZ")}
    channels |= {"depth.Z": found.depth, "mask.A": found.mask}
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    try:
        with OpenEXR.File(header, channels) as file:
            file.write(str(path))
    except RuntimeError as error:
        raise OSError(f"{path} can't be written: {error}") from None


def _with_normals(splats: Gaussians, camera: Camera) -> Gaussians:
    """The splats with their normals n as colours: (n + 1) / 2 in linear light. A normal is the shortest axis."""
    axes = np.stack(axes_of(splats.quaternions), 1)
    shortest = np.argmin(splats.log_scales, 1)
    normals = axes[np.arange(len(axes)), shortest]
    away = (normals * (splats.means - camera.centre)).sum(-1) > 0
    normals = np.where(away[:, None], -normals, normals)
    srgb = linear_to_srgb(np.clip((normals + 1) / 2, 0, 1).astype(np.float32))
    return replace(splats, sh=((srgb - 0.5) / np.float32(SH_C0))[:, None, :])


def _normals(facing: Raster, seen: np.ndarray) -> np.ndarray:
    mean = 2 * facing.rgb / np.maximum(facing.alpha, 1e-6)[..., None] - 1
    unit = mean / np.maximum(np.linalg.norm(mean, axis=-1, keepdims=True), 1e-6)
    return np.where(seen[..., None], unit, 0).astype(np.float32)
