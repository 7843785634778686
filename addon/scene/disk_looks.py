"""Looking at files from panels: by a thread, since a disk or a network can take long, and Blender draws meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

import bpy

from ..backend import main_loop

Key = TypeVar("Key")
Value = TypeVar("Value")

MOST = 512
"""So much is remembered; beyond, all is looked at again."""


class DiskLooks(Generic[Key, Value]):
    """What was found on disk for each key. The panels are drawn again when something else is found.

    Args:
        look: Looks at the disk; called in a thread, one call at a time. What it raises must not be more than OSError.
        seconds: How long what was found counts as current.
        in_thread: Whether a thread looks; None for where there is a window. For scripts the look is at once.
    """

    def __init__(self, look: Callable[[Key], Value], seconds: float, *, in_thread: bool | None = None):
        self._look, self._seconds, self._in_thread = look, seconds, in_thread
        self._found: dict[Key, tuple[float, Value | None]] = {}
        self._wanted: list[Key] = []
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._has_news = False

    def get(self, key: Key) -> Value | None:
        """What was found last; None while nothing is known. Never waits, but in scripts."""
        until, value = self._found.get(key, (0.0, None))
        if time.monotonic() < until:
            return value
        if not (not bpy.app.background if self._in_thread is None else self._in_thread):
            self._keep(key)
            return self._found[key][1]
        with self._lock:
            if key not in self._wanted:
                self._wanted.append(key)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="dreamzoom-disk", daemon=True)
                self._thread.start()
        main_loop.start(self._await)
        return value

    def forget(self) -> None:
        """Look at all again."""
        with self._lock:
            self._found.clear()

    def _work(self) -> None:
        """Look at what is wanted, until there is no more."""
        while True:
            with self._lock:
                if not self._wanted:
                    self._thread = None
                    return
                key = self._wanted[0]
            self._keep(key)
            with self._lock:
                self._wanted.remove(key)

    def _keep(self, key: Key) -> None:
        try:
            value = self._look(key)
        except OSError:
            value = None
        with self._lock:
            if len(self._found) >= MOST and key not in self._found:
                self._found.clear()
            self._has_news = self._has_news or self._found.get(key, (0.0, None))[1] != value
            self._found[key] = time.monotonic() + self._seconds, value

    def _await(self) -> float | None:
        """Draw the panels again once the thread has found something else."""
        with self._lock:
            is_done, has_news = self._thread is None, self._has_news
            self._has_news = False
        if has_news:
            main_loop.redraw()
        return None if is_done else main_loop.TICK


def stamp(path: str) -> str:
    """Tells a file from what was at its place before; empty where there is none."""
    try:
        found = Path(path).stat()
    except (OSError, ValueError):
        return ""
    return f"{found.st_size} {found.st_mtime_ns}"
