"""The fit on the GPU, equivalent to `splats.fitting.cpu_fit`. Only sizes and losses are copied to the host."""

from __future__ import annotations

from itertools import product

import numpy as np
import torch

from core.gaussians import Gaussians
from dreamzoom.progress import Report
from dreamzoom.splats.cuda import loss
from dreamzoom.splats.cuda.driver import Card
from dreamzoom.splats.cuda.image_operations import averaged, linear_to_srgb, repeated, srgb_to_linear
from dreamzoom.splats.cuda.layout import KEPT
from dreamzoom.splats.cuda.raster import Lens, Parameters, Seen, see, shaded, uploaded
from dreamzoom.splats.cuda.surfels import Surfels
from dreamzoom.splats.fitting import loss as cpu_loss
from dreamzoom.splats.fitting import terms
from dreamzoom.splats.fitting.adam import Rates
from dreamzoom.splats.fitting.colour_solver import PULL
from dreamzoom.splats.fitting.target import Target
from dreamzoom.splats.view_table import NEAR, PIXEL_VARIANCE

BYTES_A_PIXEL = 12 * KEPT + 140
"""GPU memory per pixel of a view's supersampled picture: hit lists and their gradients, the picture, its gradient, and
a quarter of the loss's planes."""
BYTES_A_GOAL, BYTES_A_SURFEL, BYTES_A_FROZEN = 60, 700, 200
SPARE = 1.3
"""Safety factor for torch's allocator and for hit lists longer than KEPT."""


def bytes_needed(targets: list[Target], cap: int, background: Gaussians | None) -> int:
    """Estimated GPU memory, in bytes, of a fit of at most `cap` surfels."""
    sizes = [target.mask.size for target in targets]
    frozen = 0 if background is None else len(background)
    pixels = terms.FINE**2 * max(sizes, default=0) * BYTES_A_PIXEL + sum(sizes) * BYTES_A_GOAL
    return round(SPARE * (pixels + cap * BYTES_A_SURFEL + frozen * BYTES_A_FROZEN))


class _View:
    """A target on the GPU: the goal of the loss, and cameras with 1 and FINE² rays per pixel."""

    def __init__(self, card: Card, target: Target):
        goal = cpu_loss.prepared(target.rgb, target.mask)
        self.goal, self.camera = loss.prepared(card, goal), target.camera
        by_alpha, self.pixels = terms.look(target, goal)
        self.coloured, self.by_alpha = bool(goal.pixels), uploaded(card, by_alpha)
        self.lenses = {}
        for samples in (1, terms.FINE):
            camera = target.camera.resized(samples * target.camera.width, samples * target.camera.height)
            self.lenses[samples] = Lens(card, camera, PIXEL_VARIANCE, NEAR)


class CardFit:
    """The state of a fit on the GPU, see `fit.FitState`. A context manager that frees the GPU memory on exit."""

    def __init__(
        self, card: Card, splats: Gaussians, targets: list[Target], covers: list[Target], background: Gaussians | None
    ):
        self.card, self.splats = card, splats
        self.views = [_View(card, target) for target in targets]
        self.covers = [_View(card, target) for target in covers]
        self._black = torch.zeros(3, device=card.device)
        self._background = background if background is not None and len(background) else None
        self._frozen: dict[int, Parameters] = {}
        self._surfels: Surfels | None = None

    def __enter__(self) -> CardFit:
        return self

    def __exit__(self, *problem) -> None:
        self.views, self.covers, self._frozen, self._surfels = [], [], {}, None
        torch.cuda.empty_cache()  # releases memory for other programs: Blender renders on the same GPU

    def _seen(self, view: _View, own: Parameters, samples: int) -> Seen:
        """Render `own` splats, followed by the fixed background splats, from a view."""
        lens, parts = view.lenses[samples], [own]
        if self._background is not None:
            parts.append(self._frozen_from(view, self._background))
        return see(lens, parts, self._black)

    def _frozen_from(self, view: _View, background: Gaussians) -> Parameters:
        """The background splats with the colours seen from a view; shared by all views if there are no harmonics."""
        key = 0 if background.sh.shape[1] == 1 else id(view)
        if key not in self._frozen:
            opacities = uploaded(self.card, background.opacities.astype(np.float32))
            self._frozen[key] = shaded(self.card, background, view.lenses[1].arrays[1], opacities)
        return self._frozen[key]

    def solve(self, passes: int, report: Report, *samples: int) -> None:
        """Solve for the colours as in `colour_solver.solve`; each view is rendered again in every pass."""
        if self._surfels is None:
            centre = self.views[0].lenses[1].arrays[1]
            opacities = uploaded(self.card, self.splats.opacities.astype(np.float32))
            own = shaded(self.card, self.splats, centre, opacities)
            start = srgb_to_linear(uploaded(self.card, np.clip(self.splats.rgb, 0, 1).astype(np.float32)))
        else:
            own = self._surfels.parameters()
            start = own.rgb
        colours = self._solved(own, start, passes, report, samples or (1,))
        rgb = linear_to_srgb(colours)
        if self._surfels is not None:
            self._surfels.values["rgb"] = rgb
        else:
            self.splats = terms.recoloured(self.splats, rgb.cpu().numpy())

    def _solved(self, own: Parameters, start: torch.Tensor, passes: int, report: Report, samples) -> torch.Tensor:
        """The solution, linear colours (N, 3), starting from `start` (N, 3)."""
        weights, goals = {}, {}
        for at, view in enumerate(self.views):
            goals[at] = srgb_to_linear(view.goal.rgb)
            weights[at] = view.goal.mask / (0.05 + goals[at].mean(-1))
        colours, norm = start, None
        for step in range(passes):
            report.progress(step / passes, "fitting colours")
            total, shown_by = PULL * (start - colours), torch.full_like(start[:, 0], PULL)
            own = Parameters(own.means, own.log_scales, own.quaternions, own.opacities, colours.contiguous())
            for at, rays in product(range(len(self.views)), samples):
                seen = self._seen(self.views[at], own, rays)
                residual = (goals[at] - averaged(seen.rgb, rays)) * weights[at][..., None]
                sums = seen.spread(len(own), repeated(residual, rays), repeated(weights[at], rays))
                total = total + sums[:, :3]
                shown_by = shown_by + sums[:, 3]
            norm = shown_by if norm is None else norm
            colours = (colours + 1.6 * total / norm[:, None]).clamp(0, 1)
        return colours

    def start(self) -> None:
        """Start the optimisation of all parameters."""
        floor = np.log(0.4 * terms.footprints(self.splats.means, [view.camera for view in self.views]))
        self._surfels = Surfels(self.card, self.splats, floor)

    @property
    def _moving(self) -> Surfels:
        if self._surfels is None:
            raise RuntimeError("the fit was not started")
        return self._surfels

    def descend(self, view: _View, rates: Rates, samples: int = 1) -> torch.Tensor:
        """One optimiser step on one view; returns the loss before the step as a tensor on the GPU."""
        surfels = self._moving
        own = surfels.parameters()
        seen = self._seen(view, own, samples)
        value, grad_rgb = torch.zeros(()), torch.zeros_like(seen.rgb)
        if view.coloured:
            value, by_rgb = loss.loss(self.card, averaged(seen.rgb, samples), view.goal)
            grad_rgb = repeated(by_rgb, samples)
        grad_alpha = torch.where(seen.alpha < terms.SOLID, repeated(view.by_alpha, samples), 0.0)
        found, visible = seen.gradients(own, grad_rgb, grad_alpha)
        scales = surfels.values["log_scales"]
        third = found["log_scales"][:, 2:] * (scales == scales.amin(1, keepdim=True))
        size = torch.exp(scales - surfels.floor[:, None]) * (terms.SIZE_WEIGHT / view.pixels)
        regularization = _regularization(surfels, view.pixels)
        rgb = surfels.values["rgb"]
        decode_slope = torch.where(rgb <= 0.04045, 1 / 12.92, 2.4 / 1.055 * ((rgb + 0.055) / 1.055) ** 1.4)
        gradients = {
            "means": found["means"] + regularization["means"],
            "log_scales": found["log_scales"][:, :2] + third + size + regularization["log_scales"],
            "quaternions": found["quaternions"] + regularization["quaternions"],
            "logit_opacities": found["logit_opacities"][:, None],
            "rgb": found["rgb_linear"] * decode_slope,
        }
        surfels.step(gradients, visible, rates, terms.FAINT / view.pixels)
        return value

    def relocate(self, cap: int, rng: np.random.Generator) -> None:
        """Relocate transparent splats and add new ones, up to `cap`."""
        self._moving.relocate(cap, rng)

    def gaussians(self) -> Gaussians:
        """The current splats."""
        return self.splats if self._surfels is None else self._surfels.gaussians()


def _regularization(surfels: Surfels, pixels: int) -> dict[str, torch.Tensor]:
    """Regularisation gradients, by parameter, as in `cpu_fit._regularization`."""
    home, values = surfels.home, surfels.values
    w, x, y, z = home["quaternions"].T
    normal = torch.stack([2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)], 1)
    away = ((values["means"] - home["means"]) * normal).sum(1, keepdim=True)
    variance = torch.exp(2 * values["log_scales"].amin(1, keepdim=True))
    return {
        "means": (terms.HOLD_PLANE / pixels) * away / variance * normal,
        "quaternions": (terms.HOLD_TURN / pixels) * (values["quaternions"] - home["quaternions"]),
        "log_scales": (terms.HOLD_SIZE / pixels) * (values["log_scales"] - home["log_scales"]),
    }
