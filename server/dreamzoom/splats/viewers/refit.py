"""The refit: changes a copy of splats so that viewers show given pictures.

All parameters are optimised with Adam against the squared difference in sRGB, one view a step, in shuffled rounds. A
view is rendered from the splats that add to it. Which these are is looked up before the rounds 1, 2, 4, 8, …, since a
splat that was hidden appears where those before it have become fainter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from core.camera import Camera
from core.gaussians import Gaussians
from dreamzoom.progress import Report, check
from dreamzoom.splats.fitting.adam import Rates
from dreamzoom.splats.view_table import NEAR
from dreamzoom.splats.viewers.parameters import Parameters
from dreamzoom.splats.viewers.projection import BLUR, MIN_ALPHA
from dreamzoom.splats.viewers.rasterize import ViewerPicture, gradients, show

RATES = Rates(means=0.6, log_scales=0.16, quaternions=0.1, logit_opacities=0.4, rgb=0.08)
LAST_RATE = 0.05
"""Step size of the last step relative to the first."""
LEAST_SHARE = 0.3
"""The least standard deviation that a splat starts with, in pixels of the view that samples it most finely."""
MOST_OPACITY = 0.5
"""The most opacity that a splat starts with. Where many fine splats fall on a pixel, the first one alone would be seen
if it were opaque, which is noise; from half opaque ones the refit ends 0.7 dB better.
"""


@dataclass(frozen=True)
class View:
    """What a camera is to show.

    Attributes:
        camera: In the splats' frame.
        near: Z-depth in that frame's units up to which centres are not shown.
        rgb: (H, W, 3) float16 or float32 sRGB, over black.
    """

    camera: Camera
    rgb: np.ndarray
    near: float = NEAR


class RefitState(Protocol):
    """The state of a running refit, on the CPU (`CpuRefit`) or on a GPU (`torch_refit.TorchRefit`)."""

    def descend(self, index: int, rates: Rates) -> float:
        """One step of Adam on one view; returns its mean squared error before the step."""
        ...

    def look_up(self, report: Report) -> None:
        """Find the splats that add to each view."""
        ...

    def gaussians(self) -> Gaussians:
        """The current splats."""
        ...


def refit(state: RefitState, views: int, rounds: int, seed: int, report: Report) -> Gaussians:
    """Optimise over all views, `rounds` times, and remove what can't be seen any more.

    Args:
        state: The state of the refit.
        views: How many views it has.
        rounds: Steps on each view.
        seed: Of the random order of the views.
        report: Progress and cancellation.
    """
    rng = np.random.default_rng(seed)
    steps, order = rounds * views, np.arange(views)
    for step in range(steps):
        report.progress(step / steps, "fitting to the viewers' image model")
        turn, place = divmod(step, views)
        if not place:
            if (turn + 1) & turn == 0:
                state.look_up(report)
            order = rng.permutation(views)
        state.descend(int(order[place]), scaled(RATES, LAST_RATE ** (step / steps)))
    splats = state.gaussians()
    return splats[splats.opacities > MIN_ALPHA]


def scaled(rates: Rates, factor: float) -> Rates:
    """All step sizes times a factor."""
    return Rates(*(getattr(rates, name) * factor for name in rates.__dataclass_fields__))


class CpuRefit:
    """The refit on the CPU; equal inputs give equal bits."""

    def __init__(self, splats: Gaussians, views: Sequence[View]):
        self._moving, self._views = Parameters(splats), views
        self._rows: list[np.ndarray] = []

    def look_up(self, report: Report) -> None:
        """Find the splats that add to each view."""
        splats, self._rows = self._moving.gaussians(), []
        for view in self._views:
            report.check()
            picture = show(splats, view.camera, near=view.near)
            self._rows.append(np.sort(picture.order[picture.seen]).astype(np.int32))

    def descend(self, index: int, rates: Rates) -> float:
        """One step of Adam on one view; returns its mean squared error before the step."""
        view, rows = self._views[index], self._rows[index]
        splats = self._moving.gaussians(rows)
        picture: ViewerPicture = show(splats, view.camera, near=view.near)
        away = picture.rgb - view.rgb
        self._moving.step(rows, gradients(picture, splats, view.camera, away), rates)
        return float((away.astype(np.float64) ** 2).mean())

    def gaussians(self) -> Gaussians:
        """The current splats."""
        return self._moving.gaussians()


def prepared(splats: Gaussians, views: Sequence[View], most_opacity: float = MOST_OPACITY) -> Gaussians:
    """What a refit starts with: the splats made smaller by as much as viewers will widen them, and not opaque.

    Our rasteriser widens a splat by the variance 1/12 of a pixel and keeps its mass, viewers widen it by `BLUR` and
    don't. What counts is the view that samples a splat most finely.
    """
    pixel = _finest_pixels(splats.means, views)
    variance = np.exp(2 * splats.log_scales[:, :2])
    less = np.maximum(variance - (BLUR - 1 / 12) * pixel[:, None] ** 2, (LEAST_SHARE * pixel[:, None]) ** 2)
    log_scales = splats.log_scales.copy()
    log_scales[:, :2] = 0.5 * np.log(np.minimum(variance, less))
    logits = np.minimum(splats.logit_opacities, np.float32(np.log(most_opacity / (1 - most_opacity))))
    return Gaussians(splats.means, log_scales, splats.quaternions, logits, splats.sh)


def _finest_pixels(means: np.ndarray, views: Sequence[View]) -> np.ndarray:
    """The smallest pixel (N,) float32, in the frame's units, with which any view samples each of `means` (N, 3) that it
    shows; 0 for those that none shows.
    """
    finest = np.full(len(means), np.inf)
    for view in views:
        check()
        (x, y), z = (part.T for part in view.camera.project(means))
        inside = (z > view.near) & (x > 0) & (x < view.camera.width) & (y > 0) & (y < view.camera.height)
        size = np.where(inside, z / max(view.camera.fx, view.camera.fy), np.inf)
        finest = np.minimum(finest, size)
    return np.where(np.isfinite(finest), finest, 0).astype(np.float32)
