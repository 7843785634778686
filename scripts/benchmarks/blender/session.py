"""One run of the section: its folder, what it asks Blender in processes of their own, and the server's own frames."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import environments
import numpy as np
from scipy.ndimage import gaussian_filter

from core.colour import linear_to_srgb, srgb_to_linear
from dreamzoom.flight import Flight

from ..shared.table import Table

HERE = Path(__file__).resolve().parent
FLIGHT = {
    "size": [96, 54],
    "prompts": [
        "a blue planet with oceans and continents",
        "a continent from orbit, coasts and rivers",
        "snowy mountains at low sun",
        "an old forest from above, a clearing in morning light",
    ],
    "frames_per_level": 16,
}
RAYS = 4
"""Of the server's rasteriser, a pixel's side: Cycles shows means over pixels."""

EEVEE_FILTER = 0.284 * 1.5
"""Standard deviation in pixels of EEVEE's pixel filter at Blender's own width of 1.5: a Gaussian in place of the
Blackman-Harris window, so its source says.
"""


class Bench:
    """A folder for the measurements of one run, and the ways to do something in Blender."""

    def __init__(self, folder: Path, options: argparse.Namespace):
        self.folder, self.options = folder, options
        self.table = Table()
        self._count = 0

    def ask(self, action: str, blender: str | None = None, environment: str = "bpy45", **plan) -> dict:
        """What `in_blender.py` answers to a plan, from a process of its own.

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
        script = HERE / "in_blender.py"
        command = [str(environments.need(environment)), str(script), str(plan_file)]
        if blender:
            command = [blender, "--background", "--python", str(script), "--", str(plan_file)]
        ended = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        if not (self.folder / answer).is_file():
            raise RuntimeError(f"{action} failed in Blender:\n{ended.stdout.decode(errors='replace')[-3000:]}")
        return json.loads((self.folder / answer).read_text(encoding="utf-8"))

    def job(self, plan: dict = FLIGHT) -> Path:
        """A finished job of the flight, made where the options name none."""
        made = self.options.job.resolve() if self.options.job else self.folder / "job"
        if not made.exists():
            request = self.ask("request", **plan)
            (self.folder / "request.json").write_text(json.dumps(request), encoding="utf-8")
            command = [sys.executable, "-m", "dreamzoom", "generate", str(self.folder / "request.json"), "--out"]
            subprocess.run([*command, str(made)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return made

    def pictures(self, name: str) -> np.ndarray:
        """(frames, H, W, 3) sRGB, what an action has put into a file of pictures."""
        return linear_to_srgb(np.load(self.folder / name)["pictures"])


def served(flight: Flight, frame: int, rays: int = RAYS) -> np.ndarray:
    """(H, W, 3) sRGB, a frame of the flight by the server's rasteriser, with rays × rays a pixel."""
    key = flight.path.at_frame(frame)
    camera = key.camera
    rgb = srgb_to_linear(flight.view(key, camera.resized(rays * camera.width, rays * camera.height)).rgb)
    return linear_to_srgb(rgb.reshape(camera.height, rays, camera.width, rays, 3).mean((1, 3)))


def served_as_eevee(flight: Flight, frame: int, rays: int = 8) -> np.ndarray:
    """The same through EEVEE's pixel filter, which is wider than a pixel's square."""
    key = flight.path.at_frame(frame)
    camera = key.camera
    rgb = srgb_to_linear(flight.view(key, camera.resized(rays * camera.width, rays * camera.height)).rgb)
    smooth = gaussian_filter(rgb, (EEVEE_FILTER * rays, EEVEE_FILTER * rays, 0), truncate=1 / 0.284)
    tiles = smooth.reshape(camera.height, rays, camera.width, rays, 3)
    middle = slice(rays // 2 - 1, rays // 2 + 1)
    return linear_to_srgb(tiles[:, middle, :, middle].mean((1, 3)))
