"""The Python environments of a clone, made when first needed: the server's, and Blender as a Python module.

    python scripts/environments.py [server] [bpy45] [bpy50] [bpy52]

Without names all are made but Blender 5.0, which only its own optional tests need.

They lie in `.envs/`, or in the folder that the variable DREAMZOOM_ENVS names.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

if sys.version_info < (3, 9):  # noqa: UP036 (whoever starts this chose the Python)
    sys.exit("Dreamzoom's scripts need Python 3.9 or later; this is %d.%d" % sys.version_info[:2])  # noqa: UP031

ROOT = Path(__file__).resolve().parent.parent
SERVER = ROOT / "server"
TESTS = ROOT / "tests"
ENVIRONMENTS = Path(os.environ.get("DREAMZOOM_ENVS") or ROOT / ".envs").absolute()

sys.path.insert(0, str(SERVER))
import install  # noqa: E402

NAMES = {
    "server": "the server",
    "bpy45": "Blender 4.5 LTS",
    "bpy50": "Blender 5.0",
    "bpy52": "Blender 5.2 LTS",
}
OPTIONAL = ("bpy50",)


def say(line: str) -> None:
    """Tell the person at the terminal; standard output belongs to what the scripts make."""
    sys.stderr.write(f"dreamzoom: {line}\n")
    sys.stderr.flush()


def ensure(name: str) -> Path:
    """The python of an environment, made if need be.

    Args:
        name: One of NAMES.

    Raises:
        install.InstallError: It can't be made; the message says why.
    """
    folder, tools = ENVIRONMENTS / name, ENVIRONMENTS / "uv"
    if name == "server":
        requirements = [*install.SERVER_REQUIREMENTS, TESTS / "requirements.txt"]
        return install.make(folder, install.SERVER_PYTHON, requirements, install.SERVER_CHECK, True, tools, say)
    version, blender = {"bpy45": ("3.11", "4.5"), "bpy50": ("3.11", "5.0"), "bpy52": ("3.13", "5.2")}[name]
    requirements = [TESTS / f"requirements-blender-{blender}.txt"]
    return install.make(folder, version, requirements, "import bpy", False, tools, say)


def need(name: str) -> Path:
    """Like `ensure`, but ends the program with a message where it can't be made."""
    try:
        return ensure(name)
    except install.InstallError as error:
        sys.exit(f"dreamzoom: {NAMES[name]}: {error}")


def server_variables() -> dict[str, str]:
    """The environment variables under which the server's package is found."""
    before = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(SERVER), *([before] if before else [])])}


def main(names: list[str]) -> None:
    """Make the named environments, or all."""
    unknown = set(names) - set(NAMES)
    if unknown:
        sys.exit(f"dreamzoom: no environment {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    for name in names or [name for name in NAMES if name not in OPTIONAL]:
        print(f"{name}: {need(name)}")


if __name__ == "__main__":
    main(sys.argv[1:])
