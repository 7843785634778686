"""Blender: what Cycles and EEVEE show against the server's rasteriser, import, memory, fades, depth of zoom.

`--json` prints one object; `--only NAME ...` measures some of PARTS; `--job FOLDER` takes a finished job of the plan
instead of making one; `--blender PATH` renders EEVEE in that Blender instead of the module.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from splats import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import environments

from dreamzoom.colour import linear_to_srgb
from dreamzoom.evaluate import psnr
from dreamzoom.flight import Flight, open_flight

HERE = Path(__file__).resolve().parent
FLIGHT = {
    "size": [160, 90],
    "prompts": [
        "a blue planet with oceans and continents",
        "a continent from orbit, coasts and rivers",
        "snowy mountains at low sun",
        "an old forest from above, a clearing in morning light",
    ],
    "frames_per_level": 16,
}
FRAMES = range(1, 50, 5)
"""Ten frames in all phases between levels: whole, opening, open, closing."""


class Bench:
    """A folder for the measurements of one run, and the ways to do something in Blender."""

    def __init__(self, folder: Path, options: argparse.Namespace):
        self.folder, self.options = folder, options
        self.table = Table([], {})
        self._count = 0

    def ask(self, action: str, blender: str | None = None, environment: str = "bpy45", **plan) -> dict:
        """What `_blender.py` answers to a plan, from a process of its own.

        Args:
            action: One of its actions.
            blender: A Blender to do it in, instead of a module.
            environment: Which module, of those that `environments` makes.
            plan: What the action needs.
        """
        self._count += 1
        plan_file = self.folder / f"plan-{self._count}.json"
        answer = f"answer-{self._count}.json"
        plan_file.write_text(json.dumps({"action": action, "answer": answer, **plan}), encoding="utf-8")
        script = HERE / "_blender.py"
        command = [str(environments.need(environment)), str(script), str(plan_file)]
        if blender:
            command = [blender, "--background", "--python", str(script), "--", str(plan_file)]
        ended = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        if not (self.folder / answer).is_file():
            raise RuntimeError(f"{action} failed in Blender:\n{ended.stdout.decode(errors='replace')[-3000:]}")
        return json.loads((self.folder / answer).read_text(encoding="utf-8"))

    def job(self) -> Path:
        """A finished job of the flight, made where the options name none."""
        made = self.folder / "job"
        if self.options.job and not made.exists():
            made.symlink_to(self.options.job.resolve(), target_is_directory=True)
        if not made.exists():
            request = self.ask("request", **FLIGHT)
            (self.folder / "request.json").write_text(json.dumps(request), encoding="utf-8")
            command = [sys.executable, "-m", "dreamzoom", "generate", str(self.folder / "request.json"), "--out"]
            subprocess.run([*command, str(made)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return made

    def pictures(self, name: str) -> np.ndarray:
        """(frames, H, W, 3) sRGB, what an action has put into a file of pictures."""
        return linear_to_srgb(np.load(self.folder / name)["pictures"])


def served(flight: Flight, frame: int) -> np.ndarray:
    """(H, W, 3) sRGB, a frame of the flight by the server's rasteriser."""
    return flight.view(flight.path.at_frame(frame)).rgb


def measure_cycles(bench: Bench) -> None:
    """Ten frames of the flight through F12 in Cycles, and by the server."""
    job = bench.job()
    bench.ask("flight", job="job", engine="CYCLES", samples=64, frames=list(FRAMES), pictures="cycles.npz", **FLIGHT)
    flight = open_flight(job)
    found = [psnr(served(flight, frame), ours) for frame, ours in zip(FRAMES, bench.pictures("cycles.npz"))]
    shown = " ".join(f"{value:.1f}" for value in found)
    bench.table.add("Cycles against the server, 10 frames, dB", shown, "reported", None)
    bench.table.add("the least of them", min(found), ">= 40", min(found) >= 40, cycles_db_min=min(found))


PARTS = {"cycles": measure_cycles}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--job", type=Path)
    parser.add_argument("--blender")
    parser.add_argument("--folder", type=Path, help="keep all files here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        bench = Bench(folder.resolve(), options)
        for part in options.only:
            PARTS[part](bench)
    table = bench.table
    output = json.dumps(table.figures | {"rows": table.rows}) if options.json else table.text()
    sys.stdout.write(output + "\n")


if __name__ == "__main__":
    main()
