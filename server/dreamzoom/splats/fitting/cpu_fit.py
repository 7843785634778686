"""The fit on the CPU: its state, and one optimiser step."""

from __future__ import annotations

import numpy as np

from core.gaussians import Gaussians
from dreamzoom.progress import Report
from dreamzoom.splats import cpu_rasterizer
from dreamzoom.splats.backward import gradients
from dreamzoom.splats.fitting import colour_solver, loss
from dreamzoom.splats.fitting.adam import Rates, Surfels
from dreamzoom.splats.fitting.relocate import relocate
from dreamzoom.splats.fitting.target import Target
from dreamzoom.splats.fitting.terms import (
    FAINT,
    FINE,
    HOLD_PLANE,
    HOLD_SIZE,
    HOLD_TURN,
    SIZE_WEIGHT,
    SOLID,
    footprints,
    look,
    recoloured,
)
from dreamzoom.splats.supersampling import averaged, repeated
from dreamzoom.splats.view_table import NEAR, PIXEL_VARIANCE, camera_arrays, tabulate


class _View:
    """A prepared target.

    Attributes:
        goal: Of the loss.
        coloured: Whether any pixel has a colour to match.
        by_alpha, pixels: Gradient by alpha (H, W) and number of solid pixels, see `terms.look`.
        cameras: By samples per pixel side.
        frozen: Table and boxes of the visible background splats, by samples per pixel side.
    """

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

    def hits(self, splats: Gaussians, samples: int = 1) -> cpu_rasterizer.Hits:
        """The hits of this view on the splats; the background splats follow them in the table."""
        camera = self.cameras[samples]
        table, box = tabulate(splats, camera, splats.opacities, PIXEL_VARIANCE, NEAR)
        if samples in self.frozen:
            more, boxes = self.frozen[samples]
            table, box = np.concatenate([table, more]), np.concatenate([box, boxes])
        return cpu_rasterizer.find_hits(table, box, camera.width, camera.height, NEAR)


class CpuFit:
    """The state of a fit on the CPU, see `fit.FitState`.

    Attributes:
        views: The targets with colours.
        covers: The targets without colours, which only require opacity.
    """

    def __init__(self, splats: Gaussians, shown: list[Target], covers: list[Target], background: Gaussians | None):
        self.splats = splats
        self.views = [_View(target, background) for target in shown]
        self.covers = [_View(target, background) for target in covers]
        self._surfels: Surfels | None = None
        self._floor = np.zeros(0, np.float32)

    def solve(self, passes: int, report: Report, *samples: int) -> None:
        """Solve for the colours with fixed shapes and opacities, with n² rays per pixel for each n of `samples` (1)."""
        splats, each = self.gaussians(), samples or (1,)
        ready = [(view.hits(splats, n), view.goal.rgb, view.goal.mask, n) for view in self.views for n in each]
        self.splats = recoloured(splats, colour_solver.solve(splats.rgb, ready, passes, report))
        self._surfels = None

    def start(self) -> None:
        """Start the optimisation of all parameters."""
        self._surfels = Surfels(self.splats)
        self._floor = np.log(0.4 * footprints(self._surfels.means, [view.cameras[1] for view in self.views]))

    @property
    def _moving(self) -> Surfels:
        if self._surfels is None:
            raise RuntimeError("the fit was not started")
        return self._surfels

    def descend(self, view: _View, rates: Rates, samples: int = 1) -> float:
        """One optimiser step on one view; returns the loss before the step."""
        return _descend(self._moving, view, self._floor, rates, samples)

    def relocate(self, cap: int, rng: np.random.Generator) -> None:
        """Relocate transparent splats and add new ones, up to `cap`."""
        self._floor = relocate(self._moving, self._floor, cap, rng)

    def gaussians(self) -> Gaussians:
        """The current splats."""
        return self.splats if self._surfels is None else self._surfels.gaussians()


def _descend(surfels: Surfels, view: _View, floor: np.ndarray, rates: Rates, samples: int = 1) -> float:
    """One optimiser step on one view, in place; returns the loss before the step.

    `floor` (N,) is the lower limit of each surfel's log-scales.
    """
    splats = surfels.gaussians()
    hits = view.hits(splats, samples)
    black = np.zeros(3, np.float32)
    linear, alpha, _ = cpu_rasterizer.blend_hits(hits, black)
    value, grad_rgb = 0.0, np.zeros_like(linear)
    if view.coloured:
        value, by_rgb = loss.loss(averaged(linear, samples), view.goal)
        grad_rgb = repeated(by_rgb, samples)
    grad_alpha = np.where(alpha < SOLID, repeated(view.by_alpha, samples), np.float32(0))
    arrays = camera_arrays(view.cameras[samples])
    found = gradients(splats, hits, arrays, PIXEL_VARIANCE, NEAR, black, grad_rgb, grad_alpha, len(surfels))
    seen = np.diff(hits.tiles.pair_start[: len(surfels) + 1]) > 0
    third = found.log_scales[:, 2:] * (splats.log_scales[:, :2] == splats.log_scales[:, :2].min(1, keepdims=True))
    size = np.exp(surfels.log_scales - floor[:, None]) * np.float32(SIZE_WEIGHT / view.pixels)
    regularization = _regularization(surfels, view.pixels)
    decode_slope = np.where(surfels.rgb <= 0.04045, 1 / 12.92, 2.4 / 1.055 * ((surfels.rgb + 0.055) / 1.055) ** 1.4)
    surfels.step(
        {
            "means": found.means + regularization["means"],
            "log_scales": found.log_scales[:, :2] + third + size + regularization["log_scales"],
            "quaternions": found.quaternions + regularization["quaternions"],
            "logit_opacities": found.logit_opacities[:, None],
            "rgb": found.rgb_linear * decode_slope.astype(np.float32),
        },
        seen,
        rates,
        FAINT / view.pixels,
    )
    np.maximum(surfels.log_scales, floor[:, None], out=surfels.log_scales)
    return value


def _regularization(surfels: Surfels, pixels: int) -> dict[str, np.ndarray]:
    """Regularisation gradients, by parameter, that keep surfels close to their initial planes and shapes.

    A surface that only one view sees can be explained with any depth and slope; the cloud's are the better estimate.
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
