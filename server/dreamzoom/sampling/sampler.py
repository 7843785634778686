"""Joint sampling of all levels of a zoom, for any denoiser.

Every level's z_t / α is x + ρ·n, the picture plus white noise of ratio ρ. If level i+1 has p times the noise ratio of
level i, then D(z_{i+1}/α_{i+1}) = window(z_i/α_i), since averaging p × p fine pixels divides their noise by p: all
levels are resamplings of one noisy picture, and both observe their common part with the same noise. Therefore

- their estimates of it can be averaged without changing the distribution that is sampled,
- coarse levels are finished while finer ones are still noisy, and
- only the levels between the two ends of the noise schedule are in memory, at any depth of the zoom.

With the same ratio in all levels (`Coupling.TIME`, as in Generative Powers of Ten) the finer level observes the common
part with less noise than the coarser one.

One step, from ρ to ρ' for all levels at once (η = 1 is DDPM, 0 is DDIM):
    x = merge(x̂(z)),   s = η ρ' √(1 − ρ'²/ρ²),   z' = x + √(ρ'² − s²)/ρ · (z − x) + s n,   with z = z_t/α.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
import torch

from dreamzoom.progress import PREVIEW_INTERVAL, PREVIEW_SIDE, Report
from dreamzoom.sampling import noise as noises
from dreamzoom.sampling.blend import Blend, Known, close_loop, finish, merge, quantise, spread_known
from dreamzoom.sampling.denoiser import Denoiser, Prompt, guided, predict
from dreamzoom.sampling.latent_blend import Cost, CountingCodec, LatentBlend
from dreamzoom.sampling.level_resampling import Nest, make_nest


class Coupling(StrEnum):
    """The relation between the noise ratios of neighbouring levels."""

    SCALE = "scale"  # ρ_{i+1} = p ρ_i
    TIME = "time"  # all the same


@dataclass(frozen=True)
class Plan:
    """The input and the settings of a joint sampling.

    Attributes:
        prompts, negatives: One per level.
        seeds: One per level.
        factor: p > 1.
        size: (H, W) in pixels.
        centres: centres[i] is the pixel (x, y) of level i at the middle of level i+1; None for the middle.
        photos: Pictures (3, H, W) sRGB in 0..1 by level, NaN where not given.
        steps: Model evaluations per level.
        guidance: Classifier-free guidance scale, one per level; at 1 the negative prompts are not evaluated.
        window: Most levels in memory at once.
        batch: Most latents per call of the model.
        coupling: See `Coupling`.
        blend, voice: See `blend.merge`.
        eta: η of the step; see `advance`.
        order: 2 extrapolates the estimate from the previous step's (DPM-Solver++ 2M, Lu et al. 2022), 1 does not.
        fine: With a codec that is not exact: levels are blended in decoded pictures once ρ is at most
            ρ_min·(ρ_max/ρ_min)^fine, and in linear pictures of the latents before.
        blend_every: Steps between blends in decoded pictures; None for one whenever the noise has halved.
        start: Gives the picture (3, H, W) from which a level starts, at noise ratio `start_ratio`, instead of noise
            alone; called once per level, coarsest first, when the level is started.
        start_ratio: See `start`.
        loop: Whether the first level follows the last.
    """

    prompts: Sequence[Prompt]
    seeds: Sequence[int]
    factor: float
    size: tuple[int, int]
    centres: Sequence[tuple[float, float] | None] = ()
    negatives: Sequence[Prompt] = ()
    photos: dict[int, torch.Tensor] = field(default_factory=dict)
    steps: int = 50
    guidance: Sequence[float] = ()
    window: int = 10
    batch: int = 4
    coupling: Coupling = Coupling.SCALE
    blend: Blend = Blend.LAPLACIAN
    eta: float = 1.0
    order: int = 2
    voice: float = 0.25
    fine: float = 0.8
    blend_every: int | None = None
    start: Callable[[int], torch.Tensor] | None = None
    start_ratio: float = 0.0
    loop: bool = False

    @property
    def levels(self) -> int:
        """The number of levels."""
        return len(self.prompts)

    def nests(self, scale: int = 1) -> list[Nest | None]:
        """The operators between each level and the next, for pictures reduced by `scale`.

        With `loop` the last entry couples the last level with the first.
        """
        height, width = self.size
        count = self.levels if self.loop else self.levels - 1
        result = []
        for i in range(count):
            centre = self.centres[i] if i < len(self.centres) else None
            centre = None if centre is None else (centre[0] / scale, centre[1] / scale)
            result.append(make_nest((height // scale, width // scale), self.factor, centre))
        return result


@dataclass
class _Level:
    """The state of one active level.

    Attributes:
        z: (C, h, w) noisy latents z/α.
        last: (C, h, w) the previous step's merged estimate, for `order` 2.
        picture: (3, H, W) the last merged picture.
    """

    z: torch.Tensor
    last: torch.Tensor | None = None
    picture: torch.Tensor | None = None


def advance(
    z: torch.Tensor,
    clean: torch.Tensor,
    last: torch.Tensor | None,
    noise: torch.Tensor | None,
    now: float,
    then: float,
    eta: float = 1.0,
) -> torch.Tensor:
    """One step of the sampler; latents are (C, h, w).

    Args:
        z: z/α at noise ratio `now`.
        clean: x̂, the estimate from `z`.
        last: x̂ of the previous step, of the same length in log ρ, for second order; None for first order.
        noise: Unit white noise; None for none.
        now, then: Noise ratios before and after, `then` < `now`.
        eta: η: 0 is DDIM, 1 is DDPM; with a large value all noise is replaced (LCM).

    Returns:
        z/α at noise ratio `then`.
    """
    spread = min(eta * math.sqrt(1 - (then / now) ** 2), 1.0) * then
    better = clean if last is None else clean + (clean - last) / 2
    moved = better + math.sqrt(then**2 - spread**2) / now * (z - better)
    return moved if noise is None else moved + spread * noise


class JointSampler:
    """Runs a `Plan`; `run()` yields the finished levels, coarsest first."""

    def __init__(self, denoiser: Denoiser, plan: Plan, report: Report | None = None):
        self.denoiser, self.plan, self.report = denoiser, plan, report or Report()
        self.cost = Cost()
        codec, device = denoiser.codec, denoiser.device
        self.codec = CountingCodec(codec, self.cost)
        self.nests = [nest and nest.on(device) for nest in plan.nests()]
        latent = self.nests if codec.scale == 1 else [nest and nest.on(device) for nest in plan.nests(codec.scale)]
        self.latent_nests = latent
        self.shape = (codec.channels, plan.size[0] // codec.scale, plan.size[1] // codec.scale)
        self.known = spread_known({k: v.to(device) for k, v in plan.photos.items()}, self.nests)
        self._shown = -math.inf
        self._given: dict[int, torch.Tensor] = {}
        self._times()
        low, high = denoiser.schedule.ratio_min, denoiser.schedule.ratio_max
        fine = low * (high / low) ** plan.fine
        every = plan.blend_every or max(1, round(math.log(2) / self.step))
        self.latent = LatentBlend(self.codec, self.nests, self.known, self._merge, plan.blend, fine, every, device)
        self.nested = plan.coupling is Coupling.SCALE and plan.blend is Blend.LAPLACIAN and not plan.loop

    def _times(self) -> None:
        """Set the grid of noise ratios, with equal steps in log ρ, and the lag in steps between neighbouring levels."""
        plan, schedule = self.plan, self.denoiser.schedule
        low, high = schedule.ratio_min, plan.start_ratio if plan.start is not None else schedule.ratio_max
        reach = math.log(high / low)
        step = reach / max(plan.steps - 1, 1)
        self.lag = 0
        joint = plan.coupling is Coupling.TIME or plan.loop or plan.blend is Blend.NONE
        if not joint or plan.levels > plan.window:
            octave = math.log(plan.factor)
            self.lag = max(1, round(octave / step))
            if not joint and octave / self.lag <= 1.5 * step:
                step = octave / self.lag
            count = math.floor(reach / step + 1e-9) + 1
            if plan.levels > plan.window:  # a longer lag: fewer active levels, but unequal noise in common parts
                self.lag = max(self.lag, -(-count // plan.window))
        if plan.loop:
            self.lag = 0
        count = math.floor(reach / step + 1e-9) + 1
        self.ratios = low * np.exp(step * np.arange(count))[::-1]
        self.step = step

    def run(self) -> Iterator[tuple[int, torch.Tensor]]:
        """Yield (level, picture) as levels are finished; (3, H, W) in 0..1, 8-bit steps, consistent between levels."""
        plan, count = self.plan, len(self.ratios)
        active: dict[int, _Level] = {}
        finished: torch.Tensor | None = None
        ring: list[torch.Tensor] = []
        total = count + self.lag * (plan.levels - 1)
        for step in range(total):
            self.report.progress(step / total, f"sampling step {step + 1} of {total}")
            for level in range(plan.levels):
                if level * self.lag == step:
                    active[level] = self._begin(level, active.get(level - 1))
            self.cost.peak_levels = max(self.cost.peak_levels, len(active))
            first = min(active)
            outer = self.nests[first - 1] if first else None
            above = None if outer is None or finished is None else (finished, outer)
            estimates = self._estimate(active, step, above)
            self._preview(active, estimates)
            self._advance(active, estimates, step)
            for level in [k for k in active if step - k * self.lag == count - 1]:
                nest = self.nests[level - 1] if level and plan.blend is not Blend.NONE else None
                finished = self._finish(level, active.pop(level).picture, finished, nest)
                if plan.loop:
                    ring.append(finished)
                else:
                    yield level, finished
        yield from enumerate(close_loop(ring, self.nests))

    def _preview(self, active: dict[int, _Level], estimates: dict[int, torch.Tensor]) -> None:
        """Send a reduced picture of the coarsest active level as preview; reduced on its device."""
        now = time.monotonic()
        if now - self._shown < PREVIEW_INTERVAL:
            return
        self._shown, first = now, min(active)
        picture = self.known[first].picture if first in self.latent.given else active[first].picture
        picture = self.latent.linear.decode(estimates[first]) if picture is None else picture
        share = PREVIEW_SIDE / max(picture.shape[-2:])
        if share < 1:
            size = [max(1, round(side * share)) for side in picture.shape[-2:]]
            picture = torch.nn.functional.interpolate(picture[None], size, mode="area")[0]
        self.report.preview(picture.clamp(0, 1).permute(1, 2, 0).cpu().numpy())

    def _finish(self, level: int, picture: torch.Tensor | None, coarser: torch.Tensor | None, nest: Nest | None):
        """The final picture of a level, (3, H, W) in 8-bit steps, with photos where they are given."""
        assert picture is not None  # every level is merged at its last step
        given = self.known.get(level)
        if self.plan.loop or self.plan.blend is not Blend.LAPLACIAN:
            picture = quantise(picture)
        else:
            picture = finish(picture, coarser, nest)
        return picture if given is None else torch.where(given.mask, quantise(given.picture), picture)

    def _begin(self, level: int, coarser: _Level | None) -> _Level:
        """The initial state of a level: consistent with the coarser level's noisy picture, otherwise fresh noise."""
        plan, ratio = self.plan, float(self.ratios[0])
        noise = self._draw(level, -1)
        base = torch.zeros_like(noise)
        if plan.start is not None:
            base = self.codec.encode(plan.start(level).to(self.denoiser.device)[None])[0]
        nest = self.latent_nests[level - 1] if level else None
        if coarser is None or nest is None or plan.blend is Blend.NONE:
            self._first_noise = noise
            return _Level(base + ratio * noise)
        if not self.lag:
            self._first_noise = noises.finer(self._first_noise, nest, noise)
            return _Level(base + ratio * self._first_noise)
        # the window of the coarser z, times p, has at most the noise of this level's first ratio: add the difference
        carried = plan.factor * nest.window(coarser.z)
        current = self.ratios[self.lag] * plan.factor
        missing = math.sqrt(max(ratio**2 - current**2, 0))
        window = carried + missing * nest.white_down(self._draw(level, -2))
        z = base + ratio * noise
        return _Level(z + nest.white_up(window - nest.white_down(z)))

    def _draw(self, level: int, step: int) -> torch.Tensor:
        return noises.draw(self.shape, self.plan.seeds[level], step + 2).to(self.denoiser.device)

    def _estimate(self, active: dict[int, _Level], step: int, above) -> dict[int, torch.Tensor]:
        """The merged estimates of all active levels, as latents (C, h, w) by level."""
        raw = self._predict(active, step)
        if not self.denoiser.codec.exact:
            index = {k: step - k * self.lag for k in active}
            ratios = {k: float(self.ratios[i]) for k, i in index.items()}
            clean, pictures = self.latent(raw, ratios, {k: len(self.ratios) - 1 - i for k, i in index.items()}, above)
            for k, picture in pictures.items():
                active[k].picture = picture
            return clean
        levels = sorted(active)
        overlaps = self._overlaps(active, step) if self.nested else None
        guesses = self.codec.decode([raw[k] for k in levels])
        known = [self.known.get(k) for k in levels]
        merged = self._merge(guesses, [self.nests[k] for k in levels[:-1]], known, above, overlaps)
        for k, picture in zip(levels, merged):
            active[k].picture = picture
        return {k: self.denoiser.codec.encode(picture[None])[0] for k, picture in zip(levels, merged)}

    def _overlaps(self, active: dict[int, _Level], step: int) -> list[torch.Tensor | None]:
        """For each level but the finest, the model's estimate of the window with the next level from the window alone.

        None where `Denoiser.one_world` is false for the two prompts.
        """
        plan, levels = self.plan, sorted(active)
        found: list[torch.Tensor | None] = []
        for k in levels[:-1]:
            nest, prompts = self.nests[k], plan.prompts[k : k + 2]
            if nest is None or not self.denoiser.one_world(*prompts):
                found.append(None)
                continue
            ratio = float(self.ratios[step - k * self.lag])
            guess = predict(self.denoiser, [nest.window(active[k].z)], [ratio], [prompts[0]], 1)[0]
            found.append(self.denoiser.codec.decode(guess[None])[0])
        return found

    def _merge(self, guesses, nests, known: list[Known | None], above, overlaps=None) -> list[torch.Tensor]:
        """`blend.merge` with the plan's settings, also around a loop."""
        plan = self.plan
        if not plan.loop:
            return merge(guesses, nests, known, above, plan.blend, plan.voice, overlaps)
        # repeat the levels below the last one, because a loop continues there
        turns = 1 + max(1, math.ceil(math.log(max(plan.size), plan.factor) / plan.levels))
        nests = (self.nests * turns)[: plan.levels * turns - 1]
        return merge(guesses * turns, nests, known * turns, None, plan.blend, plan.voice)[: plan.levels]

    def _predict(self, active: dict[int, _Level], step: int) -> dict[int, torch.Tensor]:
        """x̂ of all active levels as latents (C, h, w); levels given entirely by photos are encoded instead."""
        plan = self.plan
        given = self.latent.given & active.keys()
        asked = [k for k in active if k not in given]
        answers = guided(
            self.denoiser,
            [active[k].z for k in asked],
            [float(self.ratios[step - k * self.lag]) for k in asked],
            [plan.prompts[k] for k in asked],
            [plan.negatives[k] if plan.negatives else (("", 1.0),) for k in asked],
            [plan.guidance[k] if plan.guidance else 1.0 for k in asked],
            plan.batch,
        )
        for k in given - self._given.keys():
            self._given[k] = self.codec.encode(self.known[k].picture[None])[0]
        return dict(zip(asked, answers)) | {k: self._given[k] for k in given}

    def _advance(self, active: dict[int, _Level], estimates: dict[int, torch.Tensor], step: int) -> None:
        """Advance all levels by one step, with noise that is consistent between neighbouring levels."""
        plan, before = self.plan, None
        noise: torch.Tensor | None = None
        for k in sorted(active):
            level, index = active[k], step - k * self.lag
            clean = estimates[k]
            if index + 1 == len(self.ratios):
                continue
            now, then = float(self.ratios[index]), float(self.ratios[index + 1])
            if plan.eta:
                fresh = self._draw(k, index)
                nest = self.latent_nests[k - 1] if k and before == k - 1 and plan.blend is not Blend.NONE else None
                noise, before = fresh if noise is None or nest is None else noises.finer(noise, nest, fresh), k
            level.z = advance(level.z, clean, level.last, noise, now, then, plan.eta)
            level.last = clean if plan.order == 2 else None
