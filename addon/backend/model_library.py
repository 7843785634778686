"""The diffusion models of this machine as the panels draw them: which there are, and the download of more.

All of it runs on the main thread and nothing waits: the server is asked, and its answers come by the main loop.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..core.errors import DreamzoomError
from ..core.protocol import error_codes, messages
from . import current_job, error_messages, launch
from .client import Ended
from .connection import connection

SETS = {
    "8gb": "For a Card of 8 GB",
    "12gb": "For a Card of 12 GB",
    "24gb": "For a Card of 24 GB",
}
"""The server's sets of a picture model and a depth model, by the card that holds them."""


@dataclass
class Shelf:
    """What is known of models, and the one download that may be under way.

    Attributes:
        entries: The models on this machine, as the server's `models` lists them; None before it was asked.
        memory: GB of the card, or of main memory where there is none.
        offers: What a download would bring, while the artist thinks about it.
        doing: "", "listing", "asking" or "downloading".
        fraction, message, seconds_left: Of the download.
        error: What went wrong last.
    """

    entries: list[dict[str, Any]] | None = None
    memory: float = 0.0
    offers: list[dict[str, Any]] = field(default_factory=list)
    doing: str = ""
    fraction: float = 0.0
    message: str = ""
    seconds_left: float | None = None
    error: DreamzoomError | None = None
    request_id: int = -1


shelf = Shelf()


def names(use: str) -> list[str]:
    """Names of the models on this machine that can be used, "picture" or "depth"."""
    return [entry["name"] for entry in shelf.entries or [] if entry["use"] == use]


def unusable() -> list[tuple[str, str]]:
    """Names of models that can't be used, and why."""
    return [(entry["name"], entry["reason"]) for entry in shelf.entries or [] if entry["reason"]]


def is_busy() -> bool:
    """Whether the server works on something of this module."""
    return bool(shelf.doing)


def refresh() -> None:
    """Ask which models there are, where the server can be asked now; else nothing happens."""
    if not is_busy() and not current_job.is_busy() and launch.is_set_up():
        _ask(messages.MODELS, {}, "listing")


def ask_offer(name: str) -> None:
    """Ask what the download of a set or a model would bring.

    Raises:
        DreamzoomError: The server can't be asked now.
    """
    _check_free()
    shelf.offers = []
    _ask(messages.MODELS_OFFER, {"name": name}, "asking")


def download() -> None:
    """Download what was offered.

    Raises:
        DreamzoomError: The server can't be asked now.
    """
    _check_free()
    offers = [{key: offer[key] for key in ("repository", "revision")} for offer in shelf.offers]
    shelf.fraction, shelf.message, shelf.seconds_left = 0.0, "", None
    _ask(messages.MODELS_GET, {"offers": offers}, "downloading")


def cancel() -> None:
    """Stop the download, what has arrived stays; or forget the offer."""
    if is_busy():
        connection.cancel(shelf.request_id)
    else:
        shelf.offers, shelf.error = [], None


def _check_free() -> None:
    if is_busy() or current_job.is_busy():
        raise DreamzoomError("The server is busy", "Wait for it, or cancel what it does")


def _ask(method: str, params: dict[str, Any], doing: str) -> None:
    shelf.error = None
    shelf.request_id = connection.request(method, params, _take)
    shelf.doing = doing


def _take(message: dict[str, Any] | Ended) -> None:
    """What the server says to the last question."""
    if isinstance(message, Ended):
        shelf.doing, shelf.error = "", error_messages.of_end(message, launch.log_file())
    elif "method" in message:
        if message["method"] == messages.PROGRESS:
            params = message["params"]
            shelf.fraction, shelf.message = params["fraction"], params["message"]
            shelf.seconds_left = params["seconds_left"]
    elif "error" in message:
        shelf.doing = ""
        if message["error"].get("code") != error_codes.CANCELLED:
            shelf.error = error_messages.of_error(message["error"])
    else:
        _take_result(message["result"])


def _take_result(result: dict[str, Any]) -> None:
    done, shelf.doing = shelf.doing, ""
    if done == "listing":
        shelf.entries, shelf.memory = result["models"], result["memory"]
    elif done == "asking":
        shelf.offers = result["offers"]
    elif done == "downloading":
        shelf.offers = []
        refresh()
