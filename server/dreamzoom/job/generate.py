"""A whole job in a folder: who may begin there, its request, its engine, its steps."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import msgspec

from core.errors import DreamzoomError
from dreamzoom import compiled, wire
from dreamzoom.job.folder import Folder
from dreamzoom.job.runner import Sink, Summary, run
from dreamzoom.job.steps import digest_of


def generate(
    request: wire.Request, folder: Folder, sink: Sink | None = None, cancel: threading.Event | None = None
) -> Summary:
    """Run a request in a folder, or go on with it. Another request's job there is continued: what fits is kept.

    Raises:
        DreamzoomError: The folder holds something else; `FolderBusy` if another process works there.
        BadRequest, EngineUnavailable, Cancelled: As their names say.
    """
    check_place(folder)
    sink = sink or Sink()
    with folder.lock():
        _write_request(folder, request)
        from dreamzoom import engines
        from dreamzoom.job import inputs
        from dreamzoom.stages import graph

        if compiled.is_first_start():
            told = "the first job after installation takes a minute longer: code is compiled for this machine"
            sink.log(told, "info")
        files = inputs.keep(folder, request, lambda message: sink.log(message, "warning"))
        return run(graph.build(request, engines.make(request), files), folder, sink, cancel)


def read_request(folder: Folder) -> wire.Request:
    """The request of a job folder.

    Raises:
        DreamzoomError: No job is there.
        BadRequest: Its request was damaged.
    """
    if not folder.is_job():
        raise DreamzoomError(
            f"{folder.root} holds no job", "name a folder that `dreamzoom generate` was told with --out"
        )
    return wire.decode_request(folder.read("request.json"))


def read_result(folder: Folder) -> dict[str, Any]:
    """What a finished job says of itself: result.json, with at least each level's index and splats.

    Raises:
        DreamzoomError: No finished job is there, or its result was damaged.
    """
    remedy = f'run "dreamzoom resume" on {folder.root}'
    if not folder.exists("result.json"):
        raise DreamzoomError(f"{folder.root} holds no finished job", remedy)
    try:
        result = folder.read_json("result.json")
        levels = [(level["index"], folder.path(level["splats"])) for level in result["levels"]]
        whole = [index for index, _ in levels] == list(range(len(read_request(folder).levels)))
    except (ValueError, KeyError, TypeError, AttributeError):
        whole = False
    if not whole:
        raise DreamzoomError(f"{folder.path('result.json')} is damaged", remedy)
    return result


def located(request: wire.Request, base: Path) -> wire.Request:
    """The same request with the paths in it made absolute: relative ones count from `base`."""
    levels = [
        msgspec.structs.replace(
            level,
            image=_absolute(level.image, base),
            depth=_absolute(level.depth, base),
            assets=[_absolute(name, base) for name in level.assets],
        )
        for level in request.levels
    ]
    return msgspec.structs.replace(request, levels=levels, engine=_engine_located(request.engine, base))


def _engine_located(engine: wire.Engine, base: Path) -> wire.Engine:
    """Folders of models and files of LoRAs likewise; a model's name that is no folder there stays a name."""
    if not isinstance(engine, wire.DiffusionEngine):
        return engine

    def found(name: str) -> str:
        return _absolute(name, base) or name if name and (base / name).is_dir() else name

    loras = [msgspec.structs.replace(lora, file=_absolute(lora.file, base)) for lora in engine.loras]
    return msgspec.structs.replace(
        engine, model=found(engine.model), depth_model=found(engine.depth_model), loras=loras
    )


def check_place(folder: Folder) -> None:
    """Refuse a folder that holds something else than a job. Raises DreamzoomError."""
    remedy = "choose a new or empty folder, or that of an earlier job"
    if folder.root.exists() and not folder.root.is_dir():
        raise DreamzoomError(f"{folder.root} is a file, not a folder", remedy)
    if not folder.is_job() and not folder.is_free():
        raise DreamzoomError(f"{folder.root} holds other files and no job", remedy)


def _write_request(folder: Folder, request: wire.Request) -> None:
    """Write the request; a result of another one goes first, so that the two never contradict each other."""
    data = wire.encode_request(request)
    if folder.is_job() and folder.read("request.json") == data:
        return
    try:
        stale = folder.read_json("result.json")["request_digest"] != digest_of(msgspec.to_builtins(request))
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        stale = True
    if stale:
        folder.remove("result.json")
    folder.write("request.json", data)


def _absolute(name: str | None, base: Path) -> str | None:
    return None if name is None else os.path.normpath(base.absolute() / name)
