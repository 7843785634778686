"""Finds a Blender with a window and a screen to show it on, and runs a tour through the add-on in it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from window.virtual_screen import VirtualScreen

TOUR = Path(__file__).resolve().parent / "tour.py"
VARIABLE = "DREAMZOOM_BLENDER"
SIZE = (1600, 1000)


class NoWindow(Exception):
    """There is no Blender with a window here; the message says what is missing."""


def blender(chosen: str = "") -> str:
    """Blender's program: the chosen one, that of the variable DREAMZOOM_BLENDER, or the one on PATH.

    Raises:
        NoWindow: There is none.
    """
    name = chosen or os.environ.get(VARIABLE) or "blender"
    found = shutil.which(name)
    if found is None:
        raise NoWindow(f"no Blender: name its program in {VARIABLE}, or put it on PATH")
    return found


@contextlib.contextmanager
def screen(folder: Path, size: tuple = SIZE) -> Iterator[VirtualScreen | None]:
    """A virtual screen on Linux where Xvfb is installed; None for this machine's own.

    Raises:
        NoWindow: There is neither.
    """
    if sys.platform in ("win32", "darwin"):
        yield None
        return
    try:
        found = VirtualScreen(folder, size)
    except OSError as error:
        if not os.environ.get("DISPLAY") and not os.environ.get("WAYLAND_DISPLAY"):
            raise NoWindow(f"no screen: start this on a desktop, or install Xvfb ({error})") from error
        yield None
        return
    try:
        yield found
    finally:
        found.close()


def run(program: str, plan: dict, seconds: float, variables: dict | None = None, size: tuple = SIZE) -> dict:
    """Run a tour in a new Blender with a user folder of its own.

    Args:
        program: Blender.
        plan: What `tour.py` reads; its `out` is the folder of the screenshots.
        seconds: The longest it may take.
        variables: Further environment variables.
        size: Of the window in pixels.

    Returns:
        What the tour wrote: the steps with their seconds and findings, and the error where one failed.

    Raises:
        NoWindow: There is no screen.
        RuntimeError: Blender ended without a result; the message holds its last lines.
    """
    out = Path(plan["out"])
    out.mkdir(parents=True, exist_ok=True)
    result = out / "result.json"
    result.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="dreamzoom-window-") as scratch, screen(Path(scratch), size) as virtual:
        plan = {**plan, "asks": virtual is not None}
        (Path(scratch) / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
        user = plan.get("user") or str(Path(scratch) / "user")
        command = [program, "--window-geometry", "0", "0", str(size[0]), str(size[1]), "--factory-startup"]
        command += ["--online-mode", "--enable-event-simulate", "--python", str(TOUR)]
        log = out / "blender.log"
        environment = {**os.environ, "BLENDER_USER_RESOURCES": user, **(variables or {})}
        environment.pop("DREAMZOOM_SERVER_PYTHON", None)  # the tour chooses the server in the preferences
        if virtual is not None:
            environment["DISPLAY"] = virtual.display
        with log.open("w", encoding="utf-8") as output:
            command += ["--", str(Path(scratch) / "plan.json")]
            process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
            until = time.monotonic() + seconds
            while process.poll() is None and time.monotonic() < until:
                _answer(out, virtual)
                time.sleep(0.1)
            if process.poll() is None:
                process.kill()
                process.wait(10)
        if not result.is_file():
            lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-20:]
            raise RuntimeError("Blender ended without a result:\n" + "\n".join(lines))
    return json.loads(result.read_text(encoding="utf-8"))


def _answer(out: Path, virtual: VirtualScreen | None) -> None:
    """Save the pictures of the virtual screen that the tour asks for."""
    for request in out.glob("*.asked") if virtual is not None else ():
        text = request.read_text(encoding="utf-8")
        virtual.save(request.with_suffix(".png"), tuple(json.loads(text)) if text else None)
        request.unlink()
