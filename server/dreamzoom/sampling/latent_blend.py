"""Blending of levels for latent diffusion models.

Resampling latents does not correspond to resampling pictures, so levels are blended in pictures:
ẑ = z + Enc(merged) − Enc(Dec z). The difference of encodings excludes what the codec loses in both. An autoencoder
costs as much as the network; while the noise is high, an estimate has no detail beyond the linear picture of its
latents (`sampling.linear_codec`), so that is used first and decoded pictures later.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from dreamzoom.sampling.blend import Blend, Known, conform
from dreamzoom.sampling.codec import Codec
from dreamzoom.sampling.level_resampling import Nest
from dreamzoom.sampling.linear_codec import COUNT, LinearCodec, learn

TOGETHER = 1 << 20
"""Most pixels per call of the codec; larger pictures are processed one at a time."""

Merge = Callable[[list[torch.Tensor], list[Nest | None], list[Known | None], tuple[torch.Tensor, Nest] | None], list]


@dataclass
class Cost:
    """Statistics of a run.

    Attributes:
        decodes, encodes: Pictures decoded and encoded by the codec.
        peak_levels: Most active levels at once.
    """

    decodes: int = 0
    encodes: int = 0
    peak_levels: int = 0


class CountingCodec:
    """Wraps a codec: limits the pixels per call and counts the pictures.

    Args:
        codec: The wrapped codec.
        cost: The statistics to update.
    """

    def __init__(self, codec: Codec, cost: Cost):
        self.codec, self.cost = codec, cost

    def encode(self, pictures: torch.Tensor) -> torch.Tensor:
        """Pictures (B, 3, H, W) to latents."""
        self.cost.encodes += len(pictures)
        return self.codec.encode(pictures)

    def decode(self, latents: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Latents, (C, h, w) each, to pictures, (3, H, W) each."""
        self.cost.decodes += len(latents)
        side, found = self.codec.scale, []
        for part in parts(latents, side * side):
            found += self.codec.decode(torch.stack(part))
        return found

    def differences(self, before: Sequence[torch.Tensor], after: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Enc(after) − Enc(before), (C, h, w) per picture (3, H, W); both are encoded in one call."""
        found = []
        for first, second in zip(parts(before), parts(after)):
            both = self.encode(torch.stack([*second, *first]))
            found += both[: len(first)] - both[len(first) :]
        return found


def parts(items: Sequence[torch.Tensor], pixels_each: int = 1) -> list[list[torch.Tensor]]:
    """Split items into runs of equal size with at most `TOGETHER` pixels, but at least one item.

    Args:
        items: (C, h, w) each.
        pixels_each: Pixels per grid cell of an item.
    """
    found: list[list[torch.Tensor]] = []
    for item in items:
        most = TOGETHER // (item.shape[-1] * item.shape[-2] * pixels_each)
        if not found or item.shape != found[-1][0].shape or len(found[-1]) >= most:
            found.append([])
        found[-1].append(item)
    return found


class LatentBlend:
    """Blends all levels' estimates at one step.

    Args:
        codec: The codec.
        nests: The operators between each level and the next, for pictures.
        merge: `blend.merge` with the plan's settings.
        blend: Of the plan.
        known: Given pixels by level; `given` is the set of levels that are given entirely.
        fine: Noise ratio at and below which levels are blended in decoded pictures.
        every: Steps between blends in decoded pictures; a level's last step always has one.
        device: Of the latents.
    """

    def __init__(
        self,
        codec: CountingCodec,
        nests: list[Nest | None],
        known: dict[int, Known],
        merge: Merge,
        blend: Blend,
        fine: float,
        every: int,
        device: torch.device,
    ):
        self.codec, self.nests, self.known, self.merge, self.blend = codec, nests, known, merge, blend
        self.fine, self.every, self.device = fine, every, device
        self.given = {k for k, own in known.items() if own.mask.all()}
        self.held: dict[int, torch.Tensor] = {}
        self._linear: LinearCodec | None = None

    @property
    def linear(self) -> LinearCodec:
        """The codec's linear approximation, fitted on first use."""
        if self._linear is None:
            self._linear = learn(self.codec.codec, self.device)
            self.codec.cost.encodes += COUNT
        return self._linear

    def __call__(
        self, raw: dict[int, torch.Tensor], ratios: dict[int, float], left: dict[int, int], above
    ) -> tuple[dict[int, torch.Tensor], dict[int, torch.Tensor]]:
        """Blend the estimates of all active levels.

        Args:
            raw: x̂ of each active level, (C, h, w).
            ratios: Noise ratio of each; the coarsest level has the lowest.
            left: Remaining steps of each after this one.
            above: The last finished level's picture (3, H, W) and the operators between it and the first active level.

        Returns:
            The blended latents by level, and the merged pictures (3, H, W) of the levels that were decoded.
        """
        levels = sorted(raw)
        late = [k for k in levels if ratios[k] <= self.fine or not left[k]]
        early, clean = levels[len(late) :], dict(raw)
        if early and self.blend is not Blend.NONE:
            self._in_linear(clean, late[-1:] + early, None if late else above)
        pictures: dict[int, torch.Tensor] = {}
        if late:
            ending = {k for k in late if not left[k]}
            if ending or left[late[0]] % self.every == 0:
                pictures = self._in_pictures(clean, late, ending, above)
            else:
                for k in late:
                    clean[k] = clean[k] + self.held.get(k, 0)
            if early and self.blend is Blend.LAPLACIAN:
                self._follow(clean, late[-1], early)
        return clean, pictures

    def _in_linear(self, clean: dict[int, torch.Tensor], levels: list[int], above) -> None:
        """Merge neighbouring levels in linear pictures; changes `clean` in place."""
        if not any(k not in self.given and self._is_bound(k, levels, above) for k in levels):
            return
        guesses = [self.linear.decode(clean[k]) for k in levels]
        merged = self.merge(guesses, self._between(levels), [self.known.get(k) for k in levels], above)
        for k, guess, picture in zip(levels, guesses, merged):
            if k not in self.given:
                clean[k] = clean[k] + self.linear.change(picture - guess)

    def _in_pictures(
        self, clean: dict[int, torch.Tensor], levels: list[int], ending: set[int], above
    ) -> dict[int, torch.Tensor]:
        """Merge in decoded pictures; changes `clean` in place, except for the levels `ending`. Returns the pictures."""
        levels = [k for k in levels if k in ending or self._is_bound(k, levels, above)]
        free = [k for k in levels if k not in self.given]
        decoded = dict(zip(free, self.codec.decode([clean[k] for k in free])))
        guesses = [decoded[k] if k in decoded else self.known[k].picture for k in levels]
        merged = self.merge(guesses, self._between(levels), [self.known.get(k) for k in levels], above)
        pictures = dict(zip(levels, merged))
        going_on = [k for k in free if k not in ending]
        changes = self.codec.differences([decoded[k] for k in going_on], [pictures[k] for k in going_on])
        for k, change in zip(going_on, changes):
            self.held[k], clean[k] = change, clean[k] + change
        for k in ending:
            self.held.pop(k, None)
        return pictures

    def _is_bound(self, level: int, levels: list[int], above) -> bool:
        """Whether a level's picture is constrained by given pixels or by another level."""
        if level in self.known:
            return True
        if self.blend is Blend.NONE:
            return False
        finer = level < len(self.nests) and self.nests[level] is not None and len(levels) > levels.index(level) + 1
        coarser = bool(level) and self.nests[level - 1] is not None and (level != levels[0] or above is not None)
        return finer or coarser

    def _follow(self, clean: dict[int, torch.Tensor], coarse: int, levels: list[int]) -> None:
        """Make the noisier levels `levels` conform to the finest decoded level `coarse`, in linear pictures."""
        above = self.linear.decode(clean[coarse])
        for k in levels:
            nest, guess = self.nests[k - 1], self.linear.decode(clean[k])
            if nest is not None and k not in self.given:
                change = self.linear.change(conform(guess, above, nest) - guess)
                clean[k] = clean[k] + change
                guess = self.linear.decode(clean[k])
            above = guess

    def _between(self, levels: list[int]) -> list[Nest | None]:
        return [self.nests[a] if b == a + 1 else None for a, b in zip(levels, levels[1:])]
