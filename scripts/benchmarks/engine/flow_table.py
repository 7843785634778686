"""The closed-form Gaussian world as networks would answer for it: DDPM's noise, and the velocity of a flow."""

from __future__ import annotations

import numpy as np
import torch

from dreamzoom.engines.spectral import SpectralEngine
from dreamzoom.zoom.blend import Blend
from dreamzoom.zoom.gaussian import FieldDenoiser, from_clean
from dreamzoom.zoom.levels import sample_levels
from dreamzoom.zoom.schedule import Flow, Prediction, VariancePreserving

from ..zoom import models
from ..zoom.agreement import agreement

KINDS = {
    "DDPM, noise": (VariancePreserving.scaled_linear(), Prediction.NOISE),
    "flow, velocity": (Flow(0.01, 100.0), Prediction.VELOCITY),
}
PROMPTS = ["space", "a blue planet", "a continent", "forest"]


class World(models.GaussianWorld):
    """Answers as a network of a kind would."""

    def __init__(self, schedule, prediction: Prediction):
        super().__init__(16)
        self.schedule, self.prediction = schedule, prediction

    def __call__(self, z: torch.Tensor, times: np.ndarray, prompts) -> torch.Tensor:
        """The network's output for z at the schedule's times."""
        clean = super().__call__(z, times, prompts)
        return from_clean(self.prediction, clean, z, self.schedule.alpha(times), self.schedule.sigma(times))


def rows(runs: int = 30) -> list[dict]:
    """For each kind: agreement of neighbouring levels in dB, power per octave over the truth's; independent beside."""
    found = []
    for name, (schedule, prediction) in KINDS.items():
        for way, blend in (("joint", Blend.LAPLACIAN), ("independent", Blend.NONE)):
            field = FieldDenoiser(SpectralEngine()._field, schedule, prediction)
            pictures = sample_levels(field, PROMPTS, range(4), 2, [], (64, 64), steps=30, blend=blend)
            world = World(schedule, prediction)
            samples = world.sample(runs, steps=40, blend=blend)
            octaves = [share for level, values in enumerate(samples) for share in world.octaves(level, values)]
            found.append(
                {
                    "model": name,
                    "levels": way,
                    "consistency_db_min": round(min(agreement(pictures)), 1),
                    "octave_power_min": round(min(octaves), 2),
                    "octave_power_max": round(max(octaves), 2),
                }
            )
    return found
