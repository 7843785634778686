"""D, the depth of a picture: models of `transformers`, and Marigold of `diffusers`.

Pictures are prepared here, by the settings in the model's own `preprocessor_config.json`.
"""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import interpolate
from torch.nn.functional import pad as torch_pad

from core.camera import Camera
from core.errors import DreamzoomError
from dreamzoom.engines.diffusion import loading, model_validation
from dreamzoom.engines.diffusion.families import MARIGOLD, DepthFamily
from dreamzoom.engines.diffusion.loading import Placement
from dreamzoom.engines.diffusion.model_files import reading
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
        looks: How pictures are made ready for it: its `preprocessor_config.json`; unused by Marigold.
        where: On which device, how finely.
    """

    def __init__(self, family: DepthFamily, kind: DepthKind, network: Any, looks: dict[str, Any], where: Placement):
        self.family, self.kind, self.network, self._looks, self.where = family, kind, network, looks, where
        self.watch = Watch()
        if family is MARIGOLD:
            watched(self.watch, network, "unet")
        else:
            self.watch.part(network)

    @classmethod
    def load(
        cls, folder: Path, family: DepthFamily, components: dict[str, model_validation.Component], where: Placement
    ) -> Depth:
        """The model in a folder.

        Args:
            folder: Where it lies; checked.
            family, components: What the check found.
            where: As of the class.
        """
        if family is MARIGOLD:
            index = reading.read_json(folder / "model_index.json")
            return cls(
                family, kind_of(folder, family), loading.marigold(components, index, folder, where.dtype), {}, where
            )
        looks = reading.read_json(folder / "preprocessor_config.json")
        network = loading.load("transformers", family.model, folder, where.dtype)
        return cls(family, kind_of(folder, family), network, looks, where)

    def to(self, device: torch.device) -> None:
        """Move to the device or off it."""
        self.network.to(device)

    @torch.no_grad()
    def __call__(self, rgb: np.ndarray, camera: Camera, seed: int, name: str, report: Report) -> DepthMap:
        """The depth of a picture (H, W, 3) float32 sRGB, taken by `camera`; of the same size.

        A metric model's metres say nothing about the unit of a level, which may be a galaxy or a cell: so its values
        are given as depth up to a factor.
        """
        self.watch.begin(report, 0, "")
        try:
            picture = torch.from_numpy(np.ascontiguousarray(rgb)).permute(2, 0, 1)[None].float()
            values = self._marigold(picture, seed, name) if self.family is MARIGOLD else self._look(picture, camera)
        finally:
            self.watch.end()
        if not np.isfinite(values).any():
            raise DreamzoomError(
                f"the depth model gave no number for {name}", 'set the engine\'s precision to "float32"'
            )
        kind = DepthKind.SCALE if self.kind == DepthKind.METRIC else self.kind
        return DepthMap(values.astype(np.float32), kind)

    def _marigold(self, picture: torch.Tensor, seed: int, name: str) -> np.ndarray:
        digest = hashlib.sha256(f"{seed}/{name}/depth".encode()).digest()
        generator = torch.Generator("cpu").manual_seed(int.from_bytes(digest[:8], "little") >> 1)
        answer = self.network(picture, generator=generator, output_type="np", batch_size=1)
        return np.asarray(answer.prediction, np.float32)[0, ..., 0]

    def _look(self, picture: torch.Tensor, camera: Camera) -> np.ndarray:
        size = tuple(picture.shape[-2:])
        border = (0, 0)
        if self.family.mirrored and self._looks.get("do_pad", True):
            # by so many pixels, as ZoeDepth was trained
            border = tuple(min(int(math.sqrt(side / 2) * 3), side - 1) for side in size)
            picture = torch_pad(picture, (border[1], border[1], border[0], border[0]), mode="reflect")
        shown = self._normal(self._resized(picture)).to(self.where.device, self.where.dtype)
        answer = self.network(pixel_values=shown).predicted_depth.float().cpu()
        answer = answer.reshape(1, 1, *answer.shape[-2:])
        outer = (size[0] + 2 * border[0], size[1] + 2 * border[1])
        answer = interpolate(answer, outer, mode="bilinear", align_corners=False)[0, 0]
        values = answer[border[0] : border[0] + size[0], border[1] : border[1] + size[1]].numpy()
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


def kind_of(folder: Path, family: DepthFamily) -> DepthKind:
    """What a model's values mean; where a family has metric variants, their configuration says so."""
    if family.variants and reading.read_json(folder / "config.json").get("depth_estimation_type") == "metric":
        return DepthKind.METRIC
    return family.kind


def depth_files(folder: Path, components: dict[str, Any]) -> list[Path]:
    """All weight files of a depth model."""
    if not components:
        return reading.whole_weights(folder)
    return [file for part in components.values() for file in sorted(part.folder.glob("*.safetensors"))]
