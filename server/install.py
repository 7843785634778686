"""Make a Python environment for the server in a folder of its own, with the pinned packages.

Standard library alone, so that any Python from 3.9 on can run it: a clone's scripts, Blender's own Python, a person:

    python install.py --into FOLDER

Each step says one line. A second call installs nothing; an interrupted one is done again; two at once wait for each
other. Nothing of CUDA is installed where no NVIDIA GPU answers.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

Say = Callable[[str], None]
HERE = Path(__file__).resolve().parent
SERVER_PYTHON = "3.11"
SERVER_REQUIREMENTS = [HERE / "requirements.txt"]
SERVER_CHECK = "import av, msgspec, numba, scipy, torch"
STAMP = "dreamzoom-environment.json"
WINDOWS = os.name == "nt"


class InstallError(Exception):
    """The environment can't be made; the message says why and what to do."""


def make(
    folder: Path,
    version: str,
    requirements: list[Path],
    check: str,
    torch: bool = False,
    tools: Path | None = None,
    say: Say = print,
) -> Path:
    """Make the environment in `folder`, unless it is there and as it should be.

    Args:
        folder: Where it lies, or is to lie.
        version: The Python it must be of, as "3.11".
        requirements: Requirement files; a constraints file that they name counts too.
        check: Python code that must run in the finished environment.
        torch: Whether the requirements hold torch, whose build is then chosen for this machine.
        tools: Folder for uv, should it be needed.
        say: Called with each line that a person should read.

    Returns:
        The environment's python.

    Raises:
        InstallError: No such Python, no network, or a package that does not install.
    """
    folder = Path(folder).absolute()
    tools = Path(tools or folder.parent / "uv").absolute()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _locked(folder.with_name(f".{folder.name}.lock"), f"{folder.name}: another start is making it, waiting", say):
        digest = _digest(version, requirements)
        nvidia = torch and has_nvidia()
        stamp = _read_stamp(folder)
        if stamp.get("digest") == digest and (stamp.get("nvidia") or not nvidia):
            return environment_python(folder)
        started = time.monotonic()
        python = _fresh(folder, version, tools, upgrade="digest" in stamp, say=say)
        _install(python, requirements, torch, nvidia, tools, say)
        _run([python, "-c", check], f"{folder.name} was installed but does not start")
        stamp = {"digest": digest, "nvidia": nvidia}
        (folder / STAMP).write_text(json.dumps(stamp) + "\n", encoding="utf-8")
        say(f"{folder.name}: ready after {time.monotonic() - started:.0f} s")
        return python


def environment_python(folder: Path) -> Path:
    """The python of the environment in `folder`, whether it is there or not."""
    return Path(folder) / ("Scripts/python.exe" if WINDOWS else "bin/python")


def find_python(version: str) -> Path | None:
    """A Python of `version` ("3.11") that can make environments, or None."""
    for path in _candidates(version):
        if _is_python(path, version):
            return path
    return None


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
        found = _output(["py", f"-{version}", "-c", "import sys; print(sys.executable)"])
        if found:
            yield Path(found)
    for folder in ("/usr/bin", "/usr/local/bin", "/opt/homebrew/bin"):
        yield Path(folder, name)
    yield Path(f"/Library/Frameworks/Python.framework/Versions/{version}/bin/{name}")


def _is_python(path: Path, version: str) -> bool:
    """Whether `path` is a 64-bit Python of `version` with what environments need."""
    if not path.is_file():
        return False
    probe = "import ensurepip, sys, venv; print('%d.%d' % sys.version_info[:2], sys.maxsize > 2**32)"
    return _output([path, "-c", probe]) == f"{version} True"


def _fetch_python(version: str, tools: Path, say: Say) -> Path | None:
    """Fetch a Python of `version` with uv, or None where that can't be done."""
    try:
        uv = _uv(tools, say)
        say(f"no Python {version} found: fetching one with uv")
        _run([uv, "python", "install", "--quiet", version], "no download")
        found = _output([uv, "python", "find", "--managed-python", version])
        return Path(found) if found else None
    except InstallError:
        return None


def _uv(tools: Path, say: Say) -> Path:
    """The program uv, installed into the folder `tools` if it is not on this machine."""
    found = shutil.which("uv")
    program = tools / ("Scripts/uv.exe" if WINDOWS else "bin/uv")
    if found:
        return Path(found)
    if not program.exists():
        say("uv: installing it, it fetches what pip can't")
        _run([sys.executable, "-m", "venv", "--clear", tools], "can't make a folder for uv")
        _run([environment_python(tools), "-m", "pip", "install", "uv"], "can't install uv")
    return program


def _fresh(folder: Path, version: str, tools: Path, upgrade: bool, say: Say) -> Path:
    """The python of an environment that is ready for packages: the old one where it was whole, else a new one."""
    (folder / STAMP).unlink(missing_ok=True)
    python = environment_python(folder)
    if upgrade and _is_python(python, version):
        say(f"{folder.name}: what it needs has changed, bringing it up to date")
        return python
    base = find_python(version) or _fetch_python(version, tools, say)
    if base is None:
        raise InstallError(
            f"no Python {version} found, and none could be fetched: install Python {version} and start again"
        )
    say(f"{folder.name}: making it with {base} (Python {version}), once; this takes a few minutes")
    _run([base, "-m", "venv", "--clear", folder], f"can't make {folder}")
    return python


def _install(python: Path, requirements: list[Path], torch: bool, nvidia: bool, tools: Path, say: Say) -> None:
    """Install the requirement files, torch first where the machine decides which one."""
    pip = [python, "-m", "pip", "install", "--no-input"]
    if torch:
        with contextlib.suppress(InstallError):  # an old pip works too, it only downloads more
            _run([*pip, "--upgrade", "-c", HERE / "constraints.txt", "pip"], "no newer pip")
        backend = _torch_backend(pip, nvidia)
        if backend:
            _install_torch(python, backend, nvidia, tools, say)
    files = [item for file in requirements for item in ("-r", file)]
    _run([*pip, *files], "the packages could not be installed")


def _torch_backend(pip: list, nvidia: bool) -> str | None:
    """Which build of torch to ask for by name: "auto" for the GPU's, "cpu", or None where pip's own choice is right."""
    if sys.platform == "darwin":
        return None
    if nvidia:
        return "auto"
    plan = [
        *pip,
        "--dry-run",
        "--ignore-installed",
        "--quiet",
        "--report",
        "-",
        "-c",
        HERE / "constraints.txt",
        "torch",
    ]
    items = json.loads(_run(plan, "torch could not be found"))["install"]
    names = {item["metadata"]["name"].lower() for item in items}
    return "cpu" if any(name.startswith(("nvidia-", "cuda-")) for name in names) else None


def _install_torch(python: Path, backend: str, nvidia: bool, tools: Path, say: Say) -> None:
    """Install the build of torch that suits the machine, with uv, which knows where each is."""
    say("torch: installing the build for " + ("this GPU" if nvidia else "machines without an NVIDIA GPU"))
    try:
        command = [_uv(tools, say), "pip", "install", "--quiet", "--python", python, f"--torch-backend={backend}"]
        _run([*command, "-c", HERE / "constraints.txt", "torch"], "this build of torch could not be installed")
    except InstallError:
        if not nvidia:
            raise
        say("torch: uv could not fetch the GPU's build, taking pip's")


def _digest(version: str, requirements: list[Path]) -> str:
    """SHA-256 of all that decides what the environment holds."""
    digest = hashlib.sha256(version.encode())
    for file in requirements:
        text = Path(file).read_text(encoding="utf-8")
        digest.update(text.encode())
        for line in text.splitlines():
            if line.startswith("-c "):
                digest.update((Path(file).parent / line[3:].strip()).read_bytes())
    return digest.hexdigest()


def _read_stamp(folder: Path) -> dict:
    """What the last whole installation wrote; empty where there is none."""
    try:
        stamp = json.loads((folder / STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp if environment_python(folder).exists() else {}


@contextlib.contextmanager
def _locked(path: Path, waiting: str, say: Say) -> Iterator[None]:
    """Hold the lock file `path`; says `waiting` once if another process holds it."""
    with path.open("a+b") as file:
        said = False
        while not _try_lock(file):
            if not said:
                say(waiting)
                said = True
            time.sleep(0.5)
        yield  # closing the file gives the lock back, as does the end of the process


def _try_lock(file: BinaryIO) -> bool:
    try:
        if WINDOWS:
            import msvcrt

            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # pyright: ignore[reportAttributeAccessIssue]
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _clean_environment() -> dict[str, str]:
    """The environment variables without those that bend another Python."""
    bent = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__"}
    return {name: value for name, value in os.environ.items() if name not in bent}


def _run(command: list, failure: str) -> str:
    """Run to the end and return standard output; on failure raise InstallError with the last lines of what was said."""
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        errors="replace",
        env=_clean_environment(),
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if done.returncode:
        lines = (done.stdout + done.stderr).strip().splitlines()
        shown = [line for line in lines if not line.startswith(("WARNING", "[notice]"))][-12:]
        raise InstallError(failure + "".join(f"\n    {line}" for line in shown))
    return done.stdout


def _output(command: list) -> str | None:
    """Standard output of a short command, stripped; None where it fails."""
    try:
        return _run(command, "").strip()
    except (InstallError, OSError):
        return None


def main() -> int:
    """Make the server's environment in the folder given with --into."""
    parser = argparse.ArgumentParser(description="Make the environment of the Dreamzoom server.")
    parser.add_argument("--into", type=Path, required=True, help="folder of the environment")
    folder = parser.parse_args().into
    try:
        python = make(
            folder,
            SERVER_PYTHON,
            SERVER_REQUIREMENTS,
            SERVER_CHECK,
            torch=True,
            say=lambda line: print(line, flush=True),
        )
    except InstallError as error:
        print(f"error: {error}", flush=True)
        return 1
    print(f"python: {python}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
