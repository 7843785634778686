"""The installation of the server's environment, in a process of its own."""

from __future__ import annotations

import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..core import installation
from ..core.installation import Failure
from . import launch, main_loop, preferences
from .client import Ended


class Installation:
    """A process that installs the server's environment.

    Attributes:
        standing: The last progress that it told: step, fraction, text, done and total bytes.
        line: What it said last, for a person.
        failure: Why it failed; None while it runs and after success.
        is_done: Whether it has ended.
    """

    def __init__(self):
        self.standing: dict[str, Any] = {}
        self.line, self.is_done = "", False
        self.failure: Failure | None = None
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._last = ""
        self._began = time.monotonic()
        flags: dict = {"start_new_session": True}  # a group of its own, so that `stop` reaches its pip too
        if os.name == "nt":
            flags = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
        self._process = subprocess.Popen(
            command(),
            stdin=subprocess.PIPE,  # it ends when this ends: with Blender
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            env=environment(),
            **flags,
        )
        self._reader = threading.Thread(target=self._read, name="dreamzoom-install", daemon=True)
        self._reader.start()

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self._began

    def pump(self) -> bool:
        """Read the lines that it has written since, without waiting; whether there were any."""
        seen = not self._lines.empty()
        while not self._lines.empty():
            self._take(self._lines.get().strip())
        if self._process.poll() is not None and not self._reader.is_alive() and self._lines.empty():
            self.is_done = True
            if self._process.returncode and self.failure is None:
                self.failure = _of_end(self._process.returncode, self._last)
                installation.write_failure(launch.environment_folder(), self.failure)
        return seen or self.is_done

    def stop(self) -> None:
        """End the process; the next installation goes on from there."""
        if self._process.poll() is not None:
            return
        if os.name == "nt":
            self._process.send_signal(signal.CTRL_BREAK_EVENT)
        else:
            os.killpg(self._process.pid, signal.SIGTERM)

    def _take(self, line: str) -> None:
        try:
            event = json.loads(line)
            kind = event.pop("event")
        except (ValueError, KeyError, TypeError, AttributeError):
            self._last = line or self._last  # of Python itself, where it can't even start
            return
        if kind == "progress":
            self.standing = event
        elif kind == "say":
            self.line = str(event.get("text"))
        elif kind == "failed":
            names = ("cause", "message", "detail", "command")
            self.failure = Failure(**{name: str(event[name]) for name in names}, bytes=int(event["bytes"]))

    def _read(self) -> None:
        for line in self._process.stdout or ():
            self._lines.put(line)


@dataclass
class State:
    """What the panels show.

    Attributes:
        running: The installation under way, None where there is none.
        failure: Why the last one of this Blender failed; None after success or when the artist ended it.
        was_stopped: Whether the artist ended the last one.
    """

    running: Installation | None = None
    failure: Failure | None = None
    was_stopped: bool = field(default=False)


state = State()


def command() -> list[str]:
    """The command line of the installer."""
    words = [sys.executable, "-I", str(launch.code_folder() / "install.py"), "--json"]
    words += ["--into", str(launch.environment_folder()), "--log", str(log_file())]
    words += ["--device", preferences.get("hardware")]
    chosen = preferences.path("base_python")
    return [*words, "--python", chosen] if chosen else words


def environment() -> dict[str, str]:
    """The environment variables of the installer, with the proxy and the certificates of the preferences."""
    return {**os.environ, **launch.network_variables(), "PYTHONUTF8": "1"}


def log_file() -> Path:
    """The log of the last installation: the output of all its commands."""
    return launch.user_folder() / "logs" / "install.log"


def log_text(most: int = 200_000) -> str:
    """The end of the log, of `most` letters at the most; empty where there is none."""
    try:
        return log_file().read_text(encoding="utf-8", errors="replace")[-most:]
    except OSError:
        return ""


def start() -> None:
    """Begin an installation, or go on with one that was ended. Raises OSError: Its process can't be started."""
    state.failure, state.was_stopped = None, False
    state.running = Installation()
    main_loop.start(_step)


def stop() -> None:
    """End the installation, if there is one, and forget how the last one ended."""
    was_running = state.running is not None
    if state.running is not None:
        state.running.stop()
    state.running, state.failure, state.was_stopped = None, None, was_running


def note_end(ended: Ended) -> None:
    """If the server ended since a package of the installed environment is missing or damaged, remember that: the next
    installation makes the environment anew.
    """
    last = next((line.strip() for line in reversed(ended.lines) if line.strip()), "")
    is_own = launch.chosen_python() is not None or bool(preferences.get("server_command"))
    if ended.code and not is_own and re.match(r"ModuleNotFoundError|ImportError", last):
        failure = Failure(installation.BROKEN, "The server's packages are damaged", last)
        installation.write_failure(launch.environment_folder(), failure)


def _of_end(code: int, last: str) -> Failure:
    """The failure of an installer that ended without saying why."""
    if code < 0:
        return Failure(installation.INTERRUPTED, f"The installation was stopped by signal {-code}", last)
    return Failure(installation.PACKAGE, f"The installation ended with code {code}", last)


def _step() -> float | None:
    """Follow the installation until it has ended."""
    running = state.running
    if running is None:
        return None
    is_new = running.pump()
    if running.is_done:
        state.running, state.failure = None, running.failure
        main_loop.redraw_status_bar()
    if is_new:
        main_loop.redraw(preferences_too=True)
    return None if running.is_done else main_loop.TICK
