"""The diffusion models of this machine, as the panels draw them: which there are, and the download of more.

The server lists and downloads them; its answers arrive on the main thread, by `connection`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..core.errors import DreamzoomError
from ..core.protocol import error_codes, licences, messages, model_offers
from . import current_job, error_messages, launch, main_loop, readiness
from .client import Ended
from .connection import connection

SETS = {name: f"For a Card of {name.removesuffix('gb')} GB" for name in model_offers.SETS}
"""The server's sets of a picture model and a depth model, by the graphics card that they fit."""


@dataclass
class ModelLibrary:
    """What is known of models, and the request that is under way.

    Attributes:
        entries: The models on this machine, as the server's method `models` lists them; None before the first listing.
        memory: GB of the graphics card, or of main memory where there is none.
        offers: Size and licence of each model of a download that the artist has not yet agreed to.
        activity: "listing", "offering" or "downloading"; empty where no request is under way.
        fraction, message, seconds_left: Progress of the download.
        error: What went wrong with the last request.
        request_id: The last request.
    """

    entries: list[dict[str, Any]] | None = None
    memory: float = 0.0
    offers: list[dict[str, Any]] = field(default_factory=list)
    activity: str = ""
    fraction: float = 0.0
    message: str = ""
    seconds_left: float | None = None
    error: DreamzoomError | None = None
    request_id: int = -1


library = ModelLibrary()


def names(use: str) -> list[str]:
    """Names of the models on this machine that can be used as "picture" or "depth" model."""
    return [entry["name"] for entry in library.entries or [] if entry["use"] == use]


def is_non_commercial(name: str) -> bool:
    """Whether a model on this machine has a licence that excludes commercial use, as far as its card says."""
    found = (entry["licence"] for entry in library.entries or [] if entry["name"] == name)
    return any(map(licences.is_non_commercial, found))


def can(name: str, ability: str) -> bool:
    """Whether a model on this machine has an ability, such as "edit"."""
    return any(entry["name"] == name and ability in entry["abilities"] for entry in library.entries or [])


def unusable() -> list[tuple[str, str]]:
    """Names of the models that can't be used, each with the reason."""
    return [(entry["name"], entry["reason"]) for entry in library.entries or [] if entry["reason"]]


def missing(picture: str, depth: str) -> str:
    """What is missing for a job with these models, in one line; empty where nothing is, or nothing is known yet.

    Args:
        picture: The chosen picture model, empty for any.
        depth: The chosen depth model, empty for any.
    """
    if library.entries is None:
        return ""
    for use, chosen in (("picture", picture), ("depth", depth)):
        if not chosen and not names(use):
            return f"There is no {use} model on this machine: press Get Models, or choose another engine"
    return ""


def list_soon() -> None:
    """List the models as soon as Blender has drawn, if they were not listed yet."""
    if library.entries is None and library.error is None and not is_busy():
        main_loop.start(_list_now)


def _list_now() -> None:
    if library.entries is None:
        refresh()


def is_busy() -> bool:
    """Whether a request about models is under way."""
    return bool(library.activity)


def refresh() -> None:
    """List the models again, if the server is installed and not busy."""
    if not is_busy() and not current_job.is_busy() and readiness.is_ready():
        _request(messages.MODELS, {}, "listing")


def request_offer(name: str) -> None:
    """Ask the server for the size and licence of a set or a model.

    Raises:
        DreamzoomError: The server is busy.
    """
    _check_free()
    library.offers = []
    _request(messages.MODELS_OFFER, {"name": name}, "offering")


def download() -> None:
    """Download the models of the offer.

    Raises:
        DreamzoomError: The server is busy.
    """
    _check_free()
    offers = [{key: offer[key] for key in ("repository", "revision")} for offer in library.offers]
    library.fraction, library.message, library.seconds_left = 0.0, "", None
    _request(messages.MODELS_GET, {"offers": offers}, "downloading")


def can_stop() -> bool:
    """Whether there is something that `cancel` would stop or close."""
    return bool(is_busy() or library.offers or library.error)


def cancel() -> None:
    """Stop the request, keeping what has been downloaded; without a request, forget the offer."""
    if is_busy():
        connection.cancel(library.request_id)
    else:
        library.offers, library.error = [], None


def _check_free() -> None:
    if is_busy() or current_job.is_busy():
        raise DreamzoomError("The server is busy", "Wait for it, or cancel what it is doing")


def _request(method: str, params: dict[str, Any], activity: str) -> None:
    library.error = None
    library.request_id = connection.request(method, params, _receive)
    library.activity = activity


def _receive(message: dict[str, Any] | Ended) -> None:
    """Take a message of the server for the last request."""
    if isinstance(message, Ended) and message.is_wanted:
        library.activity = ""
    elif isinstance(message, Ended):
        library.activity, library.error = "", error_messages.of_end(message, launch.log_file())
    elif "method" in message:
        if message["method"] == messages.PROGRESS:
            params = message["params"]
            library.fraction, library.message = params["fraction"], params["message"]
            library.seconds_left = params["seconds_left"]
    elif "error" in message:
        library.activity = ""
        if message["error"].get("code") != error_codes.CANCELLED:
            library.error = error_messages.of_error(message["error"])
    else:
        _take_result(message["result"])


def _take_result(result: dict[str, Any]) -> None:
    done, library.activity = library.activity, ""
    if done == "listing":
        library.entries, library.memory = result["models"], result["memory"]
    elif done == "offering":
        library.offers = result["offers"]
    elif done == "downloading":
        library.offers = []
        refresh()
