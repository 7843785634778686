"""The installation of the server's environment, in a process of its own."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass

from . import launch, main_loop


class Installation:
    """A process that installs the server's environment.

    Attributes:
        line: What it is doing, as the panel shows it.
        failure: What went wrong; empty while it runs and after success.
        is_done: Whether it has ended.
    """

    def __init__(self):
        self.line, self.failure, self.is_done = "Starting", "", False
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        script = [
            sys.executable,
            "-I",
            str(launch.code_folder() / "install.py"),
            "--into",
            str(launch.environment_folder()),
        ]
        flags: dict = {"start_new_session": True}  # a group of its own, so that `stop` reaches its pip too
        if os.name == "nt":
            flags = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            script,
            stdin=subprocess.DEVNULL,
            stdout=pipe,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            **flags,
        )
        self._reader = threading.Thread(target=self._read, name="dreamzoom-install", daemon=True)
        self._reader.start()

    def pump(self) -> None:
        """Read the lines that it has written since; never waits."""
        while not self._lines.empty():
            line = self._lines.get().strip()
            if line:
                self.line = line
                if line.startswith("error: "):
                    self.failure = line.removeprefix("error: ")
        if self._process.poll() is not None and not self._reader.is_alive() and self._lines.empty():
            self.is_done = True
            if self._process.returncode and not self.failure:
                self.failure = self.line

    def stop(self) -> None:
        """End the process; the next installation continues from there."""
        if self._process.poll() is not None:
            return
        if os.name == "nt":
            self._process.send_signal(signal.CTRL_BREAK_EVENT)
        else:
            os.killpg(self._process.pid, signal.SIGTERM)

    def _read(self) -> None:
        for line in self._process.stdout or ():
            self._lines.put(line)


@dataclass
class State:
    """What the panels show.

    Attributes:
        running: The installation under way, None where there is none.
        error: What went wrong with the last one; empty after success.
    """

    running: Installation | None = None
    error: str = ""


state = State()


def start() -> None:
    """Begin an installation. Raises OSError: Its process can't be started."""
    state.error = ""
    state.running = Installation()
    main_loop.start(_step)


def stop() -> None:
    """End the installation, if there is one, and forget how the last one ended."""
    if state.running is not None:
        state.running.stop()
    state.running, state.error = None, ""


def _step() -> float | None:
    """Follow the installation until it has ended."""
    running = state.running
    if running is None:
        return None
    line = running.line
    running.pump()
    if running.is_done:
        state.running, state.error = None, running.failure
    if running.is_done or running.line != line:
        main_loop.redraw(preferences_too=True)
    return None if running.is_done else main_loop.TICK
