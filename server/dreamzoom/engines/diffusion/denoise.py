"""The networks as denoisers of the joint sampler: UNets of Stable Diffusion, transformers of flow matching.

Both see z = α x + σ n; what differs is the map from time to (α, σ) and what their output means (`zoom.schedule`).
A UNet's DDPM schedule has α² + σ² = 1. Flow matching has α = 1 − t, σ = t and predicts dz/dt = n − x, so
x̂ = z − t v. The sampler steps in z/α = x + ρ n with ρ = σ/α = t / (1 − t), where the joint step is the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from dreamzoom.engines.diffusion.watch import Watch
from dreamzoom.engines.diffusion.words import Words
from dreamzoom.report import Report
from dreamzoom.zoom.codec import VaeCodec
from dreamzoom.zoom.sampler import Prompt
from dreamzoom.zoom.schedule import Flow, Prediction, VariancePreserving

PREDICTIONS = {"epsilon": Prediction.NOISE, "v_prediction": Prediction.ANGULAR, "sample": Prediction.CLEAN}

SOLVERS: dict[str, dict[str, Any]] = {
    "auto": {"eta": 1.0, "order": 2},
    "ddpm": {"eta": 1.0, "order": 1},
    "ddim": {"eta": 0.0, "order": 1},
    "euler": {"eta": 0.0, "order": 1},
    "dpm++": {"eta": 0.0, "order": 2},
    "lcm": {"eta": 1e9, "order": 1},
}
"""The schedulers in the sampler's terms. Euler's method along z/α over ρ is DDIM; LCM draws all noise anew."""


class NetworkDenoiser:
    """What UNets and transformers share.

    Args:
        pipe: The painter's pipeline, whose network, autoencoder and text encoders are used.
        words: Reads prompts.
        positive: The prompts of the job; all other texts are negative ones, which get no style.
        watch: The hooks on the networks.
        report: Where a cancel arrives.
    """

    def __init__(self, pipe: Any, words: Words, positive: Sequence[str], watch: Watch, report: Report):
        self.pipe, self.words, self.positive = pipe, words, frozenset(positive)
        self.codec = VaeCodec(pipe.vae)
        self.device = pipe._execution_device
        watch.begin(report, 0, "")

    def read(self, prompts: Sequence[Prompt]) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The batch's words, (B, L, C) and pooled (B, D)."""
        return self.words.for_network([(prompt, prompt[0][0] not in self.positive) for prompt in prompts])


class UnetDenoiser(NetworkDenoiser):
    """SD 1.5, 2 and XL, with four channels or the nine of inpainting models, in which all is open."""

    multiple = 8

    def __init__(self, *arguments):
        super().__init__(*arguments)
        from diffusers import DDPMScheduler

        own = DDPMScheduler.from_config(self.pipe.scheduler.config)
        kept = own.alphas_cumprod.double().numpy().clip(1e-6, 1 - 1e-9)  # zero terminal SNR has 0 at its end
        self.schedule = VariancePreserving(np.sqrt((1 - kept) / kept))
        self.prediction = PREDICTIONS[own.config.prediction_type]
        self._open: dict[tuple[int, int], torch.Tensor] = {}

    @torch.no_grad()
    def __call__(self, z: torch.Tensor, times: np.ndarray, prompts: Sequence[Prompt]) -> torch.Tensor:
        """The UNet's output for latents z (B, 4, h, w)."""
        unet = self.pipe.unet
        embeds, pooled = self.read(prompts)
        given = z.to(unet.dtype)
        if unet.config.in_channels == 9:
            given = torch.cat([given, self._all_open(z).expand(len(z), -1, -1, -1)], 1)
        more: dict[str, Any] = {}
        if pooled is not None:
            side = (z.shape[-2] * self.codec.scale, z.shape[-1] * self.codec.scale)
            place = torch.tensor([[*side, 0, 0, *side]], dtype=unet.dtype, device=z.device)
            more["added_cond_kwargs"] = {"text_embeds": pooled, "time_ids": place.expand(len(z), -1)}
        if unet.config.time_cond_proj_dim is not None:  # LCM: trained with its guidance inside
            weight = torch.full((len(z),), 7.5 - 1)
            width = unet.config.time_cond_proj_dim
            more["timestep_cond"] = self.pipe.get_guidance_scale_embedding(weight, width).to(z.device, unet.dtype)
        when = torch.as_tensor(times, dtype=torch.float32, device=z.device)
        return unet(given, when, encoder_hidden_states=embeds.to(unet.dtype), **more).sample.to(z.dtype)

    def _all_open(self, z: torch.Tensor) -> torch.Tensor:
        """The mask and the picture's known part for an inpainting model that is to paint all: (1, 5, h, w)."""
        size = tuple(z.shape[-2:])
        if size not in self._open:
            grey = torch.full((1, 3, size[0] * self.codec.scale, size[1] * self.codec.scale), 0.5, device=z.device)
            unet = self.pipe.unet
            nothing = self.codec.encode(grey).to(unet.dtype)
            self._open = {size: torch.cat([torch.ones_like(nothing[:, :1]), nothing], 1)}
        return self._open[size]


class FlowDenoiser(NetworkDenoiser):
    """SD 3 and 3.5: a diffusion transformer trained by flow matching."""

    multiple = 16
    schedule = Flow()
    prediction = Prediction.VELOCITY

    @torch.no_grad()
    def __call__(self, z: torch.Tensor, times: np.ndarray, prompts: Sequence[Prompt]) -> torch.Tensor:
        """The transformer's velocity for latents z (B, C, h, w) at t in 0..1."""
        transformer = self.pipe.transformer
        embeds, pooled = self.read(prompts)
        span = self.pipe.scheduler.config.num_train_timesteps
        when = torch.as_tensor(times * span, dtype=torch.float32, device=z.device)
        answer = transformer(
            hidden_states=z.to(transformer.dtype),
            timestep=when.to(transformer.dtype),
            encoder_hidden_states=embeds.to(transformer.dtype),
            pooled_projections=pooled.to(transformer.dtype),
            return_dict=False,
        )[0]
        return answer.to(z.dtype)


DENOISERS = {"sd": UnetDenoiser, "sdxl": UnetDenoiser, "sd3": FlowDenoiser}
