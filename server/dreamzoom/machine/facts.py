"""Facts about a machine that need no measurement: system, memory, disk, GPUs, versions, engines, models."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

GIB = 1 << 30
PACKAGES = (
    "torch", "diffusers", "transformers", "accelerate", "peft", "safetensors", "numba", "numpy", "scipy", "msgspec",
    "pillow", "av",
)  # fmt: skip


def facts() -> dict[str, Any]:
    """All facts, by subject; for a subject that can't be read, the reason."""
    subjects: dict[str, Callable[[], Any]] = {
        "dreamzoom": _version,
        "system": _system,
        "memory": _memory,
        "disk": _disk,
        "packages": _packages,
        "cards": _cards,
        "driver": _driver,
        "engines": _engines,
        "models": _models,
        "kernels": _kernels,
    }
    return {name: _tried(read) for name, read in subjects.items()}


def lines(found: dict[str, Any]) -> list[str]:
    """Format the facts as text, one line per subject."""
    told = []
    for name, value in found.items():
        rows = value if isinstance(value, list) else [value]
        texts = [", ".join(f"{key} {part}" for key, part in row.items()) if isinstance(row, dict) else str(row)
                 for row in rows]  # fmt: skip
        told += [f"{name if index == 0 else '':10} {text}" for index, text in enumerate(texts or ["none"])]
    return told


def _tried(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except Exception as error:  # any error of a driver or a damaged package must not stop the report
        return f"can't be read: {type(error).__name__}: {' '.join(str(error).split())[:200]}"


def _version() -> str:
    from dreamzoom import __version__

    return __version__


def _system() -> dict[str, Any]:
    return {
        "system": platform.platform(),
        "python": platform.python_version(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
    }


def _processor() -> str:
    listing = Path("/proc/cpuinfo")
    if listing.exists():
        for line in listing.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory() -> dict[str, Any]:
    import psutil

    memory = psutil.virtual_memory()
    return {"total GB": round(memory.total / GIB, 1), "free GB": round(memory.available / GIB, 1)}


def _disk() -> dict[str, Any]:
    from dreamzoom.engines.diffusion import model_cache

    folders = {"here": Path.cwd(), "temporary files": Path(tempfile.gettempdir()), "models": model_cache.cache_folder()}
    free = {}
    for name, folder in folders.items():
        there = next(path for path in (folder, *folder.parents) if path.exists())
        free[f"{name} free GB"] = round(shutil.disk_usage(there).free / GIB, 1)
    return free


def _packages() -> dict[str, str]:
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "missing"
    return versions


def _cards() -> list[dict[str, Any]]:
    import torch

    cards: list[dict[str, Any]] = []
    for index in range(torch.cuda.device_count()):
        card = torch.cuda.get_device_properties(index)
        cards.append(
            {
                "name": card.name,
                "memory GB": round(card.total_memory / GIB, 1),
                "free GB": round(torch.cuda.mem_get_info(index)[0] / GIB, 1),
                "capability": f"{card.major}.{card.minor}",
                "PyTorch's": f"ROCm {torch.version.hip}" if torch.version.hip else f"CUDA {torch.version.cuda}",
            }
        )
    if torch.backends.mps.is_available():
        free = torch.mps.recommended_max_memory()
        cards.append({"name": "Apple GPU (Metal)", "memory GB": round(free / GIB, 1)})
    return cards


def _driver() -> str:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return "no NVIDIA driver found"
    asked = [tool, "--query-gpu=driver_version", "--format=csv,noheader"]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=20, check=True)
    return f"NVIDIA {done.stdout.split()[0]}" if done.stdout.split() else "nvidia-smi prints no version"


def _engines() -> list[str]:
    from dreamzoom.engines import registry

    rows = registry.available()
    return [row["name"] + ("" if row["available"] else f" (not available: {row['reason']})") for row in rows]


def _models() -> list[str]:
    from dreamzoom.engines.diffusion import catalogue

    return [f"{entry.name}: {entry.reason or ', '.join(entry.abilities)}" for entry in catalogue.entries()]


def _kernels() -> str:
    from dreamzoom.numba_cache import is_first_start

    return "not compiled yet: the first job takes a minute longer" if is_first_start() else "compiled"
