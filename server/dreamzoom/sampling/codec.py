"""Codecs: between pictures and what a model denoises, its latents."""

from __future__ import annotations

from typing import Protocol

import torch


class Codec(Protocol):
    """Pictures are (B, 3, H, W) sRGB in 0..1, latents (B, C, H / scale, W / scale)."""

    channels: int
    scale: int
    exact: bool  # decode(encode(x)) is x, and both are affine and pixel by pixel

    def encode(self, pictures: torch.Tensor) -> torch.Tensor:
        """Pictures to latents; deterministic (the mean, no sampling)."""
        ...

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Latents to pictures, not clipped."""
        ...


class PixelCodec:
    """For models of pixels in −1..1."""

    channels, scale, exact = 3, 1, True

    def encode(self, pictures: torch.Tensor) -> torch.Tensor:
        """0..1 to −1..1."""
        return pictures * 2 - 1

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """−1..1 to 0..1."""
        return (latents + 1) / 2


class VaeCodec:
    """A `diffusers` AutoencoderKL: blending happens in its decoded pictures, since its latents do not scale as
    pictures do.

    Args:
        vae: The autoencoder, in evaluation mode on its device.
    """

    exact = False

    def __init__(self, vae):
        self.vae = vae
        self.channels = vae.config.latent_channels
        self.scale = 2 ** (len(vae.config.block_out_channels) - 1)
        self.factor = vae.config.scaling_factor
        self.shift = getattr(vae.config, "shift_factor", None) or 0.0

    @torch.no_grad()
    def encode(self, pictures: torch.Tensor) -> torch.Tensor:
        """The mean of the encoder's distribution, scaled as the model wants it."""
        mean = self.vae.encode((pictures * 2 - 1).to(self.vae.dtype)).latent_dist.mode()
        return ((mean - self.shift) * self.factor).to(pictures.dtype)

    @torch.no_grad()
    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """The decoder's picture."""
        decoded = self.vae.decode((latents / self.factor + self.shift).to(self.vae.dtype)).sample
        return ((decoded + 1) / 2).to(latents.dtype)
