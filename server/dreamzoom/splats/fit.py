"""Surfels from a cloud, fitted to pictures.

They start in the depth map's planes with the points' colours, so they look right at once. Their colours are then solved
for, and all parameters polished with Adam against a masked loss in the image model that Blender computes. Splats that
have become transparent are moved to where the error is (after Kheradmand et al. 2024, "3D Gaussian Splatting as Markov
Chain Monte Carlo", without its noise), and the count never passes a cap.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np

from core.gaussians import Gaussians
from dreamzoom.report import Report
from dreamzoom.splats.cpu_fit import CpuFit
from dreamzoom.splats.cuda import probe
from dreamzoom.splats.optimise import Rates
from dreamzoom.splats.simplify import simplified
from dreamzoom.splats.target import Target
from dreamzoom.splats.terms import FINE

COLOUR_PASSES, LAST_PASSES = 10, 4
LAST_RATE = 0.2
"""The last step's size as a share of the first's."""
FINE_SHARE = 0.25
"""Of the steps are done, the last ones, with FINE² rays a pixel."""
RELOCATE_EVERY = 50
PLATEAU = 2e-3
"""The fit ends early when the loss fell by less than this share over the last two rounds of the views."""


class FitState(Protocol):
    """One fit under way, on the CPU (`cpu_fit.CpuFit`) or on a GPU (`cuda.fit.CardFit`)."""

    @property
    def views(self) -> Sequence[Any]:
        """Targets with colours, made ready for `descend`."""
        ...

    @property
    def covers(self) -> Sequence[Any]:
        """Those that only have to be closed."""
        ...

    def solve(self, passes: int, report: Report, samples: int = 1) -> None:
        """Solve for the colours, with samples² rays a pixel."""
        ...

    def start(self) -> None:
        """Begin to move the splats."""
        ...

    def descend(self, view: Any, rates: Rates, samples: int = 1) -> Any:
        """One step on one view; returns the loss before it, which `float` reads."""
        ...

    def relocate(self, cap: int, rng: np.random.Generator) -> None:
        """Move splats to where they are of use."""
        ...

    def gaussians(self) -> Gaussians:
        """The splats as they are now."""
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
    with _begin(backend, splats, shown, covers, background, cap, report) as state:
        state.solve(COLOUR_PASSES, report)
        if iterations:
            state.start()
            _optimise(state, iterations, cap, seed, report, rates or Rates())
            state.solve(LAST_PASSES, report, FINE)
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
    """The state of a fit on the GPU or the CPU. If it is the CPU because no GPU can, a log line says why."""
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


def _optimise(state: FitState, iterations: int, cap: int, seed: int, report: Report, rates: Rates) -> None:
    """Adam over the views in shuffled rounds: first with one ray a pixel, then with FINE², each until a plateau."""
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
                mean = np.mean([float(value) for value in losses])  # on a GPU they are not read before
                if mean > best * (1 - PLATEAU):
                    break
                best = mean
            slower = _scaled(rates, LAST_RATE ** (step / iterations))
            if covers and not order:
                state.descend(covers[int(rng.integers(len(covers)))], slower)
            order = order or list(rng.permutation(len(views)))
            index = int(order.pop())
            losses[index] = state.descend(views[index], slower, samples)
            if (step + 1) % RELOCATE_EVERY == 0 and step + RELOCATE_EVERY < iterations:
                state.relocate(cap, rng)


def _scaled(rates: Rates, factor: float) -> Rates:
    return Rates(*(getattr(rates, name) * factor for name in rates.__dataclass_fields__))


def _sane(splats: Gaussians) -> Gaussians:
    """Without the splats that have anything not finite."""
    arrays = (splats.means, splats.log_scales, splats.quaternions, splats.logit_opacities, splats.sh)
    good = np.all([np.isfinite(array).all(tuple(range(1, array.ndim))) for array in arrays], axis=0)
    return splats if good.all() else splats[good]
