"""Which models are on this machine, and what they can do."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import EngineUnavailable, ModelMissing
from core.protocol.model_offers import OFFERS
from dreamzoom.engines.diffusion import model_cache, model_validation
from dreamzoom.engines.diffusion.depth_networks import sizes
from dreamzoom.engines.diffusion.families import Family
from dreamzoom.engines.diffusion.model_files import inventory, reading
from dreamzoom.engines.diffusion.model_validation import Model

GIB = 1 << 30


@dataclass(frozen=True)
class Entry:
    """A model on disk.

    Attributes:
        name: owner/name, or its folder.
        use: "picture", "depth", or empty where it can't be used.
        family: As `families` names it; empty likewise.
        abilities: "paint", "joint", "edit", "depth (metric)", ...
        bytes: Of its weights.
        precision: Of the weights as they lie there.
        licence: As its card states it; empty if it does not.
        reason: Why it can't be used; empty if it can.
    """

    name: str
    use: str
    family: str
    abilities: tuple[str, ...]
    bytes: int
    precision: str
    licence: str
    reason: str = ""


def best(use: str) -> Path:
    """The folder of the model to take when a request names none: the first of `OFFERS` that is in the cache and that
    the card can hold, else any other of the cache.

    Raises:
        ModelMissing: There is none; the remedy tells how to get one.
    """
    memory = card_memory()
    offered = [offer for offer in OFFERS.values() if offer.use == use]
    fitting = [offer for offer in offered if offer.card <= memory] + [offer for offer in offered if offer.card > memory]
    for offer in fitting:
        folder = model_cache.snapshot_of(offer.repository)
        if folder is not None:
            return folder
    for _, folder in model_cache.cached():
        try:
            model_validation.picture_model(folder) if use == "picture" else model_validation.depth_model(folder)
        except EngineUnavailable:
            continue
        return folder
    name = "depth" if use == "depth" else max((n for n in OFFERS if OFFERS[n] == fitting[0]), default="sd")
    kind = "depth_model" if use == "depth" else "model"
    raise ModelMissing(
        f"there is no {use} model on this machine",
        f"run `dreamzoom models get {name}`, or name a model's folder as the engine's {kind}",
    )


def card_memory() -> float:
    """GB of the device's memory, rounded up a little as makers count it; main memory's where there is no card."""
    import psutil
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_properties(0).total_memory / GIB * 1.05
    return psutil.virtual_memory().total / GIB


def entries(folder: Path | None = None) -> list[Entry]:
    """All models of the cache, or of a folder: itself, or the folders in it."""
    if folder is None:
        return [entry(name, place) for name, place in model_cache.cached()]
    inside = [folder, *sorted(path for path in folder.iterdir() if path.is_dir())] if folder.is_dir() else []
    models = [path for path in inside if _is_model(path)]
    return [entry(str(path), path) for path in (models[:1] if models[:1] == [folder] else models)]


def _is_model(folder: Path) -> bool:
    named = any((folder / name).exists() for name in ("model_index.json", "config.json"))
    return named or sizes.moge_file(folder) is not None


def entry(name: str, folder: Path) -> Entry:
    """What there is to say about one model; never raises for what the folder holds."""
    name, licence = reading.shown(name, 1000), ""
    try:
        inventory.check_folder(folder)
        licence = _licence(folder)
        index = folder / "model_index.json"
        is_picture = index.exists() and "Marigold" not in str(reading.read_json(index).get("_class_name"))
        return _picture(name, folder, licence) if is_picture else _depth(name, folder, licence)
    except EngineUnavailable as error:
        reason = str(error)
    except Exception as error:  # whatever else a folder leads to: the other models are still listed
        reason = f"it can't be read: {reading.short(error)}"
    return Entry(name, "", "", (), _weights_bytes(folder), "", licence, reading.shown(reason, 1000))


def _picture(name: str, folder: Path, licence: str) -> Entry:
    model: Model = model_validation.picture_model(folder)
    files = [file for part in model.components.values() for file in part.folder.glob("*.safetensors")]
    abilities = ("paint", *_further(model.family))
    return Entry(name, "picture", model.family.name, abilities, _bytes(files), _precision(files), licence)


def _further(family: Family) -> tuple[str, ...]:
    """What a family can do beside painting: sample jointly, or continue pictures by instruction."""
    joint = ("joint",) if family.joint else ()
    if family.edit is None:
        return joint
    return (*joint, "edit with a LoRA for outpainting" if family.edit.lora_only else "edit")


def _depth(name: str, folder: Path, licence: str) -> Entry:
    model = model_validation.depth_model(folder)
    files = list(model.files)
    abilities = (f"depth ({model.kind})", *(["known depth"] if model.family.prompted else []))
    return Entry(name, "depth", model.family.name, abilities, _bytes(files), _precision(files), licence)


def _weights_bytes(folder: Path) -> int:
    """Bytes of the weights in a folder that may hold anything."""
    try:
        found = [path.stat() for place in (folder, *folder.iterdir()) for path in place.glob("*.safetensors")]
    except OSError:
        return 0
    return sum(one.st_size for one in found if stat.S_ISREG(one.st_mode))


def _bytes(files: list[Path]) -> int:
    return sum(file.stat().st_size for file in files)


def _precision(files: list[Path]) -> str:
    """The type that most numbers of the weights have."""
    counts: dict[str, int] = {}
    for file in files:
        for value in reading.tensors(file).values():
            begin, end = value["data_offsets"]
            counts[value["dtype"]] = counts.get(value["dtype"], 0) + end - begin
    names = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
    most = max(counts, key=lambda kind: counts[kind], default="")
    return names.get(most, most.lower())


def _licence(folder: Path) -> str:
    """What the card's header says, `license: ...` between its first two lines of dashes."""
    lines = reading.read_start(folder / "README.md", 20_000).splitlines()
    if not lines or lines[0].strip() != "---":
        return ""
    found: dict[str, Any] = {}
    for line in lines[1:]:
        if line.strip() == "---":
            break
        key, colon, value = line.partition(":")
        if colon and key in ("license", "license_name"):
            found[key] = reading.shown(value.strip().strip("\"'"))
    return found.get("license_name") or found.get("license", "")
