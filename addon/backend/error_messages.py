"""What the server reports, in the artist's words."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ..core.errors import DreamzoomError
from ..core.protocol.error_codes import BAD_REQUEST, BUSY, NOT_AVAILABLE
from .client import Ended

FIELDS = {
    "prompt": "prompt",
    "negative_prompt": "Avoid text",
    "image": "picture",
    "depth": "depth picture",
    "seed": "seed",
    "focus": "place of the next level",
}


def of_error(error: dict[str, Any]) -> DreamzoomError:
    """A JSON-RPC error of the server."""
    data = error.get("data") if isinstance(error.get("data"), dict) else {}
    code, message = error.get("code"), str(error.get("message") or "The job failed")
    if code == BAD_REQUEST and data.get("field"):
        return DreamzoomError(
            f"{_field(data['field'])} {data.get('message', 'is not valid')}", "Change it and try again"
        )
    if data.get("missing") == "model":
        return DreamzoomError(sentence(message), "Get Models", operator="dreamzoom.get_models")
    remedies = {NOT_AVAILABLE: "Choose another engine", BUSY: "Wait for the other job, or cancel it"}
    remedy = data.get("remedy") or remedies.get(code or 0, "Try again; the server's log tells more")
    return DreamzoomError(sentence(message), sentence(remedy))


def of_end(ended: Ended, log: Path) -> DreamzoomError:
    """A server that went away in the middle of a job."""
    if ended.code is None:
        return DreamzoomError(
            sentence(ended.reason),
            "Check the server's Python in the preferences",
            operator="dreamzoom.open_preferences",
        )
    told = next((line.strip() for line in reversed(ended.lines) if line.strip()), "")
    if "No module named" in told:
        return DreamzoomError(
            f"The server's Python lacks a package: {told.partition('No module named')[2].strip()}",
            "Install what the dreaming needs",
            operator="dreamzoom.install_server",
        )
    last = f": {told[:200]}" if told else ""
    return DreamzoomError(
        f"{sentence(ended.reason)}{last}", f"Press Generate to go on from where it was. Its log: {log}"
    )


def _field(name: str) -> str:
    """A field of the request as the panel calls it: `levels[2].prompt` is the prompt of level 2."""
    level = re.fullmatch(r"levels\[(\d+)\](?:\.(\w+).*)?", name)
    if level:
        return f"Level {level[1]}: the {FIELDS.get(level[2], level[2])}" if level[2] else f"Level {level[1]}"
    camera = re.match(r"cameras\[(\d+)\]", name)
    if camera:
        return f"The camera ({name})"
    return name.replace("_", " ").capitalize()


def sentence(text: str) -> str:
    """With a capital letter and without a full stop, as Blender's interface has it."""
    text = text.strip().rstrip(".")
    return text[:1].upper() + text[1:]
