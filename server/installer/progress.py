"""Where an installation stands: one bar from 0 to 1 that never goes back, megabytes, and what is being done."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

SHARES = {
    "check": (0.0, 0.01),
    "environment": (0.01, 0.06),
    "plan": (0.06, 0.12),
    "download": (0.12, 0.62),
    "install": (0.62, 0.82),
    "try": (0.82, 0.85),
    "compile": (0.85, 1.0),
}
"""The part of the bar that each step covers, while the packages are not known."""

PAUSE = 0.1
"""Seconds between two reports of the same step, at least."""


@dataclass(frozen=True)
class Standing:
    """Where an installation stands.

    Attributes:
        step: One of `core.installation.STEPS`.
        fraction: 0 to 1 of the whole.
        text: What is being done: a package's name, for example.
        done: Bytes that have been downloaded, or that were on this machine already.
        total: Bytes of all downloads, 0 while that is not known.
        seconds: Since the start.
    """

    step: str
    fraction: float
    text: str = ""
    done: int = 0
    total: int = 0
    seconds: float = 0.0


def shares(download: float, install: float) -> dict[str, tuple[float, float]]:
    """The parts of the bar if downloading and installing take these seconds."""
    begin, end = SHARES["plan"][1], SHARES["try"][0]
    middle = begin + (end - begin) * download / max(download + install, 1e-6)
    return {**SHARES, "download": (begin, middle), "install": (middle, end)}


class Progress:
    """Follows an installation.

    Args:
        tell: Called with each new standing; nobody by default.
    """

    def __init__(self, tell: Callable[[dict], None] | None = None):
        self._tell = tell
        self._began = time.monotonic()
        self._last = -PAUSE
        self._shares = SHARES
        self.standing = Standing("check", 0.0)

    def expect(self, download: float, install: float) -> None:
        """Divide what is left of the bar by the seconds that downloading and installing will take."""
        self._shares = shares(download, install)

    def at(self, step: str, share: float, text: str = "", done: int = 0, total: int = 0) -> None:
        """The step is done to `share`, 0 to 1."""
        begin, end = self._shares[step]
        fraction = begin + (end - begin) * min(max(share, 0.0), 1.0)
        before, now = self.standing, time.monotonic()
        seconds = round(now - self._began, 1)
        self.standing = Standing(step, round(max(before.fraction, fraction), 4), text, done, total, seconds)
        is_new = (before.step, before.text) != (step, text)
        if self._tell is not None and (is_new or now - self._last >= PAUSE):
            self._last = now
            self._tell(asdict(self.standing))
