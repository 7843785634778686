"""What the server finds on its machine: what the button Test shows, and what is kept on disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ..core.errors import DreamzoomError
from ..core.protocol import messages
from . import error_messages, launch
from .client import Ended
from .connection import connection


@dataclass
class Question:
    """Something that the server is asked.

    Attributes:
        is_running: Whether its answer is waited for.
        error: What went wrong.
    """

    is_running: bool = False
    error: DreamzoomError | None = None

    def ask(self, method: str, params: dict[str, Any], take: Callable[[dict[str, Any]], None]) -> None:
        """Ask the server, starting it if need be; `take` gets the result. Raises DreamzoomError: there is none."""
        self.error = None
        connection.request(method, params, partial(self._receive, take))
        self.is_running = True

    def _receive(self, take: Callable[[dict[str, Any]], None], message: dict[str, Any] | Ended) -> None:
        if isinstance(message, Ended):
            self.is_running, self.error = False, error_messages.of_end(message, launch.log_file())
        elif "error" in message:
            self.is_running, self.error = False, error_messages.of_error(message["error"])
        elif "result" in message:
            self.is_running = False
            take(message["result"])


@dataclass
class Report(Question):
    """The last test.

    Attributes:
        lines: What it found, each with its subject.
    """

    lines: list[tuple[str, str]] = field(default_factory=list)

    def take(self, facts: dict[str, Any]) -> None:
        """Keep the facts of the server's method `machine`."""
        self.lines = lines(facts)


@dataclass
class Kept(Question):
    """What Dreamzoom keeps on the disks, as the preferences list it.

    Attributes:
        found: What can be removed, the largest first; None where nobody has asked.
    """

    found: list[dict[str, Any]] | None = None

    @property
    def is_told(self) -> bool:
        """Whether there is something that `forget_kept` would close."""
        return self.is_running or self.found is not None or self.error is not None

    def take(self, answer: dict[str, Any]) -> None:
        """Keep the answer of the server's method `leftovers`."""
        self.found = [one for one in _list(answer.get("found")) if "path" in one]


@dataclass
class Steps(Question):
    """Whether steps can run where the preferences say.

    Attributes:
        text: What was found; empty where nobody has asked.
    """

    text: str = ""

    def take(self, answer: dict[str, Any]) -> None:
        """Keep the answer of the server's method `executor`."""
        self.text = f"Works: {answer.get('slots')} steps at once, the first on {answer.get('host')}"


report, kept, steps = Report(), Kept(), Steps()


def start() -> None:
    """Test the server. Raises DreamzoomError: there is none."""
    report.lines = []
    report.ask(messages.MACHINE, {}, report.take)


def forget() -> None:
    """Forget what the tests found."""
    report.is_running, report.lines, report.error = False, [], None
    steps.is_running, steps.text, steps.error = False, "", None


def has_answers() -> bool:
    """Whether there is something that `forget` would close."""
    asked = report.is_running or steps.is_running
    return bool(asked or report.lines or steps.text or report.error or steps.error)


def try_steps(executor: str, storage: str) -> None:
    """Have the server try whether steps can run so. Raises DreamzoomError: there is no server."""
    steps.text = ""
    steps.ask(messages.EXECUTOR, {"executor": executor, "storage": storage}, steps.take)


def find_kept(jobs: list[str]) -> None:
    """Ask the server what is kept. `jobs` are folders with jobs in them. Raises DreamzoomError: there is no server."""
    kept.ask(messages.LEFTOVERS, {"jobs": jobs}, kept.take)


def remove_kept(path: str, jobs: list[str]) -> None:
    """Have the server remove one of the things that it found, then list again. Raises DreamzoomError."""
    kept.ask(messages.LEFTOVERS_REMOVE, {"paths": [path], "jobs": jobs}, lambda removed: find_kept(jobs))


def forget_kept() -> None:
    """Close the list."""
    kept.is_running, kept.found, kept.error = False, None, None


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
