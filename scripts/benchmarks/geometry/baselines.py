"""What align is compared with: other rules to fit a view's depth to what is known, written from their descriptions.

Each rule takes the model's values (H, W), the projection of the cloud and the camera, and returns z-depth (H, W).
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.interpolate import griddata
from scipy.ndimage import binary_dilation

from core.camera import Camera
from dreamzoom.geometry.project import Projection
from dreamzoom.geometry.scale import weighted_median
from dreamzoom.geometry.view import UNKNOWN

STEPS, RATE = 100, 1e-3


def none(values: np.ndarray, seen: Projection, camera: Camera) -> np.ndarray:
    """The model's depth as it is: LucidDreamer's program as released, whose scale gets no gradient."""
    return values


def median(values: np.ndarray, seen: Projection, camera: Camera) -> np.ndarray:
    """One weighted median of the ratios."""
    known = seen.mask != UNKNOWN
    if not known.any():
        return values
    ratio = np.log(seen.depth[known] / values[known])
    return values * np.float32(np.exp(weighted_median(ratio, np.ones(len(ratio)))))


def least_squares(values: np.ndarray, seen: Projection, camera: Camera) -> np.ndarray:
    """Scale and shift by least squares."""
    known = seen.mask != UNKNOWN
    if known.sum() < 2:
        return values
    columns = np.stack([values[known], np.ones(known.sum())], -1).astype(np.float64)
    scale, shift = np.linalg.lstsq(columns, seen.depth[known].astype(np.float64), rcond=None)[0]
    return np.maximum(scale * values + shift, 1e-3).astype(np.float32)


def adam(values: np.ndarray, seen: Projection, camera: Camera) -> np.ndarray:
    """LucidDreamer's fit with its gradient mended: 100 Adam steps of 1e-3, squared distance of points, world origin."""
    scale = adam_scale(values, seen, camera, about_origin=True, power=2)
    return _scaled_about_origin(values, scale, camera)


def paper(values: np.ndarray, seen: Projection, camera: Camera, *, whole: bool = False) -> np.ndarray:
    """LucidDreamer's rule as its paper gives it: absolute distance, then the border's offset interpolated."""
    depth = values * np.float32(adam_scale(values, seen, camera, about_origin=False, power=1, whole=whole))
    return interpolated_seam(depth, seen)


def adam_scale(
    values: np.ndarray, seen: Projection, camera: Camera, *, about_origin: bool, power: int, whole: bool = False
) -> float:
    """The scale after 100 Adam steps from 1, by automatic differentiation.

    Args:
        values, seen, camera: As for every rule.
        about_origin: Whether the world's origin is scaled about; else the camera's own centre.
        power: Of the distance of the points.
        whole: Lift the whole picture in each step and mask then, as the rule is written. Else only what the mask
            keeps is lifted: the same scale, sooner.
    """
    known = torch.from_numpy(((seen.mask != UNKNOWN) & np.isfinite(values)).ravel())
    if not known.any():
        return 1.0
    pose = torch.from_numpy(camera.camera_to_frame.astype(np.float32))
    rays = torch.from_numpy((camera.rays() @ camera.rotation).reshape(-1, 3).astype(np.float32))
    depth = torch.from_numpy(np.nan_to_num(values).astype(np.float32)).reshape(-1, 1)
    there = (rays * torch.from_numpy(seen.depth).reshape(-1, 1)) @ pose[:3, :3].T + pose[:3, 3]
    if not whole:
        rays, depth, there, known = rays[known], depth[known], there[known], slice(None)
    scale = torch.ones(1, requires_grad=True)
    optimiser = torch.optim.Adam([scale], lr=RATE)
    for _ in range(STEPS):
        optimiser.zero_grad()
        if about_origin:
            points = scale * ((rays * depth) @ pose[:3, :3].T + pose[:3, 3])
        else:
            points = (rays * (scale * depth)) @ pose[:3, :3].T + pose[:3, 3]
        ((points - there)[known].abs() ** power).mean().backward()
        optimiser.step()
    return float(scale.detach())


def interpolated_seam(depth: np.ndarray, seen: Projection) -> np.ndarray:
    """The difference to what is known at the border of the mask, interpolated linearly into the new region."""
    known = seen.mask != UNKNOWN
    border = known & binary_dilation(~known)
    if border.sum() < 4 or known.all():
        return depth
    places, targets = np.argwhere(border), np.argwhere(~known)
    offset = seen.depth[border] - depth[border]
    inner = griddata(places, offset, targets, method="linear")
    outer = griddata(places, offset, targets, method="nearest")
    out = np.where(known, seen.depth, depth).astype(np.float32)
    out[~known] = np.maximum(depth[~known] + np.where(np.isnan(inner), outer, inner), 1e-3)
    return out


def _scaled_about_origin(values: np.ndarray, scale: float, camera: Camera) -> np.ndarray:
    """Points scaled about the world's origin, as z-depth of the same pixels: what that rule gives the same camera."""
    forward = camera.rotation[:, 2]
    return np.maximum(scale * values + (scale - 1) * float(camera.centre @ forward), 1e-3).astype(np.float32)


RULES = {
    "none (LucidDreamer as released)": none,
    "weighted median": median,
    "least squares scale + shift": least_squares,
    "LucidDreamer, Adam mended": adam,
    "LucidDreamer, the paper's rule": paper,
}
