"""Which Python the environment is made with: one of this machine, or one that uv fetches; and pip for it."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from core import installation
from core.installation import Failure, environment_python
from installer import processes
from installer.causes import InstallError

WINDOWS = os.name == "nt"

PROBE = (
    "import sys, venv, importlib.util as u; "
    "print('%d.%d' % sys.version_info[:2], sys.maxsize > 2**32, u.find_spec('ensurepip') is not None)"
)
"""Prints the version, whether it is of 64 bits, and whether it can install pip."""


@dataclass(frozen=True)
class Found:
    """A Python that can make an environment.

    Attributes:
        path: Its executable.
        has_pip: Whether it can install pip into it (`ensurepip`).
    """

    path: Path
    has_pip: bool


def find(version: str, chosen: Path | None = None) -> Found | None:
    """A Python of `version` that can make environments, one with `ensurepip` before others; None if there is none.

    Args:
        version: As "3.11".
        chosen: The only one to look at, if given.

    Raises:
        InstallError: The chosen one can't be used.
    """
    if chosen is not None:
        return _checked(chosen, version)
    without = None
    for path in _candidates(version):
        found = probe(path, version)
        if found is not None and found.has_pip:
            return found
        without = without or found
    return without


def probe(path: Path, version: str) -> Found | None:
    """What `path` is, if it is a 64-bit Python of `version` that can make environments."""
    if not Path(path).is_file():
        return None
    told = (processes.output([path, "-I", "-c", PROBE]) or "").split()
    return Found(Path(path), told[2] == "True") if len(told) == 3 and told[:2] == [version, "True"] else None


def is_usable(path: Path, version: str) -> bool:
    """Whether `path` is a 64-bit Python of `version` with all that environments need."""
    found = probe(path, version)
    return found is not None and found.has_pip


def make_environment(base: Found, folder: Path, version: str, newest: Path | None = None) -> Path:
    """Make an empty environment with pip in `folder`, in place of what is there; returns its python.

    Args:
        base: The Python to make it with.
        folder: Where it lies, or is to lie.
        version: The version of the Python.
        newest: Constraints that name the version of pip to install, if it can be fetched; otherwise the one at hand.

    Raises:
        InstallError: Neither the Python nor this one can install pip, or the folder can't be written.
    """
    python = environment_python(folder)
    wheel = bundled_pip()
    if not base.has_pip and wheel is None:
        package = f"python{version}-venv"
        text = f"{base.path} can't make environments: it lacks ensurepip, which the package {package} brings"
        remedy = f"sudo apt install {package}"
        raise InstallError(text, Failure(installation.NO_ENSUREPIP, text, command=remedy))
    processes.run([base.path, "-m", "venv", "--clear", "--without-pip", folder], f"can't make {folder}")
    if wheel is None:
        ensure = [python, "-I", "-m", "ensurepip", "--default-pip"]  # venv itself would hide what this prints
        processes.run(ensure, "can't install pip")
        pip: list = [python, "-I", "-m", "pip"]
    else:
        pip = [python, "-I", f"{wheel}/pip"]
    pip += ["install", "--no-input", "--no-deps", "--quiet"]
    if newest is not None:
        with contextlib.suppress(InstallError):  # an old pip works too, it only tells less of its progress
            processes.run([*pip, "--retries", "1", "--upgrade", "-c", newest, "pip"], "no newer pip")
            return python
    if wheel is not None:
        processes.run([*pip, "--no-index", wheel], "can't install pip")
    return python


def bundled_pip() -> Path | None:
    """The wheel of pip in the Python that runs this, which serves any other; None where it has none."""
    try:
        import ensurepip

        folders = [Path(str(ensurepip.__file__)).parent / "_bundled"]
        shared = getattr(ensurepip, "_WHEEL_PKG_DIR", None)  # Debian and Fedora keep the wheels there
        folders += [Path(shared)] if shared else []
    except ImportError:
        return None
    wheels = [wheel for folder in folders for wheel in sorted(folder.glob("pip-*.whl"))]
    return wheels[-1] if wheels else None


def fetch(version: str, tools: Path, say: Callable[[str], None]) -> Found | None:
    """Fetch a Python of `version` with uv; None where that can't be done.

    Raises:
        InstallError: There is no network, or its certificates are not accepted.
    """
    try:
        program = uv(tools, say)
        say(f"no Python {version} found: fetching one with uv")
        processes.run([program, "python", "install", "--quiet", version], f"Python {version} could not be fetched")
        path = processes.output([program, "python", "find", "--managed-python", version])
        return probe(Path(path), version) if path else None
    except InstallError as error:
        if error.failure.cause in (installation.NO_NETWORK, installation.TLS, installation.PROXY):
            text = f"no Python {version} found, and none could be fetched: {error.failure.message}"
            raise InstallError(text, Failure(error.failure.cause, text, error.failure.detail)) from error
        return None


def uv(tools: Path, say: Callable[[str], None]) -> Path:
    """The program uv, installed into the folder `tools` if it is not on this machine."""
    on_path = shutil.which("uv")
    program = tools / ("Scripts/uv.exe" if WINDOWS else "bin/uv")
    if on_path:
        return Path(on_path)
    if not program.exists():
        say("uv: installing it, it fetches what pip can't")
        own = probe(Path(sys.executable), f"{sys.version_info.major}.{sys.version_info.minor}")
        if own is None:
            raise InstallError(f"can't install uv: {sys.executable} makes no environments")
        python = make_environment(own, tools, f"{sys.version_info.major}.{sys.version_info.minor}")
        lock = ["--require-hashes", "-r", installation.UV_LOCK] if installation.UV_LOCK.is_file() else ["uv"]
        processes.run([python, "-m", "pip", "install", "--no-input", *lock], "can't install uv")
    return program


def none_found(version: str) -> InstallError:
    """The error where there is no Python of `version`."""
    text = f"no Python {version} found, and none could be fetched: install Python {version} or choose one"
    return InstallError(text, Failure(installation.NO_PYTHON, text))


def _checked(path: Path, version: str) -> Found:
    found = probe(path, version)
    if found is None:
        told = (processes.output([path, "-I", "-c", PROBE]) or "").split() if Path(path).is_file() else []
        what = f"is Python {told[0]}" if told else "is no Python" if Path(path).is_file() else "does not exist"
        text = f"{path} {what}: choose a Python {version}"
        raise InstallError(text, Failure(installation.NO_PYTHON, text))
    return found


def _candidates(version: str) -> Iterator[Path]:
    """Places where a Python of `version` may be, the likeliest first."""
    name = f"python{version}"
    yield Path(sys.executable)
    found = shutil.which(name)
    if found:
        yield Path(found)
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    for folder in sorted([*pyenv.glob(f"versions/{version}*"), *pyenv.glob(f"pyenv-win/versions/{version}*")]):
        yield folder / ("python.exe" if WINDOWS else "bin/python")
    if WINDOWS and shutil.which("py"):
        path = processes.output(["py", f"-{version}", "-c", "import sys; print(sys.executable)"])
        if path:
            yield Path(path)
    for folder in ("/usr/bin", "/usr/local/bin", "/opt/homebrew/bin"):
        yield Path(folder, name)
    yield Path(f"/Library/Frameworks/Python.framework/Versions/{version}/bin/{name}")
