"""From the zip to a film in a new Blender window, as somebody who reads nothing but the panel goes.

Presses Install, Example Flight, Set Up Render and Render Animation in a new user folder, and prints when each step was
reached. With --server the installation is left out; with --prompt a prompt is changed and dreamed again before.
Blender is that of the variable DREAMZOOM_BLENDER, or the one on PATH.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import build_extension
import environments
from window import launch


def main() -> None:
    """Go through the steps and print them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, help="folder for screenshots and film, a temporary one by default")
    parser.add_argument("--base", default=sys.base_prefix, help="folder or program of the Python 3.11 for the server")
    parser.add_argument("--server", action="store_true", help="use the server's environment of this checkout")
    parser.add_argument("--prompt", action="store_true", help="look at levels, change a prompt and dream again before")
    parser.add_argument("--frames", type=int, default=1000, help="of the longest film")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        out = options.out or Path(scratch)
        out.mkdir(parents=True, exist_ok=True)
        home = out / "home"
        home.mkdir(exist_ok=True)
        plan = {"zip": str(build_extension.build(Path(scratch, "dreamzoom.zip"))), "out": str(out)}
        plan |= {"parts": ["stranger"], "patience": 1500, "frames": options.frames, "direct": not options.prompt}
        plan |= {"server": str(environments.need("server"))} if options.server else {"base": _program(options.base)}
        try:
            found = launch.run(launch.blender(), plan, 3600, {"HOME": str(home)})
        except launch.NoWindow as missing:
            sys.exit(f"dreamzoom: {missing}")
    if options.json:
        print(json.dumps(found, indent=1))
    for step in () if options.json else found["steps"]:
        rest = ", ".join(f"{name} {value}" for name, value in step.items() if name not in ("name", "seconds"))
        print(f"{step['seconds']:7.1f} s  {step['name']}  {rest}")
    if found["error"]:
        sys.exit(f"dreamzoom: the tour stopped\n{found['error']}")


def _program(base: str) -> str:
    """A Python's program, for its folder or itself."""
    path = Path(base)
    return str(path if path.is_file() else path / ("python.exe" if sys.platform == "win32" else "bin/python3.11"))


if __name__ == "__main__":
    main()
