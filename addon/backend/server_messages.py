"""Messages of the server, checked before anything uses them: their size, and the type of each field that is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..core.protocol import messages
from ..core.safety import limits
from ..core.safety.bounded_json import decode_json
from ..core.safety.contained import is_contained

MOST_VALUES = 200_000


def parse(body: bytes) -> dict[str, Any]:
    """A notification, with "method" and "params", or an answer, with "id" and either "result" or "error", and with
    "attachment" where something is attached to the body.

    Raises:
        ValueError: It is neither; the message says why.
    """
    message = decode_json(body, "a message", limits.ANSWER_BYTES, values=MOST_VALUES)
    if not isinstance(message, dict):
        raise ValueError(f"a message that is no object: {body[:60]!r}")
    if "method" in message:
        _check_notification(message)
    else:
        _check_answer(message)
        message["attachment"] = getattr(body, "attachment", b"")
    return message


def _check_answer(message: dict[str, Any]) -> None:
    if not _is_identity(message.get("id")):
        raise ValueError("an answer without a valid id")
    error = message.get("error")
    if error is not None:
        fits = isinstance(error, dict) and _is_whole(error.get("code")) and isinstance(error.get("message"), str)
        if not fits or not isinstance(error.get("data", {}), dict):
            raise ValueError("an answer with an invalid error")
    elif not isinstance(message.get("result"), dict):
        raise ValueError("an answer without a result")


def _check_notification(message: dict[str, Any]) -> None:
    method, params = message["method"], message.get("params")
    if not isinstance(method, str) or not isinstance(params, dict) or not _is_identity(params.get("id")):
        raise ValueError("an invalid notification")
    for name, fits in _FIELDS.get(method, {}).items():
        if not fits(params.get(name)):
            raise ValueError(f"a notification {method[:40]!r} with an invalid {name}")


def _is_identity(value: Any) -> bool:
    return value is None or isinstance(value, str) or _is_whole(value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, float) or _is_whole(value)


def _or_none(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or fits(value)


_FIELDS: Mapping[str, Mapping[str, Callable[[Any], bool]]] = {
    messages.PROGRESS: {
        "stage": _is_text,
        "level": _or_none(_is_whole),
        "levels": _is_whole,
        "fraction": _is_number,
        "seconds_left": _or_none(_is_number),
        "message": _is_text,
    },
    messages.LOG: {"level": _is_text, "message": _is_text},
    messages.ARTIFACT: {"kind": _is_text, "level": _or_none(_is_whole), "path": is_contained},
}
"""The fields of each notification."""
