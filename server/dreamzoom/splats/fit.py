"""Surfels from a cloud, fitted to pictures: start in the points' planes, then solve for what the pictures say."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from dreamzoom.camera import Camera
from dreamzoom.colour import linear_to_srgb, srgb_to_linear
from dreamzoom.geometry.cloud import Cloud
from dreamzoom.report import Report
from dreamzoom.splats import cpu
from dreamzoom.splats.gaussians import SH_C0, Gaussians
from dreamzoom.splats.rasterize import NEAR, PIXEL_VARIANCE, see

FLATNESS = 1e-3
"""A surfel's third scale, as a share of the smaller of its other two."""
START_OPACITY = 0.95


@dataclass(frozen=True)
class Target:
    """A picture to be matched.

    Attributes:
        camera: In the splats' frame.
        rgb: (H, W, 3) float32 sRGB.
        mask: (H, W) bool; only True pixels supervise, the others may look as they like.
    """

    camera: Camera
    rgb: np.ndarray
    mask: np.ndarray


def initial(cloud: Cloud) -> Gaussians:
    """Surfels in the points' planes, one a point: sigma near half the spacing, bounded by the pixel footprint.

    The spacing is the distance to the neighbours in the point's own plane; where it is larger than twice the footprint
    the point stands at an edge or alone, and the footprint decides.
    """
    spacing = np.clip(_spacing(cloud.position), 0.5 * cloud.footprint, 2.0 * cloud.footprint)
    sigma = np.log(np.maximum(0.55 * spacing, 1e-12))
    log_scales = np.stack([sigma, sigma, sigma + np.log(FLATNESS)], 1).astype(np.float32)
    opacity = np.full(len(cloud), np.log(START_OPACITY / (1 - START_OPACITY)), np.float32)
    sh = ((cloud.rgb - 0.5) / SH_C0).astype(np.float32)[:, None, :]
    extra = {"superseded": cloud.superseded.copy(), "view": cloud.view.copy()}
    return Gaussians(cloud.position.copy(), log_scales, quaternions_of(cloud.normal), opacity, sh, extra)


def quaternions_of(normals: np.ndarray) -> np.ndarray:
    """Rotations (N, 4) wxyz that turn the third axis to the unit normals (N, 3), by the shortest way."""
    x, y, z = np.asarray(normals, np.float64).T
    quaternion = np.stack([1 + z, -y, x, np.zeros_like(z)], 1)
    quaternion[z < -1 + 1e-9] = (0, 1, 0, 0)
    return (quaternion / np.linalg.norm(quaternion, axis=1, keepdims=True)).astype(np.float32)


def _spacing(points: np.ndarray) -> np.ndarray:
    """Root mean square distance (N,) to the four nearest neighbours; infinite for a lone point."""
    if len(points) < 2:
        return np.full(len(points), np.inf)
    from scipy.spatial import cKDTree

    neighbours = min(5, len(points))
    distance, _ = cKDTree(points, compact_nodes=False, balanced_tree=False).query(points, neighbours, workers=-1)
    return np.sqrt(np.mean(distance[:, 1:] ** 2, 1))


def fit(
    splats: Gaussians,
    targets: list[Target],
    *,
    background: Gaussians | None,
    iterations: int,
    cap: int,
    seed: int,
    report: Report,
) -> Gaussians:
    """Make the splats look like the targets.

    Args:
        splats: Surfels to start from; at most `cap` of them are kept.
        targets: Pictures with masks.
        background: Frozen splats of coarser levels in the same frame, seen but not changed.
        iterations: Passes of the solver over all targets.
        cap: The count is never larger.
        seed: Of what is drawn at random.
        report: Progress, and where a cancel arrives.
    """
    if len(splats) > cap:
        splats = splats[np.sort(np.random.default_rng(seed).choice(len(splats), cap, replace=False))]
    if not len(splats) or not targets:
        return splats
    return solve_colours(splats, targets, background=background, passes=min(iterations, 12), report=report)


def solve_colours(
    splats: Gaussians, targets: list[Target], *, background: Gaussians | None, passes: int, report: Report
) -> Gaussians:
    """The colours that explain the targets best while shapes and opacities stay: the blend is linear in them.

    Simultaneous algebraic reconstruction (Andersen and Kak 1984) in linear light, each pixel weighted by the slope of
    the sRGB curve at its target, since errors are seen in sRGB.
    """
    count = len(splats)
    everything = splats if background is None else joined(splats, background)
    views = [_prepared(everything, target) for target in targets]
    colours = srgb_to_linear(np.clip(everything.rgb, 0, 1).astype(np.float32))
    shares = [cpu.spread_colour(hits, np.zeros_like(goal), weight, len(everything))[1] for hits, goal, weight in views]
    norm = np.maximum(sum(shares)[:count], 1e-6)[:, None]
    black = np.zeros(3, np.float32)
    for step in range(passes):
        report.progress(step / passes, "fitting colours")
        total = np.zeros((count, 3), np.float32)
        for hits, goal, weight in views:
            hits.table[:, 12:15] = colours
            rgb, _, _ = cpu.blend_hits(hits, black)
            residual = (goal - rgb) * weight[..., None]
            total += cpu.spread_colour(hits, residual, weight, len(everything))[0][:count]
        colours[:count] = np.clip(colours[:count] + total / norm, 0, 1)
    sh = splats.sh.copy()
    sh[:, 0] = (linear_to_srgb(colours[:count]) - 0.5) / SH_C0
    return replace(splats, sh=sh)


def _prepared(splats: Gaussians, target: Target) -> tuple[cpu.Hits, np.ndarray, np.ndarray]:
    """A target's hits, linear picture (H, W, 3) and weight (H, W)."""
    hits = see(splats, target.camera, splats.opacities, PIXEL_VARIANCE, NEAR)
    goal = srgb_to_linear(np.nan_to_num(target.rgb).astype(np.float32))
    luminance = goal @ np.array([0.2126, 0.7152, 0.0722], np.float32)
    weight = (target.mask / (0.02 + luminance)).astype(np.float32)
    return hits, goal, weight


def joined(first: Gaussians, second: Gaussians) -> Gaussians:
    """Both sets in one, without extra columns; the spherical harmonics cut to the lower degree."""
    terms = min(first.sh.shape[1], second.sh.shape[1])
    return Gaussians(
        np.concatenate([first.means, second.means]),
        np.concatenate([first.log_scales, second.log_scales]),
        np.concatenate([first.quaternions, second.quaternions]),
        np.concatenate([first.logit_opacities, second.logit_opacities]),
        np.concatenate([first.sh[:, :terms], second.sh[:, :terms]]),
    )
