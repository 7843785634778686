"""A diffusion engine with randomly initialised networks: runs every stage of a job without a model on disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dreamzoom.engines.diffusion.depth import Depth
from dreamzoom.engines.diffusion.families import DEPTHS, SDXL
from dreamzoom.engines.diffusion.loading import Placement
from dreamzoom.engines.diffusion.network_denoisers import UnetDenoiser
from dreamzoom.engines.diffusion.painter import Order, Painter, PaintSettings
from dreamzoom.engines.diffusion.progress_hooks import Watch, watched
from dreamzoom.geometry.view import DepthKind, DepthMap, View
from dreamzoom.machine.random_networks import RandomPromptEncoder, Size, depth_network, pipeline
from dreamzoom.progress import Report

GUIDANCE = 6.0
BATCH = 4


def random_depth(size: Size, where: Placement) -> Depth:
    """A depth model with random weights and the input format of Depth Anything."""
    side = size.depth["image_size"]
    looks = {
        "size": {"height": side, "width": side}, "keep_aspect_ratio": True, "ensure_multiple_of": 14,
        "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225], "resample": 3,
    }  # fmt: skip
    return Depth(DEPTHS["depth_anything"], DepthKind.DISPARITY, depth_network(size, where), looks, where)


class RandomEngine:
    """Implements `engines.base.Engine` and `Denoises`.

    Args:
        size: Size of the networks.
        where: Their device and precision.
    """

    name = "diffusion"
    multiview_consistent = False

    def __init__(self, size: Size, where: Placement):
        self.size, self.where = size, where
        self.pipe = pipeline(size, where)
        watch = Watch()
        watched(watch, self.pipe, "unet")
        self.encoder: Any = RandomPromptEncoder(size, where)
        self.painter = Painter(self.pipe, SDXL, self.encoder, PaintSettings(size.steps, 0.55), watch)
        self._depth = random_depth(size, where)

    def identity(self) -> dict[str, Any]:
        """Its size."""
        return {"engine": "random", "size": self.size.name}

    def dependencies(self, level: int) -> dict[str, Any]:
        """Nothing."""
        return {}

    def sampling(self) -> dict[str, Any]:
        """Keyword arguments for joint sampling."""
        return {"steps": self.size.steps, "guidance": GUIDANCE, "batch": BATCH}

    def denoiser(self, report: Report) -> UnetDenoiser:
        """The UNet as a denoiser for the joint sampler."""
        return UnetDenoiser(self.pipe, self.encoder, (), self.painter.watch, _run, report, self.size.side)

    def paint(
        self,
        view: View,
        rgb: np.ndarray,
        mask: np.ndarray,
        prompt: str,
        negative_prompt: str,
        seed: int,
        report: Report,
    ) -> np.ndarray:
        """See `engines.base.Engine.paint`."""
        order = Order(((prompt, 1.0),), negative_prompt, GUIDANCE, seed, view.name)
        return self.painter.paint(rgb, mask, order, report, view.name.endswith("/anchor"))

    def depth(
        self, view: View, rgb: np.ndarray, seed: int, report: Report, known: np.ndarray | None = None
    ) -> DepthMap:
        """A plane through the focus plus a small part of the network's output, as realistic input for later stages."""
        said = self._depth(rgb, view.camera, seed, view.name, report).values
        said = (said - said.mean()) / max(float(said.std()), 1e-6)
        distance = max(float(view.camera.to_camera(np.zeros(3))[2]), 1e-3)
        return DepthMap((1 / (distance * (1 + 0.02 * np.clip(said, -3, 3)))).astype(np.float32), DepthKind.DISPARITY)


def _run(work: Callable[[], Any]) -> Any:
    return work()
