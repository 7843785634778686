"""Painting (S) at any size and with any mask: within the mask, or by instruction for models that edit pictures."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image

from core.colour import to_bytes
from dreamzoom.engines.diffusion import canvas
from dreamzoom.engines.diffusion.editing import extend
from dreamzoom.engines.diffusion.families import Family
from dreamzoom.engines.diffusion.progress_hooks import Previews, Watch
from dreamzoom.engines.diffusion.prompt_encoding import PromptEncoder
from dreamzoom.geometry.view import COARSE, KNOWN, UNKNOWN
from dreamzoom.progress import Report
from dreamzoom.sampling.codec import VaeCodec
from dreamzoom.sampling.denoiser import Prompt

LARGE = 1.5
"""Pictures whose side exceeds the model's native side by this factor are painted small first, then in tiles."""
ENLARGED = 1.15
"""What was edited smaller than the picture by more than this factor gets new detail afterwards."""
CELL = 8
"""Side of a latent pixel in pixels; masks are grown to whole latent pixels."""


@dataclass(frozen=True)
class PaintSettings:
    """Settings of a painter: denoising steps, and the strength (0..1) with which coarse pixels are repainted."""

    steps: int
    detail: float


@dataclass(frozen=True)
class Adapter:
    """A LoRA in a pipeline: its name there, its weight, and whether it is meant for continuing pictures alone."""

    name: str
    weight: float
    outpaint: bool


@dataclass(frozen=True)
class Order:
    """One picture to paint: its prompts, guidance scale, and seed."""

    prompt: Prompt
    negative: str
    guidance: float
    seed: int
    name: str

    def generator(self, part: str) -> torch.Generator:
        """A random generator on the CPU, so that every device uses the same noise."""
        digest = hashlib.sha256(f"{self.seed}/{self.name}/{part}".encode()).digest()
        return torch.Generator("cpu").manual_seed(int.from_bytes(digest[:8], "little") >> 1)


class Painter:
    """Paints with one pipeline.

    Args:
        pipe: The `diffusers` pipeline on its device.
        family: The pipeline's model family.
        encoder: Encodes prompts for it.
        settings: Steps and strength.
        watch: The hooks on its networks.
        editor: The pipeline that continues pictures by instruction, of the same networks; None: the painter does.
        adapters: The LoRAs in the networks.
    """

    def __init__(
        self,
        pipe: Any,
        family: Family,
        encoder: PromptEncoder,
        settings: PaintSettings,
        watch: Watch,
        editor: Any = None,
        adapters: Sequence[Adapter] = (),
    ):
        self.pipe, self.family, self.encoder, self.settings, self.watch = pipe, family, encoder, settings, watch
        self.editor, self.adapters = editor, tuple(adapters)
        self.previews = Previews()
        self.native = native_side(pipe, family)

    def paint(
        self, rgb: np.ndarray, mask: np.ndarray, order: Order, report: Report, progress: bool = True
    ) -> np.ndarray:
        """Paint the UNKNOWN and COARSE pixels.

        Args:
            rgb: (H, W, 3) float32 sRGB, undefined where `mask` is UNKNOWN.
            mask: (H, W) uint8: UNKNOWN, COARSE or KNOWN.
            order: Prompts and seed.
            report: Receives progress and raises `Cancelled`.
            progress: Whether this is the whole step, so that its progress is reported as the step's.

        Returns:
            (H, W, 3) float32 sRGB in 0..1; KNOWN pixels are bit-identical.
        """
        size = mask.shape
        whole = canvas.padded_size(size, self.family.multiple)
        base = canvas.pad(canvas.fill(rgb, mask != UNKNOWN), whole)
        full = np.full(whole, UNKNOWN, np.uint8)
        full[: size[0], : size[1]] = mask
        self.watch.begin(report, self._calls(full) if progress else 0, f"painting {order.name}")
        try:
            if self.family.joint and not self.previews.is_ready:  # their latents are grids, not tokens
                self.previews.learn_colours(VaeCodec(self.pipe.vae), self.pipe._execution_device)
            painted = self._large(base, full, order) if self._is_large(whole) else self._whole(base, full, order, "")
        finally:
            self.watch.end()
        painted = painted[: size[0], : size[1]]
        painted = canvas.with_low(painted, rgb, mask == COARSE)
        return canvas.joined(painted, rgb, mask == KNOWN, reach=self.native / 32)

    def _is_large(self, size: tuple[int, int]) -> bool:
        return max(size) > LARGE * self.native

    def _whole(self, base: np.ndarray, mask: np.ndarray, order: Order, part: str) -> np.ndarray:
        """Paint the whole picture at once: first UNKNOWN pixels, then COARSE ones."""
        painted = base
        if (mask == UNKNOWN).any():
            painted = self._unknown(painted, mask == UNKNOWN, order, f"{part}unknown")
        if (mask == COARSE).any():
            painted = self._run(painted, mask == COARSE, self.settings.detail, order, f"{part}coarse")
        return painted

    def _large(self, base: np.ndarray, mask: np.ndarray, order: Order) -> np.ndarray:
        """Paint a small version of the whole picture first, for a consistent layout; then the detail in overlapping
        tiles.
        """
        painted = base
        if (mask == UNKNOWN).any():
            size = self._small(mask.shape)
            known = canvas.resized((mask != UNKNOWN).astype(np.float32)[..., None], size)[..., 0] > 0.99
            small = canvas.resized(base, size)
            small = self._unknown(small, ~known, order, "small/")
            painted = np.where((mask == UNKNOWN)[..., None], canvas.resized(small, mask.shape), base)
        opened = mask != KNOWN
        side, overlap = self._tile()
        for index, window in enumerate(canvas.tiles(mask.shape, side, overlap)):
            if opened[window].any():
                tile = self._run(painted[window], opened[window], self.settings.detail, order, f"tile{index}/")
                weight = canvas.tile_weight(window, mask.shape, overlap)[..., None]
                painted = painted.copy()
                painted[window] += weight * (tile - painted[window])
        return painted

    def _unknown(self, rgb: np.ndarray, opened: np.ndarray, order: Order, part: str) -> np.ndarray:
        """Paint all pixels of `opened` (H, W) freely; others are returned unchanged."""
        painted = self._edited(rgb, opened, order, part)
        return self._run(rgb, opened, 1.0, order, part) if painted is None else painted

    def _edited(self, rgb: np.ndarray, opened: np.ndarray, order: Order, part: str) -> np.ndarray | None:
        """The same by instruction; None if the model does not edit, or did not keep what is known."""
        edit = self.family.edit
        if self.editor is None or edit is None:
            return None
        marking = extend.GREEN if any(one.outpaint for one in self.adapters) else extend.GREY
        ways = extend.Ways(self.native, self.family.multiple, edit.scales, edit.from_nothing, marking)

        def answer(picture, instruction: str, size: tuple[int, int], attempt: int) -> np.ndarray:
            given = {} if picture is None else {"image": Image.fromarray(to_bytes(picture))}
            return self._call(self.editor, given, instruction, order, f"{part}/edit{attempt}", size)

        def log(line: str, level: str) -> None:
            self.watch.report.log(f"{order.name}: {line}", level=level)

        self._use_adapters(outpaint=True)
        try:
            painted = extend.extended(rgb, ~opened, ways, answer, log)
        finally:
            self._use_adapters(outpaint=False)
        edited = extend.canvas_size(opened.shape, ways)
        if painted is not None and max(opened.shape) > ENLARGED * max(edited) and not self._is_large(opened.shape):
            painted = self._run(painted, opened, self.settings.detail, order, f"{part}/detail")
        return painted

    def _run(self, rgb: np.ndarray, opened: np.ndarray, strength: float, order: Order, part: str) -> np.ndarray:
        """Paint within the mask `opened` (H, W) once. Other pixels are returned unchanged; what the model changed in
        their colours is removed from the painted ones.
        """
        size = opened.shape
        region = canvas.whole_cells(opened, CELL)
        picture = np.ascontiguousarray(np.clip(rgb, 0, 1))
        if self.family.reads_files:
            given: dict[str, Any] = {
                "image": [Image.fromarray(to_bytes(picture))],
                "mask_image": Image.fromarray(to_bytes(region)),
            }
        else:
            given = {
                "image": torch.from_numpy(picture).permute(2, 0, 1)[None].float(),
                "mask_image": torch.from_numpy(region).float()[None, None],
            }
        given["strength"] = min(1.0, max(strength, 1.01 / self.settings.steps))
        edits = self.family.edit is not None and not self.family.edit.lora_only  # it is shown the picture, too
        instruction = extend.DETAIL if edits and strength < 1 else "{prompt}"
        painted = self._call(self.pipe, given, instruction, order, part, size)
        return canvas.joined(painted, rgb, ~opened, reach=self.native / 32)

    def _call(
        self, pipe: Any, given: dict[str, Any], instruction: str, order: Order, part: str, size: tuple[int, int]
    ) -> np.ndarray:
        """Call a pipeline once, with `given` beside the usual arguments; (H, W, 3) float32 sRGB of `size`."""
        arguments = given | {
            "height": size[0],
            "width": size[1],
            "num_inference_steps": self.settings.steps,
            "generator": order.generator(part),
            "output_type": "np",
            "callback_on_step_end": self._step(size),
            self.family.guide: order.guidance,
        }
        prompts = self.encoder.for_painter(order.prompt, order.negative, order.guidance > 1)
        if "prompt" in prompts:
            prompts["prompt"] = instruction.format(prompt=prompts["prompt"])
        arguments |= prompts | self.family.extra
        if self.family.area:
            arguments[self.family.area] = size[0] * size[1]
        self._last = None
        try:
            with torch.no_grad():
                picture = np.asarray(pipe(**arguments).images[0], np.float32)
        finally:
            self.pipe.maybe_free_model_hooks()
        if picture.shape[:2] != size:
            picture = canvas.resized(picture, size)
        picture = np.nan_to_num(picture, nan=0.5)
        if self._last is not None:
            self.previews.learn(self._last, picture)
        return picture

    def _use_adapters(self, outpaint: bool) -> None:
        """Switch the LoRAs for continuing pictures on or off."""
        if any(one.outpaint for one in self.adapters):
            weights = [one.weight if outpaint or not one.outpaint else 0.0 for one in self.adapters]
            self.pipe.set_adapters([one.name for one in self.adapters], weights)

    def _step(self, size: tuple[int, int]):
        """The pipeline's callback after every step; it shows a preview of the unfinished picture."""

        def shown(pipe, step, time, tensors):
            self._last = tensors["latents"]
            self.previews.show(self._last, size, self.watch.report)
            return {}

        return shown

    def _small(self, size: tuple[int, int]) -> tuple[int, int]:
        """A size (H, W) with the same aspect and about the area of the model's native size."""
        scale = self.native / (size[0] * size[1]) ** 0.5
        multiple = self.family.multiple
        height, width = (max(multiple, round(side * scale / multiple) * multiple) for side in size)
        return height, width

    def _tile(self) -> tuple[int, int]:
        multiple = self.family.multiple
        side = max(multiple * 4, self.native // multiple * multiple)
        return side, max(multiple, side // 4 // multiple * multiple)

    def _calls(self, mask: np.ndarray) -> int:
        """Estimated number of network calls for a picture."""
        unknown, coarse = (mask == UNKNOWN).any(), (mask == COARSE).any()
        steps = self.settings.steps
        again = max(1, round(steps * self.settings.detail))
        if self._is_large(mask.shape):
            windows = canvas.tiles(mask.shape, *self._tile())
            return steps * bool(unknown) + again * sum((mask[window] != KNOWN).any() for window in windows)
        return max(1, steps * bool(unknown) + again * bool(coarse))


def native_side(pipe: Any, family: Family) -> int:
    """The side, in pixels, of the square pictures that the model was trained on."""
    sample = getattr(getattr(pipe, family.network).config, "sample_size", None)
    return sample * CELL if isinstance(sample, int) and sample > 1 else family.native
