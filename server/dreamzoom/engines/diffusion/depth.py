"""D, the depth of a picture: models of `transformers`, Marigold of `diffusers`, and those of `depth_networks`.

Pictures for models of `transformers` are prepared here, by the settings in their own `preprocessor_config.json`.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch.nn.functional import interpolate
from torch.nn.functional import pad as torch_pad

from core.camera import Camera
from core.errors import DreamzoomError
from dreamzoom.engines.diffusion import loading
from dreamzoom.engines.diffusion.depth_networks import depth_anything_3, moge
from dreamzoom.engines.diffusion.depth_networks.prompt import prompt_of
from dreamzoom.engines.diffusion.depth_networks.sizes import MogeSizes
from dreamzoom.engines.diffusion.families import MARIGOLD, DepthFamily
from dreamzoom.engines.diffusion.loading import Placement
from dreamzoom.engines.diffusion.model_files import reading
from dreamzoom.engines.diffusion.model_validation import DepthModel
from dreamzoom.engines.diffusion.progress_hooks import Watch, watched
from dreamzoom.geometry.view import DepthKind, DepthMap
from dreamzoom.progress import Report

MODES = {0: "nearest", 2: "bilinear", 3: "bicubic"}
"""PIL's numbers of resampling filters."""


class Depth:
    """One depth model.

    Args:
        family: What it is.
        kind: What its values mean.
        network: The model, or Marigold's pipeline, in evaluation mode.
        looks: How pictures are made ready for a model of `transformers`: its `preprocessor_config.json`.
        where: On which device, how finely.
    """

    def __init__(self, family: DepthFamily, kind: DepthKind, network: Any, looks: dict[str, Any], where: Placement):
        self.family, self.kind, self.network, self._looks, self.where = family, kind, network, looks, where
        self.watch = Watch()
        if family is MARIGOLD:
            watched(self.watch, network, "unet")
            return
        self.watch.part(network)
        for module in network.modules():
            for part in module if isinstance(module, torch.nn.ModuleList) else ():
                self.watch.part(part)

    @classmethod
    def load(cls, model: DepthModel, where: Placement) -> Depth:
        """A checked model, on the CPU still. Raises EngineUnavailable."""
        if model.family is MARIGOLD:
            index = reading.read_json(model.folder / "model_index.json")
            pipe = loading.marigold(model.components, index, model.folder, where.dtype)
            return cls(model.family, model.kind, pipe, {}, where)
        if model.family.prompted or model.sizes is not None:
            where = fine(where)
        if isinstance(model.sizes, MogeSizes):
            return cls(model.family, model.kind, moge.load(model.files[0], model.sizes, where.dtype), {}, where)
        if model.sizes is not None:
            network = depth_anything_3.load(model.files[0], model.sizes, where.dtype)
            return cls(model.family, model.kind, network, {}, where)
        looks = reading.read_json(model.folder / "preprocessor_config.json")
        network = loading.load("transformers", model.family.model, model.folder, where.dtype)
        return cls(model.family, model.kind, network, looks, where)

    def to(self, device: torch.device) -> None:
        """Move to the device or off it."""
        self.network.to(device)

    @torch.no_grad()
    def __call__(
        self,
        rgb: np.ndarray,
        camera: Camera,
        seed: int,
        name: str,
        report: Report,
        known: np.ndarray | None = None,
    ) -> DepthMap:
        """The depth of a picture (H, W, 3) float32 sRGB, taken by `camera`; of the same size.

        A metric model's metres say nothing about the unit of a level, which may be a galaxy or a cell: so its values
        are given as depth up to a factor. A model that takes `known` depth (H, W), not finite where unknown, answers in
        its unit.
        """
        self.watch.begin(report, 0, "")
        prompt = None
        try:
            picture = torch.from_numpy(np.ascontiguousarray(rgb)).permute(2, 0, 1)[None].float()
            if self.family is MARIGOLD:
                values = self._marigold(picture, seed, name)
            elif hasattr(self.network, "depth"):
                shown = picture.to(self.where.device, self.where.dtype)
                values = self.network.depth(shown, camera).float().cpu().numpy()
            else:
                shown = self._shown(picture)
                if self.family.prompted:
                    prompt = prompt_of(known, (shown.shape[-2], shown.shape[-1]))
                values = self._look(picture, shown, camera, prompt)
        finally:
            self.watch.end()
        if not np.isfinite(values).any():
            raise DreamzoomError(
                f"the depth model gave no number for {name}", 'set the engine\'s precision to "float32"'
            )
        if prompt is not None:
            return DepthMap(values.astype(np.float32), DepthKind.METRIC)
        kind = DepthKind.SCALE if self.kind == DepthKind.METRIC else self.kind
        return DepthMap(values.astype(np.float32), kind)

    def _marigold(self, picture: torch.Tensor, seed: int, name: str) -> np.ndarray:
        digest = hashlib.sha256(f"{seed}/{name}/depth".encode()).digest()
        generator = torch.Generator("cpu").manual_seed(int.from_bytes(digest[:8], "little") >> 1)
        answer = self.network(picture, generator=generator, output_type="np", batch_size=1)
        return np.asarray(answer.prediction, np.float32)[0, ..., 0]

    def _shown(self, picture: torch.Tensor) -> torch.Tensor:
        """A picture as the network of `transformers` sees it, on its device."""
        across, along = self._border(picture)
        if across or along:
            picture = torch_pad(picture, (along, along, across, across), mode="reflect")
        return self._normal(self._resized(picture)).to(self.where.device, self.where.dtype)

    def _border(self, picture: torch.Tensor) -> tuple[int, int]:
        """By how many rows and columns a picture is continued on each side, as ZoeDepth was trained."""
        height, width = picture.shape[-2:]
        if not self.family.mirrored or not self._looks.get("do_pad", True):
            return 0, 0
        return min(int(math.sqrt(height / 2) * 3), height - 1), min(int(math.sqrt(width / 2) * 3), width - 1)

    def _look(
        self, picture: torch.Tensor, shown: torch.Tensor, camera: Camera, prompt: np.ndarray | None
    ) -> np.ndarray:
        """The values (H, W) of a picture (1, 3, H, W) that is `shown` to a network of `transformers`."""
        options = {} if prompt is None else {"prompt_depth": torch.from_numpy(prompt)[None, None].to(shown)}
        answer = self.network(pixel_values=shown, **options).predicted_depth.float().cpu()
        answer = answer.reshape(1, 1, *answer.shape[-2:])
        (height, width), (across, along) = picture.shape[-2:], self._border(picture)
        outer = (height + 2 * across, width + 2 * along)
        answer = interpolate(answer, outer, mode="bilinear", align_corners=False)[0, 0]
        values = answer[across : across + height, along : along + width].numpy()
        if self.family.focal:  # the true focal length is known here
            return 1 / np.clip(values * camera.width / camera.fx, 1e-4, 1e4)
        return values

    def _resized(self, picture: torch.Tensor) -> torch.Tensor:
        looks = self._looks
        size = looks.get("size") or {}
        height, width = size.get("height", size.get("shortest_edge")), size.get("width", size.get("shortest_edge"))
        if not looks.get("do_resize", True) or not isinstance(height, int) or not isinstance(width, int):
            return picture
        scales = height / picture.shape[-2], width / picture.shape[-1]
        if looks.get("keep_aspect_ratio"):
            scales = (min(scales, key=lambda scale: abs(1 - scale)),) * 2
        multiple = looks.get("ensure_multiple_of") or 1
        aim = [max(multiple, round(side * s / multiple) * multiple) for side, s in zip(picture.shape[-2:], scales)]
        mode = MODES.get(looks.get("resample", 2), "bilinear")
        options: dict[str, Any] = {} if mode == "nearest" else {"align_corners": False, "antialias": True}
        return interpolate(picture, aim, mode=mode, **options)

    def _normal(self, picture: torch.Tensor) -> torch.Tensor:
        mean, std = (self._looks.get(key) or [0.5] * 3 for key in ("image_mean", "image_std"))
        if not self._looks.get("do_normalize", True):
            return picture
        return (picture - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]


def fine(where: Placement) -> Placement:
    """The precision for networks whose answer is depth itself: the eight bits of bfloat16 would show as steps."""
    return replace(where, dtype=torch.float32) if where.dtype == torch.bfloat16 else where
