"""A linear approximation of an autoencoder, in both directions.

An autoencoder's latents are largely a linear transform of a reduced picture. While an estimate is too noisy to contain
more, its linear picture contains all that levels must have in common, at the cost of one small convolution.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import conv2d, pad, pixel_shuffle, pixel_unshuffle

from dreamzoom.sampling.codec import Codec

SIDE = 32
"""Side, in latents, of the pictures that the maps are fitted to."""
COUNT = 4
AROUND = 3
"""Side, in latents, of the neighbourhood from which a latent's cell of pixels is decoded."""


@dataclass(frozen=True)
class LinearCodec:
    """The least squares fits of decoder and encoder, as convolution weights.

    Attributes:
        scale: Pixels per latent along each side; the cell of a latent is scale × scale pixels.
        decoder: (3 · scale², C, AROUND, AROUND): latents to the cells' pixels.
        base: (3 · scale²,): the pixels where all latents are 0.
        encoder: (C, 3 · scale², 1, 1): a change of a cell's pixels to the expected change of its latent.
    """

    scale: int
    decoder: torch.Tensor
    base: torch.Tensor
    encoder: torch.Tensor

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Latents (C, h, w) to an sRGB picture (3, H, W)."""
        around = pad(latents[None], [AROUND // 2] * 4, mode="replicate")
        return pixel_shuffle(conv2d(around, self.decoder, self.base), self.scale)[0]

    def change(self, pixels: torch.Tensor) -> torch.Tensor:
        """A difference of pictures (3, H, W) to the expected difference of latents (C, h, w)."""
        return conv2d(pixel_unshuffle(pixels[None], self.scale), self.encoder)[0]


def learn(codec: Codec, device: torch.device) -> LinearCodec:
    """Fit the linear approximation of a codec to `COUNT` smooth random pictures, which are the same in every run."""
    scale = codec.scale
    pictures = torch.from_numpy(_random_pictures(SIDE * scale)).to(device)
    latents = torch.cat([codec.encode(picture[None]) for picture in pictures])
    channels = latents.shape[1]
    if not torch.isfinite(latents).all():  # the autoencoder overflowed: use maps that change nothing
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
    """The matrix (a, b) that maps rows of `given` (n, a) to rows of `wanted` (n, b), by ridge regression."""
    gram = given.T @ given
    ridge = (1e-4 * gram.diagonal().mean() + 1e-12) * torch.eye(len(gram), dtype=gram.dtype)
    return torch.linalg.solve(gram + ridge, given.T @ wanted)


def _random_pictures(side: int) -> np.ndarray:
    """Random pictures (COUNT, 3, side, side) float32 in 0..1; power falls with frequency², as in photographs."""
    rng = np.random.default_rng(0)
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None, :])
    waves = np.fft.rfft2(rng.standard_normal((COUNT, 3, side, side))) / np.maximum(frequency, 1 / side)
    waves[..., 0, 0] = 0
    fields = np.fft.irfft2(waves, s=(side, side))
    fields /= fields.std((-1, -2), keepdims=True)
    mixing = rng.normal(0, 1, (COUNT, 3, 3)) / np.sqrt(3)
    colours = np.einsum("ncd,ndhw->nchw", mixing, fields) + rng.normal(0, 0.7, (COUNT, 3, 1, 1))
    return (1 / (1 + np.exp(-colours))).astype(np.float32)
