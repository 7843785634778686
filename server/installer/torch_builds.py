"""Which build of PyTorch suits the machine, and where its packages are."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from core import installation
from core.installation import Failure
from installer import processes, pythons
from installer.causes import InstallError

CARDS = Path("/sys/class/drm")
AMD = "0x1002"
"""AMD's number among the makers of PCI devices."""


def device(wanted: str) -> str:
    """The device to install for: the wanted one, or what this machine has ("cpu", "cuda", "rocm" or "mps")."""
    if wanted != "auto":
        return wanted
    if sys.platform == "darwin":
        return "mps" if platform.machine() == "arm64" else "cpu"
    if has_nvidia():
        return "cuda"
    return "rocm" if has_amd() else "cpu"


def has_nvidia() -> bool:
    """Whether an NVIDIA GPU answers on this machine."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return False
    try:
        done = subprocess.run([program, "-L"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and "GPU 0" in done.stdout


def has_amd() -> bool:
    """Whether this machine has an AMD GPU with ROCm's driver, which is there on Linux alone."""
    if not sys.platform.startswith("linux") or not Path("/dev/kfd").exists():
        return False
    for vendor in CARDS.glob("card*/device/vendor"):
        try:
            if vendor.read_text(encoding="ascii").strip() == AMD:
                return True
        except OSError:
            continue
    return False


def requirement(names: list[str], device: str) -> str | None:
    """Which build to ask for by name: "auto", "cpu", or None where pip's own choice is right.

    Args:
        names: What pip would install by itself.
        device: "cpu", "cuda", "rocm" or "mps".
    """
    if device == "mps" or sys.platform == "darwin":
        return None
    if device in ("cuda", "rocm"):
        return "auto"
    return "cpu" if any(name.startswith(("nvidia-", "cuda-")) for name in names) else None


def packages(
    python: Path, backend: str, device: str, constraints: Path, tools: Path, say: Callable[[str], None]
) -> list[dict] | None:
    """Name, URL, size and hash of each package of this build of PyTorch, as uv resolves it; None where pip must choose.

    Raises:
        InstallError: There is no such build for the device.
    """
    say("torch: choosing the build for " + ("machines without a GPU" if device == "cpu" else f"this GPU ({device})"))
    try:
        return _resolved(python, backend, constraints, pythons.uv(tools, say))
    except InstallError as error:
        network = (installation.NO_NETWORK, installation.TLS, installation.PROXY)
        if device == "rocm" and error.failure.cause not in network:
            text = "there is no build of PyTorch for this AMD card and system: choose another device"
            raise InstallError(text, Failure(installation.NO_BUILD, text, error.failure.detail)) from error
        if device == "cpu" or device == "rocm":
            raise
        say("torch: uv could not find the GPU's build, taking pip's")
        return None


def _resolved(python: Path, backend: str, constraints: Path, uv: Path) -> list[dict]:
    with tempfile.TemporaryDirectory() as scratch:
        wanted, lock = Path(scratch, "torch.in"), Path(scratch, "pylock.toml")
        wanted.write_text("torch\n", encoding="utf-8")
        command = [uv, "pip", "compile", "--quiet", "--python", python, f"--torch-backend={backend}"]
        command += ["-c", constraints, "--format", "pylock.toml", "-o", lock, wanted]
        processes.run(command, "this build of torch could not be found")
        read = "import json, sys, tomllib; print(json.dumps(tomllib.load(open(sys.argv[1], 'rb')), default=str))"
        found = json.loads(processes.run([python, "-c", read, lock], "uv's answer could not be read"))
        tags = set((processes.output([python, "-m", "pip", "debug", "--verbose"]) or "").split())
    return [_entry(package, tags) for package in found.get("packages", [])]


def _entry(package: dict, tags: set[str]) -> dict:
    """The wheel of a package that this Python takes."""
    for wheel in package.get("wheels", []):
        name = wheel.get("name") or os.path.basename(str(wheel.get("url", "")))  # noqa: PTH119 (of a URL)
        python, abi, system = name.removesuffix(".whl").split("-")[-3:]
        fits = (f"{p}-{a}-{s}" for p in python.split(".") for a in abi.split(".") for s in system.split("."))
        if any(tag in tags for tag in fits):
            digest = wheel.get("hashes", {}).get("sha256", "")
            return {"name": package["name"], "url": wheel["url"], "size": wheel.get("size", 0), "sha256": digest}
    raise InstallError(f"torch needs {package.get('name')}, of which there is no build for this machine")
