"""The files that a request names, and the request as a server understands it that was sent these files."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...core.errors import DreamzoomError, RefusedFile
from ...core.protocol.messages import RECEIVED
from ...core.safety import limits
from ...core.safety.contained import plain_name
from ...core.safety.regular_files import open_regular
from ...core.safety.seal import sha256_of

CHOOSE = "Choose it again, or clear it"


@dataclass(frozen=True)
class Input:
    """A file that a request names.

    Attributes:
        path: Where it is.
        name: Its name without folders, as any system allows it.
        bytes: Its size.
        sha256: Of its content, in hex.
    """

    path: Path
    name: str
    bytes: int
    sha256: str

    @property
    def sent_name(self) -> str:
        """How the request names it for the server."""
        return f"{RECEIVED}/{self.sha256}/{self.name}"


_known: dict[tuple[str, int, int], str] = {}
"""SHA-256 by path, size and time of change."""


def portable(request: dict[str, Any], stop: threading.Event) -> tuple[dict[str, Any], list[Input]]:
    """The request with the names that files have for the server, and these files, each content once. Reads every file.

    Folders of models keep their name alone: a model is never sent, the other machine has to have it.

    Args:
        request: As the add-on writes it, with absolute paths.
        stop: Ends the work when it is set, with an incomplete answer.

    Raises:
        DreamzoomError: A file is missing or can't be read.
    """
    found: dict[str, Input] = {}
    changed = copy.deepcopy(request)

    def sent(where: str, path: str) -> str:
        if stop.is_set():
            return path
        one = _read(where, Path(path))
        return found.setdefault(one.sha256, one).sent_name

    for index, level in enumerate(changed["levels"]):
        _change(level, ("image", "depth", "splats"), lambda name, path, index=index: sent(f"level {index}", path))
        if level.get("assets"):
            level["assets"] = [sent(f"level {index}", path) for path in level["assets"]]
    engine = changed.get("engine") or {}
    _change(engine, ("model", "depth_model"), lambda name, path: Path(path).name if Path(path).is_absolute() else path)
    for lora in engine.get("loras", ()):
        _change(lora, ("file",), lambda name, path: sent("the engine", path))
    return changed, list(found.values())


def _change(holder: dict[str, Any], names: tuple[str, ...], change: Callable[[str, str], str]) -> None:
    for name in names:
        if holder.get(name):
            holder[name] = change(name, holder[name])


def _read(where: str, path: Path) -> Input:
    try:
        with open_regular(path, limits.SPLAT_FILE_BYTES, links=True) as file:
            state = path.stat()
            key = str(path), state.st_size, state.st_mtime_ns
            if key not in _known:
                _known[key] = sha256_of(file)
    except RefusedFile as error:
        raise DreamzoomError(f"A file of {where} can't be sent: {error}", CHOOSE) from None
    except OSError as error:
        raise DreamzoomError(f"A file of {where} can't be read: {path}: {error.strerror}", CHOOSE) from None
    return Input(path, plain_name(path.name), state.st_size, _known[key])
