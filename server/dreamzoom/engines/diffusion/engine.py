"""The diffusion engine: real models off the disk, for painting, for depth and for sampling all levels jointly.

A model is checked when the engine is made (`check`), and loaded when it is first needed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import BadRequest, DreamzoomError
from dreamzoom.engines.diffusion import catalogue, check, places
from dreamzoom.geometry.view import DepthMap, View
from dreamzoom.report import Report

if TYPE_CHECKING:
    from dreamzoom.wire import DiffusionEngine as Options
    from dreamzoom.wire import Request
    from dreamzoom.zoom.denoiser import Denoiser

VERSION = 2
OVERSCAN = 2.0
"""Pictures are wider than the camera by √p, at most by this."""


def make(request: Request) -> DiffusionEngine:
    """The engine for a request; one that samples jointly where the model's family can.

    Raises:
        EngineUnavailable: A model is missing or can't be used; the remedy says what to do.
        BadRequest: An option does not fit the model.
    """
    from dreamzoom.engines.diffusion.denoise import DENOISERS

    options = _options(request)
    folder = places.find(options.model) if options.model else catalogue.best("picture")
    model = check.picture_model(folder)
    joint = options.joint and model.family.name in DENOISERS
    return (JointDiffusionEngine if joint else DiffusionEngine)(request, model)


class DiffusionEngine:
    """Paints with an inpainting pipeline, and asks a depth model.

    Args:
        request: Its engine is a `wire.DiffusionEngine`; its prompts are read for levels that have none.
        model: The picture model, checked.
    """

    name = "diffusion"
    multiview_consistent = False

    def __init__(self, request: Request, model: check.Model):
        from dreamzoom.engines.diffusion import loading
        from dreamzoom.zoom.levels import complete_prompts

        self.options = _options(request)
        self.model = model
        self.where = loading.placement(self.options.device, self.options.precision)
        self._depth_folder = (
            places.find(self.options.depth_model) if self.options.depth_model else catalogue.best("depth")
        )
        self._depth_checked = check.depth_model(self._depth_folder)
        self._loras = [(Path(lora.file).expanduser(), lora.weight) for lora in self.options.loras]
        self._check_loras()
        texts = [level.prompt for level in request.levels]
        self.positive = [text for text in texts if text.strip()]
        self.prompts = complete_prompts(texts) if self.positive else [(("", 1.0),)] * len(texts)
        self.steps, guidance = self._usual()
        own = self.options.level_guidance or [None] * len(texts)
        self.guidance = [guidance if value is None else value for value in own]
        if len(self.guidance) != len(texts):
            raise BadRequest(
                "engine.level_guidance",
                f"must have a number for each of the {len(texts)} levels; got {len(self.guidance)}",
            )
        self._pixels = round(request.width * request.height * min(request.zoom_factor, OVERSCAN**2))
        self._painter: Any = None
        self._depth: Any = None
        self._offload = ""
        self._identity: dict[str, Any] = {}

    def identity(self) -> dict[str, Any]:
        """Version, models with the hashes of their weights, and every option that the pictures depend on."""
        if not self._identity:
            own = self.options
            self._identity = {
                "engine": self.name,
                "version": VERSION,
                "model": self._described(self.model.folder, self._files(), self.model.family.name),
                "depth_model": self._described_depth(),
                "loras": [
                    {"name": file.name, "sha256": places.weights_digest([file]), "weight": weight}
                    for file, weight in self._loras
                ],
                "style": own.style,
                "steps": self.steps,
                "guidance": list(self.guidance),
                "scheduler": own.scheduler,
                "blend_every": own.blend_every,
                "joint": isinstance(self, JointDiffusionEngine),
                "detail": own.detail,
                "device": self.where.device.type,
                "precision": str(self.where.dtype).removeprefix("torch."),
                "packages": _versions("diffusers", "torch", "transformers"),
            }
        return self._identity

    def dependencies(self, level: int) -> dict[str, Any]:
        """The neighbours' prompts that a level without one is mixed from."""
        return {"mixture": [list(part) for part in self.prompts[level]]} if len(self.prompts[level]) > 1 else {}

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
        """See `engines.base.Engine.paint`; KNOWN pixels come back bit by bit."""
        from dreamzoom.engines.diffusion.painter import Order

        painter = self.painter(report)
        mixture = ((prompt, 1.0),) if prompt.strip() else self.prompts[view.level]
        left_out = sum(painter.encoder.left_out(text) for text, _ in mixture)
        if left_out:
            report.log(f"{left_out} tokens at the end of level {view.level}'s prompt are not read by this model")
        if negative_prompt and painter.family.prompts == "text":
            report.log(f"level {view.level}'s negative prompt is not used: this model takes none")
        order = Order(mixture, negative_prompt, self.guidance[view.level], seed, view.name)
        whole_step = view.name.endswith("/anchor")
        return self._guarded(report, lambda: painter.paint(rgb, mask, order, report, whole_step))

    def depth(self, view: View, rgb: np.ndarray, seed: int, report: Report) -> DepthMap:
        """See `engines.base.Engine.depth`."""
        from dreamzoom.engines.diffusion.depth import Depth

        if self._depth is None:
            self._depth = Depth.load(self._depth_folder, *self._depth_checked, self.where)
        if self._offload not in ("", "none"):  # one model on the card at a time
            self._painter.pipe.maybe_free_model_hooks()
        self._depth.to(self.where.device)
        try:
            return self._guarded(report, lambda: self._depth(rgb, view.camera, seed, view.name, report))
        finally:
            if self._offload not in ("", "none"):
                self._depth.to("cpu")

    def painter(self, report: Report) -> Any:
        """The painter, loaded now if it was not yet. Raises EngineUnavailable."""
        if self._painter is None:
            from dreamzoom.engines.diffusion import loading, memory
            from dreamzoom.engines.diffusion.painter import Painter, PaintSettings
            from dreamzoom.engines.diffusion.watch import Watch, watched
            from dreamzoom.engines.diffusion.words import PromptEncoder

            family, own = self.model.family, self.options
            report.log(f"loading {places.name_of(self.model.folder)[0]}")
            pipe = loading.painter(self.model, self.where, own.scheduler, self._loras, report)
            planned = memory.plan(self.model, self.where, own.offload, self._pixels, own.batch)
            report.log(planned.line(places.name_of(self.model.folder)[0], self.where))
            memory.place_pipeline(pipe, planned.offload, self.where.device)
            if planned.peak > memory.SHARE * planned.free or planned.offload != "none":
                memory.save_memory(pipe)
            resting = planned.offload == "none" and planned.peak > memory.TIGHT * planned.free
            self._offload = planned.offload
            watch = Watch()
            watched(watch, pipe, family.network)
            settings = PaintSettings(self.steps, own.detail)
            self._painter = Painter(pipe, family, PromptEncoder(pipe, family, own.style, resting), settings, watch)
        return self._painter

    def _guarded(self, report: Report, work: Callable[[], Any]) -> Any:
        """Run; when the device's memory runs out, step down once and run again.

        Raises:
            DreamzoomError: It ran out again. Finished steps stay, so the job can go on.
        """
        from dreamzoom.engines.diffusion import memory

        try:
            return work()
        except RuntimeError as error:
            if not memory.ran_out(error):
                raise
        self._step_down(report)  # here, where the error no longer holds on to what filled the memory
        try:
            return work()
        except RuntimeError as error:
            if not memory.ran_out(error):
                raise
            raise DreamzoomError(
                "the device's memory does not hold this run, even after stepping down",
                "choose a smaller picture or model, or close what else uses the card, then generate again",
            ) from None

    def _step_down(self, report: Report) -> None:
        """Use less memory: the next offload, tiles, slices. Said once, as a warning."""
        from dreamzoom.engines.diffusion import memory

        memory.release()
        if self._painter is None:
            return
        pipe = self._painter.pipe
        memory.save_memory(pipe)
        told = "smaller pieces"
        if self.where.device.type == "cuda" and self._offload in memory.STEPS_DOWN:
            self._offload = memory.STEPS_DOWN[self._offload]
            memory.place_pipeline(pipe, self._offload, self.where.device)
            self._painter.encoder.resting = False  # the offload moves them
            told += f" and {self._offload} offload"
        report.log(f"the device's memory ran out; going on with {told}", level="warning")

    def _usual(self) -> tuple[int, float]:
        """Steps and guidance: the request's, else what the family or its distilled variant is run with."""
        family, own = self.model.family, self.options
        steps, guidance = family.steps, family.guidance
        kind, settings = self.model.components["scheduler"].kind, self._scheduler_settings()
        noisy = family.name in ("sd", "sdxl") and settings.get("prediction_type", "epsilon") == "epsilon"
        if kind == "LCMScheduler" or own.scheduler == "lcm":
            steps, guidance = 6, 1.5
        elif noisy and settings.get("timestep_spacing") == "trailing" and not settings.get("rescale_betas_zero_snr"):
            steps, guidance = 4, 1.0  # Turbo, Lightning
        elif family.name == "flux2-klein" and not self.model.index.get("is_distilled"):
            steps, guidance = 28, 4.0
        return own.steps or steps, guidance if own.guidance is None else own.guidance

    def _scheduler_settings(self) -> dict[str, Any]:
        return check.read_json(self.model.components["scheduler"].folder / "scheduler_config.json")

    def _check_loras(self) -> None:
        """What can be said of them before anything is loaded. Raises BadRequest or EngineUnavailable."""
        for index, (file, _) in enumerate(self._loras):
            if file.suffix != ".safetensors" or not file.is_file():
                raise BadRequest(
                    f"engine.loras[{index}].file", f"must be a .safetensors file that is there; got '{file.name}'"
                )
            check.tensors(file)

    def _files(self) -> list[Path]:
        parts = self.model.components.values()
        return [file for part in parts for file in sorted(part.folder.glob("*.safetensors"))]

    def _described_depth(self) -> dict[str, Any]:
        from dreamzoom.engines.diffusion.depth import depth_files, kind_of

        family, components = self._depth_checked
        found = self._described(self._depth_folder, depth_files(self._depth_folder, components), family.name)
        return found | {"depth_kind": str(kind_of(self._depth_folder, family))}

    @staticmethod
    def _described(folder: Path, files: list[Path], family: str) -> dict[str, Any]:
        name, revision = places.name_of(folder)
        return {"name": name, "revision": revision, "family": family, "weights": places.weights_digest(files)}


class JointDiffusionEngine(DiffusionEngine):
    """Also samples the level pictures of all levels jointly."""

    def denoiser(self, report: Report) -> Denoiser:
        """The network as the joint sampler sees it."""
        from dreamzoom.engines.diffusion.denoise import DENOISERS

        painter = self.painter(report)
        kind = DENOISERS[self.model.family.name]
        guard = partial(self._guarded, report)
        return kind(painter.pipe, painter.encoder, self.positive, painter.watch, guard, report, painter.native)

    def sampling(self) -> dict[str, Any]:
        """Steps, guidance, batch and solver of the joint sampler."""
        from dreamzoom.engines.diffusion.denoise import SOLVERS

        solver = SOLVERS[self.options.scheduler]
        own = self.options
        usual = {"steps": self.steps, "guidance": self.guidance, "batch": own.batch, "blend_every": own.blend_every}
        return usual | solver


def _options(request: Request) -> Options:
    from dreamzoom import wire

    assert isinstance(request.engine, wire.DiffusionEngine)
    return request.engine


def _versions(*packages: str) -> dict[str, str]:
    from importlib.metadata import version

    return {package: version(package) for package in packages}
