"""The parameters of a refit on the CPU, with Adam's moments; a step changes the splats of one view only."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from core.gaussians import Gaussians
from core.spherical_harmonics import SH_C0
from dreamzoom.splats.fitting.adam import Rates
from dreamzoom.splats.splat_projection import compiled
from dreamzoom.splats.threads import run_chunks

MOST_LOGIT = 4.6
"""Of opacities: .99, the most that 3DGS shows. Some viewers show more, so more would look different in each."""
FAINT = 1e-4
"""Adam's ε, relative to the gradient of a splat that fills a pixel whose colour is off by 1."""
BETAS = 0.9, 0.99
_BETA1, _BETA2 = np.float32(BETAS[0]), np.float32(BETAS[1])


@compiled
def _step(begin, end, rows, values, gradient, first, second, ages, unit, rate, faint):
    """Adam (Kingma and Ba 2015) on the rows[begin:end] of values (N, C), in place; each row counts its own steps.

    Args:
        rows: (M,) indices into values, first, second and ages.
        values, first, second: (N, C) float32 parameters and moments.
        gradient: (M, C) float32.
        ages: (N,) int32 steps of each row, this one included.
        unit: (M,) float32 length of one unit of the step size.
        rate: Step size.
        faint: Adam's ε.
    """
    for j in range(begin, end):
        i = rows[j]
        age = np.float32(min(ages[i], 1000))
        lift1 = np.float32(1) / (np.float32(1) - _BETA1**age)
        lift2 = np.float32(1) / (np.float32(1) - _BETA2**age)
        for k in range(values.shape[1]):
            g = gradient[j, k] * unit[j]
            if not np.isfinite(g):
                continue
            first[i, k] += (np.float32(1) - _BETA1) * (g - first[i, k])
            second[i, k] += (np.float32(1) - _BETA2) * (g * g - second[i, k])
            values[i, k] -= rate * unit[j] * first[i, k] * lift1 / (np.sqrt(second[i, k] * lift2) + faint)


class Parameters:
    """The parameters of N splats that are being refitted. Harmonics above degree 0 stay as they are."""

    def __init__(self, splats: Gaussians):
        count = len(splats)
        self._given = replace(splats, extra={})
        self.values = {
            "means": np.array(splats.means, np.float32),
            "log_scales": np.array(splats.log_scales, np.float32),
            "quaternions": np.array(splats.quaternions, np.float32),
            "logit_opacities": np.clip(splats.logit_opacities, -9, MOST_LOGIT).astype(np.float32).reshape(count, 1),
            "rgb": np.clip(splats.rgb, 0, 1).astype(np.float32),
        }
        self._memory = {name: (np.zeros_like(part), np.zeros_like(part)) for name, part in self.values.items()}
        self._ages = np.zeros(count, np.int32)

    def gaussians(self, rows: np.ndarray | slice = slice(None)) -> Gaussians:
        """The splats, or some of them."""
        values = {name: part[rows] for name, part in self.values.items()}
        sh = ((values["rgb"] - np.float32(0.5)) / np.float32(SH_C0))[:, None, :]
        if self._given.sh.shape[1] > 1:
            sh = np.concatenate([sh, self._given.sh[rows, 1:]], 1)
        logits = values["logit_opacities"][:, 0]
        return Gaussians(values["means"], values["log_scales"], values["quaternions"], logits, sh)

    def step(self, rows: np.ndarray, gradients: dict[str, np.ndarray], rates: Rates) -> None:
        """One step of Adam on some rows (M,), then clipping to the allowed ranges.

        Args:
            rows: The splats that the gradients are of.
            gradients: By parameter, (M, C) each.
            rates: Step sizes; of means in the splats' smaller standard deviations.
        """
        self._ages[rows] += 1
        one = np.ones(len(rows), np.float32)
        sigma = np.exp(self.values["log_scales"][rows, :2].min(1))
        for name, part in self.values.items():
            unit, rate = sigma if name == "means" else one, np.float32(getattr(rates, name))
            arguments = (rows, part, gradients[name], *self._memory[name], self._ages, unit, rate, np.float32(FAINT))
            run_chunks(_step, len(rows), *arguments)
        values = self.values
        values["rgb"][rows] = np.clip(values["rgb"][rows], 0, 1)
        values["logit_opacities"][rows] = np.clip(values["logit_opacities"][rows], -9, MOST_LOGIT)
        length = np.linalg.norm(values["quaternions"][rows], axis=1, keepdims=True)
        values["quaternions"][rows] /= np.maximum(length, 1e-12)
