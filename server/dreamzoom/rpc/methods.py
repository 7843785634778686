"""The methods that take long and run in a thread of their own. Large modules are imported only when one is called."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from core.errors import BadRequest, RefusedFile
from core.protocol import messages
from core.safety import limits
from core.safety.bounded_json import decode_json
from dreamzoom.rpc.job import Job, Work
from dreamzoom.rpc.requests import Text, parameters

if TYPE_CHECKING:
    from dreamzoom.pipeline.folder import Folder


class _Nothing(msgspec.Struct, forbid_unknown_fields=True):
    pass


class _Generate(msgspec.Struct, forbid_unknown_fields=True):
    request: Text = msgspec.UNSET
    out: Text = msgspec.UNSET
    job: Text = msgspec.UNSET
    resume: Text = msgspec.UNSET
    executor: Text = msgspec.UNSET
    storage: Text = msgspec.UNSET


class _Executor(msgspec.Struct, forbid_unknown_fields=True):
    executor: Text = msgspec.UNSET
    storage: Text = msgspec.UNSET


class _Verify(msgspec.Struct, forbid_unknown_fields=True):
    out: Text = msgspec.UNSET
    job: Text = msgspec.UNSET
    repair: Text = msgspec.UNSET


class _Export(msgspec.Struct, forbid_unknown_fields=True, rename={"kind": "for"}):
    out: Text = msgspec.UNSET
    path: Text = msgspec.UNSET
    kind: Text = msgspec.UNSET
    up: Text = msgspec.UNSET
    rounds: Text = msgspec.UNSET
    cameras: Text = msgspec.UNSET


class _Name(msgspec.Struct, forbid_unknown_fields=True):
    name: Text = msgspec.UNSET


class _Leftovers(msgspec.Struct, forbid_unknown_fields=True):
    jobs: Text = msgspec.UNSET
    paths: Text = msgspec.UNSET


class _Offers(msgspec.Struct, forbid_unknown_fields=True):
    offers: Text = msgspec.UNSET


def _generate(job: Job) -> dict[str, Any]:
    params = parameters(job.call, _Generate)
    _check_place(params)
    executor, storage = _text(params.executor, "executor", "local"), _text(params.storage, "storage", "")
    is_resumed = _decoded(params.resume) is True
    if is_resumed and params.request is not msgspec.UNSET:
        raise BadRequest("request", "must be left out where a job is resumed")
    if not is_resumed and params.request is msgspec.UNSET:
        raise BadRequest("request", "is required and must be an object")
    from dreamzoom import cluster
    from dreamzoom.pipeline.generate import generate, read_request
    from dreamzoom.pipeline.records import level_seconds
    from dreamzoom.request import validation
    from dreamzoom.request.inputs import located
    from dreamzoom.stages.base import layout

    folder = _folder(job, params)
    with contextlib.ExitStack() as ends:
        if params.request is msgspec.UNSET:
            request = read_request(folder)
        else:
            request = validation.decode_request(bytes(params.request))
            if params.job is msgspec.UNSET:
                request = located(request, Path.cwd())
            else:
                request = ends.enter_context(job.home().placed(_decoded(params.job), request))
        job.levels = len(request.levels)
        steps = cluster.make(executor, storage, lambda message: job.log(message, "warning"), job.cancel)
        summary = generate(request, folder, job, job.cancel, executor=ends.enter_context(contextlib.closing(steps)))
    found = {"out": str(folder.root), "result": str(folder.path(layout.RESULT.path())), "seconds": summary.seconds}
    return found | {"level_seconds": level_seconds(folder, job.levels)}


def _verify(job: Job) -> dict[str, Any]:
    from dreamzoom.rpc.verify_rpc import verified

    params = parameters(job.call, _Verify)
    return verified(_folder(job, params), _decoded(params.repair), job, job.cancel)


def _export(job: Job) -> dict[str, Any]:
    from dreamzoom.rpc.export_rpc import exported

    params = parameters(job.call, _Export)
    given = {name: _decoded(getattr(params, name)) for name in params.__struct_fields__}
    return exported(given, Work(job, messages.REFIT))


def _models(job: Job) -> dict[str, Any]:
    from dreamzoom.rpc import model_rpc

    parameters(job.call, _Nothing)
    return model_rpc.listed()


def _models_offer(job: Job) -> dict[str, Any]:
    from dreamzoom.rpc import model_rpc

    return model_rpc.offered(_decoded(parameters(job.call, _Name).name))


def _models_get(job: Job) -> dict[str, Any]:
    from dreamzoom.rpc import model_rpc

    return model_rpc.fetched(_decoded(parameters(job.call, _Offers).offers), Work(job, messages.DOWNLOAD))


def _machine(job: Job) -> dict[str, Any]:
    from dreamzoom.machine import facts

    parameters(job.call, _Nothing)
    return facts.facts()


def _executor(job: Job) -> dict[str, Any]:
    from dreamzoom import cluster

    params = parameters(job.call, _Executor)
    executor, storage = _text(params.executor, "executor", "local"), _text(params.storage, "storage", "")
    return cluster.tried(executor, storage, job.cancel)


def _leftovers(job: Job) -> dict[str, Any]:
    from dreamzoom.machine import leftovers

    params = parameters(job.call, _Leftovers)
    return {"found": [one.facts() for one in leftovers.find(_job_places(job, params))]}


def _leftovers_remove(job: Job) -> dict[str, Any]:
    from dreamzoom.machine import leftovers

    params = parameters(job.call, _Leftovers)
    removed = leftovers.remove(_paths(params.paths, "paths"), _job_places(job, params))
    return {"removed": [one.facts() for one in removed]}


WORK: dict[str, Callable[[Job], dict[str, Any]]] = {
    messages.GENERATE: _generate,
    messages.VERIFY: _verify,
    messages.EXPORT: _export,
    messages.MODELS: _models,
    messages.MODELS_OFFER: _models_offer,
    messages.MODELS_GET: _models_get,
    messages.MACHINE: _machine,
    messages.EXECUTOR: _executor,
    messages.LEFTOVERS: _leftovers,
    messages.LEFTOVERS_REMOVE: _leftovers_remove,
}
"""The methods. All but `CONCURRENT` run one at a time and can be cancelled."""

CONCURRENT = {messages.MODELS, messages.MODELS_OFFER, messages.MACHINE, messages.EXECUTOR, messages.LEFTOVERS}
"""Methods that take seconds and may run at the same time as a job."""


def _check_place(params: _Generate | _Verify) -> None:
    """Raise BadRequest unless either a folder or a job is named."""
    out, is_named = _decoded(params.out), params.job is not msgspec.UNSET
    is_path = isinstance(out, str) and out and "\0" not in out
    if not is_path and not is_named or is_named and params.out is not msgspec.UNSET:
        raise BadRequest("out", "is required and must be the path of the job's folder, or else the job must be named")


def _folder(job: Job, params: _Generate | _Verify) -> Folder:
    """The job's folder: `out`, or the one that this machine keeps for the client's `job`."""
    from dreamzoom.pipeline.folder import Folder

    _check_place(params)
    if params.job is not msgspec.UNSET:
        home, name = job.home(), _decoded(params.job)
        folder = home.serve(name)
        home.wait_free(name, job.cancel)
        return folder
    return Folder(Path(str(_decoded(params.out))))


def _job_places(job: Job, params: _Leftovers) -> list[Path]:
    """The folders with jobs that the client knows, and the one of jobs from other machines."""
    return [*_paths(params.jobs, "jobs"), job.home().root]


def _paths(text: Text, name: str) -> list[Path]:
    """A parameter that is a list of paths; empty where it is missing. Raises BadRequest for anything else."""
    value = [] if text is msgspec.UNSET else _decoded(text)
    if not isinstance(value, list) or not all(isinstance(one, str) and one and "\0" not in one for one in value):
        raise BadRequest(name, "must be a list of paths")
    return [Path(one) for one in value]


def _text(text: Text, name: str, default: str) -> str:
    """A parameter that is a text; `default` where it is missing. Raises BadRequest for anything else."""
    value = default if text is msgspec.UNSET else _decoded(text)
    if not isinstance(value, str):
        raise BadRequest(name, "must be a text")
    return value


def _decoded(text: Text) -> Any:
    """The value of a small parameter; None for what is missing, not JSON or large."""
    try:
        return None if text is msgspec.UNSET else decode_json(bytes(text), "it", limits.PARAMETER_BYTES)
    except RefusedFile:
        return None
