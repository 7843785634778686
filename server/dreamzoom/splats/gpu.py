"""gsplat on CUDA (version 1.5.3): its 2D Gaussians see and fit surfels fast; our exact model has the last word.

gsplat orders a pixel's hits by the splats' centres and smooths in the picture's plane; colours are given to it in
linear light, so all else is the image model that Blender computes. gsplat compiles its kernels when first imported.
"""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from functools import cache

import numpy as np

from dreamzoom.camera import Camera
from dreamzoom.report import Report
from dreamzoom.splats.gaussians import SH_C0, Gaussians
from dreamzoom.splats.project import FLAT
from dreamzoom.splats.target import Target

SSIM_SHARE = 0.2
SCALE_FLOOR = 0.4
"""The least sigma of a splat in pixels of the nearest view: the 3D smoothing filter."""
GROWTH_EVERY = 100


@cache
def obstacle() -> str:
    """Why gsplat can't be used here and what to install, in one line; empty where it can."""
    if importlib.util.find_spec("gsplat") is None:
        return "gsplat is not installed: install gsplat 1.5.3 beside a CUDA build of torch"
    import torch

    if not torch.cuda.is_available():
        return "no CUDA device is found by torch: an NVIDIA GPU and a CUDA build of torch are needed"
    try:
        with contextlib.redirect_stdout(sys.stderr):  # it prints while it compiles
            from gsplat.cuda._backend import _C
    except (ImportError, RuntimeError, OSError) as problem:
        why = (str(problem).splitlines() or ["no reason given"])[0][:120]
        return f"gsplat can't compile its kernels ({why}): install the CUDA toolkit that torch was built for"
    if _C is None:
        return "gsplat has no kernels: install the CUDA toolkit (nvcc) that torch was built for, and a C++ compiler"
    return ""


def fits(splats: Gaussians) -> bool:
    """Whether all are surfels, which is what gsplat's 2D Gaussians show."""
    return bool((splats.log_scales[:, 2] < splats.log_scales[:, :2].min(1) + np.log(FLAT)).all())


def rasterize(
    splats: Gaussians, camera: Camera, opacities: np.ndarray, background: np.ndarray, near: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """See surfels on the GPU.

    Args:
        splats: Surfels in the camera's frame.
        camera: The camera.
        opacities: (N,) in 0..1.
        background: (3,) linear RGB.
        near: Z-depth of the near plane.

    Returns:
        Linear RGB (H, W, 3), alpha (H, W) and mean z-depth (H, W; infinite where nothing is), float32.
    """
    import torch

    parameters = _parameters(splats, camera.centre)
    parameters["opacities"] = torch.logit(torch.as_tensor(opacities, device="cuda").float(), eps=1e-6)
    with torch.no_grad():
        rgb, alpha, depth, _ = _render(parameters, camera, camera.centre, near)
        rgb = rgb + (1 - alpha) * torch.as_tensor(background, device="cuda").float()
        depth = torch.where(alpha > 0, depth, torch.inf)
    return rgb.cpu().numpy(), alpha[..., 0].cpu().numpy(), depth[..., 0].cpu().numpy()


def fit(
    splats: Gaussians,
    targets: list[Target],
    *,
    background: Gaussians | None,
    iterations: int,
    cap: int,
    seed: int,
    near: float,
    report: Report,
) -> Gaussians:
    """Adam and gsplat's MCMC strategy on masked L1 + D-SSIM, one view a step.

    Args:
        splats: Surfels to start from, at most `cap`.
        targets: Pictures with masks, in the splats' frame.
        background: Frozen surfels of coarser levels in the same frame.
        iterations: Steps.
        cap: The count is never larger.
        seed: Of the views' order and of what the strategy draws.
        near: Z-depth of the near plane.
        report: Progress, and where a cancel arrives.
    """
    import torch
    from gsplat import MCMCStrategy

    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    origin = np.median(splats.means.astype(np.float64), axis=0)
    parameters = torch.nn.ParameterDict(
        {name: torch.nn.Parameter(value) for name, value in _parameters(splats, origin).items()}
    )
    sigma = float(torch.exp(parameters["scales"][:, :2]).median())
    rates = {"means": 0.02 * sigma, "scales": 0.01, "quats": 0.004, "opacities": 0.03, "rgb": 0.008}
    optimisers = {name: torch.optim.Adam([parameters[name]], lr=rate, eps=1e-15) for name, rate in rates.items()}
    strategy = MCMCStrategy(
        cap_max=cap, noise_lr=0.0, refine_start_iter=GROWTH_EVERY, refine_every=GROWTH_EVERY, verbose=False,
        refine_stop_iter=max(iterations - GROWTH_EVERY, 0),
    )  # fmt: skip
    state = strategy.initialize_state()
    frozen = None if background is None or not len(background) else _parameters(background, origin)
    goals = [_goal(target) for target in targets if target.mask.any()]
    order: list[int] = []
    for step in range(iterations):
        report.progress(step / iterations, "fitting splats on the GPU")
        order = order or list(rng.permutation(len(goals)))
        camera, rgb, mask = goals[order.pop()]
        shown, alpha, _, meta = _render(_together(parameters, frozen), camera, origin, near)
        loss = _loss(_encoded(shown), rgb, mask) + 0.02 * ((1 - alpha[..., 0]) * mask).sum() / mask.sum()
        loss.backward()
        for name, optimiser in optimisers.items():
            gradient = parameters[name].grad
            if gradient is not None:
                torch.nan_to_num_(gradient, 0.0, 0.0, 0.0)
            optimiser.param_groups[0]["lr"] = rates[name] * 0.1 ** (step / iterations)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        strategy.step_post_backward(parameters, optimisers, state, step, meta, lr=0.0)
        with torch.no_grad():
            _keep_in_bounds(parameters, [goal[0] for goal in goals], origin)
    return _gaussians(parameters, origin, splats)


def _parameters(splats: Gaussians, origin: np.ndarray) -> dict:
    """As gsplat wants them, on the GPU, positions relative to `origin` in float64 before they become float32."""
    import torch

    arrays = {
        "means": splats.means.astype(np.float64) - origin,
        "scales": splats.log_scales,
        "quats": splats.quaternions,
        "opacities": splats.logit_opacities,
        "rgb": np.maximum(splats.rgb, 0),
    }
    return {name: torch.tensor(np.asarray(array, np.float32), device="cuda") for name, array in arrays.items()}


def _render(parameters, camera: Camera, origin: np.ndarray, near: float):
    """Linear RGB (H, W, 3), alpha (H, W, 1), mean depth (H, W, 1) and gsplat's notes, differentiable."""
    import torch
    from gsplat import rasterization_2dgs

    view = np.eye(4)
    view[:3, :3] = camera.rotation.T
    view[:3, 3] = -camera.rotation.T @ (camera.centre - origin)
    lens = np.array([[camera.fx, 0, camera.cx], [0, camera.fy, camera.cy], [0, 0, 1]])
    seen, alpha, _, _, _, _, meta = rasterization_2dgs(
        parameters["means"],
        parameters["quats"],
        torch.exp(parameters["scales"]),
        torch.sigmoid(parameters["opacities"]),
        _decoded(parameters["rgb"])[None],  # one a camera: depth is joined to them camera by camera
        torch.tensor(view[None], dtype=torch.float32, device="cuda"),
        torch.tensor(lens[None], dtype=torch.float32, device="cuda"),
        camera.width,
        camera.height,
        near_plane=near,
        render_mode="RGB+ED",
    )
    return seen[0, ..., :3], alpha[0], seen[0, ..., 3:], meta


def _together(own, frozen):
    """Own and frozen splats in one; only the own get gradients."""
    import torch

    if frozen is None:
        return own
    return {name: torch.cat([own[name], frozen[name]]) for name in frozen}


def _goal(target: Target):
    """Camera, picture (H, W, 3) with 0 outside the mask, mask (H, W); on the GPU."""
    import torch

    mask = target.mask & np.isfinite(target.rgb).all(-1)
    rgb = np.where(mask[..., None], target.rgb, 0).astype(np.float32)
    return target.camera, torch.tensor(rgb, device="cuda"), torch.tensor(mask, device="cuda")


def _loss(shown, rgb, mask):
    """Masked L1 + D-SSIM, as in `loss`: pixels outside the mask are taken to be right."""
    import torch
    from torch.nn.functional import conv2d

    shown = torch.where(mask[..., None], shown, rgb)
    taps = torch.exp(-0.5 * (torch.arange(-5, 6, device="cuda") / 1.5) ** 2)
    window = torch.outer(taps, taps) / taps.sum() ** 2
    x, y = (picture.permute(2, 0, 1)[:, None] for picture in (shown, rgb))

    def blur(values):
        return conv2d(values, window[None, None], padding=5)

    mx, my = blur(x), blur(y)
    vx, vy, vxy = blur(x * x) - mx * mx, blur(y * y) - my * my, blur(x * y) - mx * my
    alike = (2 * mx * my + 1e-4) * (2 * vxy + 9e-4) / ((mx * mx + my * my + 1e-4) * (vx + vy + 9e-4))
    unlike = ((1 - alike[:, 0]) * mask).sum() / 2
    return ((1 - SSIM_SHARE) * (shown - rgb).abs().sum() + SSIM_SHARE * unlike) / (3 * mask.sum())


def _decoded(rgb):
    """Decode sRGB to linear light, negative values to 0."""
    import torch

    rgb = rgb.clamp(min=0)
    return torch.where(rgb <= 0.04045, rgb / 12.92, ((rgb.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4)


def _encoded(linear):
    """Encode linear light as sRGB."""
    import torch

    return torch.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear.clamp(min=0.0031308) ** (1 / 2.4) - 0.055)


def _keep_in_bounds(parameters, cameras: list[Camera], origin: np.ndarray) -> None:
    """Colours in 0..1, scales above the 3D smoothing filter's floor, surfels flat."""
    import torch

    parameters["rgb"].clamp_(0, 1)
    parameters["opacities"].clamp_(-9, 7)
    pixel = torch.full_like(parameters["means"][:, 0], torch.inf)
    for camera in cameras:
        way = torch.tensor(camera.rotation[:, 2], dtype=torch.float32, device="cuda")
        start = torch.tensor(camera.centre - origin, dtype=torch.float32, device="cuda")
        pixel = torch.minimum(pixel, ((parameters["means"] - start) @ way).clamp(min=1e-2) / max(camera.fx, camera.fy))
    floor = torch.log(SCALE_FLOOR * pixel)[:, None]
    parameters["scales"][:, :2] = torch.maximum(parameters["scales"][:, :2], floor)
    parameters["scales"][:, 2] = parameters["scales"][:, :2].amin(1) + float(np.log(1e-3))


def _gaussians(parameters, origin: np.ndarray, like: Gaussians) -> Gaussians:
    """Back to numpy; splats with anything not finite are left out, and columns kept where the count is the same."""
    arrays = {name: value.detach().cpu().numpy() for name, value in parameters.items()}
    good = np.all([np.isfinite(array.reshape(len(array), -1)).all(1) for array in arrays.values()], axis=0)
    arrays = {name: array[good] for name, array in arrays.items()}
    turns = arrays["quats"] / np.maximum(np.linalg.norm(arrays["quats"], axis=1, keepdims=True), 1e-12)
    columns = {name: column[good] for name, column in like.extra.items()} if len(good) == len(like) else {}
    means = (arrays["means"].astype(np.float64) + origin).astype(np.float32)
    sh = ((arrays["rgb"] - 0.5) / SH_C0).astype(np.float32)[:, None, :]
    return Gaussians(means, arrays["scales"], turns.astype(np.float32), arrays["opacities"], sh, columns)
