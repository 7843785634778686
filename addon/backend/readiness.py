"""Whether this machine can dream: the state of the server's environment, or of the Python that the artist chose.

There is one answer for all panels and operators.
"""

from __future__ import annotations

import functools
import json
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path

import bpy

from ..core import installation as environments
from ..core.errors import DreamzoomError
from ..core.installation import Failure
from . import installation, launch, main_loop, preferences

NOT_SET_UP, INSTALLING, LOOKING, READY, OUTDATED, BROKEN, WRONG_PYTHON = (
    "not_set_up",
    "installing",
    "looking",
    "ready",
    "outdated",
    "broken",
    "wrong_python",
)

INSTALL = "dreamzoom.install_server"

PROBE = (
    "import importlib.util as u, json, sys; print(json.dumps(['%d.%d' % sys.version_info[:2], "
    "[name for name in sys.argv[1:] if u.find_spec(name) is None]]))"
)
PROBE_SECONDS = 20


@dataclass(frozen=True)
class Readiness:
    """Whether the server can be used.

    Attributes:
        state: One of this module's constants.
        error: What is wrong and the remedy; None where the server can be used.
        failure: Why the installation failed, where it did.
    """

    state: str
    error: DreamzoomError | None = None
    failure: Failure | None = None


_probes: dict[tuple[str, int], str | None] = {}
"""What is wrong with each Python that was looked at, by its path and date; None while it is being looked at."""


def current() -> Readiness:
    """The state now. Takes well under a millisecond."""
    if installation.state.running is not None:
        return _error(INSTALLING, "The server's packages are being installed", "Wait until they are installed")
    if preferences.get("server_command"):
        return Readiness(READY)
    chosen = launch.chosen_python()
    return _of_environment() if chosen is None else _of_python(chosen)


def is_ready() -> bool:
    """Whether the server can be used."""
    return current().error is None


def check() -> None:
    """Raise DreamzoomError, with the remedy, where the server can't be used."""
    found = current()
    if found.error is not None:
        raise found.error


def _of_environment() -> Readiness:
    folder = launch.environment_folder()
    state = environments.state(folder, wanted_digest(launch.code_folder()), preferences.get("hardware"))
    failure = installation.state.failure or environments.read_failure(folder)
    if failure is None and state == "partial":
        failure = Failure(environments.INTERRUPTED, "The installation was ended before it was finished")
    if failure is not None:
        return _error(BROKEN, failure.message, "Go On", INSTALL, failure)
    if state == "absent":
        return _error(NOT_SET_UP, "Dreamzoom is not set up on this machine yet", "Install", INSTALL)
    if state == "outdated":
        return _error(OUTDATED, "This version needs other packages than those that are installed", "Update", INSTALL)
    return Readiness(READY)


@functools.cache
def wanted_digest(code: Path) -> str:
    """The digest that the environment should have, for the server's code in a folder."""
    return environments.digest(environments.SERVER_PYTHON, [code / "requirements.txt"])


def _of_python(path: Path) -> Readiness:
    try:
        key = (str(path), path.stat().st_mtime_ns)
    except OSError:
        return _wrong(path, "it does not exist")
    if not path.is_file():
        return _wrong(path, "it is a folder")
    if key not in _probes:
        _begin_probe(path, key)
    wrong = _probes[key]
    if wrong is None:
        return _error(LOOKING, "The chosen Python is being looked at", "Wait a moment")
    return _wrong(path, wrong) if wrong else Readiness(READY)


def _begin_probe(path: Path, key: tuple[str, int]) -> None:
    """Look at a Python: in a thread where there is a window, at once for scripts."""
    if bpy.app.background:
        _probes[key] = _probed(path)
        return
    _probes[key] = None

    def look() -> None:
        _probes[key] = _probed(path)

    def wait() -> float | None:
        if _probes.get(key) is None and key in _probes:
            return main_loop.TICK
        main_loop.redraw(preferences_too=True)
        return None

    threading.Thread(target=look, name="dreamzoom-probe", daemon=True).start()
    main_loop.start(wait)


def _probed(path: Path) -> str:
    """What is wrong with a Python, empty where nothing is."""
    words = [str(path), "-I", "-c", PROBE, *environments.SERVER_PACKAGES]
    try:
        done = subprocess.run(
            words,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            stdin=subprocess.DEVNULL,
            timeout=PROBE_SECONDS,
            check=False,
        )
        version, missing = json.loads(done.stdout)
    except OSError as error:
        return f"it can't be started: {error.strerror or error}"
    except subprocess.TimeoutExpired:
        return "it does not answer"
    except (ValueError, TypeError):
        return "it is no Python"
    if version != environments.SERVER_PYTHON:
        return f"it is Python {version}, and the server needs {environments.SERVER_PYTHON}"
    return f"it lacks the server's packages: {', '.join(missing)}" if missing else ""


def _wrong(path: Path, why: str) -> Readiness:
    return _error(
        WRONG_PYTHON, f"The chosen Python can't be used: {why} ({path})", "Choose a Python", "dreamzoom.choose_python"
    )


def _error(state: str, message: str, remedy: str, operator: str = "", failure: Failure | None = None) -> Readiness:
    return Readiness(state, DreamzoomError(message, remedy, operator=operator), failure)
