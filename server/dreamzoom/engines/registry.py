"""The available engines: whether each can run on this machine, and how it is created from a request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.errors import EngineUnavailable

if TYPE_CHECKING:
    from dreamzoom.engines.base import Engine
    from dreamzoom.request.schema import Request


@dataclass(frozen=True)
class Entry:
    """One engine.

    Attributes:
        probe: Returns (reason, remedy) if the engine can't run here, two empty strings if it can.
        make: Creates the engine for a request.
    """

    probe: Callable[[], tuple[str, str]]
    make: Callable[[Request], Engine]


def _missing(*packages: str) -> tuple[str, str]:
    """(reason, remedy) if any of these packages is not installed, else two empty strings. Does not import them."""
    from importlib.util import find_spec

    absent = [name for name in packages if find_spec(name) is None]
    if not absent:
        return "", ""
    return f"missing packages: {', '.join(absent)}", "install the server's environment again (python server/install.py)"


def _make_procedural(request: Request) -> Engine:
    from dreamzoom.engines.procedural.engine import ProceduralEngine
    from dreamzoom.request import schema

    count, path, own = len(request.levels), request.path(), request.engine
    assert isinstance(own, schema.ProceduralEngine)
    with_photo = [index for index, level in enumerate(request.levels) if (level.image or level.splats) is not None]
    photo_plane = path.camera(float(with_photo[0]), with_photo[0]).rotation[:, 2] if with_photo else None
    return ProceduralEngine(
        [level.prompt for level in request.levels],
        [request.level_seed(index) for index in range(count)],
        request.zoom_factor,
        path.focuses,
        distortion=own.distortion,
        loop=path.loop,
        side=max(request.width, request.height),
        photo_plane=photo_plane,
    )


def _make_spectral(request: Request) -> Engine:
    from dreamzoom.engines.spectral import SpectralEngine
    from dreamzoom.request import schema

    own = request.engine
    assert isinstance(own, schema.SpectralEngine)
    return SpectralEngine(own.contrast, own.relief, own.steps)


def _make_diffusion(request: Request) -> Engine:
    from dreamzoom.engines.diffusion import engine

    return engine.make(request)


ENGINES: dict[str, Entry] = {
    "procedural": Entry(lambda: _missing("numba", "scipy"), _make_procedural),
    "spectral": Entry(lambda: _missing("torch"), _make_spectral),
    "diffusion": Entry(
        lambda: _missing("torch", "diffusers", "transformers", "safetensors", "accelerate", "peft"), _make_diffusion
    ),
}


def available() -> list[dict[str, Any]]:
    """Every engine and whether it can run here, with keys name, available, reason, remedy. Cheap: imports no engine."""
    rows = []
    for name, entry in ENGINES.items():
        reason, remedy = entry.probe()
        rows.append({"name": name, "available": not reason, "reason": reason, "remedy": remedy})
    return rows


def make(request: Request) -> Engine:
    """Create the engine that a request names.

    Raises:
        EngineUnavailable: The engine is unknown or can't run here; the error carries a remedy.
    """
    name = str(request.engine.__struct_config__.tag)
    entry = ENGINES.get(name)
    if entry is None:
        raise EngineUnavailable(f"engine {name!r} is not known", f"choose one of: {', '.join(ENGINES)}")
    reason, remedy = entry.probe()
    if reason:
        raise EngineUnavailable(f"engine {name!r} can't run here: {reason}", remedy)
    return entry.make(request)
