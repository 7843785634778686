"""Encodes prompts for the networks: appended style, prompts longer than the encoder's limit, mixtures of prompts, and
weights of words (`core.protocol.prompt_weights`).

A token of weight w is encoded as e₀ + w (e − e₀), where e is its embedding and e₀ that of the empty text at its place.
Families that encode texts in their pipelines get the words without weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from core.protocol.prompt_weights import WeightedText, parse, plain
from dreamzoom.engines.diffusion.families import Family
from dreamzoom.sampling.denoiser import Prompt

CLIP_WORDS = 75
"""Tokens that CLIP encodes at a time, without its start and end tokens."""
LONGEST = 512
"""Maximum number of tokens for the other encoders."""


class PromptEncoder:
    """Encodes prompts for one pipeline.

    Args:
        pipe: The painter's pipeline.
        family: Its model family.
        style: Appended to every prompt, but not to negative prompts.
        resting: Whether CLIP's text encoders are moved to main memory while they are not used.
    """

    def __init__(self, pipe: Any, family: Family, style: str = "", resting: bool = False):
        self.pipe, self.family, self.style = pipe, family, style.strip()
        self.resting = resting and family.prompts in ("clip", "pooled")
        self._kept: dict[tuple[str, bool], tuple[torch.Tensor, torch.Tensor | None]] = {}

    def styled(self, text: str) -> str:
        """A prompt with the style appended."""
        return ", ".join(part for part in (text.strip(), self.style) if part)

    def for_painter(self, prompt: Prompt, negative: str, guided: bool) -> dict[str, Any]:
        """The pipeline's arguments for a prompt.

        Args:
            prompt: Texts with weights that sum to 1.
            negative: The negative prompt; ignored for families that do not support one.
            guided: Whether classifier-free guidance is used, so that the negative prompt is needed.
        """
        if self.family.prompts in ("text", "negative"):
            heaviest_first = sorted(prompt, key=lambda part: -part[1])
            found: dict[str, Any] = {"prompt": plain(self.styled(", ".join(text for text, _ in heaviest_first)))}
            if self.family.prompts == "negative" and guided:
                found["negative_prompt"] = plain(negative) or " "
            return found | {"max_sequence_length": LONGEST}
        wanted = [self._mixture(prompt)] + ([self.read(negative, negative=True)] if guided else [])
        (embeds, pooled), *rest = self._even(wanted)
        found = {"prompt_embeds": embeds}
        if self.family.prompts == "pooled":
            found["pooled_prompt_embeds"] = pooled
        if rest:
            found["negative_prompt_embeds"] = rest[0][0]
            if self.family.prompts == "pooled":
                found["negative_pooled_prompt_embeds"] = rest[0][1]
        return found

    def for_network(self, prompt: Prompt, negative: bool) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The embeddings of one prompt for a network: (1, L, C), and pooled (1, D)."""
        return self.read(prompt[0][0], negative=True) if negative else self._mixture(prompt)

    def left_out(self, text: str) -> int:
        """Number of tokens beyond the encoder's limit; 0 for CLIP, where long prompts are encoded in pieces."""
        if self.family.prompts in ("clip", "pooled"):
            return 0
        tokenizer = getattr(self.pipe, "tokenizer_2", None) or self.pipe.tokenizer
        return max(0, len(tokenizer(plain(text)).input_ids) - LONGEST)

    def ignores_weights(self, text: str) -> bool:
        """Whether a text has weights that this family can't take into account."""
        return self.family.prompts in ("text", "negative") and not parse(text).is_plain

    @torch.no_grad()
    def read(self, text: str, negative: bool = False) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Encode one text with the weights of its words: (1, L, C) and pooled (1, D). A long text is encoded in pieces
        that are concatenated; the pooled embedding knows no weights.
        """
        key = (text, negative)
        if key not in self._kept:
            if len(self._kept) >= 256:
                self._kept.clear()
            tokenizer = self.pipe.tokenizer or self.pipe.tokenizer_2
            weighted = parse(text)
            parts = pieces(weighted.text, CLIP_WORDS, lambda part: _count(tokenizer, part))
            with self._on_device():
                read = [self._encode(part) for part in parts]
            if not weighted.is_plain:
                weights = _of_parts(weighted, parts)
                read = [
                    (self._weighted(embeds, part, own), pooled)
                    for (embeds, pooled), part, own in zip(read, parts, weights)
                ]
            embeds, pooled = torch.cat([embeds for embeds, _ in read], 1), read[0][1]
            if negative and not text and getattr(self.pipe.config, "force_zeros_for_empty_prompt", False):
                embeds, pooled = torch.zeros_like(embeds), None if pooled is None else torch.zeros_like(pooled)
            self._kept[key] = embeds, pooled
        return self._kept[key]

    def _weighted(self, embeds: torch.Tensor, part: str, weights: Sequence[float]) -> torch.Tensor:
        """Embeddings (1, L, C) of a part of a text with a weight for each of its words.

        The first encoders' tokens follow a start token. Behind them lie those of a third encoder, if there is one.
        """
        empty = self.read("")[0][:, : embeds.shape[1]]
        factors = torch.ones(embeds.shape[1], dtype=embeds.dtype, device=embeds.device)
        tokenizer, third = self.pipe.tokenizer or self.pipe.tokenizer_2, getattr(self.pipe, "tokenizer_3", None)
        starts = [(tokenizer, 1)] + ([(third, CLIP_WORDS + 2)] if third is not None else [])
        for own, start in starts:
            values = _of_tokens(own, part, weights)[: len(factors) - start]
            factors[start : start + len(values)] = factors.new_tensor(values)
        return empty + factors[:, None] * (embeds - empty)

    @contextmanager
    def _on_device(self) -> Iterator[None]:
        """Context in which the text encoders are on the device."""
        names = ("text_encoder", "text_encoder_2", "text_encoder_3") if self.resting else ()
        encoders = [part for name in names if (part := getattr(self.pipe, name, None)) is not None]
        device = self.pipe._execution_device
        for encoder in encoders:
            encoder.to(device)
        try:
            yield
        finally:
            for encoder in encoders:
                encoder.to("cpu")

    def _mixture(self, prompt: Prompt) -> tuple[torch.Tensor, torch.Tensor | None]:
        parts = self._even([self.read(self.styled(text)) for text, _ in prompt])
        weights = [weight for _, weight in prompt]
        embeds = sum((weight * part for weight, (part, _) in zip(weights, parts)), torch.tensor(0.0))
        if parts[0][1] is None:
            return embeds, None
        return embeds, sum((weight * pooled for weight, (_, pooled) in zip(weights, parts)), torch.tensor(0.0))

    def _even(self, found: list[tuple[torch.Tensor, torch.Tensor | None]]) -> list:
        """Pad embeddings to the same length with those of the empty text."""
        longest = max(embeds.shape[1] for embeds, _ in found)
        even = []
        for embeds, pooled in found:
            missing = longest - embeds.shape[1]
            if missing:
                empty = self.read("")[0]
                embeds = torch.cat([embeds, *[empty] * (missing // empty.shape[1])], 1)
            even.append((embeds, pooled))
        return even

    def _encode(self, text: str) -> tuple[torch.Tensor, torch.Tensor | None]:
        pipe = self.pipe
        options = {"num_images_per_prompt": 1, "do_classifier_free_guidance": False, "device": pipe._execution_device}
        options |= self.family.prompt_options
        if self.family.prompts == "clip":
            return pipe.encode_prompt(text, **options)[0], None
        embeds, _, pooled, _ = pipe.encode_prompt(text, **options)
        return embeds, pooled


def _count(tokenizer: Any, text: str) -> int:
    """Number of tokens of a text, without start and end."""
    return len(tokenizer(text, add_special_tokens=False).input_ids)


def _of_parts(weighted: WeightedText, parts: Sequence[str]) -> list[list[float]]:
    """The weight of each word of each part of a text; parts are as `pieces` makes them."""
    solid = [weight for char, weight in zip(weighted.text, weighted.weights) if not char.isspace()]
    found, position = [], 0
    for part in parts:
        own = []
        for word in part.split():
            inside = solid[position : position + len(word)]
            own.append(max(inside, key=lambda weight: abs(weight - 1), default=1.0))
            position += len(word)
        found.append(own)
    return found


def _of_tokens(tokenizer: Any, part: str, weights: Sequence[float]) -> list[float]:
    """The weight of each token of a text, from those of its words."""
    found: list[float] = []
    words = part.split()
    for number, weight in enumerate(weights, 1):
        found += [weight] * (_count(tokenizer, " ".join(words[:number])) - len(found))
    return found


def pieces(text: str, limit: int, count) -> list[str]:
    """Split a text into pieces of at most `limit` tokens, between words; inside a word only if it alone is too long.

    Args:
        text: Any text.
        limit: Maximum number of tokens per piece.
        count: Returns the number of tokens of a text.
    """
    if count(text) <= limit:
        return [text]
    found, current = [], ""
    for word in text.split():
        longer = f"{current} {word}".strip()
        if count(longer) <= limit:
            current = longer
            continue
        if current:
            found.append(current)
        while count(word) > limit:
            cut = next(n for n in range(min(len(word), limit), 0, -1) if count(word[:n]) <= limit or n == 1)
            found.append(word[:cut])
            word = word[cut:]
        current = word
    return [*found, current] if current else found
