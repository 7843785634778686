"""The diffusion engine: models from the disk that paint, estimate depth, and sample all levels jointly.

A model is validated when the engine is created (`model_validation`), and loaded at its first use.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import BadRequest, DreamzoomError
from dreamzoom.engines.diffusion import catalogue, model_cache, model_validation
from dreamzoom.engines.diffusion.model_files import reading
from dreamzoom.geometry.view import DepthMap, View
from dreamzoom.progress import Report

if TYPE_CHECKING:
    from dreamzoom.request.schema import DiffusionEngine as Options
    from dreamzoom.request.schema import Request
    from dreamzoom.sampling.denoiser import Denoiser

VERSION = 4
OVERSCAN = 2.0
"""Maximum factor by which pictures are wider than the camera; otherwise √p."""


def make(request: Request) -> DiffusionEngine:
    """Create the engine for a request. It samples jointly if the model's family supports that.

    Raises:
        EngineUnavailable: A model is missing or can't be used; the error carries a remedy.
        BadRequest: An option does not fit the model.
    """
    options = _options(request)
    folder = model_cache.find(options.model) if options.model else catalogue.best("picture")
    model = model_validation.picture_model(folder)
    joint = options.joint and model.family.joint
    return (JointDiffusionEngine if joint else DiffusionEngine)(request, model)


class DiffusionEngine:
    """Paints with a pipeline that inpaints or edits, and estimates depth with a depth model.

    Args:
        request: Its engine is a `schema.DiffusionEngine`. Levels without a prompt get a mixture of the neighbours'.
        model: The validated picture model.
    """

    name = "diffusion"
    multiview_consistent = False

    def __init__(self, request: Request, model: model_validation.Model):
        from dreamzoom.engines.diffusion import loading
        from dreamzoom.sampling.levels import complete_prompts

        self.options = _options(request)
        self.model = model
        self.where = loading.placement(self.options.device, self.options.precision)
        self._depth_model = model_validation.depth_model(
            model_cache.find(self.options.depth_model) if self.options.depth_model else catalogue.best("depth")
        )
        edits = model.family.edit is not None  # else a LoRA is a LoRA, whatever its name says
        self._loras = [
            loading.LoraFile(Path(lora.file).expanduser(), lora.weight, edits and lora.for_outpainting)
            for lora in self.options.loras
        ]
        self._check_loras()
        texts = [level.prompt for level in request.levels]
        self.positive = [text for text in texts if text.strip()]
        self.prompts = complete_prompts(texts) if self.positive else [(("", 1.0),)] * len(texts)
        self.steps, guidance = self._steps_and_guidance()
        own = self.options.level_guidance or [None] * len(texts)
        self.guidance = [guidance if value is None else value for value in own]
        if len(self.guidance) != len(texts):
            raise BadRequest(
                "engine.level_guidance",
                f"must have a number for each level, {len(texts)} in all; got {len(self.guidance)}",
            )
        self._pixels = round(request.width * request.height * min(request.zoom_factor, OVERSCAN**2))
        self._painter: Any = None
        self._depth: Any = None
        self._offload = ""
        self._saving = False  # whether memory ran out before
        self._identity: dict[str, Any] = {}

    def identity(self) -> dict[str, Any]:
        """Version, models with the hashes of their weights, and all options that the pictures depend on."""
        if not self._identity:
            own = self.options
            self._identity = {
                "engine": self.name,
                "version": VERSION,
                "model": self._described(self.model.folder, self._files(), self.model.family.name),
                "depth_model": self._described_depth(),
                "loras": [
                    {"name": one.file.name, "sha256": model_cache.weights_digest([one.file]), "weight": one.weight}
                    | ({"outpaint": True} if one.outpaint else {})
                    for one in self._loras
                ],
                "style": own.style,
                "steps": self.steps,
                "guidance": list(self.guidance),
                "scheduler": own.scheduler,
                "blend_every": own.blend_every,
                "joint": isinstance(self, JointDiffusionEngine),
                "detail": own.detail,
                "edits": self.edits,
                "device": self.where.device.type,
                "precision": str(self.where.dtype).removeprefix("torch."),
                "packages": _versions("diffusers", "torch", "transformers"),
            }
        return self._identity

    def dependencies(self, level: int) -> dict[str, Any]:
        """The neighbouring levels' prompts that are mixed for a level without a prompt."""
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
        """See `engines.base.Engine.paint`; KNOWN pixels are returned bit-identical."""
        from dreamzoom.engines.diffusion.painter import Order

        painter = self.painter(report)
        mixture = ((prompt, 1.0),) if prompt.strip() else self.prompts[view.level]
        left_out = sum(painter.encoder.left_out(text) for text, _ in mixture)
        if left_out:
            report.log(f"the last {left_out} tokens of level {view.level}'s prompt are ignored by this model")
        if any(painter.encoder.ignores_weights(text) for text, _ in mixture):
            report.log(f"the weights in level {view.level}'s prompt are left out: this model takes plain words")
        if negative_prompt and painter.family.prompts == "text":
            report.log(f"level {view.level}'s negative prompt is ignored: this model does not support one")
        order = Order(mixture, negative_prompt, self.guidance[view.level], seed, view.name)
        whole_step = view.name.endswith("/anchor")
        return self._retry_with_less_memory(report, lambda: painter.paint(rgb, mask, order, report, whole_step))

    def depth(
        self, view: View, rgb: np.ndarray, seed: int, report: Report, known: np.ndarray | None = None
    ) -> DepthMap:
        """See `engines.base.Engine.depth`."""
        from dreamzoom.engines.diffusion import memory
        from dreamzoom.engines.diffusion.depth import Depth

        if self._depth is None:
            name = model_cache.name_of(self._depth_model.folder)[0]
            report.log(f"loading {name}")
            self._depth = Depth.load(self._depth_model, self.where)
            where = self._depth.where
            report.log(memory.depth_plan(self._depth_model, where, self._pixels).line(name, where))
        if self._offload not in ("", "none"):  # only one model on the GPU at a time
            self._painter.pipe.maybe_free_model_hooks()
        self._depth.to(self.where.device)
        try:
            return self._retry_with_less_memory(
                report, lambda: self._depth(rgb, view.camera, seed, view.name, report, known)
            )
        finally:
            if self._offload not in ("", "none"):
                self._depth.to("cpu")

    def painter(self, report: Report) -> Any:
        """The painter; loaded at the first call. Raises EngineUnavailable."""
        if self._painter is None:
            from dreamzoom.engines.diffusion import loading, memory
            from dreamzoom.engines.diffusion.painter import Adapter, Painter, PaintSettings
            from dreamzoom.engines.diffusion.progress_hooks import Watch, watched
            from dreamzoom.engines.diffusion.prompt_encoding import PromptEncoder

            family, own = self.model.family, self.options
            report.log(f"loading {model_cache.name_of(self.model.folder)[0]}")
            pipe = loading.painter(self.model, self.where, own.scheduler, self._loras, report)
            editor = loading.editor(self.model, pipe) if self.edits else None
            planned = memory.plan(self.model, self.where, own.offload, self._pixels, self._batch(), self.edits)
            if self._saving:
                planned = memory.lower(planned, self.where.device)
            report.log(planned.line(model_cache.name_of(self.model.folder)[0], self.where))
            memory.place_pipeline(pipe, planned.offload, self.where.device)
            if self._saving or planned.peak > memory.SHARE * planned.free or planned.offload != "none":
                memory.save_memory(pipe)
            resting = planned.offload == "none" and planned.peak > memory.TIGHT * planned.free
            self._offload = planned.offload
            watch = Watch()
            watched(watch, pipe, family.network)
            settings = PaintSettings(self.steps, own.detail)
            encoder = PromptEncoder(pipe, family, own.style, resting)
            adapters = [
                Adapter(loading.adapter_name(index), one.weight, one.outpaint) for index, one in enumerate(self._loras)
            ]
            self._painter = Painter(pipe, family, encoder, settings, watch, editor, adapters)
            if self.edits:
                report.log("this model continues pictures by instruction; known parts are kept, colours are matched")
        return self._painter

    @property
    def edits(self) -> bool:
        """Whether the model continues pictures by instruction: its family does, or does with a LoRA that is there."""
        edit = self.model.family.edit
        return edit is not None and (not edit.lora_only or any(one.outpaint for one in self._loras))

    def free_memory(self) -> str:
        """See `engines.base.FreesMemory`."""
        from dreamzoom.engines.diffusion import memory

        self._painter = self._depth = None
        self._offload, self._saving = "", True
        memory.release()
        return "models in smaller parts"

    def take_models(self, other: object) -> None:
        """See `engines.base.SharesModels`."""
        from dreamzoom.engines.diffusion import memory

        if not isinstance(other, DiffusionEngine) or other._painter is other._depth:  # both None: nothing is loaded
            return
        alike = ("options", "model", "where", "steps", "_pixels")
        if self._painter is None and all(getattr(self, name) == getattr(other, name) for name in alike):
            self._painter, self._offload, self._saving = other._painter, other._offload, other._saving
        if self._depth is None and (self._depth_model, self.where) == (other._depth_model, other.where):
            self._depth = other._depth
        other._painter = other._depth = None
        memory.release()

    def _batch(self) -> int:
        """Most latents in one call of the network."""
        return 1 if self._saving else self.options.batch

    def _retry_with_less_memory(self, report: Report, work: Callable[[], Any]) -> Any:
        """Run `work`; if the device runs out of memory, reduce the memory use once and run it again.

        Raises:
            DreamzoomError: Out of memory again. Finished steps are kept, so the job can be resumed.
        """
        from dreamzoom.engines.diffusion import memory

        try:
            return work()
        except RuntimeError as error:
            if not memory.ran_out(error):
                raise
        self._reduce_memory(report)  # outside the except block, where the exception no longer keeps tensors alive
        try:
            return work()
        except RuntimeError as error:
            if not memory.ran_out(error):
                raise
            raise DreamzoomError(
                "the GPU does not have enough memory, even after reducing the memory use",
                "choose a smaller picture or model, or close other programs that use the GPU, then generate again",
            ) from None

    def _reduce_memory(self, report: Report) -> None:
        """Reduce the memory use: the next offload mode, tiled decoding, sliced attention. Logged once, as a warning."""
        from dreamzoom.engines.diffusion import memory

        memory.release()
        if self._painter is None:
            return
        pipe = self._painter.pipe
        memory.save_memory(pipe)
        measures = "smaller tiles"
        if self.where.device.type == "cuda" and self._offload in memory.STEPS_DOWN:
            self._offload = memory.STEPS_DOWN[self._offload]
            memory.place_pipeline(pipe, self._offload, self.where.device)
            self._painter.encoder.resting = False  # the offload hooks move them
            measures += f" and {self._offload} offload"
        report.log(f"out of memory on the device; continuing with {measures}", level="warning")

    def _steps_and_guidance(self) -> tuple[int, float]:
        """Steps and guidance: the request's, else the defaults of the model's family or its distilled variant."""
        family, own = self.model.family, self.options
        steps, guidance = family.steps, family.guidance
        kind, settings = self.model.components["scheduler"].kind, self._scheduler_settings()
        noisy = family.network == "unet" and settings.get("prediction_type", "epsilon") == "epsilon"
        if kind == "LCMScheduler" or own.scheduler == "lcm":
            steps, guidance = 6, 1.5
        elif noisy and settings.get("timestep_spacing") == "trailing" and not settings.get("rescale_betas_zero_snr"):
            steps, guidance = 4, 1.0  # Turbo, Lightning
        elif family.undistilled and not self.model.index.get("is_distilled"):
            steps, guidance = family.undistilled
        return own.steps or steps, guidance if own.guidance is None else own.guidance

    def _scheduler_settings(self) -> dict[str, Any]:
        return reading.read_json(self.model.components["scheduler"].folder / "scheduler_config.json")

    def _check_loras(self) -> None:
        """Check the LoRA files before anything is loaded. Raises BadRequest or EngineUnavailable."""
        for index, file in enumerate(one.file for one in self._loras):
            if file.suffix != ".safetensors" or not file.is_file():
                raise BadRequest(
                    f"engine.loras[{index}].file", f"must be an existing .safetensors file; got '{file.name}'"
                )
            reading.tensors(file)
            if self.options.loras[index].outpaint and self.model.family.edit is None:
                raise BadRequest(
                    f"engine.loras[{index}].outpaint",
                    f"must be left out: a model of the family {self.model.family.name} does not edit pictures",
                )

    def _files(self) -> list[Path]:
        parts = self.model.components.values()
        return [file for part in parts for file in sorted(part.folder.glob("*.safetensors"))]

    def _described_depth(self) -> dict[str, Any]:
        model = self._depth_model
        found = self._described(model.folder, list(model.files), model.family.name)
        return found | {"depth_kind": str(model.kind)}

    @staticmethod
    def _described(folder: Path, files: list[Path], family: str) -> dict[str, Any]:
        name, revision = model_cache.name_of(folder)
        return {"name": name, "revision": revision, "family": family, "weights": model_cache.weights_digest(files)}


class JointDiffusionEngine(DiffusionEngine):
    """A diffusion engine that can also sample the pictures of all levels jointly."""

    def denoiser(self, report: Report) -> Denoiser:
        """The network as a denoiser for the joint sampler."""
        from dreamzoom.engines.diffusion.network_denoisers import DENOISERS

        painter = self.painter(report)
        kind = DENOISERS[self.model.family.joint]
        guard = partial(self._retry_with_less_memory, report)
        return kind(painter.pipe, painter.encoder, self.positive, painter.watch, guard, report, painter.native)

    def sampling(self) -> dict[str, Any]:
        """Steps, guidance, batch size and solver of the joint sampler."""
        from dreamzoom.engines.diffusion.network_denoisers import SOLVERS

        solver = SOLVERS[self.options.scheduler]
        own = self.options
        usual = {"steps": self.steps, "guidance": self.guidance, "batch": self._batch(), "blend_every": own.blend_every}
        return usual | solver


def _options(request: Request) -> Options:
    from dreamzoom.request import schema

    assert isinstance(request.engine, schema.DiffusionEngine)
    return request.engine


def _versions(*packages: str) -> dict[str, str]:
    from importlib.metadata import version

    return {package: version(package) for package in packages}
