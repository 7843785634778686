"""What the server finds on its machine, as the button Test shows it: device, memory, engines, models."""

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
