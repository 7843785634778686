"""What the server finds on its machine: what the button Test shows, and what is kept on disk."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..core.errors import DreamzoomError
from ..core.protocol import messages
from . import error_messages, launch
from .client import Ended
from .connection import connection


@dataclass
class Report:
    """The last test.

    Attributes:
        is_running: Whether the server is being asked.
        lines: What it found, each with its subject.
        error: What went wrong.
    """

    is_running: bool = False
    lines: list[tuple[str, str]] = field(default_factory=list)
    error: DreamzoomError | None = None


report = Report()


def start() -> None:
    """Ask the server, starting it if need be.

    Raises:
        DreamzoomError: There is no server.
    """
    report.lines, report.error = [], None
    connection.request(messages.MACHINE, {}, _receive)
    report.is_running = True


def forget() -> None:
    """Forget what was found."""
    report.is_running, report.lines, report.error = False, [], None


@dataclass
class Kept:
    """What Dreamzoom keeps on the disks, as the preferences list it.

    Attributes:
        is_running: Whether the server is being asked.
        found: What can be removed, the largest first; None where nobody has asked.
        error: What went wrong.
    """

    is_running: bool = False
    found: list[dict[str, Any]] | None = None
    error: DreamzoomError | None = None


kept = Kept()


def find_kept(jobs: list[str]) -> None:
    """Ask the server what is kept. `jobs` are folders with jobs in them. Raises DreamzoomError: there is no server."""
    kept.error = None
    connection.request(messages.LEFTOVERS, {"jobs": jobs}, _receive_kept)
    kept.is_running = True


def remove_kept(path: str, jobs: list[str]) -> None:
    """Have the server remove one of the things that it found, then list again. Raises DreamzoomError."""
    kept.error = None

    def receive(message: dict[str, Any] | Ended) -> None:
        if isinstance(message, Ended) or "error" in message:
            _receive_kept(message)
        elif "result" in message:
            find_kept(jobs)

    connection.request(messages.LEFTOVERS_REMOVE, {"paths": [path], "jobs": jobs}, receive)
    kept.is_running = True


def forget_kept() -> None:
    """Close the list."""
    kept.is_running, kept.found, kept.error = False, None, None


def _receive_kept(message: dict[str, Any] | Ended) -> None:
    if isinstance(message, Ended):
        kept.is_running, kept.error = False, error_messages.of_end(message, launch.log_file())
    elif "error" in message:
        kept.is_running, kept.error = False, error_messages.of_error(message["error"])
    elif "result" in message:
        kept.is_running, kept.found = False, [one for one in _list(message["result"].get("found")) if "path" in one]


def _receive(message: dict[str, Any] | Ended) -> None:
    if isinstance(message, Ended):
        report.is_running, report.error = False, error_messages.of_end(message, launch.log_file())
    elif "error" in message:
        report.is_running, report.error = False, error_messages.of_error(message["error"])
    elif "result" in message:
        report.is_running, report.lines = False, lines(message["result"])


def lines(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """The facts of the server's method `machine`, a line for each subject."""
    system, memory = facts.get("system"), facts.get("memory")
    found = [("Device", _device(facts))]
    if isinstance(system, dict):
        found.append(("Processor", f"{system.get('processor')}, {system.get('cores')} cores"))
    if isinstance(memory, dict):
        found.append(("Memory", f"{memory.get('total GB')} GB, {memory.get('free GB')} GB free"))
    found += [("Engine", str(name)) for name in _list(facts.get("engines"))]
    found += [("Model", str(name)) for name in _list(facts.get("models"))] or [("Model", "none on this machine")]
    return found


def _device(facts: dict[str, Any]) -> str:
    cards = facts.get("cards")
    if not isinstance(cards, list):
        return str(cards)
    names = [f"{card.get('name')}, {card.get('memory GB')} GB" for card in cards if isinstance(card, dict)]
    return "; ".join(names) or "the processor: no graphics card that PyTorch can use"


def _list(value: Any) -> list:
    return value if isinstance(value, list) else [value] if value else []
