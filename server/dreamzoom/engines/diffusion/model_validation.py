"""What is looked at before any weight is read: that a folder holds data of known classes, whole, and no code.

Reads JSON and the headers of safetensors files alone; nothing of the folder is executed.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import EngineUnavailable
from dreamzoom.engines.diffusion import families
from dreamzoom.engines.diffusion.families import DepthFamily, Family, Width

PICKLES = {".bin", ".ckpt", ".pt", ".pth", ".pkl", ".pickle", ".msgpack", ".h5"}
MOST_HEADER = 100 << 20  # bytes, as the format itself demands
AGAIN = "download the model again, whole"


@dataclass(frozen=True)
class Component:
    """One entry of `model_index.json` that is to be loaded: its package, its class and its folder."""

    package: str
    kind: str
    folder: Path


@dataclass(frozen=True)
class Model:
    """A picture model on disk that passed the checks.

    Attributes:
        folder: Where it lies.
        family: What it is.
        index: Its `model_index.json`.
        components: By name.
    """

    folder: Path
    family: Family
    index: dict[str, Any]
    components: dict[str, Component]

    def config(self, name: str) -> dict[str, Any]:
        """The configuration of a component."""
        return read_json(self.components[name].folder / "config.json")


def picture_model(folder: Path) -> Model:
    """Check the folder of a picture model.

    Raises:
        EngineUnavailable: One line on what is wrong with it, and what to do.
    """
    index = _index(folder)
    family = families.FAMILIES.get(str(index.get("_class_name")))
    if family is None:
        raise EngineUnavailable(
            f"{folder} is a {_shown(index.get('_class_name'))}, a class that is not known here",
            f"choose a model of one of these classes: {', '.join(sorted(families.FAMILIES))}",
        )
    model = Model(folder, family, index, _components(folder, index))
    _need(folder, model.components, family)
    _widths(model)
    return model


def depth_model(folder: Path) -> tuple[DepthFamily, dict[str, Component]]:
    """Check the folder of a depth model; components are there for Marigold alone. Raises EngineUnavailable."""
    if (folder / "model_index.json").exists():
        index = _index(folder)
        if index.get("_class_name") != families.MARIGOLD.model:
            raise _unknown_depth(folder, index.get("_class_name"))
        components = _components(folder, index)
        for name in ("unet", "vae", "scheduler", "text_encoder", "tokenizer"):
            if name not in components:
                raise EngineUnavailable(f"{folder} lacks its {name}", AGAIN)
        return families.MARIGOLD, components
    no_code(folder)
    config = read_json(folder / "config.json")
    family = families.DEPTHS.get(str(config.get("model_type")))
    if family is None:
        raise _unknown_depth(folder, config.get("model_type"))
    _no_map(folder, config)
    declared = config.get("architectures") or [family.model]
    if declared != [family.model]:
        raise _unknown_depth(folder, ", ".join(map(str, declared)))
    read_json(folder / "preprocessor_config.json")
    whole_weights(folder)
    return family, {}


def no_code(folder: Path) -> None:
    """Refuse a folder that brings Python code of its own. Raises EngineUnavailable."""
    if not folder.is_dir():
        raise EngineUnavailable(f"no model folder {folder}", "name a folder, or one of those that `models` lists")
    code = next((path for path in sorted(folder.rglob("*.py"))), None)
    if code is not None:
        raise EngineUnavailable(
            f"{folder} brings code of its own ({code.relative_to(folder)}), which is not run here",
            "choose a model whose classes are in diffusers and transformers",
        )


def whole_weights(folder: Path) -> list[Path]:
    """The safetensors files of one component, each looked at for completeness. Raises EngineUnavailable."""
    indices = sorted(folder.glob("*.safetensors.index*.json"))
    files = sorted(folder.glob("*.safetensors"))
    if not files and not indices:
        pickled = next((p for p in sorted(folder.iterdir()) if p.suffix in PICKLES), None) if folder.is_dir() else None
        if pickled is not None:
            raise EngineUnavailable(
                f"{folder} holds its weights as a pickle ({pickled.name}), which could run code and is not opened",
                "get the model's safetensors version",
            )
        raise EngineUnavailable(f"{folder} holds no weights", AGAIN)
    for index in indices:
        shards = read_json(index).get("weight_map")
        if not isinstance(shards, dict) or not all(isinstance(name, str) for name in shards.values()):
            raise EngineUnavailable(f"{index} is damaged", AGAIN)
        for name in sorted(set(shards.values())):
            if Path(name).name != name or not (folder / name).is_file():
                raise EngineUnavailable(f"{folder} lacks {name[:100]}, a part of its weights", AGAIN)
    for file in files:
        tensors(file)
    return files


def tensors(file: Path) -> dict[str, Any]:
    """The header of a safetensors file: name to dtype, shape and offsets. Raises EngineUnavailable for damage.

    Not by `safetensors.safe_open`, which tells no offsets, and of a file cut short only "incomplete metadata".
    """
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            if length > min(size, MOST_HEADER):
                raise ValueError
            header = json.loads(stream.read(length))
        entries = {name: value for name, value in header.items() if name != "__metadata__"}
        end = max((value["data_offsets"][1] for value in entries.values()), default=0)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, struct.error):
        raise EngineUnavailable(f"{file} is damaged: its header can't be read", AGAIN) from None
    except OSError as error:
        raise EngineUnavailable(f"{file} can't be read: {error.strerror}", AGAIN) from None
    if size != 8 + length + end:
        raise EngineUnavailable(f"{file} is cut short or damaged: {size} bytes of {8 + length + end}", AGAIN)
    return entries


def read_json(file: Path) -> dict[str, Any]:
    """A JSON object in a file. Raises EngineUnavailable."""
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise EngineUnavailable(f"{file} is missing", AGAIN) from None
    except (ValueError, OSError):
        raise EngineUnavailable(f"{file} can't be read as JSON", AGAIN) from None
    if not isinstance(value, dict):
        raise EngineUnavailable(f"{file} does not hold a JSON object", AGAIN)
    return value


def _index(folder: Path) -> dict[str, Any]:
    no_code(folder)
    if not (folder / "model_index.json").is_file():
        remedy = "name the folder of a diffusers model (it holds model_index.json)"
        raise EngineUnavailable(f"{folder} holds no model_index.json", remedy)
    return read_json(folder / "model_index.json")


def _components(folder: Path, index: dict[str, Any]) -> dict[str, Component]:
    """All components that will be loaded, each checked."""
    found = {}
    for name, entry in index.items():
        if name.startswith("_") or name in families.LEFT_OUT or not isinstance(entry, list):
            continue
        if len(entry) != 2 or not all(value is None or isinstance(value, str) for value in entry):
            raise EngineUnavailable(f"{folder}: {_shown(name)} in model_index.json is damaged", AGAIN)
        package, kind = entry
        if package is None or kind is None:
            continue
        place = folder / name
        if place.parent != folder or name in (".", ".."):
            raise EngineUnavailable(f"{folder}: {_shown(name)} is no name of a component", AGAIN)
        _known_class(folder, name, package, kind)
        if kind in families.NETWORKS.get(package, ()):
            _network(place, kind)
        elif not place.is_dir():
            raise EngineUnavailable(f"{folder} lacks its {name}", AGAIN)
        elif (place / "tokenizer_config.json").exists():
            _no_map(place, read_json(place / "tokenizer_config.json"))
        found[name] = Component(package, kind, place)
    return found


def _known_class(folder: Path, name: str, package: str, kind: str) -> None:
    tokenizer = package == "transformers" and kind in families.TOKENIZERS
    scheduler = package == "diffusers" and kind in families.SCHEDULERS
    if not tokenizer and not scheduler and kind not in families.NETWORKS.get(package, ()):
        raise EngineUnavailable(
            f"{folder}: its {name} is a {_shown(package)}.{_shown(kind)}, a class that is not known here",
            "choose a model whose parts are of the usual classes, or a newer version of Dreamzoom",
        )


def _network(place: Path, kind: str) -> None:
    """A component with weights: its own configuration names the same class, no code, and its weights are whole."""
    config = read_json(place / "config.json")
    _no_map(place, config)
    declared = config.get("_class_name") or (config.get("architectures") or [kind])[0]
    # text encoders are often cut out of a larger model, whose class their configuration still names
    package = next(name for name, kinds in families.NETWORKS.items() if kind in kinds)
    if package == "diffusers" and declared != kind:
        raise EngineUnavailable(f"{place} is a {_shown(declared)} where a {kind} is needed", AGAIN)
    whole_weights(place)


def _no_map(place: Path, config: dict[str, Any]) -> None:
    if "auto_map" in config:
        raise EngineUnavailable(
            f"{place} asks for code of its own (auto_map), which is not run here",
            "choose a model whose classes are in diffusers and transformers",
        )


def _need(folder: Path, components: dict[str, Component], family: Family) -> None:
    needed = ("vae", "scheduler", "tokenizer", "text_encoder", family.network, *family.needs)
    for name in needed:
        if name not in components:
            raise EngineUnavailable(f"{folder} lacks its {name}", AGAIN)


def _widths(model: Model) -> None:
    """The text encoders give as many numbers per word as the network takes."""
    network = model.config(model.family.network)
    for width in model.family.widths:
        wanted = network.get(width.wanted)
        wanted = wanted[0] if isinstance(wanted, list) and wanted else wanted
        given = _given(model, width)
        if given is not None and wanted is not None and given != wanted:
            what = width.encoders[0] if len(width.encoders) == 1 else "text encoders"
            raise EngineUnavailable(
                f"{model.folder}: its {what} gives {given} numbers per word, its {model.family.network} takes {wanted}",
                "the parts are of different models; " + AGAIN,
            )


def _given(model: Model, width: Width) -> int | None:
    """How many numbers per word the encoders give together; None where one alone is not there or does not say."""
    configs = [model.config(name) for name in width.encoders if name in model.components]
    found = [config.get("projection_dim", 0) if width.projected else _width(config) for config in configs]
    if len(width.encoders) == 1 and found in ([], [None]):
        return None
    return width.layers * sum(number or 0 for number in found)


def _width(config: dict[str, Any]) -> int | None:
    text = config.get("text_config")
    inner = text if isinstance(text, dict) else config
    value = inner.get("hidden_size") or inner.get("d_model")
    return value if isinstance(value, int) else None


def _unknown_depth(folder: Path, name: Any) -> EngineUnavailable:
    known = ", ".join([*families.DEPTHS, families.MARIGOLD.model])
    return EngineUnavailable(f"{folder} is a {_shown(name)}, no depth model that is known here", f"choose one: {known}")


def _shown(value: Any) -> str:
    """A value out of a file, short and printable."""
    text = str(value) if value is not None else "model without a class"
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)[:80]
