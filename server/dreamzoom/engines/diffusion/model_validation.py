"""What is looked at before any weight is read: that a folder holds data of known classes, whole, and no code.

Reads JSON and the headers of safetensors files alone (`model_files`); nothing of the folder is executed.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from core.errors import EngineUnavailable
from dreamzoom.engines.diffusion import families
from dreamzoom.engines.diffusion.depth_networks import sizes
from dreamzoom.engines.diffusion.depth_networks.sizes import Da3Sizes, MogeSizes
from dreamzoom.engines.diffusion.families import DepthFamily, Family, Width
from dreamzoom.engines.diffusion.model_files.inventory import check_folder
from dreamzoom.engines.diffusion.model_files.reading import AGAIN, read_json, short, shown, whole_weights
from dreamzoom.engines.diffusion.model_files.settings import (
    check_preprocessing,
    check_settings,
    check_sizes,
    whole_numbers,
)
from dreamzoom.geometry.view import DepthKind

T = TypeVar("T")


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


@dataclass(frozen=True)
class DepthModel:
    """A depth model on disk that passed the checks.

    Attributes:
        folder: Where it lies.
        family: What it is.
        kind: What its values mean.
        files: Its weights.
        components: By name, of Marigold alone.
        sizes: Of the models that no library has.
    """

    folder: Path
    family: DepthFamily
    kind: DepthKind
    files: tuple[Path, ...]
    components: dict[str, Component] = field(default_factory=dict)
    sizes: MogeSizes | Da3Sizes | None = None


def _damage_is_said(check: Callable[[Path], T]) -> Callable[[Path], T]:
    """Turn whatever a value of another type than expected leads to into EngineUnavailable."""

    @functools.wraps(check)
    def checked(folder: Path) -> T:
        try:
            return check(folder)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError, OSError) as error:
            raise EngineUnavailable(f"{folder} is damaged: {short(error)}", AGAIN) from error

    return checked


@_damage_is_said
def picture_model(folder: Path) -> Model:
    """Check the folder of a picture model.

    Raises:
        EngineUnavailable: One line on what is wrong with it, and what to do.
    """
    index = _index(folder)
    family = families.FAMILIES.get(str(index.get("_class_name")))
    if family is None:
        raise EngineUnavailable(
            f"{folder} is a {shown(index.get('_class_name'))}, a class that is not known here",
            f"choose a model of one of these classes: {', '.join(sorted(families.FAMILIES))}",
        )
    model = Model(folder, family, index, _components(folder, index))
    _need(folder, model.components, family)
    _widths(model)
    return model


@_damage_is_said
def depth_model(folder: Path) -> DepthModel:
    """Check the folder of a depth model. Raises EngineUnavailable."""
    if (folder / "model_index.json").exists():
        return _marigold(folder)
    check_folder(folder)
    file = None if (folder / "config.json").exists() else sizes.moge_file(folder)
    if file is not None:
        return DepthModel(folder, families.MOGE, families.MOGE.kind, (file,), sizes=sizes.moge(file))
    if not list(folder.glob("*.safetensors*")):
        whole_weights(folder)  # says what there is instead
    config = read_json(folder / "config.json")
    check_settings(folder, config)
    check_sizes(folder, config)
    if "model_type" not in config and str(config.get("model_name")).startswith("da3"):
        file, found = sizes.da3(folder, config)
        return DepthModel(folder, families.DEPTH_ANYTHING_3, found.preset.kind, (file,), sizes=found)
    family = families.DEPTHS.get(str(config.get("model_type")))
    if family is None:
        raise _unknown_depth(folder, config.get("model_type"))
    declared = config.get("architectures") or [family.model]
    if declared != [family.model]:
        raise _unknown_depth(folder, ", ".join(map(str, declared)))
    check_preprocessing(folder, read_json(folder / "preprocessor_config.json"))
    metric = family.variants and config.get("depth_estimation_type") == "metric"
    kind = DepthKind.METRIC if metric else family.kind
    return DepthModel(folder, family, kind, tuple(whole_weights(folder)))


def _marigold(folder: Path) -> DepthModel:
    index = _index(folder)
    if index.get("_class_name") != families.MARIGOLD.model:
        raise _unknown_depth(folder, index.get("_class_name"))
    components = _components(folder, index)
    for name in ("unet", "vae", "scheduler", "text_encoder", "tokenizer"):
        if name not in components:
            raise EngineUnavailable(f"{folder} lacks its {name}", AGAIN)
    files = tuple(file for part in components.values() for file in sorted(part.folder.glob("*.safetensors")))
    return DepthModel(folder, families.MARIGOLD, families.MARIGOLD.kind, files, components)


def _index(folder: Path) -> dict[str, Any]:
    check_folder(folder)
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
            raise EngineUnavailable(f"{folder}: {shown(name)} in model_index.json is damaged", AGAIN)
        package, kind = entry
        if package is None or kind is None:
            continue
        place = folder / name
        if not name.isidentifier() or len(name) > 64:
            raise EngineUnavailable(f"{folder}: {shown(name)} is no name of a component", AGAIN)
        _known_class(folder, name, package, kind)
        if kind in families.NETWORKS.get(package, ()):
            _network(place, kind)
        elif not place.is_dir():
            raise EngineUnavailable(f"{folder} lacks its {name}", AGAIN)
        else:
            for file in sorted(place.glob("*_config.json")):
                config = read_json(file)
                check_settings(file, config)
                if file.name == "scheduler_config.json":
                    check_sizes(file, config)
        found[name] = Component(package, kind, place)
    return found


def _known_class(folder: Path, name: str, package: str, kind: str) -> None:
    tokenizer = package == "transformers" and kind in families.TOKENIZERS
    scheduler = package == "diffusers" and kind in families.SCHEDULERS
    if not tokenizer and not scheduler and kind not in families.NETWORKS.get(package, ()):
        raise EngineUnavailable(
            f"{folder}: its {name} is a {shown(package)}.{shown(kind)}, a class that is not known here",
            "choose a model whose parts are of the usual classes, or a newer version of Dreamzoom",
        )


def _network(place: Path, kind: str) -> None:
    """A component with weights: its own configuration names the same class, no code, and its weights are whole."""
    config = read_json(place / "config.json")
    check_settings(place, config)
    check_sizes(place, config)
    declared = config.get("_class_name") or (config.get("architectures") or [kind])[0]
    # text encoders are often cut out of a larger model, whose class their configuration still names
    package = next(name for name, kinds in families.NETWORKS.items() if kind in kinds)
    if package == "diffusers" and declared != kind:
        raise EngineUnavailable(f"{place} is a {shown(declared)} where a {kind} is needed", AGAIN)
    whole_weights(place)


def _need(folder: Path, components: dict[str, Component], family: Family) -> None:
    needed = ("vae", "scheduler", "tokenizer", "text_encoder", family.network, *family.needs)
    for name in needed:
        if name not in components:
            raise EngineUnavailable(f"{folder} lacks its {name}", AGAIN)


def _widths(model: Model) -> None:
    """The text encoders give as many numbers per word as the network takes."""
    network = model.config(model.family.network)
    for width in model.family.widths:
        wanted = (whole_numbers(network.get(width.wanted)) or [None])[0]
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
    return width.layers * sum(sum(whole_numbers(number)) for number in found)


def _width(config: dict[str, Any]) -> int | None:
    text = config.get("text_config")
    inner = text if isinstance(text, dict) else config
    value = inner.get("hidden_size") or inner.get("d_model")
    return value if isinstance(value, int) else None


def _unknown_depth(folder: Path, name: Any) -> EngineUnavailable:
    known = ", ".join([*families.DEPTHS, families.MARIGOLD.model, families.MOGE.name, families.DEPTH_ANYTHING_3.name])
    return EngineUnavailable(f"{folder} is a {shown(name)}, no depth model that is known here", f"choose one: {known}")
