"""Commands of the installation: their output goes to the log, and line by line to whoever follows them."""

from __future__ import annotations

import os
import queue
import subprocess
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from installer.causes import InstallError, failed

BENT = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__"}
"""Environment variables that bend another Python than the one that they are meant for."""

TICK = 0.25
"""Seconds between two looks at a command that prints nothing."""

inherited: list[int] = []
"""File descriptors that commands keep open: the lock, so that it lasts as long as any of them."""

log_files: list[Path] = []
"""Where all output is copied, if anywhere."""

_running: set[subprocess.Popen] = set()


def run(command: Iterable, failure: str, follow: Callable[[str | None], None] | None = None) -> str:
    """Run a command to its end and return its standard output.

    Args:
        command: Program and arguments.
        failure: What the error says if it fails.
        follow: Called with each line, and with None at least every TICK seconds.

    Raises:
        InstallError: It failed or can't be started.
    """
    words = [str(part) for part in command]
    _log(f"> {' '.join(words)}")
    output: list[str] = []
    errors: list[str] = []
    try:
        process = _start(words)
    except OSError as error:
        raise failed(failure, [f"{words[0]}: {error.strerror or error}"]) from error
    lines: queue.SimpleQueue = queue.SimpleQueue()
    readers = [_reader(process.stdout, output, lines), _reader(process.stderr, errors, lines)]
    try:
        while process.poll() is None or any(reader.is_alive() for reader in readers) or not lines.empty():
            try:
                line = lines.get(timeout=TICK)
            except queue.Empty:
                line = None
            if follow is not None:
                follow(line)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        _running.discard(process)
    if process.returncode:
        raise failed(failure, [*output, *errors])
    return "\n".join(output)


def output(command: Iterable) -> str | None:
    """Standard output of a short command, stripped; None where it fails."""
    try:
        return run(command, "").strip()
    except InstallError:
        return None


def end_all() -> None:
    """End the commands that are running."""
    for process in list(_running):
        process.kill()


def _start(words: list[str]) -> subprocess.Popen:
    clean = {name: value for name, value in os.environ.items() if name not in BENT}
    clean |= {"PYTHONUTF8": "1", "PYTHONIOENCODING": "utf-8", "PYTHONUNBUFFERED": "1"}
    kept: dict = {} if os.name == "nt" else {"pass_fds": tuple(inherited)}
    process = subprocess.Popen(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="replace",
        env=clean,
        **kept,
    )
    _running.add(process)
    return process


def _reader(stream, told: list[str], lines: queue.SimpleQueue) -> threading.Thread:
    def read() -> None:
        for raw in stream:
            line = raw.rstrip()
            told.append(line)
            lines.put(line)
            if not line.startswith("Progress "):
                _log(line)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return thread


def _log(line: str) -> None:
    for file in log_files:
        try:
            with file.open("a", encoding="utf-8") as log:
                log.write(f"{line}\n")
        except OSError:
            pass  # a full disk keeps no log; the error itself is told all the same
