"""Networks as denoisers for the joint sampler: UNets of Stable Diffusion, and flow-matching transformers.

Both take z = α x + σ n; they differ in the map from time to (α, σ) and in the prediction type (`sampling.schedule`).
A UNet's DDPM schedule has α² + σ² = 1. Flow matching has α = 1 − t, σ = t and predicts dz/dt = n − x, so
x̂ = z − t v. The sampler steps in z/α = x + ρ n with ρ = σ/α = t / (1 − t), where the joint step is the same.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch

from dreamzoom.engines.diffusion.progress_hooks import Watch
from dreamzoom.engines.diffusion.prompt_encoding import PromptEncoder
from dreamzoom.progress import Report
from dreamzoom.sampling.codec import VaeCodec
from dreamzoom.sampling.denoiser import Prompt
from dreamzoom.sampling.schedule import Flow, Prediction, VariancePreserving

PREDICTIONS = {"epsilon": Prediction.NOISE, "v_prediction": Prediction.ANGULAR, "sample": Prediction.CLEAN}

SOLVERS: dict[str, dict[str, Any]] = {
    "auto": {"eta": 1.0, "order": 2},
    "ddpm": {"eta": 1.0, "order": 1},
    "ddim": {"eta": 0.0, "order": 1},
    "euler": {"eta": 0.0, "order": 1},
    "dpm++": {"eta": 0.0, "order": 2},
    "lcm": {"eta": 1e9, "order": 1},
}
"""The schedulers as options of the joint sampler. Euler's method on z/α over ρ is DDIM; LCM redraws all noise."""


class Codec(VaeCodec):
    """The autoencoder, with reduced memory use after an out-of-memory error.

    Args:
        vae: An AutoencoderKL.
        guard: Runs a function; if memory runs out, reduces the memory use and runs it again.
    """

    def __init__(self, vae, guard: Callable[[Callable[[], Any]], Any]):
        super().__init__(vae)
        self._guard = guard

    def encode(self, pictures: torch.Tensor) -> torch.Tensor:
        """See `VaeCodec`."""
        with self._fine():
            return self._guard(lambda: super(Codec, self).encode(pictures))

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """See `VaeCodec`."""
        with self._fine():
            return self._guard(lambda: super(Codec, self).decode(latents))

    @contextlib.contextmanager
    def _fine(self) -> Iterator[None]:
        """Run in float32 if half precision would overflow (SDXL's autoencoder)."""
        half = self.vae.dtype
        upcast = half == torch.float16 and self.vae.config.force_upcast
        if upcast:
            self.vae.to(torch.float32)
        try:
            yield
        finally:
            if upcast:
                self.vae.to(half)


class NetworkDenoiser(ABC):
    """Base class of `UnetDenoiser` and `FlowDenoiser`.

    Args:
        pipe: The painter's pipeline, whose network, autoencoder and text encoders are used.
        encoder: Encodes prompts.
        positive: The prompts of the job; all other texts are negative prompts, to which no style is added.
        watch: The hooks on the networks.
        guard: Runs a function; if memory runs out, reduces the memory use and runs it again.
        report: Receives progress and raises `Cancelled`.
        native: The side, in pixels, of the square pictures that the network was trained on.
    """

    def __init__(
        self,
        pipe: Any,
        encoder: PromptEncoder,
        positive: Sequence[str],
        watch: Watch,
        guard: Callable[[Callable[[], Any]], Any],
        report: Report,
        native: int | None = None,
    ):
        self.pipe, self.encoder, self.positive, self.guard = pipe, encoder, frozenset(positive), guard
        self.codec = Codec(pipe.vae, guard)
        self.device, self.native = pipe._execution_device, native
        watch.begin(report, 0, "")

    @torch.no_grad()
    def __call__(self, z: torch.Tensor, times: np.ndarray, prompts: Sequence[Prompt]) -> torch.Tensor:
        """The network's output for latents z (B, C, h, w); prompts with embeddings of equal length are batched."""
        read = [self.encoder.for_network(prompt, prompt[0][0] not in self.positive) for prompt in prompts]
        by_length = defaultdict(list)
        for index, (embeds, _) in enumerate(read):
            by_length[embeds.shape[1]].append(index)
        answer = torch.empty_like(z)
        for chosen in by_length.values():
            embeds = torch.cat([read[i][0] for i in chosen])
            pooled = None if read[0][1] is None else torch.cat([read[i][1] for i in chosen])
            part, when = z[chosen], torch.as_tensor(np.asarray(times)[chosen], dtype=torch.float32, device=z.device)
            answer[chosen] = self.guard(lambda p=part, w=when, e=embeds, o=pooled: self.ask(p, w, e, o)).to(z.dtype)
        return answer

    def one_world(self, coarse: Prompt, fine: Prompt) -> bool:
        """False: networks are trained on whole pictures of one size."""
        return False

    @abstractmethod
    def ask(
        self, z: torch.Tensor, times: torch.Tensor, embeds: torch.Tensor, pooled: torch.Tensor | None
    ) -> torch.Tensor:
        """Call the network once."""


class UnetDenoiser(NetworkDenoiser):
    """SD 1.5, 2 and XL, with four latent channels, or nine of inpainting models (with everything masked)."""

    multiple = 8

    def __init__(self, *arguments):
        super().__init__(*arguments)
        from diffusers.schedulers.scheduling_ddpm import DDPMScheduler

        own: Any = DDPMScheduler.from_config(self.pipe.scheduler.config)
        kept = own.alphas_cumprod.double().numpy().clip(1e-6, 1 - 1e-9)  # with zero terminal SNR the last value is 0
        self.schedule = VariancePreserving(np.sqrt((1 - kept) / kept))
        self.prediction = PREDICTIONS[own.config.prediction_type]
        self._open: dict[tuple[int, int], torch.Tensor] = {}

    def ask(
        self, z: torch.Tensor, times: torch.Tensor, embeds: torch.Tensor, pooled: torch.Tensor | None
    ) -> torch.Tensor:
        """The UNet's output for latents z (B, 4, h, w)."""
        unet = self.pipe.unet
        given = z.to(unet.dtype)
        if unet.config.in_channels == 9:
            given = torch.cat([given, self._all_open(z).expand(len(z), -1, -1, -1)], 1)
        more: dict[str, Any] = {}
        if pooled is not None:
            side = (z.shape[-2] * self.codec.scale, z.shape[-1] * self.codec.scale)
            place = torch.tensor([[*side, 0, 0, *side]], dtype=unet.dtype, device=z.device)
            more["added_cond_kwargs"] = {"text_embeds": pooled.to(unet.dtype), "time_ids": place.expand(len(z), -1)}
        if unet.config.time_cond_proj_dim is not None:  # LCM: the guidance scale is an input
            weight = torch.full((len(z),), 7.5 - 1)
            width = unet.config.time_cond_proj_dim
            more["timestep_cond"] = self.pipe.get_guidance_scale_embedding(weight, width).to(z.device, unet.dtype)
        return unet(given, times, encoder_hidden_states=embeds.to(unet.dtype), **more).sample

    def _all_open(self, z: torch.Tensor) -> torch.Tensor:
        """The mask and the masked picture's latents for an inpainting model that paints everything: (1, 5, h, w)."""
        size = z.shape[-2], z.shape[-1]
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

    def ask(
        self, z: torch.Tensor, times: torch.Tensor, embeds: torch.Tensor, pooled: torch.Tensor | None
    ) -> torch.Tensor:
        """The transformer's velocity for latents z (B, C, h, w) at t in 0..1."""
        assert pooled is not None
        transformer = self.pipe.transformer
        span = self.pipe.scheduler.config.num_train_timesteps
        return transformer(
            hidden_states=z.to(transformer.dtype),
            timestep=(times * span).to(transformer.dtype),
            encoder_hidden_states=embeds.to(transformer.dtype),
            pooled_projections=pooled.to(transformer.dtype),
            return_dict=False,
        )[0]


DENOISERS = {"unet": UnetDenoiser, "flow": FlowDenoiser}
"""By `families.Family.joint`."""
