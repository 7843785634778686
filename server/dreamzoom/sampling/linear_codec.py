"""The linear part of an autoencoder: what of its pictures a linear function of the latents gives, and the way back.

An autoencoder's latents are, for the most part, a small picture in other coordinates. While an estimate is still too
noisy to hold more, its linear picture says all that levels have to agree on, at the price of one small convolution.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import conv2d, pad, pixel_shuffle, pixel_unshuffle

from dreamzoom.sampling.codec import Codec

SIDE = 32
"""Latents a side of the pictures that the map is learnt from."""
COUNT = 4
AROUND = 3
"""Latents a side that a cell of pixels is made from."""


@dataclass(frozen=True)
class LinearCodec:
    """Both directions, as least squares find them.

    Attributes:
        scale: Pixels a side of a latent's cell.
        decoder: (3 · scale², C, AROUND, AROUND): latents to the cells' pixels.
        base: (3 · scale²,): the pixels where all latents are 0.
        encoder: (C, 3 · scale², 1, 1): a change of a cell's pixels to the change of the latent to be expected with it.
    """

    scale: int
    decoder: torch.Tensor
    base: torch.Tensor
    encoder: torch.Tensor

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """(C, h, w) to sRGB (3, H, W)."""
        around = pad(latents[None], [AROUND // 2] * 4, mode="replicate")
        return pixel_shuffle(conv2d(around, self.decoder, self.base), self.scale)[0]

    def change(self, pixels: torch.Tensor) -> torch.Tensor:
        """(3, H, W), a difference of pictures, to that of the latents, (C, h, w)."""
        return conv2d(pixel_unshuffle(pixels[None], self.scale), self.encoder)[0]


def learn(codec: Codec, device: torch.device) -> LinearCodec:
    """The linear part of a codec, from `COUNT` soft pictures of random colours; the same ones every time."""
    scale = codec.scale
    pictures = torch.from_numpy(_clouds(SIDE * scale)).to(device)
    latents = torch.cat([codec.encode(picture[None]) for picture in pictures])
    channels = latents.shape[1]
    if not torch.isfinite(latents).all():  # an autoencoder that overflows tells nothing: it changes nothing
        latents = torch.zeros_like(latents)
    cells = pixel_unshuffle(pictures, scale)
    around = torch.nn.functional.unfold(pad(latents, [AROUND // 2] * 4, mode="replicate"), AROUND)
    rows = (part.flatten(2).movedim(1, -1).flatten(0, 1) for part in (around, cells, latents))
    seen, pixels, own = (part.cpu().double() for part in rows)
    mean, middle = seen.mean(0), pixels.mean(0)
    decoder = _least_squares(seen - mean, pixels - middle).T
    encoder = _least_squares(pixels - middle, own - own.mean(0)).T
    base = middle - decoder @ mean
    shaped = decoder.reshape(-1, channels, AROUND, AROUND), base, encoder[:, :, None, None]
    return LinearCodec(scale, *(part.to(latents) for part in shaped))


def _least_squares(given: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """(n, a) and (n, b) to the (a, b) that maps one to the other best, by ridge regression."""
    gram = given.T @ given
    few = (1e-4 * gram.diagonal().mean() + 1e-12) * torch.eye(len(gram), dtype=gram.dtype)
    return torch.linalg.solve(gram + few, given.T @ wanted)


def _clouds(side: int) -> np.ndarray:
    """(COUNT, 3, side, side) float32 in 0..1, power falling with the square of the frequency as in photographs."""
    rng = np.random.default_rng(0)
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None, :])
    waves = np.fft.rfft2(rng.standard_normal((COUNT, 3, side, side))) / np.maximum(frequency, 1 / side)
    waves[..., 0, 0] = 0
    fields = np.fft.irfft2(waves, s=(side, side))
    fields /= fields.std((-1, -2), keepdims=True)
    mixing = rng.normal(0, 1, (COUNT, 3, 3)) / np.sqrt(3)
    colours = np.einsum("ncd,ndhw->nchw", mixing, fields) + rng.normal(0, 0.7, (COUNT, 3, 1, 1))
    return (1 / (1 + np.exp(-colours))).astype(np.float32)
