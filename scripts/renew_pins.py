"""Renew the pinned packages of the server's environment: their versions, and the hashes of their files.

    python scripts/renew_pins.py              # the hashes, for the versions of server/constraints.txt
    python scripts/renew_pins.py --upgrade    # the newest versions first
    python scripts/renew_pins.py --check      # asks no index: exit code 1 if hashes are missing or of other versions

Writes server/constraints.txt (with --upgrade), server/requirements.lock.txt and server/uv.lock.txt. The hashes are of
the files for all operating systems, as the package index states them. PyTorch and what its builds bring (CUDA, ROCm)
are left out: they come from indexes of their own, and their files are checked against the hashes that those state at
the installation. After renewing, run the tests, and an installation into a new folder.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SERVER = ROOT / "server"
sys.path.insert(0, str(SERVER))

from core.installation import LOCK, SERVER_PYTHON, UV_LOCK, of_torch  # noqa: E402
from installer import pythons  # noqa: E402

CONSTRAINTS = SERVER / "constraints.txt"
INPUTS = (SERVER / "requirements.txt", ROOT / "tests" / "requirements.txt")
BLOCK = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)(.*?(?:\\\n.*?)*)$", re.MULTILINE)
HEAD = "# Made by scripts/renew_pins.py: each package that {what}, with the hashes of its files.\n"


def wanted(file: Path) -> list:
    """The names in a requirement file."""
    lines = (line.partition("#")[0].strip() for line in file.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line and not line.startswith("-")]


def pins(text: str) -> dict:
    """Version by name, in lower case with dashes, of a requirement file with pins."""
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version, _ in BLOCK.findall(text)}


def compiled(uv: Path, names: list, constraints: Path | None, hashes: bool) -> str:
    """What uv resolves for all operating systems; blocks of a name, a version, a marker and hashes."""
    with tempfile.TemporaryDirectory() as scratch:
        source, target = Path(scratch, "in.txt"), Path(scratch, "out.txt")
        source.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
        command = [str(uv), "pip", "compile", "--quiet", "--universal", "--python-version", SERVER_PYTHON]
        command += ["--no-header", "--no-annotate", "--output-file", str(target), str(source)]
        command += ["--generate-hashes"] if hashes else []
        command += ["--constraints", str(constraints)] if constraints else []
        subprocess.run(command, check=True)
        return target.read_text(encoding="utf-8")


def kept(text: str) -> list:
    """The blocks of packages that are installed by hash: not PyTorch, and nothing for browsers."""
    blocks = re.split(r"\n(?=\S)", text.strip())
    return [block for block in blocks if not of_torch(block.partition("==")[0]) and "== 'emscripten'" not in block]


def upgrade(uv: Path) -> None:
    """Write the newest versions that fit together."""
    names = [name for file in INPUTS for name in wanted(file)]
    found = compiled(uv, [*names, "pip", "uv"], None, hashes=False)
    lines = [block.partition(" ;")[0].strip() for block in kept(found)]
    lines += [f"torch=={pins(found)['torch']}"]
    head = "# The exact versions of everything in the server's environment, what tests and lint need included.\n"
    CONSTRAINTS.write_text(head + "".join(f"{line}\n" for line in sorted(lines, key=str.lower)), encoding="utf-8")


def renew(uv: Path) -> None:
    """Write the hashes of the versions in the constraints."""
    server = kept(compiled(uv, wanted(INPUTS[0]), CONSTRAINTS, hashes=True))
    LOCK.write_text(HEAD.format(what="the server needs") + "".join(f"{block}\n" for block in server), encoding="utf-8")
    tool = kept(compiled(uv, ["uv"], CONSTRAINTS, hashes=True))
    UV_LOCK.write_text(HEAD.format(what="fetches others") + "".join(f"{block}\n" for block in tool), encoding="utf-8")


def faults() -> list:
    """What is wrong with the files; asks no index."""
    found, versions = [], pins(CONSTRAINTS.read_text(encoding="utf-8"))
    for lock in (LOCK, UV_LOCK):
        text = lock.read_text(encoding="utf-8")
        for name, version, rest in BLOCK.findall(text):
            known = versions.get(re.sub(r"[-_.]+", "-", name).lower())
            if known is not None and known != version:
                found.append(f"{lock.name}: {name} is {version}, {CONSTRAINTS.name} has {known}")
            if "--hash=sha256:" not in rest:
                found.append(f"{lock.name}: {name} has no hash")
    locked = pins(LOCK.read_text(encoding="utf-8"))
    absent = [name for name in wanted(INPUTS[0]) if not of_torch(name) and name.lower().replace("_", "-") not in locked]
    return found + [f"{LOCK.name}: {name} is missing" for name in absent]


def main() -> int:
    """Renew or check the pins."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions")
    parser.add_argument("--check", action="store_true", help="only look whether the files fit together")
    options = parser.parse_args()
    if not options.check:
        with tempfile.TemporaryDirectory() as tools:
            uv = pythons.uv(Path(tools, "uv"), lambda line: print(line, file=sys.stderr))
            if options.upgrade:
                upgrade(uv)
            renew(uv)
    found = faults()
    print("\n".join(found) or "the pins fit together")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
