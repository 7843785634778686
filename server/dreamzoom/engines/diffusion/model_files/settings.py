"""The values in a model's configurations: none that fetches or runs code, none that asks for absurd memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core.errors import EngineUnavailable
from dreamzoom.engines.diffusion.model_files.reading import AGAIN, shown

CODE_KEYS = ("auto_map", "custom_pipelines", "trust_remote_code")
LARGEST = 1 << 27
"""The largest whole number in a configuration; vocabularies and positions are below it."""
MOST_LAYERS = 1024
"""The most layers, blocks or heads; also the longest list in a network's configuration."""
LAYER_WORDS = ("layer", "block", "depth", "head", "stage")
KERNELS = {"eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention"}
LARGEST_PICTURE = 4096
"""The largest side, in pixels, to which a depth model's preprocessing may scale pictures."""


def check_settings(place: Path, config: dict[str, Any]) -> None:
    """Check a configuration of a network, tokenizer or scheduler.

    Raises:
        EngineUnavailable: It asks for code of its own, for kernels from the network, or is quantised.
    """
    for path, value in _values(config):
        key = path[-1] if path else ""
        if key in CODE_KEYS and value:
            raise EngineUnavailable(
                f"{place} asks for code of its own ({key}), which is not run here",
                "choose a model whose classes are in diffusers and transformers",
            )
        if "attn_implementation" in key and isinstance(value, str) and value not in KERNELS:
            raise EngineUnavailable(
                f"{place} asks for the attention of {shown(value)}, which may be code and is not fetched here",
                "choose a model with the usual attention",
            )
        if key == "quantization_config" and value:
            method = value.get("quant_method") if isinstance(value, dict) else value
            raise EngineUnavailable(
                f"{place} is quantised ({shown(method)}), which can't be loaded here",
                "choose the model in float32, bfloat16 or float16",
            )


def check_sizes(place: Path, config: dict[str, Any]) -> None:
    """Check that no number in a configuration would fill the memory. Raises EngineUnavailable."""
    for path, value in _values(config):
        if isinstance(value, list) and len(value) > MOST_LAYERS:
            raise _absurd(place, path, f"a list of {len(value):,}")
        if type(value) is int:
            most = MOST_LAYERS if _counts_layers(path) else LARGEST
            if abs(value) > most:
                raise _absurd(place, path, f"{value:,}" if value < 1 << 63 else "a number without meaning")


def check_preprocessing(place: Path, looks: dict[str, Any]) -> None:
    """Check a depth model's `preprocessor_config.json`. Raises EngineUnavailable."""
    size = looks.get("size")
    sides = [size.get(name) for name in ("height", "width", "shortest_edge")] if isinstance(size, dict) else []
    for side in [*sides, looks.get("ensure_multiple_of")]:
        if side is not None and (type(side) is not int or not 1 <= side <= LARGEST_PICTURE):
            raise _absurd(place, ("size",), shown(side))
    for name in ("image_mean", "image_std"):
        values = looks.get(name)
        if not values:
            continue
        if not isinstance(values, list) or len(values) != 3 or not all(_is_number(value) for value in values):
            raise _absurd(place, (name,), shown(values))
        if name == "image_std" and not all(abs(value) > 1e-6 for value in values):
            raise _absurd(place, (name,), shown(values))


def whole_numbers(value: Any) -> list[int]:
    """The whole numbers of a list, or one alone; nothing else."""
    return [item for item in (value if isinstance(value, list) else [value]) if type(item) is int]


def _counts_layers(path: tuple[str, ...]) -> bool:
    """Whether a value is the number of layers or the like: the names of those are `num_…` or end in a plural."""
    key = next((part for part in reversed(path) if not part.isdigit()), "").lower()
    if not any(word in key for word in LAYER_WORDS) or "channels" in key or "dim" in key or "size" in key:
        return False
    return key.startswith(("num_", "n_")) or key.endswith(("s", "_per_block", "depth"))


def _values(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every value of a JSON document with the keys that lead to it; the nesting was limited when it was read."""
    waiting = [(path, value)]
    while waiting:
        path, value = waiting.pop()
        yield path, value
        if isinstance(value, dict):
            waiting += [((*path, key), inner) for key, inner in value.items()]
        elif isinstance(value, list):
            waiting += [((*path, str(index)), inner) for index, inner in enumerate(value)]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e6


def _absurd(place: Path, path: tuple[str, ...], value: str) -> EngineUnavailable:
    return EngineUnavailable(f"{place}: {shown('.'.join(path))} is {value}, which no model has", AGAIN)
