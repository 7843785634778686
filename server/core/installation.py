"""The server's environment as installer and add-on see it: what it must hold, its stamp, and why it could not be made.

Standard library alone and any Python from 3.9 on: the installer runs before there is an environment.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

SERVER = Path(__file__).resolve().parents[1]
SERVER_PYTHON = "3.11"
SERVER_REQUIREMENTS = (SERVER / "requirements.txt",)
LOCK, UV_LOCK = SERVER / "requirements.lock.txt", SERVER / "uv.lock.txt"
"""What the server needs, and the program uv, with the hashes of all their files; made by scripts/renew_pins.py."""
SERVER_CHECK = "import av, msgspec, numba, scipy, torch"
SERVER_PACKAGES = ("av", "msgspec", "numba", "numpy", "scipy", "torch")
"""Packages that a Python of the artist's own must hold at least."""

STAMP = "dreamzoom-environment.json"
"""Written into the environment as the last step: an environment without it is not whole."""

DEVICES = ("auto", "cpu", "cuda", "rocm", "mps")
"""What the environment's PyTorch is built for; "auto" finds out."""

STEPS = ("check", "environment", "plan", "download", "install", "try", "compile")
"""The steps of an installation, in order, as its progress names them."""

NO_PYTHON, NO_ENSUREPIP, NO_NETWORK, TLS, PROXY = "no_python", "no_ensurepip", "no_network", "tls", "proxy"
DISK_FULL, NOT_WRITABLE, DAMAGED, NO_BUILD = "disk_full", "not_writable", "damaged", "no_build"
PACKAGE, BROKEN, INTERRUPTED = "package", "broken", "interrupted"
CAUSES = (
    NO_PYTHON,
    NO_ENSUREPIP,
    NO_NETWORK,
    TLS,
    PROXY,
    DISK_FULL,
    NOT_WRITABLE,
    DAMAGED,
    NO_BUILD,
    PACKAGE,
    BROKEN,
    INTERRUPTED,
)
"""Why an installation did not end well; the add-on has a remedy for each."""


@dataclass(frozen=True)
class Failure:
    """Why there is no working environment.

    Attributes:
        cause: One of CAUSES.
        message: What went wrong, in one line.
        detail: The line of output that says so; empty where `message` says all.
        command: What to type into a terminal to mend it, empty where nothing.
        bytes: How much disk space is needed, 0 where that is not the cause.
    """

    cause: str
    message: str
    detail: str = ""
    command: str = ""
    bytes: int = 0


def environment_python(folder: Path) -> Path:
    """The python of the environment in `folder`, whether it is there or not."""
    return Path(folder) / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def of_torch(name: str) -> bool:
    """Whether a package is PyTorch or comes with one of its builds, which have indexes of their own."""
    return name == "torch" or name.startswith(("nvidia-", "cuda-", "triton", "pytorch-triton"))


def lock_of(requirements: Path) -> Path | None:
    """The file with the hashes of what a requirement file names, and of all that this needs; None if there is none."""
    lock = Path(requirements).with_suffix(".lock.txt")
    return lock if lock.is_file() else None


def digest(version: str, requirements: Sequence[Path]) -> str:
    """SHA-256 of all that decides what the environment holds.

    Args:
        version: The version of Python, as "3.11".
        requirements: Requirement files; the constraints files that they name count too.
    """
    found = hashlib.sha256(version.encode())
    for file in requirements:
        text = Path(file).read_text(encoding="utf-8")
        found.update(text.encode())
        lock = lock_of(file)
        if lock is not None:
            found.update(lock.read_bytes())
        for line in text.splitlines():
            if line.startswith("-c "):
                found.update((Path(file).parent / line[3:].strip()).read_bytes())
    return found.hexdigest()


def read_stamp(folder: Path) -> dict[str, Any]:
    """What the last whole installation wrote ("digest", "device"); empty where there is none or its Python is gone."""
    stamp = _read(Path(folder) / STAMP)
    return stamp if environment_python(folder).exists() else {}


def write_stamp(folder: Path, digest: str, device: str) -> None:
    """Mark the environment as whole."""
    _write(Path(folder) / STAMP, {"digest": digest, "device": device})


def stamped_device(stamp: Mapping[str, Any]) -> str:
    """The device that the environment was made for; stamps of earlier versions only say whether it is NVIDIA's."""
    return str(stamp.get("device") or ("cuda" if stamp.get("nvidia") else "cpu"))


def state(folder: Path, wanted: str, device: str = "auto") -> str:
    """The state of the environment in `folder`.

    Args:
        folder: The environment.
        wanted: The digest that it should have.
        device: The device that it should be made for; "auto" for any.

    Returns:
        "absent", "partial" (there is something, but it is not whole), "outdated" (whole, but other packages or another
        device are wanted) or "ready".
    """
    stamp = read_stamp(folder)
    if "digest" not in stamp:
        return "partial" if Path(folder).exists() else "absent"
    same = stamp["digest"] == wanted and device in ("auto", stamped_device(stamp))
    return "ready" if same else "outdated"


def failure_file(folder: Path) -> Path:
    """Where the failure of the last installation into `folder` is kept: beside it."""
    return Path(folder).with_name(f".{Path(folder).name}.failure.json")


def read_failure(folder: Path) -> Failure | None:
    """Why the environment in `folder` was found not to work; None where nothing is known."""
    found = _read(failure_file(folder))
    if found.get("cause") not in CAUSES:
        return None
    texts = {name: str(found.get(name) or "") for name in ("cause", "message", "detail", "command")}
    size = found.get("bytes")
    return Failure(**texts, bytes=size if isinstance(size, int) else 0)


def write_failure(folder: Path, failure: Failure | None) -> None:
    """Keep, or with None forget, why the environment does not work. A disk that takes no file keeps nothing."""
    try:
        if failure is None:
            failure_file(folder).unlink(missing_ok=True)
        else:
            failure_file(folder).parent.mkdir(parents=True, exist_ok=True)
            _write(failure_file(folder), asdict(failure))
    except OSError:
        pass


def _read(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(file: Path, content: Mapping[str, Any]) -> None:
    part = file.with_name(file.name + ".part")
    part.write_text(json.dumps(content) + "\n", encoding="utf-8")
    part.replace(file)
