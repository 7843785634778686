"""Rendering of splats: `rasterize(splats, camera)` gives colour, alpha and depth, with a choice of backends.

The image model is the one that Blender computes: a hit has alpha = opacity · exp(−(u² + v²) / 2) where the ray meets
the surfel, cut off at 2.5 standard deviations; hits are sorted by their own depth in each pixel and blended in linear
light; the result is encoded to sRGB.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.camera import Camera
from core.colour import linear_to_srgb, srgb_to_linear
from core.gaussians import Gaussians
from dreamzoom.splats import cpu_rasterizer
from dreamzoom.splats.cuda import probe
from dreamzoom.splats.supersampling import averaged
from dreamzoom.splats.view_table import NEAR, PIXEL_VARIANCE, see


@dataclass(frozen=True)
class Raster:
    """A rendered picture.

    Attributes:
        rgb: (H, W, 3) float32, sRGB (or linear light if requested), over the background.
        alpha: (H, W) float32 in 0..1.
        depth: (H, W) float32, alpha-weighted mean z-depth of the hits in the frame's units; infinite without hits.
    """

    rgb: np.ndarray
    alpha: np.ndarray
    depth: np.ndarray


def rasterize(
    splats: Gaussians,
    camera: Camera,
    *,
    background_rgb=(0.0, 0.0, 0.0),
    backend: str = "auto",
    opacity_scale: np.ndarray | float | None = None,
    linear: bool = False,
    antialias: bool = True,
    samples: int = 1,
    near: float = NEAR,
) -> Raster:
    """Render splats.

    Args:
        splats: In the frame that the camera is placed in.
        camera: The camera.
        background_rgb: (3,) sRGB background colour.
        backend: "cpu", "gpu" (an NVIDIA GPU), "torch" (slow reference implementation), or "auto": the GPU if there is
            one, else the CPU. All give the same picture up to rounding.
        opacity_scale: Factor on the opacities, a number or (N,), for fading.
        linear: Return linear light instead of sRGB.
        antialias: Convolve every splat with the pixel filter (keeping its mass), so that small splats do not flicker.
        samples: Samples per pixel along each side, averaged in linear light.
        near: Z-depth of the near plane, in the frame's units.
    """
    if backend not in ("auto", "cpu", "gpu", "torch"):
        raise ValueError(f"backend: must be auto, cpu, gpu or torch, not {backend!r}")
    fine = camera if samples == 1 else camera.resized(camera.width * samples, camera.height * samples)
    opacities = splats.opacities if opacity_scale is None else splats.opacities * np.asarray(opacity_scale)
    background = srgb_to_linear(np.asarray(background_rgb, np.float32))
    tau = PIXEL_VARIANCE if antialias else 0.0
    card = _card(backend, splats, fine)
    if card is not None:
        from dreamzoom.splats.cuda import raster

        rgb, alpha, depth = raster.rasterize(card, splats, fine, opacities, background, tau, near)
    elif backend == "torch":
        rgb, alpha, depth = _by_twin(splats, fine, opacities, background, tau, near)
    else:
        rgb, alpha, depth = cpu_rasterizer.blend_hits(see(splats, fine, opacities, tau, near), background)
    if samples > 1:
        rgb, alpha, depth = _averaged(rgb, alpha, depth, samples)
    return Raster(rgb if linear else linear_to_srgb(rgb), alpha, depth)


def _card(backend: str, splats: Gaussians, camera: Camera):
    """The GPU to use, or None for another backend. Raises ValueError if "gpu" is requested but can't be used."""
    if backend not in ("auto", "gpu"):
        return None
    card, obstacle = probe.card(), probe.obstacle()
    if card is not None:
        from dreamzoom.splats.cuda import raster

        if raster.has_room(card, splats, camera):
            return card
        obstacle = "too little of its memory is free"
    if backend == "gpu":
        raise ValueError(f"backend: gpu can't be used: {obstacle}")
    return None


def _by_twin(splats, camera, opacities, background, tau, near):
    """Render with `torch_reference` in float64; arguments and results as for the other backends."""
    import torch

    from dreamzoom.splats import torch_reference

    means, log_scales, quaternions, alphas, sh = (
        torch.tensor(np.asarray(array), dtype=torch.float64)
        for array in (splats.means, splats.log_scales, splats.quaternions, opacities, splats.sh)
    )
    got = torch_reference.rasterize(
        means, log_scales, quaternions, torch.logit(alphas), sh, camera,
        background=tuple(background.tolist()), tau=tau, near=near,
    )  # fmt: skip
    rgb, alpha, depth = (part.numpy().astype(np.float32) for part in got)
    return rgb, alpha, np.where(alpha > 0, depth, np.float32(np.inf))


def _averaged(rgb, alpha, depth, samples):
    """Means of rgb, alpha and depth over samples × samples blocks; depth is weighted by alpha."""
    small_alpha = averaged(alpha, samples)
    with np.errstate(divide="ignore", invalid="ignore"):
        weighted = averaged(np.where(alpha > 0, alpha * depth, 0), samples) / small_alpha
    return averaged(rgb, samples), small_alpha, np.where(small_alpha > 0, weighted, np.inf).astype(np.float32)
