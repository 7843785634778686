"""The noise that all levels share: is it white, and the same in all of them?"""

from __future__ import annotations

import torch

from dreamzoom.zoom import noise as noises
from dreamzoom.zoom.stack import make_nest


def measure_noise():
    """Π_noise over three levels: worst moments of any level, kurtosis ring by ring, equality of neighbours."""
    rows = []
    for factor in (2.0, 3.0, 4.0, 2.5):
        nest, draws = make_nest((96, 96), factor), 1200
        stack = noises.stack_noise([noises.draw((draws, 96, 96), 5, k) for k in range(3)], [nest, nest])
        equality = max(float((nest.white_down(b) - nest.window(a)).abs().max()) for a, b in zip(stack, stack[1:]))
        shares = [float((one[..., 1:] * one[..., :-1]).mean()) for one in stack]
        shares += [float((one[:, 1:] * one[:, :-1]).mean()) for one in stack]
        deviation = max((float(one.std()) for one in stack), key=lambda value: abs(value - 1))
        kurtosis = [_kurtosis(ring) for ring in _rings(stack[0], factor)] + [_kurtosis(one) for one in stack[1:]]
        plain = nest.y.down / nest.y.down.norm(dim=1, keepdim=True)
        share = float((plain * nest.y.white).sum(1).mean())
        rows.append({"noise p": factor, "std": deviation, "lag1": max(map(abs, shares)),
                     "kurtosis per ring, then levels": kurtosis,
                     "equality": equality, "area mean alone lag1": float((plain[1:] * plain[:-1]).sum(1).max()),
                     "correlation with area mean": share**2})  # fmt: skip
    rows.append({"noise": "replication, p 2 (reported)", "std": 0.709, "lag1": 0.21})
    std = max((row["std"] for row in rows[:-1]), key=lambda value: abs(value - 1))
    return {"noise_std": std, "noise_lag1": max(row["lag1"] for row in rows[:-1])}, rows


def _rings(noise: torch.Tensor, factor: float) -> list[torch.Tensor]:
    size, rings = noise.shape[-1], []
    distance = (torch.arange(size) + 0.5 - size / 2).abs()
    distance = torch.maximum(distance[:, None], distance[None, :])
    for k in range(3):
        inner = size / factor ** (k + 1) / 2 if k < 2 else 0
        rings.append(noise[:, (distance < size / factor**k / 2) & (distance >= inner)])
    return rings


def _kurtosis(values: torch.Tensor) -> float:
    values = values.double()
    return float((values**4).mean() / (values**2).mean() ** 2)
