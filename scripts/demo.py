"""The demo, a flight from space to a leaf: runs the add-on in Blender without a window, with an artist's steps.

    python scripts/demo.py [--size WxH] [--levels N] [--prompts FILE] [--out FOLDER] ...

Builds the extension, installs it into a separate Blender, creates the rig, sets the prompts, presses Generate, imports
the results and renders the flight with Cycles. Writes to `out/demo/`: flythrough.mp4, contact_sheet.png, scene.blend
and the job folder.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import build_extension
import environments

HERE = Path(__file__).resolve().parent
PROMPTS = [
    "deep space, stars and drifting nebulae",
    "a blue planet with oceans and continents",
    "an ocean with waves at dawn",
    "an island of sand dunes",
    "an old forest from above, a clearing in morning light",
    "a leaf with dew, fine veins",
]
SHARES = {"generate": 0.55, "import": 0.03, "render": 0.4, "film": 0.02}


class Display:
    """Shows progress: one updated line on a terminal, plain lines elsewhere."""

    def __init__(self):
        self.started = time.monotonic()
        self.moving = sys.stderr.isatty()
        self.told = ("", -1)
        self.stage, self.stage_started = "", self.started

    def show(self, stage: str, fraction: float, message: str, left: float | None = None) -> None:
        """Show that `fraction` of `stage` is done, with a message and the stage's seconds left, if known."""
        now = time.monotonic()
        if stage != self.stage:
            self.stage, self.stage_started = stage, now
        names = list(SHARES)
        place = names.index(stage)
        whole = sum(SHARES[name] for name in names[:place]) + SHARES[stage] * fraction
        line = f"{100 * whole:3.0f} %  {stage}: {message}"
        passed = now - self.stage_started
        if left is None and fraction > 0.05 and passed > 3:
            left = passed * (1 - fraction) / fraction
        if left is not None:
            after = sum(SHARES[name] for name in names[place + 1 :]) / SHARES[stage] * (passed + left)
            line += f", about {_clock(left + after)} left"
        if self.moving:
            bar = "█" * round(24 * whole) + "░" * (24 - round(24 * whole))
            width = shutil.get_terminal_size().columns - 1
            sys.stderr.write("\r\x1b[K" + f"{bar} {line}"[:width])
        elif (stage, int(whole * 20)) != self.told:
            sys.stderr.write(f"[{_clock(now - self.started)}] {line}\n")
        self.told = (stage, int(whole * 20))
        sys.stderr.flush()

    def end(self) -> None:
        """End the updated line."""
        if self.moving:
            sys.stderr.write("\r\x1b[K")


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--size", default="384x216", help="WIDTHxHEIGHT of the flight, even numbers")
    parser.add_argument("--levels", type=int, help="how many of the prompts to fly through, from the first")
    parser.add_argument("--prompts", type=Path, help="text file with one prompt per line")
    parser.add_argument("--factor", type=float, default=2.5, help="magnification of the world per level, 1.25 to 16")
    parser.add_argument("--frames-per-level", type=int, default=12)
    parser.add_argument("--samples", type=int, default=3, help="Cycles samples per pixel")
    parser.add_argument("--quality", choices=("draft", "preview", "final"), default="draft")
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--out", type=Path, default=environments.ROOT / "out" / "demo")
    options = parser.parse_args()
    prompts = PROMPTS
    if options.prompts:
        prompts = [line.strip() for line in options.prompts.read_text(encoding="utf-8").splitlines() if line.strip()]
    levels = options.levels or len(prompts)
    if not 1.25 <= options.factor <= 16:
        parser.error("--factor must be from 1.25 to 16")
    if not 1 <= levels <= len(prompts):
        parser.error(f"--levels must be from 1 to {len(prompts)}, the number of prompts")
    width, _, height = options.size.partition("x")
    if (
        not (width.isdigit() and height.isdigit())
        or int(width) % 2
        or int(height) % 2
        or min(int(width), int(height)) < 16
    ):
        parser.error("--size must be WIDTHxHEIGHT, even numbers of at least 16")
    options.prompts, options.width, options.height = prompts[:levels], int(width), int(height)
    return options


def main() -> int:
    """Run the demo; the exit code is 0 if all four results were written."""
    options = _options()
    out = options.out.absolute()
    out.mkdir(parents=True, exist_ok=True)
    server, blender = environments.need("server"), environments.need("bpy45")
    display = Display()
    with tempfile.TemporaryDirectory() as scratch:
        plan = {
            "zip": str(build_extension.build(Path(scratch, "dreamzoom.zip"))),
            "user": str(Path(scratch, "user")),
            "server_python": str(server),
            "out": str(out),
            "prompts": options.prompts,
            "width": options.width,
            "height": options.height,
            "factor": options.factor,
            "frames_per_level": options.frames_per_level,
            "samples": options.samples,
            "quality": options.quality,
            "seed": options.seed,
        }
        code = _fly(blender, plan, out / "blender.log", display)
    if code == 0:
        display.show("film", 0.0, "encoding")
        # -P: without this folder in the path, in which dreamzoom.py would hide the server's package
        film = [str(server), "-P", str(HERE / "demo_film.py"), str(out / "flight.json"), str(out)]
        code = subprocess.run(film, env=environments.server_variables(), check=False).returncode
    display.end()
    if code:
        sys.stderr.write(f"dreamzoom: the demo failed; Blender's output is in {out / 'blender.log'}\n")
        return 1
    print(f"done in {_clock(time.monotonic() - display.started)}")
    for name in ("flythrough.mp4", "contact_sheet.png", "scene.blend", "job"):
        print(out / name)
    return 0


def _fly(blender: Path, plan: dict, log: Path, display: Display) -> int:
    """Run the part inside Blender and show its progress; returns its exit code."""
    command = [str(blender), str(HERE / "demo_in_blender.py"), json.dumps(plan)]
    with log.open("w", encoding="utf-8") as written:
        child = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8", errors="replace"
        )
        assert child.stdout is not None
        failure = ""
        try:
            for line in child.stdout:
                if line.startswith("@"):
                    told = json.loads(line[1:])
                    failure = told.pop("error", failure)
                    if not failure:
                        display.show(**told)
                else:
                    written.write(line)
        except KeyboardInterrupt:
            child.terminate()
            failure = "stopped; start again to continue"
        code = child.wait()
    if failure:
        display.end()
        sys.stderr.write(f"dreamzoom: {failure}\n")
    return code or (1 if failure else 0)


if __name__ == "__main__":
    sys.exit(main())
