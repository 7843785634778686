"""Models with a known right answer, for the measurements of the zoom."""

from __future__ import annotations

import numpy as np
import torch

from dreamzoom.engines.spectral import SpectralEngine
from dreamzoom.report import Report
from dreamzoom.zoom.blend import Blend, conform
from dreamzoom.zoom.codec import PixelCodec, VaeCodec
from dreamzoom.zoom.gaussian import Field, FieldDenoiser, to_waves
from dreamzoom.zoom.levels import sample_levels
from dreamzoom.zoom.sampler import JointSampler, Plan
from dreamzoom.zoom.schedule import Flow, Prediction, VariancePreserving
from dreamzoom.zoom.stack import make_nest


class UnclippedSampler(JointSampler):
    """Without 8-bit steps and clipping, which are not part of the distribution."""

    def _finish(self, level, picture, coarser, nest):
        if coarser is None or nest is None or self.plan.blend is not Blend.LAPLACIAN:
            return picture
        return conform(picture, coarser, nest)


class KeepingSampler(JointSampler):
    """Keeps the latents that decode to the merged pictures: those of a level's last step, moved as the pictures were.

    The move is scaled so that what it decodes to comes closest.
    """

    def _estimate(self, active, step, above):
        result = super()._estimate(active, step, above)
        self.latents = getattr(self, "latents", {})
        codec = self.denoiser.codec
        for k in [k for k in active if step - k * self.lag == len(self.ratios) - 1]:
            decoded, merged = codec.decode(result[k][None]), active[k].picture[None]
            change = codec.encode(merged) - codec.encode(decoded)
            moves, wanted = codec.decode(result[k][None] + change) - decoded, merged - decoded
            share = (moves * wanted).sum() / (moves**2).sum().clamp_min(1e-12)
            self.latents[k] = result[k] + change[0] * share.clamp(0, 1)
        return result


class GaussianWorld:
    """One stationary Gaussian world seen in three levels of size²: covariances and denoisers are exact.

    Attributes:
        factors: Eigenvalues (size²,) and eigenvectors (size², size²) of each level's covariance.
        nested: Whether the sampler is told that its levels are views of one world.
    """

    multiple, native, device, codec, prediction = 1, None, torch.device("cpu"), PixelCodec(), Prediction.CLEAN
    levels = 3

    def __init__(self, size: int = 16):
        self.size, self.nested = size, True
        self.schedule = Flow(0.005, 50.0)  # the last estimate of a wave of power v lacks 0.005² / v of it
        fine = self.size * 2 ** (self.levels - 1)
        frequency = np.fft.fftfreq(4 * fine)
        power = 0.004 / (frequency[:, None] ** 2 + frequency[None, :] ** 2 + (0.25 / fine) ** 2)
        self.factors = [np.linalg.eigh(self._covariance(power, frequency, k)) for k in range(self.levels)]
        nest = make_nest((size, size), 2.0)
        window = nest.window(torch.arange(size**2).reshape(size, size)).flatten().numpy()
        parts = [np.linalg.eigh(((v * e) @ v.T)[np.ix_(window, window)]) for e, v in self.factors]
        self.tables = {
            (k, len(e)): (torch.from_numpy(v).float(), torch.from_numpy(e).float())
            for pairs in (self.factors, parts)
            for k, (e, v) in enumerate(pairs)
        }

    def _covariance(self, power: np.ndarray, frequency: np.ndarray, level: int) -> np.ndarray:
        """Of the level's pixels, each the mean of (2^n)² finest ones."""
        block = 2 ** (self.levels - 1 - level)
        safe = np.where(frequency == 0, 0.5, frequency)
        box = np.where(frequency == 0, 1, np.sin(np.pi * safe * block) / (block * np.sin(np.pi * safe)))
        lags = np.fft.ifft2(power * box[:, None] ** 2 * box[None, :] ** 2).real
        at = np.arange(self.size) * block
        delta = (at[:, None] - at[None, :]) % len(frequency)
        return lags[delta[:, None, :, None], delta[None, :, None, :]].reshape(self.size**2, self.size**2)

    def __call__(self, z: torch.Tensor, times: np.ndarray, prompts) -> torch.Tensor:
        """The exact posterior mean of a whole level or of its window; the prompt is the level's number."""
        result = []
        for one, alpha, sigma, prompt in zip(z, self.schedule.alpha(times), self.schedule.sigma(times), prompts):
            vectors, values = self.tables[int(prompt[0][0]), one[0].numel()]
            waves = (one.reshape(3, -1) / float(alpha)) @ vectors
            result.append(((waves * (values / (values + float(sigma / alpha) ** 2))) @ vectors.T).reshape(one.shape))
        return torch.stack(result)

    def one_world(self, coarse, fine) -> bool:
        """It is."""
        return self.nested

    def sample(self, runs: int, **options) -> list[np.ndarray]:
        """(runs, 3, size, size) a level, jointly sampled, in the model's units."""
        prompts = [((str(k), 1.0),) for k in range(self.levels)]
        found: list[list[np.ndarray]] = [[] for _ in range(self.levels)]
        for run in range(runs):
            seeds = [1000 + run * 10 + k for k in range(self.levels)]
            plan = Plan(prompts, seeds, 2.0, (self.size, self.size), **({"steps": 80} | options))
            for level, picture in UnclippedSampler(self, plan).run():
                found[level].append(picture.numpy() * 2 - 1)
        return [np.stack(pictures) for pictures in found]

    def octaves(self, level: int, values: np.ndarray) -> list[float]:
        """Power per octave of cosine waves, low to high, over that of the true distribution."""
        variances, vectors = self.factors[level]
        waves = to_waves(torch.from_numpy((vectors * np.sqrt(variances)).T.reshape(-1, self.size, self.size)).float())
        expected, found = (waves**2).sum(0), (to_waves(torch.from_numpy(values)) ** 2).mean((0, 1))
        step = torch.arange(self.size) / (2 * self.size)
        frequency = torch.hypot(step[:, None], step[None, :])
        bands = [(frequency >= 2.0**-o / 2) & (frequency < 2.0**-o) for o in (4, 3, 2, 1)]
        return [float(found[band].sum() / expected[band].sum()) for band in bands]

    def whiten(self, level: int, values: np.ndarray) -> np.ndarray:
        """(runs · 3, size²) that are independent with variance 1 if the distribution is right."""
        variances, vectors = self.factors[level]
        return values.reshape(-1, self.size**2) @ vectors / np.sqrt(variances)

    def bands(self, level: int) -> list[np.ndarray]:
        """Indices of the eigenvectors from strong (low frequencies) to weak."""
        return np.array_split(np.argsort(-self.factors[level][0]), [4, 16, 64, 128, 192])

    def deviation(self, level: int) -> float:
        """Of one pixel."""
        variances, vectors = self.factors[level]
        return float(np.sqrt((vectors[0] ** 2 * variances).sum()))


def octaves(pictures: list[torch.Tensor]) -> torch.Tensor:
    """Mean power of the cosine waves of pictures (3, n, n) in five octaves, low to high."""
    count = pictures[0].shape[-1]
    step = torch.arange(count) / (2 * count)
    frequency = torch.hypot(step[:, None], step[None, :])
    bands = [(frequency >= 2.0**-o / 2) & (frequency < 2.0**-o) for o in (5, 4, 3, 2, 1)]
    waves = torch.stack([to_waves(picture - 0.5) for picture in pictures])
    return torch.stack([(waves[..., band] ** 2).sum((1, 2)).mean() for band in bands])


def random_vae() -> VaeCodec:
    """Stable Diffusion's autoencoder in small, weights at random, eight pixels a latent."""
    from diffusers import AutoencoderKL

    torch.manual_seed(0)
    blocks = 4
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * blocks, up_block_types=("UpDecoderBlock2D",) * blocks,
        block_out_channels=(16, 16, 32, 32), layers_per_block=1, latent_channels=4, norm_num_groups=8,
    )  # fmt: skip
    return VaeCodec(vae.eval())


def fitted_vae(rounds: int = 150) -> VaeCodec:
    """An autoencoder of two pixels a latent, fitted for a few seconds to textures."""
    from diffusers import AutoencoderKL

    torch.manual_seed(0)
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(16, 32), layers_per_block=1, latent_channels=8, norm_num_groups=8, scaling_factor=1.0,
    )  # fmt: skip
    optimiser = torch.optim.Adam(vae.parameters(), 3e-3)
    pictures = textures(48, 32)
    for round_ in range(rounds):
        batch = pictures[torch.randint(len(pictures), (8,))]
        loss = ((vae.decode(vae.encode(batch * 2 - 1).latent_dist.mode()).sample - (batch * 2 - 1)) ** 2).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        for group in optimiser.param_groups:
            group["lr"] = 3e-3 * (1 - round_ / rounds)
    return VaeCodec(vae.eval())


def textures(count: int, size: int) -> torch.Tensor:
    """(count, 3, size, size) in 0..1, of the spectral engine's rock."""
    field = SpectralEngine()._field((("rock", 1.0),), (size, size))
    torch.manual_seed(1)
    return torch.stack([(field.sample(torch.randn(3, size, size)) + 1) / 2 for _ in range(count)]).clamp(0, 1)


class LatentModel(FieldDenoiser):
    """The Gaussian that fits the codec's latents of textures best, as a latent diffusion model."""

    def __init__(self, codec: VaeCodec, side: int = 64):
        super().__init__(lambda prompt, size: self.fitted)
        self.schedule, self.codec, self.multiple = VariancePreserving.scaled_linear(), codec, codec.scale
        self.pictures = textures(32, side)
        latents = codec.encode(self.pictures)
        mean = latents.mean((0, 2, 3))
        centred = latents - mean[None, :, None, None]
        covariance = torch.einsum("bchw,bdhw->cd", centred, centred) / centred[:, 0].numel()
        values, vectors = torch.linalg.eigh(covariance)
        mixing = vectors * values.clamp_min(1e-8).sqrt()
        white = torch.einsum("dc,bdhw->bchw", vectors / values.clamp_min(1e-8).sqrt(), centred)
        self.fitted = Field(mean, mixing, (to_waves(white) ** 2).mean((0, 1)).clamp_min(1e-6))

    def reconstruction_db(self) -> float:
        """PSNR of Dec(Enc(x)) against x."""
        error = self.codec.decode(self.codec.encode(self.pictures)) - self.pictures
        return float(-10 * torch.log10((error**2).mean()))


__all__ = ["GaussianWorld", "KeepingSampler", "LatentModel", "Report", "fitted_vae", "random_vae", "sample_levels"]
