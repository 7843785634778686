"""The second pass: resamples all views from an intermediate noise ratio, consistent through depth instead of crops."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from dreamzoom.progress import Report
from dreamzoom.sampling.blend import quantise
from dreamzoom.sampling.denoiser import Denoiser, Prompt, guided
from dreamzoom.sampling.depth_warp import Link, agree
from dreamzoom.sampling.latent_blend import Cost, CountingCodec, parts
from dreamzoom.sampling.noise import draw
from dreamzoom.sampling.sampler import advance

LAST = 8


@dataclass(frozen=True)
class Again:
    """Settings of the second pass.

    Attributes:
        strength: Where to start, 0..1 of the schedule in log noise ratio.
        steps: Model evaluations per view. With a codec that is not exact, `agree` runs whenever the noise has halved.
        batch: Most latents per call of the model.
        eta, order: See `sampler.Plan`.
        rounds: Iterations of `agree` at each step; the last step has LAST times as many.
    """

    strength: float = 0.5
    steps: int = 20
    batch: int = 4
    eta: float = 1.0
    order: int = 2
    rounds: int = 4


@dataclass(frozen=True)
class Shot:
    """The input of the second pass for one view, an anchor or a side view.

    Attributes:
        picture: (H, W, 3) float32 sRGB in 0..1; its sides are multiples of the denoiser's `multiple`.
        prompt, negative, guidance, seed: As for the first sampling.
        held: (H, W) bool, pixels that must not change (photos, finished levels); None for none.
    """

    picture: np.ndarray
    prompt: Prompt
    seed: int
    negative: Prompt = (("", 1.0),)
    guidance: float = 1.0
    held: np.ndarray | None = None


def refine_views(
    denoiser: Denoiser,
    shots: Sequence[Shot],
    links: Sequence[Link],
    options: Again | None = None,
    report: Report | None = None,
) -> list[np.ndarray]:
    """Resample all views so that linked ones are consistent.

    Args:
        denoiser: The model that made the pictures.
        shots: The views, from coarse to fine levels.
        links: Between overlapping views.
        options: Settings; the defaults if None.
        report: Progress and cancellation.

    Returns:
        (H, W, 3) float32 sRGB in steps of 1/255 per view.
    """
    return _SecondPass(denoiser, shots, links, options or Again(), report or Report()).run()


class _SecondPass:
    """One run of `refine_views`: the pictures of all views, and the indices `open` of those not held entirely."""

    def __init__(
        self, denoiser: Denoiser, shots: Sequence[Shot], links: Sequence[Link], options: Again, report: Report
    ):
        self.denoiser, self.shots, self.links, self.options, self.report = denoiser, shots, links, options, report
        self.codec = CountingCodec(denoiser.codec, Cost())
        # the device on which views are compared: sparse matrices are supported on the CPU and on CUDA
        self.home = denoiser.device if denoiser.device.type == "cuda" else torch.device("cpu")
        pictures = [torch.from_numpy(np.asarray(shot.picture, np.float32)) for shot in shots]
        self.given = [picture.permute(2, 0, 1).contiguous().to(self.home) for picture in pictures]
        self.masks = [None if shot.held is None else torch.from_numpy(shot.held).to(self.home) for shot in shots]
        # order views by size, so that those of one size share batches
        free = [k for k, mask in enumerate(self.masks) if mask is None or not mask.all()]
        self.open = sorted(free, key=lambda k: self.given[k].shape)
        low, high = denoiser.schedule.ratio_min, denoiser.schedule.ratio_max
        self.ratios = np.geomspace(low * (high / low) ** options.strength, low, options.steps)
        octave = options.steps / max(math.log2(float(self.ratios[0] / self.ratios[-1])), 1e-6)
        self.every = 1 if denoiser.codec.exact else max(1, round(octave))
        self.held: list[torch.Tensor] | None = None

    def run(self) -> list[np.ndarray]:
        """Run all steps; returns the pictures, (H, W, 3) float32 sRGB per view."""
        steps = self.options.steps
        z = self._begin()
        last: list[torch.Tensor | None] = [None] * len(z)
        pictures = self.given
        for index, ratio in enumerate(self.ratios):
            self.report.progress(index / steps, f"depth-aware step {index + 1} of {steps}")
            clean, left = self._predict(z, float(ratio)), steps - 1 - index
            compared, decoded = left % self.every == 0, []
            if compared:
                decoded = [picture.float().to(self.home) for picture in self.codec.decode(clean)]
                rounds = self.options.rounds * (1 if left else LAST)
                pictures = agree(self._held(decoded), self.links, rounds, self.masks, self.report)
            if not left:
                break
            clean = self._latents(clean, decoded, pictures) if compared else self._as_before(clean)
            noise, then = self._noise(index + 1), float(self.ratios[index + 1])
            z = [
                advance(one, x, before, noise[k].to(x), float(ratio), then, self.options.eta)
                for k, one, x, before in zip(self.open, z, clean, last)
            ]
            last = list(clean) if self.options.order == 2 else last
        return [picture.permute(1, 2, 0).cpu().numpy() for picture in self._finished(pictures)]

    def _begin(self) -> list[torch.Tensor]:
        device = self.denoiser.device
        latents = self._by_batch(self.codec.encode, [self.given[k].to(device) for k in self.open])
        noise = self._noise(0)
        return [x + float(self.ratios[0]) * noise[k].to(x) for k, x in zip(self.open, latents)]

    def _predict(self, z: list[torch.Tensor], ratio: float) -> list[torch.Tensor]:
        """Guided estimates x̂ (C, h, w) of the open views, from their latents z/α (C, h, w) at noise ratio `ratio`."""
        answers: list[torch.Tensor] = []
        for part in self._batches(z):
            shots = [self.shots[k] for k in self.open[part]]
            words = [s.prompt for s in shots], [s.negative for s in shots], [s.guidance for s in shots]
            answers += guided(self.denoiser, z[part], [ratio] * len(shots), *words, self.options.batch)
        return answers

    def _held(self, guesses: list[torch.Tensor]) -> list[torch.Tensor]:
        """All views' pictures (3, H, W): the estimate where a pixel is free, the given one where it is held."""
        pictures = list(self.given)
        for k, guess in zip(self.open, guesses):
            mask = self.masks[k]
            pictures[k] = guess if mask is None else torch.where(mask, self.given[k], guess)
        return pictures

    def _latents(self, raw: list[torch.Tensor], decoded, pictures) -> list[torch.Tensor]:
        """Latents of the consistent pictures; differences of encodings exclude what the codec loses in both."""
        device = self.denoiser.device
        agreed = [pictures[k].to(device) for k in self.open]
        if self.codec.codec.exact:
            return self._by_batch(self.codec.encode, agreed)
        self.held = self.codec.differences([picture.to(device) for picture in decoded], agreed)
        return self._as_before(raw)

    def _as_before(self, raw: list[torch.Tensor]) -> list[torch.Tensor]:
        """Latents with the change of the last comparison added again."""
        return raw if self.held is None else [x + change for x, change in zip(raw, self.held)]

    def _by_batch(self, work: Callable[[torch.Tensor], torch.Tensor], items: list[torch.Tensor]) -> list[torch.Tensor]:
        return [one for part in parts(items) for one in work(torch.stack(part))]

    def _batches(self, items: list[torch.Tensor]) -> list[slice]:
        """Slices of consecutive items of equal size, with at most a batch each."""
        first, found = 0, []
        for i in range(1, len(items) + 1):
            if i == len(items) or i - first == self.options.batch or items[i].shape != items[first].shape:
                found.append(slice(first, i))
                first = i
        return found

    def _noise(self, step: int) -> list[torch.Tensor]:
        """White noise (C, h, w) for every view; in a link the coarser view takes the finer one's where they overlap."""
        codec = self.denoiser.codec
        sides = [tuple(side // codec.scale for side in picture.shape[1:]) for picture in self.given]
        noise = [draw((codec.channels, *own), s.seed, 10_000 + step) for own, s in zip(sides, self.shots)]
        for link in sorted(self.links, key=lambda link: -link.source):
            if link.noise is not None:
                noise[link.target] = link.noise.noise(noise[link.source], noise[link.target])
        return noise

    def _finished(self, pictures: list[torch.Tensor]) -> list[torch.Tensor]:
        """Pictures within 0..1, in 8-bit steps and consistent, by alternating clipping and `agree`."""
        for _ in range(4):
            if all(picture.min() >= 0 and picture.max() <= 1 for picture in pictures):
                break
            clipped = [picture.clamp(0, 1) for picture in pictures]
            pictures = agree(clipped, self.links, self.options.rounds, self.masks, self.report)
        return [quantise(picture) for picture in pictures]
