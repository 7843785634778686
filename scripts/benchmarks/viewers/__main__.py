"""Viewers: a small flight exported as it is and for viewers, and how other viewers show both.

    python scripts/benchmark.py viewers [--job JOB] [--size WxH] [--levels N] [--rounds N] [--pictures DIR] [--json]

The pictures come from a plain model of web viewers (`model`), which shares no code with the fit, of files that plyfile
reads. They are compared with the flight's own frames: those that the refit looks at, and frames between them.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from dreamzoom.pipeline.folder import Folder
from dreamzoom.pipeline.generate import generate
from dreamzoom.progress import Report
from dreamzoom.render.consistency import psnr
from dreamzoom.render.flight import open_flight
from dreamzoom.render.viewer_export.export import ROUNDS, export
from dreamzoom.render.viewer_export.views import fitted_frames, held_out_frames, view_of
from dreamzoom.render.viewer_export.world import world_of
from dreamzoom.request import validation
from dreamzoom.request.example import example

from ..shared.table import Table
from . import model

TARGET = 34.0
FITTED = 4
"""Frames of those that the refit looks at that are measured."""


def measure(table: Table, job: Path, scratch: Path, rounds: int, pictures: Path | None) -> None:
    """Export a job in both ways, and compare the pictures."""
    plain, fitted = scratch / "plain.ply", scratch / "viewers.ply"
    export(job, plain, Report(), kind="blender", up="Z")
    began, used = time.monotonic(), time.process_time()
    done = export(job, fitted, Report(), up="Z", rounds=rounds)
    seconds, cpu = time.monotonic() - began, time.process_time() - used
    world = world_of(open_flight(job))
    held = held_out_frames(world.flight)
    seen = fitted_frames(world.flight)
    seen = seen[:: max(1, len(seen) // FITTED)]
    clouds = {"plain": model.read(plain), "fitted": model.read(fitted)}
    rows = {frame: _compared(world, frame, clouds) for frame in [*held, *seen]}
    for frame in held:
        zoom, before, after = world.flight.path.at_frame(frame).zoom, *rows[frame].values()
        table.add(f"frame {frame:.1f}, u = {zoom:.2f}, before → after, dB", f"{before:.1f} → {after:.1f}")
    for name, frames in (("held-out", held), ("fitted", seen)):
        before, after = (np.array([rows[frame][key] for frame in frames]) for key in clouds)
        table.add(f"{name} frames, splats as they are, mean, dB", float(before.mean()))
        table.add(
            f"{name} frames, for viewers, mean, dB", float(after.mean()), f">= {TARGET:g}", after.mean() >= TARGET
        )
        table.add(f"{name} frames, for viewers, least, dB", float(after.min()), f">= {TARGET:g}", after.min() >= TARGET)
        table.figures |= {f"{name}_before": before.tolist(), f"{name}_after": after.tolist()}
    quads = [_compared(world, frame, {"quads": clouds["fitted"]}, "quad")["quads"] for frame in held[::3]]
    table.add("held-out, with the quads of WebGL viewers, mean, dB", float(np.mean(quads)))
    table.add("splats, before and after", f"{len(clouds['plain'].opacity):,}, {len(clouds['fitted'].opacity):,}")
    table.add("what the export itself tells, dB", float(np.mean(done.after)))
    table.add("export for viewers, seconds", seconds)
    table.add("export for viewers, CPU seconds", cpu)
    table.figures |= {"seconds": seconds, "cpu_seconds": cpu}
    if pictures is not None:
        _sheet(world, held, clouds, pictures)


def _compared(world, frame: float, clouds: dict, cut: str = "alpha") -> dict[str, float]:
    """The PSNR in dB of each cloud's picture against the flight's frame."""
    view = view_of(world, frame)
    return {name: psnr(model.picture(cloud, view.camera, view.near, cut), view.rgb) for name, cloud in clouds.items()}


def _sheet(world, frames: list[float], clouds: dict, folder: Path) -> None:
    """Write rows of the flight's frame, the viewer's before and after, and five times the last one's difference."""
    rows = []
    for frame in frames[:: max(1, len(frames) // 6)]:
        view = view_of(world, frame)
        shown = [model.picture(cloud, view.camera, view.near) for cloud in clouds.values()]
        rows.append(np.concatenate([view.rgb, *shown, 0.5 + 5 * (shown[-1] - view.rgb)], 1))
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray((np.clip(np.concatenate(rows), 0, 1) * 255 + 0.5).astype(np.uint8)).save(folder / "viewers.png")


def main() -> int:
    """Make the job, and measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--job", type=Path, help="a finished job, in place of a small one that is made")
    parser.add_argument("--size", default="192x108")
    parser.add_argument("--levels", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="write a contact sheet there")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    width, height = (int(part) for part in options.size.split("x"))
    table = Table()
    with tempfile.TemporaryDirectory() as scratch:
        job = options.job or Path(scratch, "job")
        if options.job is None:
            request = example(options.levels, (width, height)) | {"quality": "draft"}
            generate(validation.decode_request(json.dumps(request).encode()), Folder(job))
        measure(table, job, Path(scratch), options.rounds, options.pictures)
    print(table.json() if options.json else table.text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
