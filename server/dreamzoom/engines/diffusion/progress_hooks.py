"""Hooks on networks that report progress, show previews and check for cancellation between calls."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch

from dreamzoom.engines.diffusion.canvas import resized
from dreamzoom.progress import PREVIEW_INTERVAL, PREVIEW_SIDE, Report
from dreamzoom.sampling.codec import VaeCodec


class Watch:
    """Forward hooks on networks, so that any pipeline can be cancelled, even if it has no callbacks.

    The hooks remain installed; the report that receives the progress is set for each run.
    """

    def __init__(self):
        self.report = Report()
        self.calls = 0
        self._total = 0
        self._done = 0
        self._title = ""

    def network(self, module: torch.nn.Module) -> None:
        """Hook a network that is called at every step; its calls count as progress."""
        module.register_forward_pre_hook(self._before)

    def part(self, module: torch.nn.Module) -> None:
        """Hook a part that is called occasionally; only checks for cancellation."""
        module.register_forward_pre_hook(lambda *_: self.report.check())

    def begin(self, report: Report, total: int, title: str) -> None:
        """Start reporting for one run with `total` expected network calls; 0 to only check for cancellation."""
        self.report, self._total, self._done, self._title = report, total, 0, title

    def end(self) -> None:
        """Stop reporting."""
        self.report = Report()

    def _before(self, *_) -> None:
        self.calls += 1
        if self._total:
            self.report.progress(min(self._done / self._total, 1.0), self._title)
            self._done += 1
        else:
            self.report.check()


class Previews:
    """Previews of an unfinished picture, computed directly from its latents.

    A linear map from latents to colours is fitted (ridge regression) to the autoencoder's latents of smooth colours and
    to finished pictures, so it works with every autoencoder. For models that pack their latents into tokens it is
    fitted to finished pictures only, so their first picture has no preview.
    """

    def __init__(self):
        self._gram: torch.Tensor | None = None
        self._aim: torch.Tensor | None = None
        self._shown = -1e9

    @property
    def is_ready(self) -> bool:
        """Whether the map was fitted."""
        return self._gram is not None

    def learn_colours(self, codec: VaeCodec, device: torch.device) -> None:
        """Fit the map to the latents of fixed smooth colours, 16 × 16 latents."""
        coarse = torch.rand((1, 3, 5, 5), generator=torch.Generator().manual_seed(0))
        side = 16 * codec.scale
        soft = torch.nn.functional.interpolate(coarse, (side, side), mode="bicubic").clamp(0, 1)
        self.learn(codec.encode(soft.to(device)), soft[0].permute(1, 2, 0).numpy())

    def learn(self, latents: torch.Tensor, rgb: np.ndarray) -> None:
        """Update the fit with a finished picture (H, W, 3) and the latents it was decoded from."""
        grid = spread(latents, rgb.shape[:2])
        if grid is None or not torch.isfinite(grid).all():  # autoencoders overflow in half precision
            return
        features = _with_one(grid)
        small = np.ascontiguousarray(resized(rgb, (grid.shape[0], grid.shape[1])))
        small = torch.from_numpy(small).double().reshape(-1, 3)
        gram, aim = features.T @ features, features.T @ small
        self._gram = gram if self._gram is None else self._gram + gram
        self._aim = aim if self._aim is None else self._aim + aim

    def show(self, latents: torch.Tensor, size: tuple[int, int], report: Report) -> None:
        """Show a preview (H, W) = `size` of an unfinished picture, at most twice per second."""
        now = time.monotonic()
        if self._gram is None or now - self._shown < PREVIEW_INTERVAL:
            return
        grid = spread(latents, size)
        if grid is None:
            return
        self._shown = now
        few = 1e-3 * self._gram.diagonal().mean() * torch.eye(len(self._gram), dtype=torch.float64)
        colours = torch.linalg.solve(self._gram + few, self._aim)
        rgb = (_with_one(grid) @ colours).reshape(*grid.shape[:2], 3).clamp(0, 1).float().numpy()
        scale = min(1.0, PREVIEW_SIDE / max(size))
        report.preview(resized(rgb, (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))))


def spread(latents: torch.Tensor, size: tuple[int, int]) -> torch.Tensor | None:
    """Latents of one picture of size (H, W) as a grid (h, w, C), from a grid or from packed tokens."""
    one = latents.detach()[0].float().cpu()
    if one.ndim == 4:  # (C, frames, h, w)
        one = one[:, 0]
    if one.ndim == 3:
        return one.permute(1, 2, 0)
    for cell in (8, 16, 32):
        height, width = size[0] // cell, size[1] // cell
        if height * width == len(one):
            return one.reshape(height, width, -1)
    return None


def _with_one(grid: torch.Tensor) -> torch.Tensor:
    flat = grid.reshape(-1, grid.shape[-1]).double()
    return torch.cat([flat, torch.ones(len(flat), 1, dtype=torch.float64)], 1)


def watched(watch: Watch, pipe: Any, network: str) -> None:
    """Install hooks on all slow parts of a pipeline."""
    watch.network(getattr(pipe, network))
    for name in ("vae", "text_encoder", "text_encoder_2", "text_encoder_3"):
        part = getattr(pipe, name, None)
        if part is None:
            continue
        inner = [part.encoder, part.decoder] if name == "vae" else [part]
        for module in inner:
            watch.part(module)
