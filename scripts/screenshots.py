"""Make the screenshots of docs/artists_guide.md in a real Blender window.

    python scripts/screenshots.py [--blender PROGRAM] [--out FOLDER] [--language CODE]

Blender is the program named, that of the variable DREAMZOOM_BLENDER, or the one on PATH. On Linux a virtual screen is
used where Xvfb is installed, elsewhere this machine's own. Takes minutes: the flight in them is really dreamed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import build_extension
import environments
from window import launch

KEPT = {
    "flight_1_prompts": "prompts",
    "flight_2_generating": "generating",
    "flight_4_camera": "camera",
}
"""The screenshots of the tour that the guide shows, and their names there."""

SIZE = (1280, 900)

AS_JPEG = "import sys; from PIL import Image; Image.open(sys.argv[1]).convert('RGB').save(sys.argv[2], quality=88)"
"""Run by the server's Python, which has Pillow: a screenshot as a small file."""


def main() -> None:
    """Run the tour and keep its screenshots."""
    parser = argparse.ArgumentParser(description="Make the screenshots of the artist's guide.")
    parser.add_argument("--blender", default="", help="Blender's program")
    parser.add_argument("--out", type=Path, default=environments.ROOT / "docs" / "pictures", help="folder for them")
    parser.add_argument("--language", default="en_US", help="of the interface, as en_US or zh_HANS")
    options = parser.parse_args()
    server = str(environments.need("server"))
    with tempfile.TemporaryDirectory() as scratch:
        archive = build_extension.build(Path(scratch, "dreamzoom.zip"))
        plan = {"zip": str(archive), "out": scratch, "parts": ["flight"], "server": server, "sidebar": True}
        try:
            program = launch.blender(options.blender)
            found = launch.run(program, {**plan, "language": options.language, "patience": 900}, 2400, None, SIZE)
        except launch.NoWindow as missing:
            sys.exit(f"dreamzoom: {missing}")
        if found["error"]:
            sys.exit(f"dreamzoom: the tour stopped\n{found['error']}")
        options.out.mkdir(parents=True, exist_ok=True)
        for name, kept in KEPT.items():
            target = options.out / f"{kept}.jpg"
            subprocess.run([server, "-c", AS_JPEG, str(Path(scratch, f"{name}.png")), str(target)], check=True)
            print(target)


if __name__ == "__main__":
    main()
