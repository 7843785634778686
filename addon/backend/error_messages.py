"""Errors of the server as the artist reads them: what is wrong and what to do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ..core.errors import DreamzoomError
from ..core.protocol.error_codes import BAD_REQUEST, BUSY, NOT_AVAILABLE
from . import readiness
from .client import Ended

GO_ON = "dreamzoom.go_on"
"""The operator that goes on with a job after its connection was cut."""

FIELDS = {
    "prompt": "prompt",
    "negative_prompt": "Avoid text",
    "image": "picture",
    "depth": "depth picture",
    "seed": "seed",
    "focus": "position of the next level",
}


def of_error(error: dict[str, Any]) -> DreamzoomError:
    """The error for a JSON-RPC error object of the server."""
    data = error.get("data")
    data = data if isinstance(data, dict) else {}
    code, message = error.get("code"), str(error.get("message") or "The job failed")
    if code == BAD_REQUEST and data.get("field"):
        return DreamzoomError(
            f"{_field(data['field'])} {data.get('message', 'is not valid')}", "Change it and try again"
        )
    if data.get("missing") == "model":
        return DreamzoomError(sentence(message), "Get Models", operator="dreamzoom.get_models")
    remedies = {NOT_AVAILABLE: "Choose another engine", BUSY: "Wait for the other job, or cancel it"}
    remedy = data.get("remedy") or remedies.get(code or 0, "Try again; the server's log has the details")
    return DreamzoomError(sentence(message), sentence(remedy))


def of_cut(ended: Ended, host: str, remedy: tuple[str, str] = ("Go On", GO_ON)) -> DreamzoomError:
    """The error for a connection to another machine that has ended, or was never there.

    Args:
        ended: How it ended.
        host: The machine's name; empty where it has never answered.
        remedy: The button to press again, and its operator.
    """
    last = next((line.strip() for line in reversed(ended.lines) if line.strip()), "")
    detail = last[:200] or sentence(ended.reason)
    if not host:
        return DreamzoomError(f"The server can't be reached: {detail}", *remedy)
    told = f"The connection to {host} was cut: {detail}. What is finished and what has arrived is kept"
    return DreamzoomError(told, *remedy)


def of_end(ended: Ended, log: Path) -> DreamzoomError:
    """The error for a server that ended during a request.

    Args:
        ended: How it ended.
        log: Its log file, which the message names.
    """
    if ended.is_wanted:
        return DreamzoomError(sentence(ended.reason), "Press Generate to continue from there")
    if ended.code is None:
        wrong = readiness.current().error  # one answer about a Python, wherever it is asked for
        if wrong is not None:
            return wrong
        return DreamzoomError(
            sentence(ended.reason),
            "Check the server's Python in the preferences",
            operator="dreamzoom.open_preferences",
        )
    last = next((line.strip() for line in reversed(ended.lines) if line.strip()), "")
    if "No module named" in last:
        return DreamzoomError(
            f"The server's Python lacks a package: {last.partition('No module named')[2].strip()}",
            "Install the server's packages",
            operator="dreamzoom.install_server",
        )
    detail = f": {last[:200]}" if last else ""
    return DreamzoomError(
        f"{sentence(ended.reason)}{detail}", f"Press Generate to continue from there. The server's log: {log}"
    )


def _field(name: str) -> str:
    """The name of a field of the request as the panel shows it: `levels[2].prompt` is the prompt of level 2."""
    level = re.fullmatch(r"levels\[(\d+)\](?:\.(\w+).*)?", name)
    if level:
        return f"Level {level[1]}: the {FIELDS.get(level[2], level[2])}" if level[2] else f"Level {level[1]}"
    camera = re.match(r"cameras\[(\d+)\]", name)
    if camera:
        return f"The camera ({name})"
    return name.replace("_", " ").capitalize()


def sentence(text: str) -> str:
    """The text with a capital letter and without a full stop, as Blender's interface writes messages."""
    text = text.strip().rstrip(".")
    return text[:1].upper() + text[1:]
