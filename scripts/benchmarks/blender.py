"""Blender: what Cycles and EEVEE show against the server's rasteriser, import, memory, fades, depth of zoom.

`--json` prints one object; `--only NAME ...` measures some of PARTS; `--job FOLDER` takes a finished job of the plan
instead of making one; `--blender PATH` renders EEVEE in that Blender instead of the module; `--pictures FOLDER` writes
pictures of what is measured and measures nothing.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import _blender_pictures
import _fade
import _files
import _native
import _viewer
import numpy as np
from _table import Table
from scipy.ndimage import gaussian_filter

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import environments

from core.colour import linear_to_srgb, srgb_to_linear
from dreamzoom.evaluate import psnr
from dreamzoom.flight import Flight, open_flight

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
FRAMES = range(1, 50, 5)
"""Ten frames in all phases between levels: whole, opening, open, closing."""

EEVEE_FRAME = 11
RAYS = 4
"""Of the server's rasteriser, a pixel's side: Cycles shows means over pixels."""

EEVEE_FILTER = 0.284 * 1.5
"""Standard deviation in pixels of EEVEE's pixel filter at Blender's own width of 1.5: a Gaussian in place of the
Blackman-Harris window, so its source says.
"""

MILLION = 1_000_000


class Bench:
    """A folder for the measurements of one run, and the ways to do something in Blender."""

    def __init__(self, folder: Path, options: argparse.Namespace):
        self.folder, self.options = folder, options
        self.table = Table()
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


def measure_cycles(bench: Bench) -> None:
    """Ten frames of the flight through F12 in Cycles, and by the server."""
    job = bench.job()
    bench.ask("flight", job=str(job), engine="CYCLES", samples=64, frames=list(FRAMES), pictures="cycles.npz", **FLIGHT)
    flight, pictures = open_flight(job), bench.pictures("cycles.npz")
    found, single = (
        [psnr(served(flight, frame, rays), ours) for frame, ours in zip(FRAMES, pictures)] for rays in (RAYS, 1)
    )
    shown = " ".join(f"{value:.1f}" for value in found)
    bench.table.add("Cycles against the server, 10 frames, dB", shown)
    bench.table.add("the least of them", min(found), ">= 40", min(found) >= 40, cycles_db_min=min(found))
    bench.table.add("the least with 1 ray a pixel of the server", min(single))


def measure_eevee(bench: Bench) -> None:
    """One frame of the flight in EEVEE: in the Blender that the options name, else in the module, slowly."""
    job = bench.job()
    plan = {
        "job": str(job),
        "engine": "EEVEE",
        "samples": 64,
        "frames": [EEVEE_FRAME],
        "pictures": "eevee.npz",
    } | FLIGHT
    try:
        answer = bench.ask("flight", blender=bench.options.blender, environment="bpy52", **plan)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        bench.table.add("EEVEE", f"skipped: {reason}; name a Blender with --blender", ">= 36", None)
        return
    flight, picture = open_flight(job), bench.pictures("eevee.npz")[0]
    found = psnr(served_as_eevee(flight, EEVEE_FRAME), picture)
    where = f"Blender {answer['blender']}" if bench.options.blender else f"the module {answer['blender']}"
    bench.table.add(f"EEVEE in {where}, 64 samples, dB", found, ">= 36", found >= 36, eevee_db=found)
    square = psnr(served(flight, EEVEE_FRAME), picture)
    bench.table.add("  against means over the pixels' squares, not through EEVEE's filter", square)


def measure_import(bench: Bench) -> None:
    """A million splats from PLY, each kind thrice; memory as well, of a rendered frame too."""
    view = _files.described(_files.camera(320, 180))
    cases = (
        ("import_sh0_s", "1 M general splats, SH 0", _files.scattered(MILLION, 0), 0.4, 800, 0),
        ("import_sh3_s", "1 M general splats, SH 3", _files.scattered(MILLION, 3), 1.5, None, 0),
        ("import_flat_s", "1 M flat general splats on quads, SH 0", _files.surface(MILLION), None, None, 0),
        ("import_surfels_s", "1 M surfels", _files.surface(MILLION, thickness=1e-3), 1.0, 1800, 1),
    )
    for key, label, splats, most, memory, frames in cases:
        name = _files.write(bench.folder / "import.ply", splats)
        del splats
        plan = {"file": name, "frames": frames, "camera": view, "samples": 4}
        runs = [bench.ask("file", **plan if last else {"file": name}) for last in (False, False, True)]
        seconds = min(run["seconds"] for run in runs)
        met = seconds <= most if most else None
        bench.table.add(f"import of {label}, s", seconds, f"<= {most}" if most else "reported", met, **{key: seconds})
        peak = runs[-1].get("peak_rendered", runs[-1]["peak"])
        what = "peak with a frame rendered" if frames else "peak"
        shown = f"{peak:.0f} (of it Blender alone {runs[-1]['before']:.0f})"
        bench.table.add(f"  {what}, MB", shown, f"<= {memory}" if memory else "reported", memory and peak <= memory)


def measure_viewers(bench: Bench) -> None:
    """General splats against what viewers show, as they are and by “As Viewers Do”, and why the former differ."""
    camera = _files.camera(160, 160)
    others = "ReshotAI: 17 to 31"
    for key, label, splats in (
        ("random", "20 k random splats", _files.scattered(20_000, size=0.012)),
        ("surface", "a surface of 200 k", _files.surface(200_000)),
    ):
        name = _files.write(bench.folder / "viewers.ply", splats)
        plan = {"file": name, "camera": _files.described(camera), "pictures": "viewers.npz"}
        wanted = _viewer.view(splats, camera)
        bench.ask("file", representation="viewers", samples=1, **plan)  # every ray through its pixel's centre
        found = psnr(wanted, np.load(bench.folder / "viewers.npz")["pictures"][0])
        bench.table.add(
            f"{label} against EWA in sRGB, As Viewers Do, dB", found, others, **{f"viewers_{key}_db": found}
        )
        bench.ask("file", representation="gaussians", samples=4, **plan)
        ours = bench.pictures("viewers.npz")[0]
        found = psnr(wanted, ours)
        bench.table.add("  general Gaussians, dB", found, others, **{f"gaussians_{key}_db": found})
        for reason, view in (
            ("blending in sRGB", _viewer.view(splats, camera, linear=True)),
            ("that and without the blur", _viewer.view(splats, camera, 0.0, linear=True)),
        ):
            bench.table.add(f"  against viewers without {reason}, dB", psnr(view, ours))


def measure_proxies(bench: Bench) -> None:
    """Flat Gaussians in spheres and on quads: what both cost, and how near they come to Gaussians in order."""
    camera = _files.camera(480, 270)
    for key, label, splats in (
        ("flat_share", "200 k flat splats of a surface", _files.surface(200_000)),
        ("long_share", "200 k long flat ones", _files.stretched(_files.surface(200_000))),
    ):
        wanted = _viewer.view(splats, camera, 0.0, linear=True)
        plan = {"file": _files.write(bench.folder / "flat.ply", splats), "camera": _files.described(camera)}
        rendered = {}
        for representation in ("gaussians", "flat"):
            found = bench.ask("file", representation=representation, frames=2, samples=4, pictures="flat.npz", **plan)
            quality = psnr(wanted, bench.pictures("flat.npz")[0])
            rendered[representation] = min(found["frames"])
            shown = f"{found['seconds']:.2f} / {found['frames'][0]:.2f} / {found['frames'][1]:.2f}"
            shown += f" s, {found['peak_rendered']:.0f} MB, {quality:.1f} dB"
            what = "in spheres" if representation == "gaussians" else "on quads"
            bench.table.add(f"{label} {what}: import / first / next frame, memory, dB", shown)
        share = rendered["flat"] / rendered["gaussians"]
        bench.table.add("  seconds on quads, of those in spheres", share, "< 1", share < 1, **{key: share})


def measure_large(bench: Bench) -> None:
    """A million surfels in full HD: the first frame, and the second with persistent data; what of it is set-up."""
    name = _files.write(bench.folder / "large.ply", _files.surface(MILLION, thickness=1e-3))
    plan = {"file": name, "frames": 2}
    small = bench.ask("file", camera=_files.described(_files.camera(96, 54)), samples=1, **plan)["frames"]
    answer = bench.ask("file", camera=_files.described(_files.camera(1920, 1080)), samples=16, **plan)
    first, second = answer["frames"]
    ratio = second / first
    bench.table.add("1 M surfels, 1920 × 1080, 16 samples: first frame, s", first)
    bench.table.add("  second frame with persistent data, s", second)
    bench.table.add("  its share", ratio, "<= 0.6", ratio <= 0.6, second_frame_ratio=ratio)
    bench.table.add("  set-up alone (96 × 54, 1 sample): first, second frame, s", f"{small[0]:.2f}, {small[1]:.2f}")
    bench.table.add("  its share", small[1] / small[0], "<= 0.6", small[1] <= 0.6 * small[0])
    bench.table.add("  peak memory, MB", round(answer["peak_rendered"]))


def measure_native(bench: Bench) -> None:
    """Beside Blender 5.3's own import, and its own splats."""
    _native.measure_import(bench)
    _native.measure_cost(bench)


def measure_deep(bench: Bench) -> None:
    """Where the rig places things at zoom 40."""
    found = bench.ask("deep")
    for key, label in (
        ("deep_px", "points at zoom 40, px from their place"),
        ("jitter_px", "  from frame to frame, px"),
    ):
        bench.table.add(label, found[key], "<= 0.05", found[key] <= 0.05, **{key: found[key]})


def measure_fade(bench: Bench) -> None:
    """How evenly levels give way to each other."""
    found = _fade.measure()
    drop, clear = found["drop_db"], found["see_through"]
    bench.table.add("fade: the least alike frames below the average, dB", drop, "<= 1", drop <= 1, fade_drop_db=drop)
    bench.table.add("  with the world's own changes, dB", found["plain_drop_db"])
    bench.table.add("  pixels of a frame that are seen through", clear, "0", clear == 0)
    bench.table.add("  against the world: least / mean, dB", " / ".join(f"{value:.1f}" for value in found["truth_db"]))


PARTS = {
    "cycles": measure_cycles,
    "eevee": measure_eevee,
    "import": measure_import,
    "native": measure_native,
    "viewers": measure_viewers,
    "proxies": measure_proxies,
    "deep": measure_deep,
    "fade": measure_fade,
    "large": measure_large,
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--job", type=Path)
    parser.add_argument("--blender")
    parser.add_argument("--folder", type=Path, help="keep all files here")
    parser.add_argument("--pictures", type=Path, metavar="FOLDER", help="write the pictures of docs/blender.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        bench = Bench(folder.resolve(), options)
        if options.pictures:
            _blender_pictures.draw(bench, FLIGHT, options.pictures)
            return
        for part in options.only:
            PARTS[part](bench)
    table = bench.table
    sys.stdout.write((table.json() if options.json else table.text()) + "\n")


if __name__ == "__main__":
    main()
