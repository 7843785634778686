"""Zoom: nested noise, agreement between scales, detail kept, true distribution, depth-aware warp, memory, loop, speed.

Everything is measured on models whose right answer is known in closed form. `--json` prints the same as JSON.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from functools import lru_cache
from pathlib import Path

import _zoom_models as models
import numpy as np
import torch
from PIL import Image
from scipy import ndimage, stats

from core.camera import Camera, Similarity, look_at
from dreamzoom.engines.procedural.world import World
from dreamzoom.engines.spectral import SpectralEngine
from dreamzoom.report import Report
from dreamzoom.zoom import noise as noises
from dreamzoom.zoom.blend import Blend
from dreamzoom.zoom.levels import sample_levels
from dreamzoom.zoom.sampler import Coupling, JointSampler, Plan
from dreamzoom.zoom.second import Again, Shot, refine_views
from dreamzoom.zoom.stack import make_nest
from dreamzoom.zoom.warp import Link, Seen, make_link, make_warp, reprojection_db
from dreamzoom.zoomstack import Film

PROMPTS = ["space", "a blue planet", "a continent", "forest", "a leaf"]


def main() -> int:
    """Measure, print, and end with 0 whatever the figures are."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--json", action="store_true")
    options.add_argument("--only", nargs="*", choices=list(SECTIONS), help="measure these alone")
    options.add_argument("--memory", type=int, help=argparse.SUPPRESS)
    chosen = options.parse_args()
    torch.set_num_threads(1)
    if chosen.memory:
        print(json.dumps(run_deep(chosen.memory)))
        return 0
    result: dict = {"rows": []}
    for name in chosen.only or SECTIONS:
        begun = time.perf_counter()
        figures, rows = SECTIONS[name]()
        result |= figures
        rows.append({"section": name, "seconds": round(time.perf_counter() - begun, 1)})
        result["rows"] += rows
        if not chosen.json:
            for row in rows:
                print("  ".join(f"{key} {_short(value)}" for key, value in row.items()), flush=True)
    figures = {key: value for key, value in result.items() if key != "rows"}
    print(json.dumps(result) if chosen.json else "\n" + "\n".join(f"{k:24} {_short(v)}" for k, v in figures.items()))
    return 0


def _short(value) -> str:
    if isinstance(value, list):
        return "[" + " ".join(_short(v) for v in value) + "]"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def psnr(error: torch.Tensor) -> float:
    """Of a difference of pictures in 0..1, dB."""
    return float(-10 * torch.log10((error.double() ** 2).mean().clamp_min(1e-12)))


def tensor(picture: np.ndarray) -> torch.Tensor:
    """(H, W, 3) to (3, H, W)."""
    return torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))


def agreement(pictures, factor: float = 2.0) -> list[float]:
    """PSNR of D(x_{k+1}) against the window of x_k."""
    nest = make_nest(pictures[0].shape[:2], factor)
    pairs = zip(pictures, pictures[1:])
    return [psnr(nest.down(tensor(fine)) - nest.window(tensor(coarse))) for coarse, fine in pairs]


def measure_noise():
    """Π_noise over three levels: worst moments of any level, kurtosis ring by ring, equality of neighbours."""
    rows = []
    for factor in (2.0, 3.0, 4.0, 2.5):
        nest, draws = make_nest((96, 96), factor), 1200
        stack = noises.stack_noise([noises.draw((draws, 96, 96), 5, k) for k in range(3)], [nest, nest])
        equality = max(float((nest.white_down(b) - nest.window(a)).abs().max()) for a, b in zip(stack, stack[1:]))
        shares = [float((one[..., 1:] * one[..., :-1]).mean()) for one in stack]
        shares += [float((one[:, 1:] * one[:, :-1]).mean()) for one in stack]
        deviation = max((float(one.std()) for one in stack), key=lambda value: abs(value - 1))
        kurtosis = [_kurtosis(ring) for ring in _rings(stack[0], factor)] + [_kurtosis(one) for one in stack[1:]]
        plain = nest.y.down / nest.y.down.norm(dim=1, keepdim=True)
        share = float((plain * nest.y.white).sum(1).mean())
        rows.append({"noise p": factor, "std": deviation, "lag1": max(map(abs, shares)),
                     "kurtosis per ring, then levels": kurtosis,
                     "equality": equality, "area mean alone lag1": float((plain[1:] * plain[:-1]).sum(1).max()),
                     "correlation with area mean": share**2})  # fmt: skip
    rows.append({"noise": "replication, p 2 (reported)", "std": 0.709, "lag1": 0.21})
    std = max((row["std"] for row in rows[:-1]), key=lambda value: abs(value - 1))
    return {"noise_std": std, "noise_lag1": max(row["lag1"] for row in rows[:-1])}, rows


def _rings(noise: torch.Tensor, factor: float) -> list[torch.Tensor]:
    size, rings = noise.shape[-1], []
    distance = (torch.arange(size) + 0.5 - size / 2).abs()
    distance = torch.maximum(distance[:, None], distance[None, :])
    for k in range(3):
        inner = size / factor ** (k + 1) / 2 if k < 2 else 0
        rings.append(noise[:, (distance < size / factor**k / 2) & (distance >= inner)])
    return rings


def _kurtosis(values: torch.Tensor) -> float:
    values = values.double()
    return float((values**4).mean() / (values**2).mean() ** 2)


def measure_consistency():
    """Five prompts of different colours at 128², 8 bit: joint, naive and independent."""
    denoiser, rows = SpectralEngine().denoiser(Report()), []
    for name, blend in (("joint", Blend.LAPLACIAN), ("naive averaging", Blend.NAIVE), ("independent", Blend.NONE)):
        pictures = sample_levels(denoiser, PROMPTS, range(5), 2, [], (128, 128), steps=30, blend=blend)
        rows.append({"consistency": name, "dB per level": agreement(pictures)})
    for factor in (2.5, 3.0):
        pictures = sample_levels(denoiser, PROMPTS[:3], range(3), factor, [], (96, 128), steps=30)
        rows.append({"consistency": f"joint, p {factor}", "dB per level": agreement(pictures, factor)})
    lowest = min(min(row["dB per level"]) for row in rows if row["consistency"].startswith("joint"))
    return {"consistency_db_min": lowest}, rows


def measure_octaves():
    """Power per octave of jointly sampled levels over that of independent samples; a world consistent across scales."""
    world, rows, joint = models.GaussianWorld(24), [], []
    same = {"coupling": Coupling.TIME}
    ways = [("joint", {}), ("joint, same noise in all levels", same), ("first order", {"order": 1}),
            ("naive averaging", {"blend": Blend.NAIVE} | same), ("independent", {"blend": Blend.NONE})]  # fmt: skip
    for name, kind in ways:
        samples = world.sample(40 if name == "joint" else 20, steps=50, **kind)
        for level, values in enumerate(samples):
            rows.append({"octaves, low to high": name, "level": level, "ratio": world.octaves(level, values)})
            joint += rows[-1]["ratio"] if name == "joint" else []
    return {"octave_power_min": min(joint), "octave_power_max": max(joint)}, rows


def measure_distribution():
    """200 joint runs of a world whose every level is a known Gaussian: power along its principal axes, marginals."""
    rows, figures = [], {}
    world = models.GaussianWorld()
    ways = [("joint", {}, 200),
            ("independent (control)", {"blend": Blend.NONE}, 60),
            ("joint, overlaps by frequency", {"voice": 0.0}, 60),
            ("same noise in all levels", {"coupling": Coupling.TIME, "voice": 0.0}, 60),
            ("naive averaging", {"blend": Blend.NAIVE, "coupling": Coupling.TIME}, 60)]  # fmt: skip
    for name, kind, runs in ways:
        world.nested = "frequency" not in name
        samples = world.sample(runs, **kind)
        chances, ratios = [], []
        for level, values in enumerate(samples):
            units = world.whiten(level, values)
            for band in world.bands(level):
                power, count = float((units[:, band] ** 2).sum()), units[:, band].size
                ratios.append(power / count)
                below = stats.chi2.cdf(power, count)
                chances.append(2 * min(below, 1 - below))
            pixels = values[:, :, 5, 9].ravel() / world.deviation(level)
            chances.append(float(stats.kstest(pixels, "norm").pvalue))
        holm = min(1.0, min(chances) * len(chances))
        rows.append({"distribution": name, "runs": runs, "smallest p, Holm": holm, "power ratios": ratios})
        if name == "joint":
            figures = {"distribution_p": holm}
    return figures, rows


def measure_latent():
    """Decoded latents against the codec's own error; and what agreeing in fewer decoded pictures changes."""
    rows, gaps = [], []
    for name, codec in (
        ("SD autoencoder, random weights", models.random_vae()),
        ("autoencoder fitted briefly", models.fitted_vae()),
    ):
        denoiser = models.LatentModel(codec)
        own = denoiser.reconstruction_db()
        plan = Plan([(("rock", 1.0),)] * 3, [1, 2, 3], 2.0, (64, 64), steps=24, fine=1.0, blend_every=1)
        sampler = models.KeepingSampler(denoiser, plan)
        delivered = [picture.permute(1, 2, 0).numpy() for _, picture in sampler.run()]
        decoded = [codec.decode(sampler.latents[k][None])[0].permute(1, 2, 0).numpy() for k in range(3)]
        between = min(agreement(decoded))
        rows.append({"latent": name, "codec dB": own, "decoded levels dB": between,
                     "delivered dB": min(agreement(delivered))})  # fmt: skip
        gaps.append(own - between)
    figures, more = _cheaper(denoiser)
    return {"latent_gap_db": max(gaps)} | figures, rows + more


def _cheaper(denoiser, runs: int = 8):
    """Ways to save runs of the codec, beside the full blend: pictures a level, agreement, octaves over the full one's.

    Eight levels of 30 steps tell what is counted; the octaves are those of three levels, over `runs` seeds.
    """
    rows, full, figures = [], None, {}
    ways = {"every step": {"fine": 1.0, "blend_every": 1}, "once an octave": {"fine": 1.0}, "as it is": {},
            "last half alone": {"fine": 0.5}, "linear to the end": {"fine": 0.05},
            "independent": {"blend": Blend.NONE}}  # fmt: skip
    for name, way in ways.items():
        pictures, dbs = [], []
        for run in range(runs):
            plan = Plan([(("rock", 1.0),)] * 3, [100 * run + k for k in range(3)], 2.0, (64, 64), steps=30, **way)
            levels = [picture for _, picture in JointSampler(denoiser, plan).run()]
            pictures += levels
            dbs += agreement([picture.permute(1, 2, 0).numpy() for picture in levels])
        counted = JointSampler(denoiser, Plan([(("rock", 1.0),)] * 8, range(8), 2.0, (64, 64), steps=30, **way))
        list(counted.run())
        power = models.octaves(pictures)
        full = power if full is None else full
        ratios = [float(ratio) for ratio in power / full]
        rows.append({"latent, agreeing": name, "decodes a level": counted.cost.decodes / 8,
                     "encodes a level": counted.cost.encodes / 8, "delivered dB": min(dbs),
                     "octaves over full": ratios})  # fmt: skip
        if name == "as it is":
            figures = {"latent_decodes": counted.cost.decodes / 8, "latent_encodes": counted.cost.encodes / 8,
                       "latent_delivered_db": min(dbs), "latent_octave_min": min(ratios),
                       "latent_octave_max": max(ratios)}  # fmt: skip
    return figures, rows


def measure_warp():
    """A flat scene at the focus: the warp against the crop's D."""
    camera = Camera(96, 96, 130, 130, 48, 48, look_at((0, 0, 2.8), (0, 0, 0)))
    rows, picture = [], torch.rand(3, 96, 96)
    for factor in (2.0, 3.0):
        fine = camera.moved(Similarity(1 / factor, np.zeros(3)))
        flat = make_warp(Seen(fine, np.full((96, 96), 2.8 / factor)), Seen(camera, np.full((96, 96), 2.8)))
        nest = make_nest((96, 96), factor)
        error = float((nest.window(flat(picture).reshape(3, 96, 96)) - nest.down(picture)).abs().max())
        rows.append({"flat warp, p": factor, "largest difference from the crop": error})
    return {"warp_flat_error": max(row["largest difference from the crop"] for row in rows)}, rows


def measure_relief():
    """Two scales and the half scales between on the procedural world's relief, orbiting: crop against depth-aware."""
    size, views = 96, []
    world = World(["mountains"] * 3, [1, 2, 3], 2.0, np.zeros((3, 3)), cells=160)
    for zoom in (0, 0.5, 1, 1.5, 2):
        turn = 0.25 * zoom
        pose = look_at((2.6 * math.sin(turn), -1.8 * math.cos(turn), 1.9), (0, 0, 0))
        camera = Camera(size, size, 1.4 * size, 1.4 * size, size / 2, size / 2, pose).moved(
            Similarity(2.0**-zoom, np.zeros(3))
        )
        _, depth = world.render(camera, 0, 2, shadows=False)
        views.append(Seen(camera, depth))
    flat = [Seen(v.camera, np.full((size, size), float(v.camera.to_camera(np.zeros(3))[2]))) for v in views]
    pairs = [(2, 0, 1), (4, 2, 1), (1, 0, 2), (2, 1, 2), (3, 2, 2), (4, 3, 2)]
    links = [make_link(a, b, (views[a], views[b]), coarser) for a, b, coarser in pairs]
    crops = [make_link(a, b, (flat[a], flat[b]), coarser) for a, b, coarser in pairs]
    denoiser = SpectralEngine().denoiser(Report())

    def sample(pictures, between: list[Link], **options):
        shots = [Shot(picture, (("mountains", 1.0),), k) for k, picture in enumerate(pictures)]
        return refine_views(denoiser, shots, between, Again(**options))

    crop = sample([np.full((size, size, 3), 0.5, np.float32)] * 5, crops, strength=1.0, steps=24)
    again = sample(crop, crops, steps=16)
    aware = sample(crop, links, steps=16)
    rows = []
    for name, pictures in (("crop", again), ("depth-aware", aware)):
        dbs = reprojection_db(pictures, links)
        contrast = float(np.mean([picture.std() for picture in pictures]))
        rows.append({"relief": name, "cross-level dB": dbs[:2], "cross-view dB": dbs[2:], "contrast": contrast})
    keys = ("cross-level dB", "cross-view dB")
    gain = min(b - a for key in keys for a, b in zip(rows[0][key], rows[1][key]))
    return {"depth_gain_db": gain}, rows


def run_deep(levels: int) -> dict:
    """Sample many levels, keeping none: bytes at the peak beyond the start, and seconds."""
    import resource

    denoiser = SpectralEngine().denoiser(Report())
    warm = Plan([(("rock", 1.0),)] * 2, range(2), 2.0, (192, 192), steps=2)
    list(JointSampler(denoiser, warm).run())
    before, begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    plan = Plan([(("rock", 1.0),)] * levels, range(levels), 2.0, (192, 192), steps=20, window=8)
    sampler = JointSampler(denoiser, plan)
    for _ in sampler.run():
        pass
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"start": before, "peak": peak, "seconds": time.perf_counter() - begun, "levels": sampler.cost.peak_levels}


def measure_deep():
    """Peak memory and time of 8 and 64 levels, each in a process of its own."""
    rows = []
    for levels in (8, 64):
        command = [sys.executable, __file__, "--memory", str(levels)]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        own = (found["peak"] - found["start"]) / 1024
        rows.append({"deep, levels": levels, "peak MB": found["peak"] / 1024, "of it sampling MB": own,
                     "seconds": found["seconds"], "levels at once": found["levels"]})  # fmt: skip
    own = rows[1]["of it sampling MB"] / max(rows[0]["of it sampling MB"], 1)
    slope = rows[1]["seconds"] / rows[0]["seconds"] / 8
    return {"memory_ratio_64_8": rows[1]["peak MB"] / rows[0]["peak MB"], "memory_ratio_sampling_alone": own,
            "seconds_per_level_64_over_8": slope}, rows  # fmt: skip


def measure_loop():
    """A ring of four levels: agreement round the ring, and the film's last frame against its first."""
    pictures = sample_levels(
        SpectralEngine().denoiser(Report()), PROMPTS[:4], range(4), 2, [], (128, 128), steps=30, loop=True
    )
    with tempfile.TemporaryDirectory() as folder:
        film = Film(_saved(pictures, Path(folder)), [(64.0, 64.0)] * 4, 2.0, (88, 88), loop=True)
        film.write(Path(folder) / "loop.mp4", Report(), per_level=12)
        frames = _decoded(Path(folder) / "loop.mp4")
        first, last = (torch.from_numpy(film.frame(zoom).astype(np.float32) / 255) for zoom in (0.0, 4.0))
    ring = agreement([*pictures, pictures[0]])
    ends = psnr(torch.from_numpy(frames[0] - frames[-1]))
    rows = [
        {"loop": "agreement round the ring dB", "per level": ring},
        {"loop": "rendered, last frame against first dB", "value": psnr(first - last)},
        {"loop": "decoded H.264, last frame against first dB", "value": ends},
        {"loop": "H.264 alone, first frame dB", "value": psnr(torch.from_numpy(frames[0]) - first)},
    ]
    return {"loop_db": min([*ring, psnr(first - last)])}, rows


def measure_speed():
    """Scale between frames of the encoded film, by registration; drifting focus."""
    centres = [(104.0, 88.0), (90.0, 100.0)]
    pictures = sample_levels(
        SpectralEngine().denoiser(Report()), ["rock"] * 3, range(3), 2, centres, (192, 192), steps=24
    )
    with tempfile.TemporaryDirectory() as folder:
        film = Film(_saved(pictures, Path(folder)), centres, 2.0, (136, 136))
        film.write(Path(folder) / "zoom.mp4", Report(), per_level=24)
        frames = [ndimage.gaussian_filter(frame.mean(2), 1.0) for frame in _decoded(Path(folder) / "zoom.mp4")]
    gap = 4
    speeds = (
        np.array([_log_scale(a, b, math.log(2) * gap / 24) for a, b in zip(frames, frames[gap:])])
        / gap
        * 24
        / math.log(2)
    )
    rows = [{"speed": "levels per second over nominal", "mean": float(speeds.mean()), "least": float(speeds.min()),
             "most": float(speeds.max()), "deviation": float(speeds.std())}]  # fmt: skip
    return {"speed_variation": float(np.abs(speeds / speeds.mean() - 1).max())}, rows


def _log_scale(first: np.ndarray, second: np.ndarray, guess: float) -> float:
    """The log of how much larger the second frame shows the first, by Gauss-Newton over scale and shift."""
    height, width = first.shape
    y, x = np.mgrid[0:height, 0:width] - np.array([height - 1, width - 1])[:, None, None] / 2.0
    inner = (np.abs(y) < height * 0.4) & (np.abs(x) < width * 0.4)
    gy, gx = np.gradient(second)
    basis = np.stack([-(gy * y + gx * x)[inner], -gy[inner], -gx[inner]], 1)
    state = np.array([guess, 0.0, 0.0])
    for _ in range(8):
        scale = math.exp(-state[0])
        at = [(y - state[1]) * scale + (height - 1) / 2, (x - state[2]) * scale + (width - 1) / 2]
        moved = ndimage.map_coordinates(first, at, order=3, mode="nearest")
        error = (moved - second)[inner]
        state -= np.linalg.lstsq(basis, -error, rcond=None)[0] * -1
    return float(state[0])


def _saved(pictures, folder: Path) -> list[Path]:
    paths = [folder / f"{k}.png" for k in range(len(pictures))]
    for path, picture in zip(paths, pictures):
        Image.fromarray((picture * 255).round().astype(np.uint8)).save(path)
    return paths


@lru_cache
def _reader():
    import av

    return av


def _decoded(path: Path) -> list[np.ndarray]:
    with _reader().open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24").astype(np.float32) / 255 for frame in container.decode(video=0)]


SECTIONS = {
    "deep": measure_deep,  # first: a process tells only the peak of its whole life
    "noise": measure_noise,
    "consistency": measure_consistency,
    "octaves": measure_octaves,
    "distribution": measure_distribution,
    "latent": measure_latent,
    "warp": measure_warp,
    "relief": measure_relief,
    "loop": measure_loop,
    "speed": measure_speed,
}

if __name__ == "__main__":
    sys.exit(main())
