"""The spectral engine: textures as Gaussian random fields in closed form, sampled by diffusion with an exact denoiser.
For previews without model weights.

A prompt selects the palette, the variation of colours, and the roughness and direction of the texture. The power
spectrum falls with the square of the frequency, so that every octave has the same energy and the texture is
self-similar across scales.
"""

from __future__ import annotations

import hashlib
import math
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from core.protocol import prompt_weights
from dreamzoom.geometry.view import COARSE, KNOWN, UNKNOWN, DepthKind, DepthMap, View
from dreamzoom.progress import Report
from dreamzoom.sampling.denoiser import Denoiser
from dreamzoom.sampling.gaussian_fields import Field, FieldDenoiser, Prompt, from_waves, pixel_power, to_waves
from dreamzoom.sampling.noise import draw

VERSION = 2

PALETTES: dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    # mean colour, and the colour at the end of the main axis of variation, both sRGB
    "space": ((0.10, 0.10, 0.20), (0.55, 0.45, 0.65)),
    "planet": ((0.28, 0.40, 0.55), (0.80, 0.78, 0.70)),
    "continent": ((0.40, 0.45, 0.32), (0.75, 0.68, 0.48)),
    "mountains": ((0.48, 0.47, 0.47), (0.85, 0.86, 0.90)),
    "forest": ((0.20, 0.32, 0.16), (0.48, 0.58, 0.24)),
    "city": ((0.46, 0.44, 0.43), (0.78, 0.70, 0.60)),
    "meadow": ((0.36, 0.50, 0.20), (0.82, 0.78, 0.34)),
    "rock": ((0.45, 0.41, 0.37), (0.72, 0.66, 0.58)),
    "moss": ((0.28, 0.38, 0.14), (0.58, 0.66, 0.26)),
    "leaf": ((0.30, 0.50, 0.18), (0.66, 0.78, 0.36)),
    "cell": ((0.62, 0.44, 0.52), (0.92, 0.78, 0.80)),
    "crystal": ((0.50, 0.58, 0.68), (0.88, 0.92, 0.96)),
    "atom": ((0.20, 0.22, 0.42), (0.60, 0.70, 0.95)),
}


class SpectralEngine:
    """Paints by conditional sampling of the prompt's field; its depth is a plane through the focus with slight relief.

    Args:
        contrast: Standard deviation of a picture about its mean colour, in sRGB units.
        relief: Height of the brightest pixels above the darkest, in units of the level's frame.
        steps: Model evaluations per level in joint sampling.
    """

    name = "spectral"
    multiview_consistent = False

    def __init__(self, contrast: float = 0.12, relief: float = 0.2, steps: int = 40):
        self.contrast, self.relief, self.steps = contrast, relief, steps

    def identity(self) -> dict[str, Any]:
        """The engine's version and options."""
        own = {"contrast": self.contrast, "relief": self.relief, "steps": self.steps}
        return {"engine": self.name, "version": VERSION, **own}

    def dependencies(self, level: int) -> dict[str, Any]:
        """Empty: results depend on nothing else."""
        return {}

    def sampling(self) -> dict[str, Any]:
        """Keyword arguments for joint sampling."""
        return {"steps": self.steps}

    def denoiser(self, report: Report) -> Denoiser:
        """The exact posterior mean of the prompts' fields."""
        return FieldDenoiser(self._field)

    def paint(
        self,
        view: View,
        rgb: np.ndarray,
        mask: np.ndarray,
        prompt: str,
        negative_prompt: str,
        seed: int,
        report: Report,
    ) -> np.ndarray:
        """Sample the prompt's field conditioned on the known pixels and the low frequencies of the coarse ones.

        Matheron's rule: an unconditional sample plus K Aᵀ (A K Aᵀ + ε)⁻¹ (y − A sample), solved by conjugate gradients.
        """
        field = self._field(((prompt, 1.0),), mask.shape)
        white = draw((3, *mask.shape), seed, *hashlib.sha256(view.name.encode()).digest()[:8])
        picture = field.sample(white)
        if (mask != UNKNOWN).any():
            given = torch.from_numpy(np.where((mask == UNKNOWN)[..., None], 0, rgb)).permute(2, 0, 1).float() * 2 - 1
            picture = _conditioned(field, picture, given, torch.from_numpy(mask), report)
        painted = ((picture + 1) / 2).clamp(0, 1).permute(1, 2, 0).numpy()
        return np.where((mask == KNOWN)[..., None], rgb, painted).astype(np.float32)

    def depth(
        self, view: View, rgb: np.ndarray, seed: int, report: Report, known: np.ndarray | None = None
    ) -> DepthMap:
        """Z-depth, up to scale, of a plane through the focus that faces the camera; bright pixels are nearer."""
        distance = max(float(view.camera.to_camera(np.zeros(3))[2]), 1e-3)
        light = torch.from_numpy(np.ascontiguousarray(rgb @ np.array([0.2126, 0.7152, 0.0722], np.float32)))
        height, width = light.shape
        fy, fx = torch.arange(height)[:, None] / height, torch.arange(width)[None, :] / width
        waves = to_waves(light) * torch.exp(-((fy**2 + fx**2) * (max(height, width) / 24) ** 2))
        smooth = from_waves(waves).numpy()
        relief = np.clip((smooth - smooth.mean()) * self.relief, -0.5 * distance, 0.5 * distance)
        return DepthMap((distance - relief).astype(np.float32), DepthKind.SCALE)

    def _field(self, prompt: Prompt, size: tuple[int, int]) -> Field:
        return _mixed_field(tuple(prompt), tuple(size), self.contrast)


def _conditioned(field: Field, sample: torch.Tensor, given: torch.Tensor, mask: torch.Tensor, report: Report):
    """Correct an unconditional sample (3, H, W) so that it agrees with the known and coarse pixels."""
    known, coarse = (mask == KNOWN).float(), (mask == COARSE).float()
    kernel = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16

    def blur(picture):
        # zero padding makes the blur self-adjoint, as conjugate gradients require
        return torch.nn.functional.conv2d(picture[:, None], torch.outer(kernel, kernel)[None, None], padding=2)[:, 0]

    def observe(picture):
        return known * picture + coarse * blur(picture)

    def adjoint(picture):
        return known * picture + blur(coarse * picture)

    def precondition(picture):
        """Preconditioner: the exact inverse for the case that all pixels are known."""
        waves = to_waves(torch.einsum("ca,chw->ahw", field.axes, seen * picture))
        waves = waves / (field.variance[:, None, None] * field.power + 1e-3)
        return seen * torch.einsum("ca,ahw->chw", field.axes, from_waves(waves))

    seen, regularisation = known + coarse, 1e-3 * known + 1e-2 * coarse
    target = known * given + coarse * blur(given * seen) - observe(sample)
    solution, residual = torch.zeros_like(target), target.clone()
    start = (residual**2).sum()
    direction = precondition(residual)
    power = (residual * direction).sum()
    for round_ in range(60):
        if (residual**2).sum() <= 1e-5 * start:
            break
        report.progress(round_ / 60)
        image = seen * observe(field.covary(adjoint(direction))) + regularisation * direction
        step = power / (direction * image).sum()
        solution, residual = solution + step * direction, residual - step * image
        preconditioned = precondition(residual)
        before, power = power, (residual * preconditioned).sum()
        direction = preconditioned + (power / before) * direction
    return sample + field.covary(adjoint(solution))


@lru_cache(maxsize=32)
def _mixed_field(prompt: Prompt, size: tuple[int, int], contrast: float) -> Field:
    """Interpolate between the fields of several prompts: weighted means of colours, colour axes and log power."""
    parts = [(weight, *_style(text, contrast)) for text, weight in prompt]
    mean = sum((weight * style_mean for weight, style_mean, _, _ in parts), torch.zeros(3))
    mixing = sum((weight * style_mixing for weight, _, style_mixing, _ in parts), torch.zeros(3, 3))
    stretch, turn = (sum(weight * look[i] for weight, _, _, look in parts) for i in range(2))
    cos, sin = math.cos(turn), math.sin(turn)

    def spectrum(y, x):
        across, along = (cos * x + sin * y) * math.sqrt(stretch), (cos * y - sin * x) / math.sqrt(stretch)
        mirrored = (cos * x - sin * y) * math.sqrt(stretch), (cos * y + sin * x) / math.sqrt(stretch)
        low = (0.35 / max(size)) ** 2
        return 0.5 / (across**2 + along**2 + low) + 0.5 / (mirrored[0] ** 2 + mirrored[1] ** 2 + low)

    power = pixel_power(size, spectrum)
    power /= 2 * math.pi * math.log(512)  # normalises the variance of a 512² picture to about 1
    return Field(mean, mixing, torch.from_numpy(power.astype(np.float32)))


def _style(text: str, contrast: float) -> tuple[torch.Tensor, torch.Tensor, tuple[float, float]]:
    """Mean colour, colour axes and texture shape (stretch, turn) of a prompt. Words in `PALETTES` choose the colours;
    a hash of all words chooses the variation. Weights (`core.protocol.prompt_weights`) count where several words
    choose.
    """
    weighted = [(word.strip(".,;:!?()").lower(), w) for word, w in prompt_weights.parse(text).words() if w > 0]
    words = [word for word, _ in weighted]
    hits = [(PALETTES[n], w) for word, w in weighted for n in PALETTES if word in (n, n + "s", n.rstrip("s"))]
    found, shares = [pair for pair, _ in hits], [weight for _, weight in hits]
    digest = np.frombuffer(hashlib.sha256(" ".join(words).encode()).digest(), np.uint8) / 255.0
    if not found:
        found, shares = [(tuple(0.25 + 0.4 * digest[:3]), tuple(0.45 + 0.5 * digest[3:6]))], [1.0]
    mean = np.average([pair[0] for pair in found], 0, shares) + 0.04 * (digest[6:9] - 0.5)
    main = np.average([pair[1] for pair in found], 0, shares) - mean
    main = main / np.linalg.norm(main) * contrast * math.sqrt(3)
    side = np.cross(main, (0.4, -0.3, 0.6) + digest[9:12])
    side = side / np.linalg.norm(side) * contrast * 0.25
    mixing = 2 * np.stack([main, side, np.full(3, contrast * 0.12)], 1)
    look = (1 + 0.6 * digest[12], math.pi * digest[13])
    return torch.tensor(mean * 2 - 1).float(), torch.tensor(mixing).float(), look
