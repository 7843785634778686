"""Surfels from a cloud, fitted to pictures.

They start in the depth map's planes with the points' colours, so they look right at once. Their colours are then solved
for, and all parameters polished with Adam against a masked loss in the image model that Blender computes. Splats that
have become transparent are moved to where the error is (after Kheradmand et al. 2024, "3D Gaussian Splatting as Markov
Chain Monte Carlo", without its noise), and the count never passes a cap.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace

import numpy as np

from core.camera import Camera
from core.gaussians import Gaussians
from core.spherical_harmonics import SH_C0
from dreamzoom.geometry.cloud import Cloud
from dreamzoom.report import Report
from dreamzoom.splats import colours, cpu, loss
from dreamzoom.splats.cuda import probe
from dreamzoom.splats.gradient import gradients
from dreamzoom.splats.optimise import FLATNESS, Rates, Surfels
from dreamzoom.splats.rasterize import NEAR, PIXEL_VARIANCE, camera_arrays, tabulate
from dreamzoom.splats.relocate import relocate
from dreamzoom.splats.simplify import simplified
from dreamzoom.splats.target import Target

__all__ = ["Target", "fit", "initial"]

START_OPACITY = 0.98
START_SIGMA = 0.5
"""Of a surfel, in pixels of the view that its point comes from."""
SLANT = 0.13
"""The least cosine of the angle between ray and normal for which a surfel is stretched to close the picture's pixel."""
LOOK_WEIGHT = 0.1
"""Weight of 1 − alpha on known pixels: what is known is solid."""
HOLD_PLANE, HOLD_TURN, HOLD_SIZE = 0.01, 0.1, 0.01
"""How hard a surfel is held to its start: off its plane (in own sigmas), in its turn, in its log-scales. Without them a
fit of more than a hundred steps learns its few views by heart and gets worse in all others."""
SOLID = 0.96
"""From this alpha on a pixel is closed: more would only pile splats up."""
SIZE_WEIGHT = 0.0025
"""Weight of the splats' sizes, in pixels: every hit costs time in Cycles."""
FAINT = 0.003
"""Of the gradient that a splat can have which fills a pixel alone: what is less moves it less."""
COLOUR_PASSES, LAST_PASSES = 10, 4
LAST_RATE = 0.2
"""The last step's size as a share of the first's."""
FINE, FINE_SHARE = 2, 0.25
"""Rays per pixel along each side in the last share of the steps: Cycles shows a pixel's mean, not its middle."""
RELOCATE_EVERY = 50
PLATEAU = 2e-3
"""The fit ends early when the loss fell by less than this share over the last two rounds of the views."""


def initial(cloud: Cloud, cameras: list[Camera] | None = None) -> Gaussians:
    """Surfels in the points' planes, one a point, near half a pixel of their view in size, so that they just close.

    Args:
        cloud: In the level's frame.
        cameras: The views, in the order of `cloud.view`. With them a surfel is as long as its pixel's shadow on the
            plane; without them it is round, from the neighbours' distance bounded by the footprint.
    """
    if cameras and len(cloud):
        quaternions, sigma = _shadows(cloud, cameras)
    else:
        quaternions = quaternions_of(cloud.normal)
        spacing = np.clip(_spacing(cloud.position), 0.7 * cloud.footprint, 1.5 * cloud.footprint)
        sigma = np.repeat(START_SIGMA * spacing[:, None], 2, 1)
    logs = np.log(np.maximum(sigma, 1e-12))
    log_scales = np.concatenate([logs, logs.min(1, keepdims=True) + np.log(FLATNESS)], 1).astype(np.float32)
    opacity = np.full(len(cloud), np.log(START_OPACITY / (1 - START_OPACITY)), np.float32)
    sh = ((cloud.rgb - 0.5) / SH_C0).astype(np.float32)[:, None, :]
    extra = {"superseded": cloud.superseded.astype(np.uint8), "view": cloud.view.copy()}
    return Gaussians(cloud.position.copy(), log_scales, quaternions, opacity, sh, extra)


def _shadows(cloud: Cloud, cameras: list[Camera]) -> tuple[np.ndarray, np.ndarray]:
    """Rotations (N, 4) with the first axis down the slope away from the camera, and sigmas (N, 2)."""
    centres = np.stack([camera.centre for camera in cameras])[np.clip(cloud.view, 0, len(cameras) - 1)]
    ray = cloud.position - centres
    ray /= np.maximum(np.linalg.norm(ray, axis=1, keepdims=True), 1e-12)
    normal = cloud.normal.astype(np.float64)
    cosine = np.abs((ray * normal).sum(1))
    slope = ray - (ray * normal).sum(1, keepdims=True) * normal
    length = np.linalg.norm(slope, axis=1, keepdims=True)
    across = np.cross(normal, np.where(np.abs(normal[:, :1]) < 0.9, [[1.0, 0, 0]], [[0, 1.0, 0]]))
    first = np.where(length > 1e-3, slope / np.maximum(length, 1e-12), across)
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    axes = np.stack([first, np.cross(normal, first), normal], -1)
    sigma = START_SIGMA * cloud.footprint.astype(np.float64)
    return _quaternions(axes), np.stack([sigma / np.maximum(cosine, SLANT), sigma], 1)


def _quaternions(axes: np.ndarray) -> np.ndarray:
    """Rotation matrices (N, 3, 3) to quaternions (N, 4) wxyz float32."""
    from scipy.spatial.transform import Rotation

    return np.roll(Rotation.from_matrix(axes).as_quat(), 1, axis=1).astype(np.float32)


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


def look(target: Target, goal: loss.Goal) -> tuple[np.ndarray, int]:
    """The loss's gradient by a view's alpha (H, W) where it is not closed yet, and how many pixels are to be closed."""
    solid = goal.mask if target.solid is None else target.solid
    pixels = max(int(solid.sum()), 1)
    return np.where(solid, np.float32(-LOOK_WEIGHT / pixels), np.float32(0)), pixels


class _View:
    """One target made ready: the goal of the loss, its cameras of 1 and FINE² rays a pixel, and the frozen they see."""

    def __init__(self, target: Target, background: Gaussians | None):
        self.goal = loss.prepared(target.rgb, target.mask)
        self.coloured = bool(self.goal.pixels)
        self.by_alpha, self.pixels = look(target, self.goal)
        self.cameras, self.frozen = {}, {}
        for samples in (1, FINE):
            camera = target.camera.resized(samples * target.camera.width, samples * target.camera.height)
            self.cameras[samples] = camera
            if background is not None and len(background):
                table, box = tabulate(background, camera, background.opacities, PIXEL_VARIANCE, NEAR)
                seen = box[:, 1] > box[:, 0]
                self.frozen[samples] = table[seen], box[seen]

    def hits(self, splats: Gaussians, samples: int = 1) -> cpu.Hits:
        """Where this view's rays meet the splats, and the frozen ones after them in the table."""
        camera = self.cameras[samples]
        table, box = tabulate(splats, camera, splats.opacities, PIXEL_VARIANCE, NEAR)
        if samples in self.frozen:
            more, boxes = self.frozen[samples]
            table, box = np.concatenate([table, more]), np.concatenate([box, boxes])
        return cpu.find_hits(table, box, camera.width, camera.height, NEAR)


def fit(
    splats: Gaussians,
    targets: list[Target],
    *,
    background: Gaussians | None,
    iterations: int,
    cap: int,
    seed: int,
    report: Report,
    rates: Rates | None = None,
    backend: str = "auto",
) -> Gaussians:
    """Make surfels look like the targets.

    Args:
        splats: Surfels to start from; more than `cap` are merged to fit.
        targets: Pictures with masks, in the splats' frame.
        background: Frozen splats of coarser levels in the same frame, seen but not changed.
        iterations: Steps of Adam, one view each; 0 leaves shapes alone and solves for colours only.
        cap: The count is never larger.
        seed: Of what is drawn at random: the views' order, and what relocation picks.
        report: Progress, and where a cancel arrives.
        rates: Step sizes of Adam.
        backend: "cpu", "gpu" (an NVIDIA GPU), or "auto": the GPU where one can do it and has the memory, else the CPU.
    """
    if backend not in ("auto", "cpu", "gpu"):
        raise ValueError(f"backend: must be auto, cpu or gpu, not {backend!r}")
    splats = _sane(splats)
    if len(splats) > cap:
        splats = simplified(splats, cap)
    shown = [target for target in targets if target.mask.any()]
    covers = [target for target in targets if target.solid is not None and not target.mask.any()]
    if not len(splats) or not shown:
        return splats
    with _place(backend, splats, shown, covers, background, cap, report) as place:
        place.solve(COLOUR_PASSES, report)
        if iterations:
            place.start()
            _optimise(place, iterations, cap, seed, report, rates or Rates())
            place.solve(LAST_PASSES, report, FINE)
        return place.gaussians()


def _place(backend, splats, shown, covers, background, cap, report):
    """Where the fit runs, to be entered and left. If that is the CPU because no GPU can, a line says why."""
    if backend == "cpu":
        return contextlib.nullcontext(CpuFit(splats, shown, covers, background))
    card, obstacle = probe.card(), probe.obstacle()
    if card is not None:
        from dreamzoom.splats.cuda.fit import CardFit, bytes_needed
        from dreamzoom.splats.cuda.raster import bytes_free

        needed, free = bytes_needed([*shown, *covers], max(cap, len(splats)), background), bytes_free(card)
        if needed <= free:
            return CardFit(card, splats, shown, covers, background)
        obstacle = f"it would take {needed / 1e9:.1f} GB of GPU memory, {free / 1e9:.1f} GB are free"
    if backend == "gpu":
        raise ValueError(f"backend: gpu can't be used: {obstacle}")
    report.log(f"splats are fitted on the CPU: {obstacle}")
    return contextlib.nullcontext(CpuFit(splats, shown, covers, background))


class CpuFit:
    """The state of one fit on the CPU.

    Attributes:
        views: Those with colours.
        covers: Those that only have to be closed.
    """

    def __init__(self, splats: Gaussians, shown: list[Target], covers: list[Target], background: Gaussians | None):
        self.splats = splats
        self.views = [_View(target, background) for target in shown]
        self.covers = [_View(target, background) for target in covers]
        self._surfels: Surfels | None = None
        self._floor = np.zeros(0, np.float32)

    def solve(self, passes: int, report: Report, samples: int = 1) -> None:
        """Solve for the colours, with samples² rays a pixel."""
        splats = self.gaussians()
        ready = [(view.hits(splats, samples), view.goal.rgb, view.goal.mask) for view in self.views]
        self.splats = recoloured(splats, colours.solve(splats.rgb, ready, passes, report, samples))
        self._surfels = None

    def start(self) -> None:
        """Begin to move the splats."""
        self._surfels = Surfels(self.splats)
        self._floor = np.log(0.4 * footprints(self._surfels.means, [view.cameras[1] for view in self.views]))

    @property
    def _moving(self) -> Surfels:
        if self._surfels is None:
            raise RuntimeError("the fit was not started")
        return self._surfels

    def descend(self, view: _View, rates: Rates, samples: int = 1) -> float:
        """One step on one view; the loss before it."""
        return _descend(self._moving, view, self._floor, rates, samples)

    def relocate(self, cap: int, rng: np.random.Generator) -> None:
        """Move splats to where they are of use."""
        self._floor = relocate(self._moving, self._floor, cap, rng)

    def gaussians(self) -> Gaussians:
        """The splats as they are now."""
        return self.splats if self._surfels is None else self._surfels.gaussians()


def _optimise(place, iterations: int, cap: int, seed: int, report: Report, rates: Rates) -> None:
    """Adam over the views in shuffled rounds: first with one ray a pixel, then with FINE², each until a plateau."""
    rng = np.random.default_rng(seed)
    views, covers = place.views, place.covers
    coarse = iterations - round(FINE_SHARE * iterations)
    for samples, steps in ((1, range(coarse)), (FINE, range(coarse, iterations))):
        order: list[int] = []
        losses, best = [np.inf] * len(views), np.inf
        for step in steps:
            report.progress(step / iterations, "fitting splats")
            done = step - steps.start
            if done >= 4 * len(views) and done % (2 * len(views)) == 0:
                mean = np.mean([float(value) for value in losses])  # on a GPU they are not read before
                if mean > best * (1 - PLATEAU):
                    break
                best = mean
            slower = _scaled(rates, LAST_RATE ** (step / iterations))
            if covers and not order:
                place.descend(covers[rng.integers(len(covers))], slower)
            order = order or list(rng.permutation(len(views)))
            index = int(order.pop())
            losses[index] = place.descend(views[index], slower, samples)
            if (step + 1) % RELOCATE_EVERY == 0 and step + RELOCATE_EVERY < iterations:
                place.relocate(cap, rng)


def _scaled(rates: Rates, factor: float) -> Rates:
    return Rates(*(getattr(rates, name) * factor for name in rates.__dataclass_fields__))


def _descend(surfels: Surfels, view: _View, floor: np.ndarray, rates: Rates, samples: int = 1) -> float:
    """One step on one view; the loss before it."""
    splats = surfels.gaussians()
    hits = view.hits(splats, samples)
    black = np.zeros(3, np.float32)
    linear, alpha, _ = cpu.blend_hits(hits, black)
    value, grad_rgb = 0.0, np.zeros_like(linear)
    if view.coloured:
        value, by_rgb = loss.loss(colours.averaged(linear, samples), view.goal)
        grad_rgb = colours.repeated(by_rgb, samples)
    grad_alpha = np.where(alpha < SOLID, colours.repeated(view.by_alpha, samples), np.float32(0))
    arrays = camera_arrays(view.cameras[samples])
    found = gradients(splats, hits, arrays, PIXEL_VARIANCE, NEAR, black, grad_rgb, grad_alpha, len(surfels))
    seen = np.diff(hits.tiles.pair_start[: len(surfels) + 1]) > 0
    third = found.log_scales[:, 2:] * (splats.log_scales[:, :2] == splats.log_scales[:, :2].min(1, keepdims=True))
    size = np.exp(surfels.log_scales - floor[:, None]) * np.float32(SIZE_WEIGHT / view.pixels)
    held = _held(surfels, view.pixels)
    bend = np.where(surfels.rgb <= 0.04045, 1 / 12.92, 2.4 / 1.055 * ((surfels.rgb + 0.055) / 1.055) ** 1.4)
    surfels.step(
        {
            "means": found.means + held["means"],
            "log_scales": found.log_scales[:, :2] + third + size + held["log_scales"],
            "quaternions": found.quaternions + held["quaternions"],
            "logit_opacities": found.logit_opacities[:, None],
            "rgb": found.rgb_linear * bend.astype(np.float32),
        },
        seen,
        rates,
        FAINT / view.pixels,
    )
    np.maximum(surfels.log_scales, floor[:, None], out=surfels.log_scales)
    return value


def _held(surfels: Surfels, pixels: int) -> dict[str, np.ndarray]:
    """Gradients that hold surfels to the planes and shapes in which they started, by parameter.

    Where one view alone sees a surface, any depth and slope explains its picture; the cloud's are the better guess.
    """
    home = surfels.home
    w, x, y, z = home["quaternions"].T
    normal = np.stack([2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)], 1)
    away = ((surfels.means - home["means"]) * normal).sum(1, keepdims=True)
    variance = np.exp(2 * surfels.log_scales.min(1, keepdims=True))
    return {
        "means": np.float32(HOLD_PLANE / pixels) * away / variance * normal,
        "quaternions": np.float32(HOLD_TURN / pixels) * (surfels.quaternions - home["quaternions"]),
        "log_scales": np.float32(HOLD_SIZE / pixels) * (surfels.log_scales - home["log_scales"]),
    }


def recoloured(splats: Gaussians, rgb: np.ndarray) -> Gaussians:
    """The same splats with other view-independent colours, (N, 3) sRGB."""
    sh = splats.sh.copy()
    sh[:, 0] = (rgb - 0.5) / SH_C0
    return replace(splats, sh=sh)


def footprints(means: np.ndarray, cameras: list[Camera]) -> np.ndarray:
    """The smallest pixel (N,) float32 in which a view sees each splat: the 3D smoothing filter's sampling distance."""
    sizes = [np.maximum(camera.to_camera(means)[:, 2], NEAR) / max(camera.fx, camera.fy) for camera in cameras]
    return np.min(sizes, 0).astype(np.float32)


def _sane(splats: Gaussians) -> Gaussians:
    """Without the splats that have anything not finite."""
    arrays = (splats.means, splats.log_scales, splats.quaternions, splats.logit_opacities, splats.sh)
    good = np.all([np.isfinite(array).all(tuple(range(1, array.ndim))) for array in arrays], axis=0)
    return splats if good.all() else splats[good]
