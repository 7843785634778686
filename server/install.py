"""Make a Python environment for the server in a folder of its own, with the pinned packages.

Standard library alone, so that any Python from 3.9 on can run it: a clone's scripts, Blender's own Python, a person:

    python install.py --into FOLDER [--device auto|cpu|cuda|rocm|mps] [--python PYTHON] [--log FILE] [--json]

Each step says one line. A second call installs nothing; an interrupted one is done again, and what was downloaded is
not downloaded again; two at once wait for each other. Nothing of CUDA is installed where no NVIDIA GPU answers.

With --json each line is an object: {"event": "say" | "progress" | "failed" | "done", …}, and the installation ends
when standard input does, so that it does not outlive the Blender that began it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # with -I it is not there

from core import installation  # noqa: E402
from core.installation import (  # noqa: E402
    DEVICES,
    SERVER_CHECK,
    SERVER_PYTHON,
    SERVER_REQUIREMENTS,
    Failure,
    environment_python,
)
from installer import disk, processes, pythons, torch_builds  # noqa: E402
from installer.causes import InstallError  # noqa: E402
from installer.locks import locked  # noqa: E402
from installer.packages import Installation  # noqa: E402
from installer.progress import Progress  # noqa: E402

Say = Callable[[str], None]
HERE = Path(__file__).resolve().parent

__all__ = ["SERVER_CHECK", "SERVER_PYTHON", "SERVER_REQUIREMENTS", "InstallError", "environment_python", "make"]


def make(
    folder: Path,
    version: str,
    requirements: Sequence[Path],
    check: str,
    torch: bool = False,
    tools: Path | None = None,
    say: Say = print,
    device: str = "auto",
    base: Path | None = None,
    progress: Progress | None = None,
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
        device: What torch is to be built for, of `core.installation.DEVICES`.
        base: The Python to make it with; by default one that is found or fetched.
        progress: Told where the installation stands.

    Returns:
        The environment's python.

    Raises:
        InstallError: Its failure says why; it is kept beside the environment too, for the add-on.
    """
    folder = Path(folder).absolute()
    tools = Path(tools or folder.parent / "uv").absolute()
    progress = progress or Progress()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock, waiting = folder.with_name(f".{folder.name}.lock"), "another start is making it, waiting"
        with locked(lock, f"{folder.name}: {waiting}", say):
            wanted = installation.digest(version, requirements)
            if _is_ready(folder, wanted, device if torch else "auto", torch):
                return environment_python(folder)
            was_whole = "digest" in installation.read_stamp(folder) and installation.read_failure(folder) is None
            installation.write_failure(folder, None)
            started = time.monotonic()
            chosen = torch_builds.device(device) if torch else "cpu"
            disk.check(folder, disk.NEEDED[chosen] * disk.GB if torch and not was_whole else 0)
            python = _fresh(folder, version, tools, base, was_whole, torch, say, progress)
            packages = Installation(python, HERE / "constraints.txt", progress, say)
            packages.install(requirements, chosen if torch else None, tools)
            progress.at("try", 0.0)
            _try(python, check, folder)
            progress.at("try", 1.0)
            if torch:
                _compile(python, say, progress)
            installation.write_stamp(folder, wanted, chosen)
            progress.at("compile", 1.0)
            say(f"{folder.name}: ready after {time.monotonic() - started:.0f} s")
            return python
    except InstallError as error:
        installation.write_failure(folder, error.failure)
        raise
    except OSError as error:
        raise _of_system(folder, error) from error


def _is_ready(folder: Path, wanted: str, device: str, torch: bool) -> bool:
    """Whether the environment is whole, holds what is wanted, and did not fail since."""
    if installation.read_failure(folder) is not None:
        return False
    if installation.state(folder, wanted, device) != "ready":
        return False
    made_for = installation.stamped_device(installation.read_stamp(folder))
    return not torch or device != "auto" or made_for != "cpu" or not torch_builds.has_nvidia()


def _fresh(
    folder: Path,
    version: str,
    tools: Path,
    base: Path | None,
    was_whole: bool,
    newest_pip: bool,
    say: Say,
    progress: Progress,
) -> Path:
    """The python of an environment that is ready for packages: the old one where it was whole, else a new one."""
    (folder / installation.STAMP).unlink(missing_ok=True)
    python = environment_python(folder)
    if was_whole and pythons.is_usable(python, version):
        say(f"{folder.name}: what it needs has changed, bringing it up to date")
        return python
    progress.at("check", 0.5)
    found = pythons.find(version, base) or pythons.fetch(version, tools, say)
    if found is None:
        raise pythons.none_found(version)
    say(f"{folder.name}: making it with {found.path} (Python {version}), once; this takes a few minutes")
    progress.at("environment", 0.0)
    return pythons.make_environment(found, folder, version, HERE / "constraints.txt" if newest_pip else None)


def _try(python: Path, check: str, folder: Path) -> None:
    """Run the check in the finished environment."""
    try:
        processes.run([python, "-c", check], f"{folder.name} was installed but does not start")
    except InstallError as error:
        cause = installation.BROKEN if error.failure.cause == installation.PACKAGE else error.failure.cause
        failure = Failure(cause, error.failure.message, error.failure.detail)
        raise InstallError(str(error), failure) from error


def _compile(python: Path, say: Say, progress: Progress) -> None:
    """Compile the server's code for this machine, which would hold up the first job. The installation does not depend
    on it: what fails here is done again by the first job.
    """
    if not (HERE / "dreamzoom").is_dir():
        return
    say("compiling code for this machine, once; this takes about a minute")
    progress.at("compile", 0.0)

    def follow(line: str | None) -> None:
        if line and line.replace(".", "", 1).isdigit():
            progress.at("compile", float(line))

    run = f"import sys; sys.path.insert(0, {str(HERE)!r}); from dreamzoom.cli import main; sys.exit(main(sys.argv[1:]))"
    try:
        processes.run([python, "-I", "-B", "-c", run, "compile", "--progress"], "the code was not compiled", follow)
    except InstallError as error:
        say(f"{error}; the first job does it")


def _of_system(folder: Path, error: OSError) -> InstallError:
    """The error for a call of the system that failed."""
    cause = installation.DISK_FULL if error.errno in (28, 122) else installation.NOT_WRITABLE
    text = f"{error.filename or folder}: {error.strerror or error}"
    failure = Failure(cause, text)
    installation.write_failure(folder, failure)
    return InstallError(text, failure)


def main() -> int:
    """Make the server's environment in the folder given with --into."""
    parser = argparse.ArgumentParser(description="Make the environment of the Dreamzoom server.")
    parser.add_argument("--into", type=Path, required=True, help="folder of the environment")
    parser.add_argument("--device", choices=DEVICES, default="auto", help="what PyTorch is to be built for")
    parser.add_argument("--python", type=Path, help=f"the Python {SERVER_PYTHON} to make it with")
    parser.add_argument("--log", type=Path, help="file that receives the output of all commands")
    parser.add_argument("--json", action="store_true", help="write objects, and end with standard input")
    options = parser.parse_args()
    if options.log:
        _begin_log(options.log)
    tell = _tell_json if options.json else _tell_person
    if options.json:
        threading.Thread(target=_end_with_input, daemon=True).start()
    try:
        python = make(
            options.into,
            SERVER_PYTHON,
            SERVER_REQUIREMENTS,
            SERVER_CHECK,
            torch=True,
            say=lambda line: tell("say", {"text": line}),
            device=options.device,
            base=options.python,
            progress=Progress((lambda standing: tell("progress", standing)) if options.json else None),
        )
    except InstallError as error:
        tell("failed", asdict(error.failure) | {"text": str(error)} if options.json else {"text": str(error)})
        return 1
    tell("done", {"python": str(python)})
    return 0


def _begin_log(file: Path) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("", encoding="utf-8")
    except OSError:
        return  # no log, on a full disk: the installation itself will say so
    processes.log_files.append(file)


def _tell_json(event: str, content: dict) -> None:
    print(json.dumps({"event": event} | content), flush=True)


def _tell_person(event: str, content: dict) -> None:
    if event == "done":
        print(f"python: {content['python']}", flush=True)
    elif event == "failed":
        print(f"error: {content['text']}", flush=True)
    else:
        print(content["text"], flush=True)


def _end_with_input() -> None:
    """End this process and what it runs when standard input ends: its Blender is gone."""
    while os.read(0, 1024):  # not sys.stdin, whose lock this thread would hold at the end of the process
        pass
    processes.end_all()
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
