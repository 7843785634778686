"""Torture: kill, fill, break and forge what the project works with, and see that nothing is lost or let in.

    python scripts/torture.py [NAME ...] [--rounds N] [--seed N] [--list]

Runs the modules of `scripts/tortures/`, each in a process of its own, and prints one summary line each. Without
`--rounds` each does its full number, which takes minutes; with it, that many. The exit code is 0 if all passed.
"""

from __future__ import annotations

import argparse
import importlib
import os
import random
import re
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

HERE = Path(__file__).resolve().parent
MODULES = HERE / "tortures"
GROUPS = ("jobs", "files", "server", "blender")
"""The folders of `MODULES` that hold tortures; the others help them."""
_CODE = "import sys, torture; sys.exit(torture.run_here(*sys.argv[1:]))"


def names() -> list:
    """All tortures."""
    return sorted(_files())


def module_of(name: str) -> str:
    """The module of a torture, as it is imported."""
    return f"tortures.{_files()[name].parent.name}.{name}"


def _files() -> dict[str, Path]:
    """The file of each torture, by its name."""
    found = [file for group in GROUPS for file in (MODULES / group).glob("*.py")]
    return {file.stem: file for file in found if file.stem != "__init__"}


def environment_of(name: str) -> str:
    """The environment that a torture runs in, without importing it."""
    text = _files()[name].read_text(encoding="utf-8")
    found = re.search(r'^ENVIRONMENT = "(\w+)"', text, re.MULTILINE)
    return found[1] if found else "server"


def run_here(name: str, seed: str, rounds: str) -> int:
    """Run a torture in this process, print its summary line, and return the exit code."""
    module = importlib.import_module(module_of(name))
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix=f"torture-{name}-", ignore_cleanup_errors=True) as folder:
        try:
            rng = random.Random(f"{seed}/{name}")
            passed, line = module.run(rng, int(rounds) if rounds else None, Path(folder))
        except Exception as error:
            traceback.print_exception(error)
            passed, line = False, f"{type(error).__name__}: {error}"
    print(f"{'passed' if passed else 'FAILED'}  {name}: {line} ({time.monotonic() - began:.0f} s)", flush=True)
    return 0 if passed else 1


def run_apart(name: str, seed: int, rounds: int | None) -> int:
    """Run a torture in a process of its own, in its environment; returns the exit code."""
    import environments

    python = environments.need(environment_of(name))
    # the server's package before this folder, in which dreamzoom.py is its command
    path = os.pathsep.join([environments.server_variables()["PYTHONPATH"], str(HERE)])
    command = [str(python), "-P", "-c", _CODE, name, str(seed), "" if rounds is None else str(rounds)]
    code = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, check=False).returncode
    if code not in (0, 1):
        print(f"FAILED  {name}: its process ended with code {code}", flush=True)
    return code


def main() -> int:
    """Run the tortures that were named, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--rounds", type=int, metavar="N")
    parser.add_argument("--seed", type=int, default=1, metavar="N")
    parser.add_argument("--list", action="store_true", help="list their names")
    options = parser.parse_args()
    if options.list:
        print("\n".join(names()))
        return 0
    unknown = set(options.names) - set(names())
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; choose from {', '.join(names())}")
    codes = [run_apart(name, options.seed, options.rounds) for name in options.names or names()]
    return 0 if not any(codes) else 1


if __name__ == "__main__":
    sys.exit(main())
