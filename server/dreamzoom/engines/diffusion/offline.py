"""Keeps the loading of models off the network, without a setting that would also stop downloads in this process."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

_LOADING: ContextVar[bool] = ContextVar("loading", default=False)


class OnlineWhileLoading(ConnectionError):
    """A library tried to reach the hub while a model was being loaded."""


@contextlib.contextmanager
def offline() -> Iterator[None]:
    """Refuse every request to the hub that this thread makes in the block; other threads may go on downloading.

    Each call that loads something also says `local_files_only`; this is for calls of the libraries that ignore it.
    Their own switch, `HF_HUB_OFFLINE`, would hold for the whole process until it ends.
    """
    from huggingface_hub import get_session

    hooks = get_session().event_hooks["request"]
    if _refuse_while_loading not in hooks:
        hooks.append(_refuse_while_loading)
    token = _LOADING.set(True)
    try:
        yield
    finally:
        _LOADING.reset(token)


def _refuse_while_loading(request) -> None:
    if _LOADING.get():
        raise OnlineWhileLoading(f"loading a model must not ask {request.url.host} for anything")
