"""The methods that take long and run in a thread of their own. Large modules are imported only when one is called."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from core.errors import BadRequest
from core.protocol import messages
from dreamzoom.rpc.job import Download, Job
from dreamzoom.rpc.requests import decoded


def _generate(job: Job) -> dict[str, Any]:
    params = _parameters(job, "request", "out")
    out = decoded(params["out"]) if "out" in params else None
    if not isinstance(out, str) or not out or "\0" in out:
        raise BadRequest("out", "is required and must be the path of the job's folder")
    if "request" not in params:
        raise BadRequest("request", "is required and must be an object")
    from dreamzoom.pipeline.folder import Folder
    from dreamzoom.pipeline.generate import generate
    from dreamzoom.request import validation
    from dreamzoom.request.inputs import located
    from dreamzoom.stages.base import layout

    request = located(validation.decode_request(bytes(params["request"])), Path.cwd())
    job.levels = len(request.levels)
    folder = Folder(Path(out))
    summary = generate(request, folder, job, job.cancel)
    return {"out": str(folder.root), "result": str(folder.path(layout.RESULT.path())), "seconds": summary.seconds}


def _models(job: Job) -> dict[str, Any]:
    from dreamzoom.rpc import model_rpc

    _parameters(job)
    return model_rpc.listed()


def _models_offer(job: Job) -> dict[str, Any]:
    from dreamzoom.rpc import model_rpc

    params = _parameters(job, "name")
    return model_rpc.offered(decoded(params.get("name", b"null")))


def _models_get(job: Job) -> dict[str, Any]:
    from dreamzoom.rpc import model_rpc

    params = _parameters(job, "offers")
    return model_rpc.fetched(decoded(params.get("offers", b"null")), Download(job))


WORK: dict[str, Callable[[Job], dict[str, Any]]] = {
    messages.GENERATE: _generate,
    messages.MODELS: _models,
    messages.MODELS_OFFER: _models_offer,
    messages.MODELS_GET: _models_get,
}
"""The methods. All but `CONCURRENT` run one at a time and can be cancelled."""

CONCURRENT = {messages.MODELS, messages.MODELS_OFFER}
"""Methods that take seconds and may run at the same time as a job."""


def _parameters(job: Job, *names: str) -> dict[str, msgspec.Raw]:
    """The request's parameters by name. Raises BadRequest for a name that is not one of `names`."""
    params = job.call.parameters()
    unknown = params.keys() - set(names)
    if unknown:
        raise BadRequest(min(unknown)[:60], f"is not a parameter of {job.method}; remove it")
    return params
