"""The Python environments of a clone, created at first use: the server's, and Blender as a Python module.

    python scripts/environments.py [server] [bpy45] [bpy50] [bpy52] [bpy53] [cluster]

Without names, all are created except Blender 5.0 and the cluster's, which are only needed for their own optional tests.

They are stored in `.envs/`, or in the folder given by the environment variable DREAMZOOM_ENVS.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

if sys.version_info < (3, 9):  # noqa: UP036 (the user chooses the Python that runs this)
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
    "bpy53": "Blender 5.3",
    "cluster": "Ray and stores, beside the server",
}
OPTIONAL = ("bpy50", "cluster")
BLENDERS = {"bpy45": ("3.11", "4.5"), "bpy50": ("3.11", "5.0"), "bpy52": ("3.13", "5.2"), "bpy53": ("3.13", "5.3")}
"""The versions of Python and Blender in each environment with `bpy`."""


def say(line: str) -> None:
    """Print a line to standard error; standard output is reserved for the scripts' results."""
    sys.stderr.write(f"dreamzoom: {line}\n")
    sys.stderr.flush()


def ensure(name: str) -> Path:
    """The Python executable of an environment, which is created if needed.

    Args:
        name: One of NAMES.

    Raises:
        install.InstallError: The environment can't be created; the message gives the reason.
    """
    folder, tools = ENVIRONMENTS / name, ENVIRONMENTS / "uv"
    if name == "server":
        requirements = [*install.SERVER_REQUIREMENTS, TESTS / "requirements.txt"]
        return install.make(folder, install.SERVER_PYTHON, requirements, install.SERVER_CHECK, True, tools, say)
    if name == "cluster":
        return _beside_server(folder, tools)
    version, blender = BLENDERS[name]
    requirements = [TESTS / f"requirements-blender-{blender}.txt"]
    return install.make(folder, version, requirements, "import bpy", False, tools, say)


def _beside_server(folder: Path, tools: Path) -> Path:
    """An environment with the packages of clusters, which finds all others in the server's environment."""
    server = ensure("server")
    requirements = [TESTS / "requirements-cluster.txt"]
    python = install.make(folder, install.SERVER_PYTHON, requirements, "import ray, s3fs", False, tools, say)
    asked = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    own = Path(subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip())
    shared = subprocess.run([server, *asked[1:]], capture_output=True, text=True, check=True).stdout
    (own / "server.pth").write_text(shared, encoding="utf-8")
    return python


def need(name: str) -> Path:
    """Like `ensure`, but exits with a message if the environment can't be created."""
    try:
        return ensure(name)
    except install.InstallError as error:
        sys.exit(f"dreamzoom: {NAMES[name]}: {error}")


def server_variables() -> dict[str, str]:
    """The environment variables with which Python finds the server's package."""
    before = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(SERVER), *([before] if before else [])])}


def main(names: list[str]) -> None:
    """Create the named environments, or all."""
    unknown = set(names) - set(NAMES)
    if unknown:
        sys.exit(f"dreamzoom: unknown environment {', '.join(sorted(unknown))}; choose from {', '.join(NAMES)}")
    for name in names or [name for name in NAMES if name not in OPTIONAL]:
        print(f"{name}: {need(name)}")


if __name__ == "__main__":
    main(sys.argv[1:])
