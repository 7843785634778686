"""Scan: a flight into a scene of splats, by the measures of `flight`, with the scene's own depth for the truth's.

    python scripts/benchmark.py scan [--side N] [--size WxH] [--quality Q] [--json]

The scan has N² splats. Its own view must be kept; frames half a level apart are carried into each other by its depth;
level k alone is compared with level k+1 alone half way between; a frame may not be duller than the scan magnified.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

from core.camera import look_at
from core.colour import linear_to_srgb
from core.formats import About, splat_ply
from core.gaussians import Gaussians, moved
from dreamzoom.pipeline.folder import Folder
from dreamzoom.pipeline.generate import generate
from dreamzoom.render.consistency import carried, carry, high_band, psnr
from dreamzoom.render.flight import Flight, open_flight
from dreamzoom.request import validation
from dreamzoom.sampling.depth_warp import Seen
from dreamzoom.splats.rasterize import Raster, rasterize

from .shared.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))
from scans import scan  # noqa: E402

PROMPTS = ("a field", "rock", "moss")
STEP = 0.25


def request_of(file: Path, size: tuple[int, int], quality: str) -> dict:
    """Three levels into the scan, from a still camera three units from the focus."""
    width, height = size
    pose = look_at((0, -1.93, 2.3), (0, 0, 0)).round(9).tolist()
    lens = {"fx": width * 50 / 36, "fy": width * 50 / 36, "cx": width / 2, "cy": height / 2}
    levels: list[dict] = [{"prompt": prompt} for prompt in PROMPTS]
    levels[0]["splats"] = str(file)
    return {
        "version": 1, "seed": 1, "quality": quality, "engine": {"name": "procedural"}, "zoom_factor": 2.0,
        "width": width, "height": height, "levels": levels,
        "cameras": [{"frame": 1 + 14 * k, "zoom": k, "camera_to_gauge": pose, **lens} for k in range(len(PROMPTS))],
    }  # fmt: skip


class Scan:
    """The scan itself, seen from the flight."""

    def __init__(self, flight: Flight, splats: Gaussians):
        self.flight, self.splats = flight, splats
        self.known: dict[float, Raster] = {}

    def at(self, zoom: float) -> Raster:
        """What the flight's camera sees of the scan alone."""
        if zoom not in self.known:
            path = self.flight.path
            placed = moved(self.splats, path.gauge(zoom, 0).inverse())
            self.known[zoom] = rasterize(placed, path.key_at(zoom).camera)
        return self.known[zoom]

    def seen(self, zoom: float) -> Seen:
        """Camera and depth in the frame of level 0; depth 0 where there is nothing."""
        to_first = self.flight.path.gauge(zoom, 0)
        depth = np.where(self.at(zoom).alpha > 0.9, self.at(zoom).depth, 0).astype(np.float64)
        return Seen(self.flight.path.key_at(zoom).camera.moved(to_first), depth * to_first.scale)


def measure(table: Table, flight: Flight, own: Scan) -> None:
    """All measures of one job."""
    zooms = [float(zoom) for zoom in np.arange(0, flight.path.levels - 1 + 1e-6, STEP)]
    frames = {zoom: flight.view(flight.path.key_at(zoom)).rgb for zoom in zooms}
    first = own.at(0.0)
    kept = psnr(frames[0.0], first.rgb, first.alpha > 0.99)
    table.add("the scan's own view, dB", kept, ">= 40", kept >= 40, kept_db=kept)
    pairs = [(zoom, zoom + 0.5) for zoom in zooms if zoom + 0.5 <= flight.path.levels - 1]
    found = [carried(frames[b], frames[a], carry(own.seen(b), own.seen(a))) for a, b in pairs]
    mean, least = float(np.mean(found)), min(found)
    table.add("frames carried by half a level, mean, dB", mean, ">= 27", mean >= 27, carried_db_mean=mean)
    table.add("frames carried by half a level, least, dB", least, ">= 24", least >= 24, carried_db_min=least)
    switches = [_switch(flight, own, level) for level in range(flight.path.levels - 1)]
    table.add("level k alone against k+1 alone at u = k+½, least, dB", min(switches), ">= 26", min(switches) >= 26)
    sharp = [high_band(frames[zoom]) / high_band(own.at(zoom).rgb) for zoom in zooms]
    table.add("finest octave's energy over the magnified scan's, least", min(sharp), ">= .8", min(sharp) >= 0.8)
    table.figures |= {"switch_db": switches, "sharpness": dict(zip(zooms, sharp))}


def _switch(flight: Flight, own: Scan, level: int) -> float:
    """PSNR in dB of a level alone against the next alone, half way, at the coarser one's resolution, where both are."""
    zoom, path = level + 0.5, flight.path
    camera, sigma, pictures, solid = path.key_at(zoom).camera, 0.5 * path.factor**0.5, [], own.at(zoom).alpha > 0.9
    for k in (level, level + 1):
        raster = rasterize(moved(flight.levels[k], path.gauge(zoom, k).inverse()), camera, linear=True)
        rgb = linear_to_srgb(raster.rgb / np.maximum(raster.alpha, 1e-3)[..., None])
        total = gaussian_filter(raster.alpha.astype(np.float64), sigma)
        low = gaussian_filter(rgb * raster.alpha[..., None].astype(np.float64), (sigma, sigma, 0))
        pictures.append(low / np.maximum(total, 1e-6)[..., None])
        solid = solid & (total > 0.9)
    return psnr(*pictures, solid)


def main() -> int:
    """Make the scan and the job, and measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--side", type=int, default=450, help="the scan has N² splats; 450 are 202,500")
    parser.add_argument("--size", default="192x128")
    parser.add_argument("--quality", default="preview")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    width, height = (int(part) for part in options.size.split("x"))
    made = scan(options.side)
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch, "scan.ply")
        splat_ply.write_splats(file, made, About("Z"))
        request = request_of(file, (width, height), options.quality)
        generate(validation.decode_request(json.dumps(request).encode()), Folder(Path(scratch, "job")))
        flight = open_flight(Path(scratch, "job"))
    table = Table()
    measure(table, flight, Scan(flight, made))
    print(table.json() if options.json else table.text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
