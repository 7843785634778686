"""Loads models that `model_validation` has passed: concrete classes, safetensors, no network, no code of their own."""

from __future__ import annotations

import importlib
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# read by the libraries as they are imported
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")

import torch  # noqa: E402

from core.errors import BadRequest, EngineUnavailable  # noqa: E402
from dreamzoom.engines.diffusion import families  # noqa: E402
from dreamzoom.engines.diffusion.editing.pictures import PictureTokens  # noqa: E402
from dreamzoom.engines.diffusion.model_files import reading  # noqa: E402
from dreamzoom.engines.diffusion.model_validation import Component, Model  # noqa: E402
from dreamzoom.engines.diffusion.offline import offline  # noqa: E402
from dreamzoom.progress import Report  # noqa: E402

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class LoraFile:
    """A LoRA of the request: its file, its weight, and whether it teaches the model to continue pictures."""

    file: Path
    weight: float
    outpaint: bool = False


@dataclass(frozen=True)
class Placement:
    """Where and how finely a model computes."""

    device: torch.device
    dtype: torch.dtype


def placement(device: str, precision: str) -> Placement:
    """What "auto" means on this machine; ROCm counts as CUDA.

    Raises:
        EngineUnavailable: The device that was asked for is not there.
    """
    mps = torch.backends.mps.is_available()
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "mps" if mps else "cpu"
    if (device == "cuda" and not torch.cuda.is_available()) or (device == "mps" and not mps):
        raise EngineUnavailable(
            f"this machine has no {device} device that PyTorch can use",
            'set the engine\'s device to "auto" or "cpu", or install the server\'s environment again',
        )
    if precision == "auto":
        fine = device == "cuda" and torch.cuda.is_bf16_supported()
        precision = "float32" if device == "cpu" else "bfloat16" if fine else "float16"
    if device == "cuda":
        # the same picture from the same request: cuDNN must neither add in any order nor choose kernels by a stopwatch
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
    return Placement(torch.device(device), PRECISIONS[precision])


@offline()
def painter(model: Model, where: Placement, scheduler: str, loras: list[LoraFile], report: Report) -> Any:
    """The pipeline that paints with a checked model, on the CPU still. A cancel is noticed between its parts.

    Raises:
        EngineUnavailable: A part can't be loaded.
        BadRequest: The scheduler or a LoRA does not fit the model.
    """
    _quiet()
    import diffusers

    parts = {}
    for name, component in model.components.items():
        report.check()
        parts[name] = _load(component, where.dtype)
    parts["scheduler"] = _scheduled(parts["scheduler"], scheduler)
    if "processor" in model.index and isinstance(model.index["processor"], list):
        parts["processor"] = PictureTokens(parts["tokenizer"], _vision(model, parts["text_encoder"]))
    pipe = _assembled(getattr(diffusers, model.family.painter), parts, model)
    _add_loras(pipe, loras)
    return pipe


def editor(model: Model, pipe: Any) -> Any:
    """The pipeline that edits by instruction, of the parts of the one that paints. Raises EngineUnavailable."""
    import diffusers

    assert model.family.edit is not None
    return _assembled(getattr(diffusers, model.family.edit.pipeline), pipe.components, model)


@offline()
def load(package: str, kind: str, folder: Path, dtype: torch.dtype) -> Any:
    """A network in evaluation mode on the CPU. Raises EngineUnavailable."""
    _quiet()
    cls = getattr(importlib.import_module(package), kind)
    options: dict[str, Any] = {"variant": _variant(folder)}
    options["dtype" if package == "transformers" else "torch_dtype"] = dtype
    try:
        network, told = cls.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, output_loading_info=True, **options
        )
    except MemoryError:
        raise
    except Exception as error:  # whatever a library says of a file that can't be used
        raise _broken(folder, error) from error
    missing = sorted(told.get("missing_keys") or []) + sorted(map(str, told.get("mismatched_keys") or []))
    if missing:
        raise EngineUnavailable(
            f"{folder} lacks {len(missing)} of the tensors of a {kind}, {missing[0]} for one", reading.AGAIN
        )
    return network.eval().requires_grad_(False)


@offline()
def marigold(components: dict[str, Component], index: dict[str, Any], folder: Path, dtype: torch.dtype) -> Any:
    """The Marigold pipeline, on the CPU still. Raises EngineUnavailable."""
    _quiet()
    from diffusers.pipelines.marigold.pipeline_marigold_depth import MarigoldDepthPipeline

    parts = {name: _load(component, dtype) for name, component in components.items()}
    _, optional = MarigoldDepthPipeline._get_signature_keys(MarigoldDepthPipeline)
    options = {key: index[key] for key in optional if key in index and not isinstance(index[key], list)}
    try:
        pipe = MarigoldDepthPipeline(**parts, **options)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise _broken(folder, error) from error
    pipe.set_progress_bar_config(disable=True)
    return pipe


def _assembled(kind: Any, parts: dict[str, Any], model: Model) -> Any:
    """A pipeline of class `kind` from loaded parts; parts that it does not take are left out."""
    wanted, optional = kind._get_signature_keys(kind)
    absent = {name: None for name in wanted if name not in parts}
    kept = {key: model.index[key] for key in optional if key in model.index and not isinstance(model.index[key], list)}
    if "requires_safety_checker" in optional:
        kept["requires_safety_checker"] = False
    try:
        pipe = kind(**{name: part for name, part in parts.items() if name in wanted}, **absent, **kept)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise _broken(model.folder, error) from error
    pipe.set_progress_bar_config(disable=True)
    return pipe


def _vision(model: Model, text_encoder: Any) -> Any:
    """The settings of the part of a text encoder that sees pictures. Raises EngineUnavailable."""
    found = getattr(text_encoder.config, "vision_config", None)
    if found is None:
        raise EngineUnavailable(f"{model.folder}: its text_encoder sees no pictures", reading.AGAIN)
    return found


def _load(component: Component, dtype: torch.dtype) -> Any:
    if component.kind in families.NETWORKS[component.package]:
        return load(component.package, component.kind, component.folder, dtype)
    cls = getattr(importlib.import_module(component.package), component.kind)
    try:
        return cls.from_pretrained(component.folder, local_files_only=True)
    except Exception as error:  # as above
        raise _broken(component.folder, error) from error


def _variant(folder: Path) -> str | None:
    """The "fp16" of files named so, where there are no others."""
    names = [path.name for path in folder.glob("*.safetensors*")]
    plain = any(name.endswith((".safetensors", ".safetensors.index.json")) and ".fp16" not in name for name in names)
    return "fp16" if names and not plain else None


def _scheduled(own: Any, name: str) -> Any:
    """The model's own scheduler, or the chosen one with its settings."""
    import diffusers

    if name == "auto":
        return own
    flow = type(own).__name__ == "FlowMatchEulerDiscreteScheduler"
    if flow and name != "euler":
        raise BadRequest(
            "engine.scheduler", f"must be auto or euler, since the model is one of flow matching; got '{name}'"
        )
    return own if flow else getattr(diffusers, families.SCHEDULES[name]).from_config(own.config)


def adapter_name(index: int) -> str:
    """The name in a pipeline of the request's LoRA number `index`."""
    return f"lora{index}"


def _add_loras(pipe: Any, loras: list[LoraFile]) -> None:
    """Add LoRAs from safetensors files, each with its weight; those for continuing pictures only are off at first."""
    names = []
    for index, lora in enumerate(loras):
        file = lora.file
        field = f"engine.loras[{index}].file"
        if file.suffix != ".safetensors" or not file.is_file():
            raise BadRequest(field, f"must be a .safetensors file that is there; got '{file}'")
        reading.tensors(file)
        if not hasattr(pipe, "load_lora_weights"):
            raise BadRequest(field, f"must be left out: a {type(pipe).__name__} takes no LoRAs")
        names.append(adapter_name(index))
        try:
            pipe.load_lora_weights(
                file.parent, weight_name=file.name, adapter_name=names[-1], local_files_only=True, use_safetensors=True
            )
        except Exception as error:  # as above
            raise BadRequest(field, f"must be a LoRA of this model's family; {_line(error)}") from error
        if names[-1] not in {name for part in pipe.get_list_adapters().values() for name in part}:
            raise BadRequest(field, "must be a LoRA of this model's family; none of its tensors fits")
    if names:
        pipe.set_adapters(names, [0.0 if lora.outpaint else lora.weight for lora in loras])


def _broken(folder: Path, error: Exception) -> EngineUnavailable:
    return EngineUnavailable(f"{folder} can't be loaded: {_line(error)}", reading.AGAIN)


def _line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 200 else text[:199] + "…"


def _quiet() -> None:
    """Keep the libraries' progress bars and advice off the terminal; errors come as exceptions."""
    import diffusers
    import transformers

    for library in (diffusers, transformers):
        library.utils.logging.set_verbosity_error()
        library.utils.logging.disable_progress_bar()
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
