"""Codecs: conversion between pictures and the latents that a model denoises."""

from __future__ import annotations

from typing import Protocol

import torch


class Codec(Protocol):
    """Pictures are (B, 3, H, W) sRGB in 0..1, latents (B, C, H / scale, W / scale).

    Attributes:
        channels: C.
        scale: Pixels per latent along each side.
        exact: Whether decode(encode(x)) is x and both are affine and act on single pixels.
    """

    channels: int
    scale: int
    exact: bool

    def encode(self, pictures: torch.Tensor) -> torch.Tensor:
        """Pictures (B, 3, H, W) to latents; deterministic (the mean, no sampling)."""
        ...

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Latents to pictures (B, 3, H, W), not clipped."""
        ...


class PixelCodec:
    """The codec of models that denoise pixels in −1..1."""

    channels, scale, exact = 3, 1, True

    def encode(self, pictures: torch.Tensor) -> torch.Tensor:
        """Pictures in 0..1 to latents in −1..1."""
        return pictures * 2 - 1

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Latents in −1..1 to pictures in 0..1."""
        return (latents + 1) / 2


class VaeCodec:
    """The codec of a `diffusers` AutoencoderKL.

    Levels are blended in decoded pictures, because resampling latents does not correspond to resampling pictures.

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
        """The mean of the encoder's distribution, scaled and shifted for the diffusion model."""
        mean = self.vae.encode((pictures * 2 - 1).to(self.vae.dtype)).latent_dist.mode()
        return ((mean - self.shift) * self.factor).to(pictures.dtype)

    @torch.no_grad()
    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """The decoded pictures, not clipped."""
        decoded = self.vae.decode((latents / self.factor + self.shift).to(self.vae.dtype)).sample
        return ((decoded + 1) / 2).to(latents.dtype)
