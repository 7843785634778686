"""Fitting of surfels to pictures.

The initial surfels (`initial`) lie in the planes of the depth maps with the points' colours, and are already close.
First the colours are solved for, then all parameters are optimised with Adam against a masked loss, in the image model
that Blender computes. Splats that become transparent are relocated (after Kheradmand et al. 2024, "3D Gaussian
Splatting as Markov Chain Monte Carlo", without its noise term); the number of splats never exceeds a cap.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np

from core.gaussians import Gaussians
from dreamzoom.progress import Report
from dreamzoom.splats.cuda import probe
from dreamzoom.splats.fitting.adam import Rates
from dreamzoom.splats.fitting.cpu_fit import CpuFit
from dreamzoom.splats.fitting.simplify import simplified
from dreamzoom.splats.fitting.target import Target
from dreamzoom.splats.fitting.terms import FINE

COLOUR_PASSES, LAST_PASSES = 10, 4
EXACT_PASSES = 40
"""Passes of `fit_colours`."""
LAST_RATE = 0.2
"""Step size of the last iteration relative to the first."""
FINE_SHARE = 0.25
"""Fraction of the iterations, the last ones, that use FINE² rays per pixel."""
RELOCATE_EVERY = 50
PLATEAU = 2e-3
"""The fit stops early if the loss decreased by less than this fraction over the last two rounds of the views."""


class FitState(Protocol):
    """The state of a running fit, on the CPU (`cpu_fit.CpuFit`) or on a GPU (`cuda.fit.CardFit`)."""

    @property
    def views(self) -> Sequence[Any]:
        """The prepared targets with colours, arguments of `descend`."""
        ...

    @property
    def covers(self) -> Sequence[Any]:
        """The prepared targets without colours, which only require opacity."""
        ...

    def solve(self, passes: int, report: Report, *samples: int) -> None:
        """Solve for the colours with fixed shapes and opacities, with n² rays per pixel for each n of `samples` (1)."""
        ...

    def start(self) -> None:
        """Start the optimisation of all parameters."""
        ...

    def descend(self, view: Any, rates: Rates, samples: int = 1) -> Any:
        """One optimiser step on one view; returns the loss before the step, convertible with `float`."""
        ...

    def relocate(self, cap: int, rng: np.random.Generator) -> None:
        """Relocate transparent splats and add new ones, up to `cap`."""
        ...

    def gaussians(self) -> Gaussians:
        """The current splats."""
        ...


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
    """Fit surfels to the targets.

    Args:
        splats: Initial surfels; if there are more than `cap` they are merged first.
        targets: Pictures with masks, in the splats' frame.
        background: Fixed splats of coarser levels in the same frame, which are rendered but not changed.
        iterations: Steps of Adam, each on one view; 0 solves only for colours.
        cap: Maximum number of splats.
        seed: Of the random order of views and of relocation.
        report: Progress and cancellation.
        rates: Step sizes of Adam.
        backend: "cpu", "gpu" (an NVIDIA GPU), or "auto": a GPU with enough memory if there is one, else the CPU.
    """
    if backend not in ("auto", "cpu", "gpu"):
        raise ValueError(f"backend: must be auto, cpu or gpu, not {backend!r}")
    splats = _finite_only(splats)
    if len(splats) > cap:
        splats = simplified(splats, cap)
    shown = [target for target in targets if target.mask.any()]
    covers = [target for target in targets if target.solid is not None and not target.mask.any()]
    if not len(splats) or not shown:
        return splats
    with _begin(backend, splats, shown, covers, background, cap, report) as state:
        state.solve(COLOUR_PASSES, report)
        if iterations:
            state.start()
            _optimise(state, iterations, cap, seed, report, rates or Rates())
            state.solve(LAST_PASSES, report, FINE)
        return state.gaussians()


def fit_colours(splats: Gaussians, target: Target, background: Gaussians | None, report: Report) -> Gaussians:
    """Solve for the colours that show one picture as exactly as possible; everything else is kept.

    The picture is matched with one ray per pixel, which counts twice, and with FINE² at once, so that frames of either
    kind show it.
    Colours of splats that the picture does not show stay.

    Args:
        splats: The fitted splats.
        target: The picture, in the splats' frame; its mask says where it is to be shown.
        background: As in `fit`.
        report: Progress and cancellation.
    """
    if not target.mask.any() or not len(splats):
        return splats
    with _begin("auto", splats, [target], [], background, len(splats), report) as state:
        state.solve(EXACT_PASSES, report, 1, 1, FINE)
        return state.gaussians()


def _begin(
    backend: str,
    splats: Gaussians,
    shown: list[Target],
    covers: list[Target],
    background: Gaussians | None,
    cap: int,
    report: Report,
) -> AbstractContextManager[FitState]:
    """Create the state of a fit on the GPU or the CPU; a GPU that can't be used is explained."""
    if backend == "cpu" or (backend == "auto" and report.less_memory):
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
    if probe.sees_a_gpu():  # a machine without one needs no explanation
        report.log(f"splats are fitted on the CPU: {obstacle}")
    return contextlib.nullcontext(CpuFit(splats, shown, covers, background))


def _optimise(state: FitState, iterations: int, cap: int, seed: int, report: Report, rates: Rates) -> None:
    """Optimise over the views in shuffled rounds: first with one ray per pixel, then FINE², each until a plateau."""
    rng = np.random.default_rng(seed)
    views, covers = state.views, state.covers
    coarse = iterations - round(FINE_SHARE * iterations)
    for samples, steps in ((1, range(coarse)), (FINE, range(coarse, iterations))):
        order: list[int] = []
        losses, best = [np.inf] * len(views), np.inf
        for step in steps:
            report.progress(step / iterations, "fitting splats")
            done = step - steps.start
            if done >= 4 * len(views) and done % (2 * len(views)) == 0:
                mean = np.mean([float(value) for value in losses])  # reading earlier would wait for the GPU
                if mean > best * (1 - PLATEAU):
                    break
                best = mean
            step_rates = _scaled(rates, LAST_RATE ** (step / iterations))
            if covers and not order:
                state.descend(covers[int(rng.integers(len(covers)))], step_rates)
            order = order or list(rng.permutation(len(views)))
            index = int(order.pop())
            losses[index] = state.descend(views[index], step_rates, samples)
            if (step + 1) % RELOCATE_EVERY == 0 and step + RELOCATE_EVERY < iterations:
                state.relocate(cap, rng)


def _scaled(rates: Rates, factor: float) -> Rates:
    return Rates(*(getattr(rates, name) * factor for name in rates.__dataclass_fields__))


def _finite_only(splats: Gaussians) -> Gaussians:
    """Remove splats with parameters that are not finite."""
    arrays = (splats.means, splats.log_scales, splats.quaternions, splats.logit_opacities, splats.sh)
    good = np.all([np.isfinite(array).all(tuple(range(1, array.ndim))) for array in arrays], axis=0)
    return splats if good.all() else splats[good]
