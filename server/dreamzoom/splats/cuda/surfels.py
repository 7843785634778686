"""The parameters of surfels on the GPU, with Adam's moments; equivalent to `fitting.adam` and `fitting.relocate`."""

from __future__ import annotations

import math

import numpy as np
import torch

from core.gaussians import Gaussians
from dreamzoom.splats.cuda.driver import Card
from dreamzoom.splats.cuda.image_operations import srgb_to_linear
from dreamzoom.splats.cuda.layout import ROW_THREADS
from dreamzoom.splats.cuda.raster import Parameters, blocks, uploaded
from dreamzoom.splats.fitting.adam import FLATNESS, Rates
from dreamzoom.splats.fitting.adam import Surfels as OnCpu
from dreamzoom.splats.fitting.relocate import DEAD, GROWTH

NAMES = ("means", "log_scales", "quaternions", "logit_opacities", "rgb")
_MOST = 32
"""Upper limit of the number of copies in eq. 9."""


class Surfels:
    """N surfels; parameters as in `adam.Surfels`, each a float32 tensor (N, C).

    Attributes:
        values: The parameters by name.
        home: Initial means, log-scales and quaternions of each surfel, or of the one that it was copied from.
        memory: Adam's first and second moments (N, C), by parameter.
        steps: (N,) int32, Adam's step count of each.
        floor: (N,) float32, lower limit of each one's log-scales.
        origin: (N,) int64, index of the initial surfel that each was copied from.
    """

    def __init__(self, card: Card, splats: Gaussians, floor: np.ndarray):
        self.card, self._first = card, splats
        start = OnCpu(splats)
        self.values = {name: uploaded(card, array) for name, array in start.arrays().items()}
        self.home = {name: uploaded(card, array) for name, array in start.home.items()}
        self.memory = {name: (torch.zeros_like(value), torch.zeros_like(value)) for name, value in self.values.items()}
        self.steps = torch.zeros(len(splats), dtype=torch.int32, device=card.device)
        self.floor = uploaded(card, floor.astype(np.float32))
        self.origin = torch.arange(len(splats), device=card.device)

    def __len__(self) -> int:
        return len(self.origin)

    def parameters(self) -> Parameters:
        """The parameters as input of the rasteriser."""
        scales = self.values["log_scales"]
        third = scales.amin(1, keepdim=True) + math.log(FLATNESS)
        opacities = torch.sigmoid(self.values["logit_opacities"][:, 0])
        rgb = srgb_to_linear(self.values["rgb"])
        scales = torch.cat([scales, third], 1)
        return Parameters(self.values["means"], scales, self.values["quaternions"], opacities, rgb)

    def gaussians(self) -> Gaussians:
        """As `Gaussians`, copied to the host."""
        origin = self.origin.cpu().numpy()
        kept = OnCpu(self._first[origin])
        for name, value in self.values.items():
            setattr(kept, name, value.cpu().numpy())
        return kept.gaussians()

    def step(self, gradients: dict[str, torch.Tensor], seen: torch.Tensor, rates: Rates, faint: float) -> None:
        """One step of Adam on the rows `seen` (N,) bool, as `adam.Surfels.step`."""
        self.steps += seen
        one = torch.ones(len(self), device=self.card.device)
        sigma = torch.exp(self.values["log_scales"].amin(1))
        for name, value in self.values.items():
            unit = sigma if name == "means" else one
            arguments = (value, gradients[name].contiguous(), *self.memory[name], self.steps, seen, unit)
            shape = blocks(len(self)), ROW_THREADS
            self.card.launch("adam", *shape, *arguments, getattr(rates, name), faint)
        self.values["rgb"].clamp_(0, 1)
        self.values["logit_opacities"].clamp_(-9, 7)
        turns = self.values["quaternions"]
        turns /= turns.square().sum(1, keepdim=True).sqrt().clamp_min(1e-12)
        torch.maximum(self.values["log_scales"], self.floor[:, None], out=self.values["log_scales"])

    def relocate(self, cap: int, rng: np.random.Generator) -> None:
        """Relocate transparent splats and add new ones, as `relocate.relocate` with the same random numbers."""
        opacity = torch.sigmoid(self.values["logit_opacities"][:, 0].double())
        scales, floor = self.values["log_scales"], self.floor
        dead = torch.nonzero(opacity < DEAD)[:, 0]
        room = max(min(int(GROWTH * len(self)), cap - len(self)), 0)
        alive = torch.nonzero((opacity >= DEAD) & (scales.amax(1) > floor + 0.4))[:, 0]
        if not len(alive) or len(dead) + room == 0:
            return
        area = torch.exp(scales[alive].sum(1) - 2 * floor[alive])
        sources = alive[drawn(opacity[alive] * area.clamp_max(50), len(dead) + room, rng)]
        copies = torch.bincount(sources, minlength=len(self))
        chosen = torch.nonzero(copies)[:, 0]
        new, factor = shrunk(opacity[chosen], (copies[chosen] + 1).clamp_max(_MOST))
        new = new.clamp(DEAD, 1 - 1e-4)
        self.values["logit_opacities"][chosen, 0] = torch.log(new / (1 - new)).float()
        scales[chosen] += torch.log(factor)[:, None].float()
        born = sources[len(dead) :]
        places = torch.cat([dead, len(self) + torch.arange(len(born), device=dead.device)])
        self._replace(dead, sources[: len(dead)])
        self._grow(born)
        self._scatter(places, rng)

    def _columns(self) -> list[tuple[dict[str, torch.Tensor], str]]:
        """The dictionaries and keys of all values that a copied surfel inherits."""
        return [*((self.values, name) for name in NAMES), *((self.home, name) for name in self.home)]

    def _replace(self, rows: torch.Tensor, sources: torch.Tensor) -> None:
        """Overwrite rows with copies of other rows, and reset Adam's moments of both."""
        for holder, name in self._columns():
            holder[name][rows] = holder[name][sources]
        self.floor[rows], self.origin[rows] = self.floor[sources], self.origin[sources]
        for moments in (*self.memory.values(), (self.steps,)):
            for moment in moments:
                moment[rows] = 0
                moment[sources] = 0

    def _grow(self, sources: torch.Tensor) -> None:
        """Append copies of rows, with empty moments."""
        for holder, name in self._columns():
            holder[name] = torch.cat([holder[name], holder[name][sources]])
        self.floor = torch.cat([self.floor, self.floor[sources]])
        self.origin = torch.cat([self.origin, self.origin[sources]])
        self.steps = torch.cat([self.steps, self.steps.new_zeros(len(sources))])
        for name, (first, second) in self.memory.items():
            blank = first.new_zeros((len(sources), first.shape[1]))
            self.memory[name] = torch.cat([first, blank]), torch.cat([second, blank])

    def _scatter(self, rows: torch.Tensor, rng: np.random.Generator) -> None:
        """Displace rows randomly within their planes."""
        w, x, y, z = self.values["quaternions"][rows].T
        first = torch.stack([1 - 2 * (y * y + z * z), 2 * (x * y + w * z), 2 * (x * z - w * y)], 1)
        second = torch.stack([2 * (x * y - w * z), 1 - 2 * (x * x + z * z), 2 * (y * z + w * x)], 1)
        noise = uploaded(self.card, rng.normal(size=(len(rows), 2)))
        step = (noise * torch.exp(self.values["log_scales"][rows])).float()
        self.values["means"][rows] += step[:, :1] * first + step[:, 1:] * second


def drawn(chance: torch.Tensor, count: int, rng: np.random.Generator) -> torch.Tensor:
    """Draw `count` row indices (int64) with probabilities proportional to `chance` (N,), as numpy's `choice` does.

    The chances are rounded to integers, because integer sums don't depend on the order of summation.
    """
    whole = (chance / chance.max() * 2.0**30).long().clamp_min(1)
    sums = torch.cumsum(whole, 0)
    points = torch.tensor(rng.random(count), device=chance.device) * sums[-1]
    return torch.searchsorted(sums, points.long(), right=True).clamp_max(len(chance) - 1)


def shrunk(opacity: torch.Tensor, copies: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """`relocate._shrink`: the new opacity and the factor on the scales, (N,) float64 each.

    The double sum of Kheradmand et al. 2024, eq. 9, is a polynomial of the new opacity: Σ_i C(i − 1, k) = C(n, k + 1).
    """
    new = 1 - (1 - opacity) ** (1 / copies.double())
    table = np.zeros((_MOST + 1, _MOST))
    for n in range(_MOST + 1):
        table[n, :n] = [math.comb(n, k + 1) * (-1) ** k / math.sqrt(k + 1) for k in range(n)]
    powers = new[:, None] ** torch.arange(1, _MOST + 1, device=new.device)
    total = (torch.tensor(table, device=new.device)[copies] * powers).sum(1)
    return new, (opacity / total.clamp_min(1e-12)).clamp(0.1, 1)
