"""The `engine` of a request: which engine, and its options as the rig's settings give them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy

from ..core.errors import DreamzoomError
from ..core.protocol.model_offers import is_for_outpainting

DETAIL, WEIGHT = 0.55, 1.0
"""The server's defaults of `detail` and of a LoRA's weight, which it does not store."""


def of_rig(settings, *, check: bool = True) -> dict[str, Any]:
    """The request's `engine` for a rig's `RigSettings`; options that have their default value are left out.

    Args:
        settings: Of the rig.
        check: Whether the files that they name are looked for.

    Raises:
        DreamzoomError: The file of a LoRA does not exist.
    """
    if settings.engine == "procedural":
        return {"name": "procedural"}
    options = _diffusion(settings.diffusion, settings.levels, check) if settings.engine == "diffusion" else {}
    again = {} if settings.second_pass == "AUTO" else {"refine": settings.second_pass == "ON"}
    return {"name": settings.engine} | options | again


def _diffusion(settings, levels, check: bool) -> dict[str, Any]:
    """The options of the diffusion engine, from its `DiffusionSettings` and the guidance of the rig's `levels`."""
    options: dict[str, Any] = {}
    for name in ("model", "depth_model"):
        value = getattr(settings, name).strip()
        if value:
            options[name] = _model(value)
    if settings.style.strip():
        options["style"] = settings.style
    for name in ("steps", "guidance"):
        if getattr(settings, name):
            options[name] = getattr(settings, name)
    if any(level.guidance for level in levels):
        options["level_guidance"] = [level.guidance or None for level in levels]
    for name, usual in (("scheduler", "auto"), ("offload", "auto"), ("joint", True)):
        if getattr(settings, name) != usual:
            options[name] = getattr(settings, name)
    options["detail"] = round(settings.detail, 4)
    loras = [_lora(item, check) for item in settings.loras if item.file]
    return options | ({"loras": loras} if loras else {})


def as_sent(stored: dict[str, Any]) -> dict[str, Any]:
    """The request's `engine` as `of_rig` makes it, from one that the server has stored: it writes all options of the
    simple engines, and leaves out those of diffusion that have their default value.
    """
    if stored["name"] != "diffusion":
        return {key: stored[key] for key in ("name", "refine") if stored.get(key) is not None}
    loras = [{"weight": WEIGHT} | lora for lora in stored.get("loras") or []]
    return stored | {"detail": stored.get("detail", DETAIL)} | ({"loras": loras} if loras else {})


def _model(value: str) -> str:
    """A folder as an absolute path; the name of a model unchanged."""
    folder = Path(bpy.path.abspath(value))
    return str(folder) if value.startswith("//") or folder.is_absolute() else value


def _lora(item, check: bool) -> dict[str, Any]:
    """A LoRA of the request; what its name says is left out."""
    file = Path(bpy.path.abspath(item.file))
    if check and not file.is_file():
        raise DreamzoomError(f"The LoRA is missing: {file}", "Choose it again, or remove it from the list")
    found: dict[str, Any] = {"file": str(file), "weight": round(item.weight, 4)}
    return found if item.outpaint == is_for_outpainting(file.name) else found | {"outpaint": item.outpaint}
