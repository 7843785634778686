"""Flight: is the zoom a zoom? Frames carried into each other, level against level, sharpness, evenness, cost of depth.

    python scripts/benchmark.py flight [--only PART ...] [--job FOLDER] [--factor P] [--json]

Parts: truth (the world alone), jobs (generated with distorted and with exact depth), depth (40 levels against 6). With
`--job` a finished job is measured along its own path instead. Baselines: the truth of the dissolve that this engine
showed before (each level's picture of its own levels alone, blended), and a job's frames without the finer level.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from core.camera import look_at
from core.colour import linear_to_srgb, srgb_to_linear
from core.gaussians import moved
from dreamzoom import wire
from dreamzoom.consistency import carried, change, high_band, low_passed, psnr
from dreamzoom.engines.procedural.engine import ProceduralEngine
from dreamzoom.evaluate import TrueFlight
from dreamzoom.flight import Flight, open_flight, truthful
from dreamzoom.geometry.zoom_path import ZoomPath
from dreamzoom.pipeline.folder import Folder
from dreamzoom.pipeline.generate import generate
from dreamzoom.request import validation
from dreamzoom.splats.rasterize import rasterize
from dreamzoom.stages import plan
from dreamzoom.stages.base.quality import settings
from dreamzoom.stages.levels import FEATHER

from .shared.table import Table

PROMPTS = (
    "snowy mountains at low sun",
    "an old forest from above, a clearing in morning light",
    "a meadow with flowers",
    "a leaf with dew, fine veins",
)
SIZE = (192, 128)
FRAMES_PER_LEVEL = 14
STEP = 0.25
SAME = 0.02
"""Depths that differ by less than this share are one surface."""
DEEP, SHALLOW = 40, 6
PARTS = ("truth", "jobs", "depth")


class Truth(TrueFlight):
    """The true frames, and engines that know less."""

    def known(self, level: int) -> ProceduralEngine:
        """An engine that knows no finer levels than this."""
        own, kept = self.engine, slice(0, level + 1)
        self._known = getattr(self, "_known", {})
        if level not in self._known:
            focuses = own.world.focuses[kept]
            self._known[level] = ProceduralEngine(own.prompts[kept], own.seeds[kept], own.world.factor, focuses)
        return self._known[level]


def zooms(path: ZoomPath, step: float) -> list[float]:
    """From the first to the last zoom of a path by `step`."""
    low, high = path.keys[0].zoom, min(path.keys[-1].zoom, path.levels - 1.0)
    return [float(zoom) for zoom in np.arange(low, high + 1e-6, step)]


def request_of(factor: float, distortion: bool, prompts=PROMPTS, size=SIZE, quality: str = "draft") -> wire.Request:
    """A straight zoom with a still camera, three units from the focus, through all the prompts."""
    width, height = size
    focal = width * 50 / 36
    angle = np.radians(40)
    pose = look_at((0, -3 * np.sin(angle), 3 * np.cos(angle)), (0, 0, 0)).round(9).tolist()
    lens = {"fx": focal, "fy": focal, "cx": width / 2, "cy": height / 2}
    last = len(prompts) - 1
    cameras = [{"frame": 1 + k * FRAMES_PER_LEVEL, "zoom": k, "camera_to_gauge": pose, **lens} for k in range(last + 1)]
    request = {
        "version": 1,
        "seed": 1,
        "quality": quality,
        "engine": {"name": "procedural", "distortion": distortion},
        "zoom_factor": factor,
        "width": width,
        "height": height,
        "levels": [{"prompt": prompt} for prompt in prompts],
        "cameras": cameras,
    }
    return validation.decode_request(json.dumps(request).encode())


def measure_truth(table: Table, truth: Truth) -> None:
    """The world alone: frame u carried into frame u + ½; and the dissolve of before."""
    pairs = [(u, u + 0.5) for u in zooms(truth.path, STEP) if u + 0.5 <= truth.path.levels - 1]
    found = [carried(truth.at(b).rgb, truth.at(a).rgb, truth.warp(b, a)) for a, b in pairs]
    table.add("truth carried by half a level, least, dB", min(found), ">= 27", min(found) >= 27)
    table.figures["truth_carried_db_min"] = min(found)
    old = {zoom: _dissolved(truth, zoom) for pair in pairs for zoom in pair}
    before = [carried(old[b], old[a], truth.warp(b, a)) for a, b in pairs]
    table.add("  the same for a dissolve of levels that know no finer ones", min(before))


def _dissolved(truth: Truth, zoom: float) -> np.ndarray:
    """What the truth was before: W_k, which knows no finer level, dissolving into W_{k+1} over u − k in [0, ½]."""
    base = min(int(zoom), truth.path.levels - 1)
    light = 0.0
    t = float(np.clip((zoom - base) * 2, 0, 1))
    share = t * t * (3 - 2 * t) if base + 1 < truth.path.levels else 0.0
    for level, weight in ((base, 1 - share), (base + 1, share)):
        if weight > 0:
            path = ZoomPath(truth.path.factor, truth.path.focuses[: level + 1], ())
            camera = truth.camera(zoom).moved(path.gauge(zoom, level))
            light = light + weight * srgb_to_linear(truth.known(level).world.render(camera, level, zoom)[0])
    return linear_to_srgb(np.asarray(light, np.float32))


def measure_job(table: Table, flight: Flight, truth: Truth, exact: bool) -> None:
    """A finished job's frames, by the server's rasteriser."""
    shown = {}

    def frame(zoom: float) -> np.ndarray:
        zoom = round(zoom, 6)
        if zoom not in shown:
            shown[zoom] = flight.view(flight.path.key_at(zoom), truth.camera(zoom)).rgb
        return shown[zoom]

    quarters = zooms(flight.path, STEP)
    against = [psnr(frame(u), truth.at(u).rgb) for u in quarters]
    mean, least = float(np.mean(against)), min(against)
    name, prefix, wanted = ("exact depth", "exact_", (31, 27)) if exact else ("distorted depth", "", (28, 24))
    table.add(f"against truth, {name}, mean, dB", mean, f">= {wanted[0]}", mean >= wanted[0])
    table.add(f"against truth, {name}, least, dB", least, f">= {wanted[1]}", least >= wanted[1])
    table.figures |= {f"{prefix}psnr_mean": mean, f"{prefix}psnr_min": least}
    table.figures[f"{prefix}psnr"] = dict(zip(quarters, against))
    if exact:
        return
    pairs = [(u, u + 0.5) for u in quarters if u + 0.5 <= flight.path.levels - 1]
    found = [carried(frame(b), frame(a), truth.warp(b, a)) for a, b in pairs]
    mean, least = float(np.mean(found)), min(found)
    table.add("frames carried by half a level, mean, dB", mean, ">= 27", mean >= 27, carried_db_mean=mean)
    table.add("frames carried by half a level, least, dB", least, ">= 24", least >= 24, carried_db_min=least)
    sharp = [high_band(frame(u)) / high_band(truth.at(u).rgb) for u in quarters]
    table.add("sharpness: finest octave's energy over truth's, least", min(sharp), ">= .8", min(sharp) >= 0.8)
    table.figures |= {"sharpness_min": min(sharp), "sharpness": dict(zip(quarters, sharp))}
    switches = {level + 0.5: _switch(flight, truth, level) for level in range(flight.path.levels - 1)}
    least = min(switches.values())
    table.add("level k alone against k+1 alone at u = k+½, least, dB", least, ">= 26", least >= 26)
    table.figures |= {"switch_db_min": least, "switch_db": switches}
    steps = _frame_zooms(flight)
    changes = [change(frame(b), frame(a), truth.warp(b, a)) for a, b in zip(steps, steps[1:])]
    ratio = max(changes) / float(np.median(changes))
    own = [change(truth.at(b).rgb, truth.at(a).rgb, truth.warp(b, a)) for a, b in zip(steps, steps[1:])]
    table.add("change from frame to frame, motion compensated: largest / median", ratio, "<= 2", ratio <= 2)
    table.add("  the same of the truth", max(own) / float(np.median(own)))
    table.figures |= {"motion_ratio": ratio, "changes": dict(zip(steps, changes))}


def _frame_zooms(flight: Flight) -> list[float]:
    """The zoom of every frame of the flight."""
    found = [flight.path.at_frame(frame).zoom for frame in flight.frames()]
    return [round(zoom, 6) for zoom in found if zoom <= flight.path.levels - 1 + 1e-9]


def _switch(flight: Flight, truth: Truth, level: int) -> float:
    """PSNR in dB of a level alone against the next alone, half way between, where the next one is whole."""
    zoom, path = level + 0.5, flight.path
    camera = truth.camera(zoom)
    alone = []
    for k in (level, level + 1):
        splats = moved(flight.levels[k], path.gauge(zoom, k).inverse())
        alone.append(rasterize(splats, camera))
    solid = _seen_by(flight, truth, zoom, level) & _seen_by(flight, truth, zoom, level + 1)
    solid &= (alone[0].alpha > 0.9) & (alone[1].alpha > 0.9)
    sigma = 0.5 * path.factor**0.5
    pair = [low_passed(raster.rgb, solid, sigma) for raster in alone]
    return psnr(*pair, solid)


def _seen_by(flight: Flight, truth: Truth, zoom: float, level: int) -> np.ndarray:
    """The pixels (H, W) of the frame at a zoom whose surface a level's anchor sees, within its feathered border."""
    camera = plan.anchor(flight.path, level, settings(flight.request)).camera
    seen = truth.at(zoom).seen
    points = flight.path.between(0, level).apply(seen.camera.unproject(seen.depth))
    pixels, depth = camera.project(points)
    size = np.array([camera.width, camera.height])
    inside = (np.abs(2 * pixels / size - 1) < 1 - FEATHER).all(-1) & (depth > 0)
    column, row = (np.clip(pixels[..., axis].astype(int), 0, size[axis] - 1) for axis in (0, 1))
    return inside & (np.abs(truth.engine.world.depth(camera, level)[row, column] / depth - 1) < SAME)


def measure_depth(table: Table) -> None:
    """Seconds and memory of a level in a job of 40 levels against those in one of 6: each in a process of its own."""
    found = {}
    for count in (SHALLOW, DEEP):
        command = [sys.executable, "-m", "benchmarks.flight", "--levels", str(count)]
        found[count] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    seconds, memory = (found[DEEP][key] / found[SHALLOW][key] for key in ("seconds", "megabytes"))
    ratio = max(seconds, memory)
    table.add("40 levels: CPU seconds a level over those of 6", seconds, "<= 1.1", seconds <= 1.1)
    table.add("40 levels: peak memory over that of 6", memory, "<= 1.1", memory <= 1.1, depth_cost_ratio=ratio)


def run_levels(count: int) -> None:
    """Print what a job of so many levels costs: CPU seconds of a level and peak megabytes."""
    prompts = tuple(PROMPTS[k % len(PROMPTS)] for k in range(count))
    with tempfile.TemporaryDirectory() as scratch:
        generate(request_of(2.0, True, PROMPTS, (96, 64)), Folder(Path(scratch, "warm")))
        started = time.process_time()
        generate(request_of(2.0, True, prompts, (96, 64)), Folder(Path(scratch, "job")))
        seconds = (time.process_time() - started) / count
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "megabytes": peak}))


def measure_jobs(table: Table, factor: float) -> None:
    """Generate with distorted and with exact depth, and measure."""
    truth = None
    for exact in (False, True):
        request = request_of(factor, not exact)
        with tempfile.TemporaryDirectory() as scratch:
            generate(request, Folder(Path(scratch)))
            flight = open_flight(Path(scratch))
        truth = truth or Truth(truthful(request), request.path(), SIZE)
        measure_job(table, flight, truth, exact)


def main() -> int:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--job", type=Path, help="measure a finished job along its own path")
    parser.add_argument("--factor", type=float, default=2.0)
    parser.add_argument("--levels", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.levels:
        run_levels(options.levels)
        return 0
    table = Table()
    if options.job:
        flight = open_flight(options.job)
        size = flight.request.width, flight.request.height
        truth = Truth(truthful(flight.request), flight.path, size)
        measure_truth(table, truth)
        measure_job(table, flight, truth, exact=False)
    else:
        if "truth" in options.only:
            request = request_of(options.factor, True)
            measure_truth(table, Truth(truthful(request), request.path(), SIZE))
        if "jobs" in options.only:
            measure_jobs(table, options.factor)
        if "depth" in options.only:
            measure_depth(table)
    print(table.json() if options.json else table.text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
