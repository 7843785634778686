"""Blender: what Cycles and EEVEE show against the server's rasteriser, import, memory, fades, depth of zoom.

`--json` prints one object; `--only NAME ...` measures some of PARTS; `--job FOLDER` takes a finished job of the plan
instead of making one; `--blender PATH` renders EEVEE in that Blender instead of the module; `--pictures FOLDER` writes
pictures of what is measured and measures nothing.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

from dreamzoom.evaluate import psnr
from dreamzoom.flight import open_flight

from . import fade, files, native, pictures, viewer
from .session import FLIGHT, RAYS, Bench, served, served_as_eevee

FRAMES = range(1, 50, 5)
"""Ten frames in all phases between levels: whole, opening, open, closing."""

EEVEE_FRAME = 11
MILLION = 1_000_000


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
    view = files.described(files.camera(320, 180))
    cases = (
        ("import_sh0_s", "1 M general splats, SH 0", files.scattered(MILLION, 0), 0.4, 800, 0),
        ("import_sh3_s", "1 M general splats, SH 3", files.scattered(MILLION, 3), 1.5, None, 0),
        ("import_flat_s", "1 M flat general splats on quads, SH 0", files.surface(MILLION), None, None, 0),
        ("import_surfels_s", "1 M surfels", files.surface(MILLION, thickness=1e-3), 1.0, 1800, 1),
    )
    for key, label, splats, most, memory, frames in cases:
        name = files.write(bench.folder / "import.ply", splats)
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
    camera = files.camera(160, 160)
    others = "ReshotAI: 17 to 31"
    for key, label, splats in (
        ("random", "20 k random splats", files.scattered(20_000, size=0.012)),
        ("surface", "a surface of 200 k", files.surface(200_000)),
    ):
        name = files.write(bench.folder / "viewers.ply", splats)
        plan = {"file": name, "camera": files.described(camera), "pictures": "viewers.npz"}
        wanted = viewer.view(splats, camera)
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
            ("blending in sRGB", viewer.view(splats, camera, linear=True)),
            ("that and without the blur", viewer.view(splats, camera, 0.0, linear=True)),
        ):
            bench.table.add(f"  against viewers without {reason}, dB", psnr(view, ours))


def measure_proxies(bench: Bench) -> None:
    """Flat Gaussians in spheres and on quads: what both cost, and how near they come to Gaussians in order."""
    camera = files.camera(480, 270)
    for key, label, splats in (
        ("flat_share", "200 k flat splats of a surface", files.surface(200_000)),
        ("long_share", "200 k long flat ones", files.stretched(files.surface(200_000))),
    ):
        wanted = viewer.view(splats, camera, 0.0, linear=True)
        plan = {"file": files.write(bench.folder / "flat.ply", splats), "camera": files.described(camera)}
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
    name = files.write(bench.folder / "large.ply", files.surface(MILLION, thickness=1e-3))
    plan = {"file": name, "frames": 2}
    small = bench.ask("file", camera=files.described(files.camera(96, 54)), samples=1, **plan)["frames"]
    answer = bench.ask("file", camera=files.described(files.camera(1920, 1080)), samples=16, **plan)
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
    native.measure_import(bench)
    native.measure_cost(bench)


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
    found = fade.measure()
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
            pictures.draw(bench, FLIGHT, options.pictures)
            return
        for part in options.only:
            PARTS[part](bench)
    table = bench.table
    sys.stdout.write((table.json() if options.json else table.text()) + "\n")


if __name__ == "__main__":
    main()
