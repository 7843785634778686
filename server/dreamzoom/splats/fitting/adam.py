"""Adam for the parameters of surfels (compiled); only visible splats and finite gradients cause an update."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.gaussians import Gaussians
from core.spherical_harmonics import SH_C0
from dreamzoom.splats.splat_projection import compiled
from dreamzoom.splats.threads import run_chunks

FLATNESS = 1e-3
"""A surfel's third scale, as a fraction of the smaller of the other two."""
_BETA1, _BETA2 = np.float32(0.85), np.float32(0.98)


@dataclass(frozen=True)
class Rates:
    """Step sizes: of means in the splat's standard deviations, of the others in their units (colours in sRGB)."""

    means: float = 0.15
    log_scales: float = 0.045
    quaternions: float = 0.02
    logit_opacities: float = 0.06
    rgb: float = 0.03


@compiled
def _step(begin, end, values, gradient, first, second, steps, seen, unit, rate, faint):
    """Adam (Kingma and Ba 2015) on rows begin:end, in place; each row counts its own steps.

    Args:
        values: (N, C) float32 parameters.
        gradient: (N, C) float32.
        first, second: (N, C) float32 moments, in place.
        steps: (N,) int32 steps of each row, this one included.
        seen: (N,) bool, rows to update.
        unit: (N,) float32 length of one unit of the step size for each row.
        rate: Step size.
        faint: Adam's ε.
    """
    for i in range(begin, end):
        if not seen[i]:
            continue
        age = np.float32(min(steps[i], 1000))
        lift1 = np.float32(1) / (np.float32(1) - _BETA1**age)
        lift2 = np.float32(1) / (np.float32(1) - _BETA2**age)
        for k in range(values.shape[1]):
            g = gradient[i, k] * unit[i]
            if not np.isfinite(g):
                continue
            first[i, k] += (np.float32(1) - _BETA1) * (g - first[i, k])
            second[i, k] += (np.float32(1) - _BETA2) * (g * g - second[i, k])
            values[i, k] -= rate * unit[i] * first[i, k] * lift1 / (np.sqrt(second[i, k] * lift2) + faint)


class Surfels:
    """The parameters of N surfels being fitted, with Adam's moments.

    Attributes:
        means: (N, 3) float32.
        log_scales: (N, 2) float32; the third scale follows from the smaller one (`FLATNESS`).
        quaternions: (N, 4) float32 wxyz.
        logit_opacities: (N, 1) float32.
        rgb: (N, 3) float32 sRGB in 0..1.
        extra: Further columns, (N,) each.
        home: Initial means, log-scales and quaternions of each surfel, or of the one that it was copied from.
        steps: (N,) int32, Adam's step count of each.
        memory: Adam's first and second moments (N, C), by parameter.
    """

    def __init__(self, splats: Gaussians):
        count = len(splats)
        self.means = np.array(splats.means, np.float32)
        self.log_scales = np.array(splats.log_scales[:, :2], np.float32)
        self.quaternions = np.array(splats.quaternions, np.float32)
        self.logit_opacities = np.array(splats.logit_opacities, np.float32).reshape(count, 1)
        self.rgb = np.clip(splats.rgb, 0, 1).astype(np.float32)
        self.extra = {name: np.array(column) for name, column in splats.extra.items()}
        self.home = {name: getattr(self, name).copy() for name in ("means", "log_scales", "quaternions")}
        self.steps = np.zeros(count, np.int32)
        self.memory = {name: (np.zeros_like(values), np.zeros_like(values)) for name, values in self.arrays().items()}

    def __len__(self) -> int:
        return len(self.means)

    def arrays(self) -> dict[str, np.ndarray]:
        """The parameters by name, (N, C) each; not copies."""
        names = ("means", "log_scales", "quaternions", "logit_opacities", "rgb")
        return {name: getattr(self, name) for name in names}

    def gaussians(self) -> Gaussians:
        """As `Gaussians`; shares memory where possible."""
        third = self.log_scales.min(1, keepdims=True) + np.float32(np.log(FLATNESS))
        sh = ((self.rgb - np.float32(0.5)) / np.float32(SH_C0))[:, None, :]
        scales = np.concatenate([self.log_scales, third], 1)
        return Gaussians(self.means, scales, self.quaternions, self.logit_opacities[:, 0], sh, self.extra)

    def step(self, gradients: dict[str, np.ndarray], seen: np.ndarray, rates: Rates, faint: float) -> None:
        """One step of Adam, then clipping to the allowed ranges.

        Args:
            gradients: By parameter, (N, C) each.
            seen: (N,) bool, the rows to update.
            rates: Step sizes.
            faint: Adam's ε. Gradients far below it give smaller steps, so that a splat which a view hardly shows does
                not adapt its colour to that view.
        """
        self.steps += seen
        one = np.ones(len(self), np.float32)
        sigma = np.exp(self.log_scales.min(1))
        for name, values in self.arrays().items():
            unit = sigma if name == "means" else one
            rate = np.float32(getattr(rates, name))
            arguments = (values, gradients[name], *self.memory[name], self.steps, seen, unit, rate, np.float32(faint))
            run_chunks(_step, len(self), *arguments)
        np.clip(self.rgb, 0, 1, out=self.rgb)
        np.clip(self.logit_opacities, -9, 7, out=self.logit_opacities)
        length = np.sqrt((self.quaternions**2).sum(1, keepdims=True))
        self.quaternions /= np.maximum(length, 1e-12)

    def replaced(self, rows: np.ndarray, sources: np.ndarray) -> None:
        """Overwrite rows with copies of other rows, and reset Adam's moments of both."""
        for name, values in self.arrays().items():
            values[rows] = values[sources]
            for moment in self.memory[name]:
                moment[rows] = 0
                moment[sources] = 0
        for column in (*self.extra.values(), *self.home.values()):
            column[rows] = column[sources]
        self.steps[rows] = 0
        self.steps[sources] = 0

    def grown(self, sources: np.ndarray) -> None:
        """Append copies of rows, with empty moments."""
        for name, values in self.arrays().items():
            setattr(self, name, np.concatenate([values, values[sources]]))
            blank = np.zeros((len(sources), values.shape[1]), np.float32)
            first, second = self.memory[name]
            self.memory[name] = np.concatenate([first, blank]), np.concatenate([second, blank])
        for columns in (self.extra, self.home):
            columns.update({name: np.concatenate([column, column[sources]]) for name, column in columns.items()})
        self.steps = np.concatenate([self.steps, np.zeros(len(sources), np.int32)])
