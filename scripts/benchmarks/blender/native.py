"""What a million splats cost beside Blender 5.3's own import and its own splats, in one run."""

from __future__ import annotations

import numpy as np

from core.colour import linear_to_srgb
from dreamzoom.evaluate import psnr
from dreamzoom.splats.rasterize import rasterize

from . import files
from .session import Bench

MILLION = 1_000_000
ROUNDS = 4
SAMPLES = 8
"""Of ours; as few as keep 40 dB."""

STOCK_SAMPLES = 64
RAYS = 16
"""Of the server's rasteriser, a pixel's side: the splats are finer than the pixels."""

BLENDER = {"environment": "bpy53"}


def measure_import(bench: Bench) -> None:
    """Seconds and memory of importing, each in processes of its own by turns; then memory with a frame rendered."""
    name = files.write(bench.folder / "fitted.ply", files.fitted(MILLION))
    runs: dict[str, list] = {"stock": [], "native": [], "surfels": []}
    for _ in range(ROUNDS):
        for representation, found in runs.items():
            found.append(bench.ask("file", file=name, representation=representation, **BLENDER))
    seconds = {representation: min(run["seconds"] for run in found) for representation, found in runs.items()}
    memory = {
        representation: min(run["peak"] - run["before"] for run in found) for representation, found in runs.items()
    }
    stock = seconds["stock"]
    bench.table.add("Blender 5.3's own import of 1 M splats, s", stock)
    bench.table.add("  more memory than before, MB", round(memory["stock"]))
    ratio = seconds["native"] / stock
    bench.table.add("import as Blender's own, of its seconds", ratio, "<= 1.0", ratio <= 1, import_native_ratio=ratio)
    bench.table.add("  more memory than before, MB", round(memory["native"]), "<= 200", memory["native"] <= 200)
    ratio = seconds["surfels"] / stock
    met = ratio <= 1.7
    bench.table.add("import as surfels, of its seconds", ratio, "<= 1.7", met, import_surfels_ratio=ratio)
    view = files.described(files.camera(256, 256))
    run = bench.ask("file", file=name, representation="surfels", frames=1, camera=view, samples=4, **BLENDER)
    peak = run["peak_rendered"]
    shown = f"{peak:.0f} (of it Blender alone {run['before']:.0f})"
    bench.table.add("  memory with a frame rendered, MB", shown, "<= 800", peak <= 800, import_surfels_mb=peak)


def measure_cost(bench: Bench) -> None:
    """Cycles, 256²: how near surfels and Blender's own splats come to the fit's image model, and for how much."""
    splats, camera = files.fitted(MILLION), files.camera(256, 256)
    name = files.write(bench.folder / "fitted.ply", splats)
    wanted = rasterize(splats, camera, samples=RAYS).rgb
    plan = {"file": name, "camera": files.described(camera), "frames": 1, **BLENDER}
    cpu = {}
    for representation, samples in (("stock", STOCK_SAMPLES), ("surfels", SAMPLES)):
        asked = plan | {"representation": representation, "samples": samples}
        cpu[representation] = min(bench.ask("file", **asked)["cpu"] for _ in range(2))
        bench.ask("file", pictures="cost.npz", **asked)
        found = psnr(wanted, linear_to_srgb(np.load(bench.folder / "cost.npz")["pictures"][0]))
        label = "Blender's own splats" if representation == "stock" else "surfels"
        shown = f"{found:.1f} dB, {cpu[representation]:.2f} CPU s"
        target, met = (">= 40 dB", found >= 40) if representation == "surfels" else ("reported", None)
        bench.table.add(f"1 M as {label}, 256², {samples} samples", shown, target, met)
    ratio = cpu["surfels"] / cpu["stock"]
    bench.table.add(
        "  CPU seconds of surfels, of those of Blender's own", ratio, "<= 0.5", ratio <= 0.5, native_cost_ratio=ratio
    )
