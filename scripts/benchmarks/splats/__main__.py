"""Splats: gradients, speed, a level's fit, every scale, Cycles, caps and files, each beside its target.

`--json` prints one object; `--final` fits as a request of quality "final" does; `--pictures DIR` draws a held-out view.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import environments
import numpy as np
import torch
from PIL import Image
from scipy.ndimage import binary_erosion

from core.camera import Camera, look_at
from core.colour import linear_to_srgb
from core.gaussians import Gaussians
from dreamzoom.progress import Report
from dreamzoom.render.evaluate import psnr
from dreamzoom.splats import cpu_rasterizer, torch_reference
from dreamzoom.splats.backward import gradients
from dreamzoom.splats.cuda import probe
from dreamzoom.splats.fitting import loss
from dreamzoom.splats.fitting.fit import fit
from dreamzoom.splats.fitting.target import Target
from dreamzoom.splats.fitting.terms import FINE
from dreamzoom.splats.rasterize import rasterize
from dreamzoom.splats.splat_projection import CUT
from dreamzoom.splats.view_table import NEAR, PIXEL_VARIANCE, camera_arrays, see
from dreamzoom.stages.base.quality import QUALITIES

from .. import splat_files
from ..shared.table import Table
from . import level as levels

SIZE, CAP = 256, 50_000
STEPS = 120
FINAL = QUALITIES["final"]
EXACT = 4
"""Rays per pixel along each side where splats are judged: what Cycles shows after its many samples."""
NAMES = ("means", "log_scales", "quaternions", "logit_opacities", "sh")


def scattered(count: int, seed: int, flat: bool, scales: tuple[float, float]) -> Gaussians:
    """Random splats about the origin, log-scales drawn from `scales`."""
    rng = np.random.default_rng(seed)
    logs = rng.uniform(*scales, (count, 3))
    if flat:
        logs[:, 2] = logs[:, :2].min(1) + np.log(1e-3)
    turns = rng.normal(size=(count, 4))
    turns /= np.linalg.norm(turns, axis=1, keepdims=True)
    arrays = (rng.uniform(-1, 1, (count, 3)), logs, turns, rng.normal(0, 2, count), rng.normal(0, 0.5, (count, 1, 3)))
    return Gaussians(*(array.astype(np.float32) for array in arrays))


def both_gradients(splats: Gaussians, camera: Camera, seed: int, kind=torch.float64) -> tuple[dict, dict, float, float]:
    """Gradients by the CPU kernels and by the twin of one random loss, and the seconds of each forward and backward."""
    rng = np.random.default_rng(seed)
    by_rgb = rng.normal(size=(camera.height, camera.width, 3)).astype(np.float32)
    by_alpha = rng.normal(size=(camera.height, camera.width)).astype(np.float32)
    black = np.zeros(3, np.float32)
    start = time.perf_counter()
    hits = see(splats, camera, splats.opacities, PIXEL_VARIANCE, NEAR)
    cpu_rasterizer.blend_hits(hits, black)
    ours = gradients(splats, hits, camera_arrays(camera), PIXEL_VARIANCE, NEAR, black, by_rgb, by_alpha)
    seconds = time.perf_counter() - start
    leaves = [torch.tensor(getattr(splats, name), dtype=kind, requires_grad=True) for name in NAMES]
    start = time.perf_counter()
    rgb, alpha, _ = torch_reference.rasterize(*leaves, camera, tau=PIXEL_VARIANCE, near=NEAR)
    ((rgb * torch.tensor(by_rgb)).sum() + (alpha * torch.tensor(by_alpha)).sum()).backward()
    twin_seconds = time.perf_counter() - start
    mine = {name: getattr(ours, name) for name in NAMES[:4]}
    theirs = {name: leaf.grad.numpy() for name, leaf in zip(NAMES, leaves)}
    return mine, theirs, seconds, twin_seconds


def measure_gradients(table: Table) -> None:
    """The worst relative error over inputs and random scenes, ordinary and extreme."""
    camera = Camera(48, 32, 52, 47, 25, 15, look_at((0.2, -3, 0.5), (0, 0, 0)))
    worst = 0.0
    for flat in (True, False):
        for seed in range(3):
            for scales in ((-4.0, -1.0), (-9.0, 0.5)):
                mine, theirs, _, _ = both_gradients(scattered(60, seed, flat, scales), camera, seed)
                for name, ours in mine.items():
                    worst = max(worst, float(np.linalg.norm(ours - theirs[name]) / np.linalg.norm(theirs[name])))
    table.add("gradients, cpu against torch", worst, "<= 1e-4", worst <= 1e-4, gradient_error=worst)


def measure_speed(table: Table, level: levels.Level) -> None:
    """Forward and backward of 50 k surfels at 256², and the same by the twin in float32."""
    splats = level.start[np.sort(np.random.default_rng(0).choice(len(level.start), CAP, replace=False))]
    camera = level.own.camera
    best = min(_seconds(splats, camera) for _ in range(12))
    table.add("forward + backward, 50 k at 256², ms", 1000 * best, "<= 53", best <= 0.053, raster_ms=1000 * best)
    few, small = splats[::4], camera.resized(SIZE // 2, SIZE // 2)
    speedup = both_gradients(few, small, 0, torch.float32)[3] / min(_seconds(few, small) for _ in range(6))
    table.add("times the torch twin (12.5 k at 128²)", speedup, ">= 12", speedup >= 12, raster_speedup=speedup)


def _seconds(splats: Gaussians, camera: Camera) -> float:
    shape = (camera.height, camera.width)
    by_rgb, by_alpha, black = np.ones((*shape, 3), np.float32), np.ones(shape, np.float32), np.zeros(3, np.float32)
    start = time.perf_counter()
    hits = see(splats, camera, splats.opacities, PIXEL_VARIANCE, NEAR)
    cpu_rasterizer.blend_hits(hits, black)
    gradients(splats, hits, camera_arrays(camera), PIXEL_VARIANCE, NEAR, black, by_rgb, by_alpha)
    return time.perf_counter() - start


def fitted(level: levels.Level, steps: int, cap: int = CAP, targets: list[Target] | None = None) -> Gaussians:
    """The level's fit, as the pipeline does it."""
    targets = (level.targets if targets is None else targets) + level.covers
    return fit(level.start, targets, background=None, iterations=steps, cap=cap, seed=0, report=Report())


def quality(splats: Gaussians, views: list[Target], **options) -> float:
    """Mean PSNR over views, in dB, within their masks."""
    options = {"samples": EXACT} | options
    return float(np.mean([psnr(rasterize(splats, v.camera, **options).rgb, v.rgb, v.mask) for v in views]))


def measure_fit(table: Table, level: levels.Level, final: bool) -> Gaussians:
    """Held-out views after the fit; returns the splats."""
    start = time.perf_counter()
    splats = fitted(level, STEPS)
    seconds = time.perf_counter() - start
    found = quality(splats, level.held_out)
    table.add("untouched start, anchor view, dB", quality(level.start, [level.own]), "reported", None)
    table.add("fit at 256², 50 k: anchor view, dB", quality(splats, [level.own]), "reported", None)
    table.add("fit at 256², 50 k: held-out views, dB", found, ">= 32", found >= 32, fit_psnr=found)
    everywhere = quality(splats, level.believed)
    table.add("the same, wherever the cloud believes to know, dB", everywhere, "reported", None)
    table.add("fit at 256², 50 k: seconds", seconds, "<= 90", seconds <= 90, fit_seconds=seconds)
    half = quality(fitted(level, STEPS, CAP // 2), level.held_out)
    table.add("fit with half the cap: held-out views, dB", half, "reported", None, half_cap_psnr=half)
    free = fitted(level, STEPS // 2, 10 * CAP)
    shown = quality(free, level.held_out)
    table.add(f"without the cap ({len(free)}), half the steps: held-out views, dB", shown, "reported", None)
    table.add("splats after the fit", len(splats), f"<= {CAP}", len(splats) <= CAP)
    if final:
        measure_final(table)
    return splats


def draw(view: Target, splats: Gaussians, folder: Path) -> None:
    """A held-out view beside the splats' picture and five times their difference, black where nothing is asked."""
    seen = np.clip(rasterize(splats, view.camera, samples=EXACT).rgb, 0, 1)
    error = np.clip(5 * np.abs(seen - view.rgb).mean(-1), 0, 1) * view.mask
    strip = np.concatenate([view.rgb, seen, np.repeat(error[..., None], 3, -1)], 1)
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray((255 * strip).round().astype(np.uint8)).save(folder / "splats_held_out.jpg", quality=90)


def measure_final(table: Table) -> None:
    """The same level with the side views, steps and cap of quality "final"."""
    level = levels.make(SIZE, (*levels.SIDES, *levels.MORE_SIDES))
    start = time.perf_counter()
    splats = fitted(level, FINAL.iterations, FINAL.cap)
    seconds = time.perf_counter() - start
    best = quality(splats, level.held_out)
    table.add("final: held-out views, dB", best, ">= 34", best >= 34, fit_psnr_final=best)
    table.add(f"final: seconds ({len(splats)} splats)", seconds, "<= 1800", seconds <= 1800)


def measure_mask(table: Table, level: levels.Level) -> None:
    """Share of pixels darker than the truth by > 0.2, with holes in the targets masked and supervised as black.

    Once where some picture shows the surface beside its holes, once everywhere: what lies in the hole of the only
    picture that saw it is known to no fit, and keeps the cloud's first guess.
    """
    rng = np.random.default_rng(3)
    holes = []
    for target in level.targets:
        known = np.ones_like(target.mask)
        for row, column in rng.integers(0, SIZE - 40, (6, 2)):
            known[row : row + 40, column : column + 40] = False
        holes.append(~known)
    cameras = [target.camera for target in level.targets]
    known_depths = [np.where(hole, np.nan, depth) for hole, depth in zip(holes, level.depths)]
    shown = [
        levels.in_the_open(camera, depth, 1, cameras, known_depths) for camera, depth in zip(cameras, level.depths)
    ]
    shares, anywhere = {}, {}
    for name in ("masked", "unmasked"):
        targets = []
        for target, hole in zip(level.targets, holes):
            black = np.where(hole[..., None], 0, target.rgb).astype(np.float32)
            targets.append(Target(target.camera, black, target.mask & ~hole if name == "masked" else target.mask))
        splats = fitted(level, STEPS // 2, CAP, targets)
        dark = [rasterize(splats, v.camera, samples=FINE).rgb.mean(-1) < v.rgb.mean(-1) - 0.2 for v in level.targets]
        shares[name] = float(np.concatenate([share[known] for share, known in zip(dark, shown)]).mean())
        anywhere[name] = float(np.mean(dark))
    met = shares["masked"] <= 0.001
    for text, found in (("too dark, masked / unmasked loss", shares), ("the same, unseen surfaces too", anywhere)):
        value = f"{100 * found['masked']:.3f} % / {100 * found['unmasked']:.2f} %"
        if found is shares:
            table.add(text, value, "<= 0.1 %", met, dark_share=found["masked"])
        else:
            table.add(text, value, "reported", None, dark_share_anywhere=found["masked"])


def measure_scales(table: Table, level: levels.Level, splats: Gaussians) -> None:
    """The same level from u = k − 1 and k + 1 against its own best: the held-out views', at u = k.

    Like with like: neither those nor these were fitted to. `level` says what is true there.
    """
    far, near = (replace(view, mask=binary_erosion(view.mask, iterations=2)) for view in (level.far, level.near))
    by_heart = quality(splats, [level.own])
    for name, options in (("with", {}), ("without", {"antialias": False, "samples": 1})):
        best = quality(splats, level.held_out)
        drops = [best - quality(splats, [view], **options) for view in (far, near)]
        shown = f"{drops[0]:.2f} / {drops[1]:.2f}"
        if name == "with":
            worst = max(drops)
            table.add("drop from u = k-1 / k+1, dB", shown, "<= 1.5", worst <= 1.5, scale_drop_db=worst)
            fitted_view = " / ".join(f"{by_heart - best + drop:.2f}" for drop in drops)
            table.add("the same against the anchor view, which was fitted to, dB", fitted_view, "reported", None)
        else:
            table.add("the same without the filters, dB", shown, "reported", None)


def measure_cycles(table: Table, level: levels.Level, splats: Gaussians) -> None:
    """The same splats through the fit's rasteriser and through Cycles."""
    found = cycles(splats, level.own.camera)
    ours = rasterize(splats, level.own.camera, samples=FINE)
    single = rasterize(splats, level.own.camera)
    fine = rasterize(splats, level.own.camera, antialias=False, samples=4)
    agreement = psnr(ours.rgb, linear_to_srgb(found[..., :3]))
    exact = psnr(fine.rgb, linear_to_srgb(found[..., :3]))
    table.add("against Cycles, 64 samples, dB", agreement, ">= 40", agreement >= 40, cycles_psnr=agreement)
    once = psnr(single.rgb, linear_to_srgb(found[..., :3]))
    table.add("the same with 1 sample of ours, dB", once, "reported", None)
    table.add("the same with 4 × 4 samples of ours, dB", exact, "reported", None)
    hits = see(splats, level.own.camera, splats.opacities, 0.0, NEAR).count / SIZE**2
    table.add("hits per ray on the fitted level", hits, "<= 10", hits <= 10, hits_per_ray=hits)


def cycles(splats: Gaussians, camera: Camera, samples: int = 64) -> np.ndarray:
    """Linear premultiplied RGBA (H, W, 4) of the splats' quads, by Cycles in its own process."""
    from scipy.spatial.transform import Rotation

    axes = Rotation.from_quat(np.roll(splats.quaternions, -1, 1)).as_matrix()[:, :, :2]
    axes = axes * CUT * np.exp(splats.log_scales[:, None, :2].astype(np.float64))
    signs = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    corners = splats.means[:, None, :] + np.einsum("nij,cj->nci", axes, signs)
    from core.colour import srgb_to_linear

    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "in.npz", Path(folder) / "out.npz"
        np.savez(
            source,
            corners=corners,
            rgb_linear=srgb_to_linear(np.maximum(splats.rgb, 0)),
            opacity=splats.opacities,
            camera_to_frame=camera.camera_to_frame,
            width=camera.width,
            height=camera.height,
            focal=camera.fx,
            samples=samples,
        )
        script = Path(__file__).with_name("render_with_cycles.py")
        command = [str(environments.need("bpy45")), str(script), str(source), str(target)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return np.load(target)["rgba"]


def measure_files(table: Table) -> None:
    """A PLY of 2 M splats."""
    row = splat_files._row(".ply", 0, 2_000_000)
    read, write = row["read_s"], row["write_s"]
    table.add("2 M splats from PLY, s", read, "<= 0.5", read <= 0.5, ply_read_s=read)
    table.add("2 M splats to PLY, s", write, "<= 1", write <= 1, ply_write_s=write)


def measure_gpu(table: Table) -> None:
    """512², 200 k on an NVIDIA GPU, where there is one that can."""
    if probe.obstacle():
        table.add("GPU, 512², 200 k", f"skipped: {probe.obstacle()}", "<= 5 s, >= 60 dB to the cpu", None)
        return
    level = levels.make(512)
    start = time.perf_counter()
    splats = fitted(level, 1000, 200_000)
    seconds = time.perf_counter() - start
    table.add("GPU: fit of 512², 200 k, 1000 steps, s", seconds, "<= 5", seconds <= 5, gpu_fit_seconds=seconds)
    table.add("GPU: held-out views, dB", quality(splats, level.held_out), "reported", None)
    both = [rasterize(splats, level.own.camera, backend=name).rgb for name in ("cpu", "gpu")]
    agreement = psnr(*both)
    table.add("GPU against the cpu, dB", agreement, ">= 60", agreement >= 60, gpu_psnr=agreement)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--final", action="store_true")
    parser.add_argument("--pictures", type=Path, help="a folder for pictures")
    options = parser.parse_args()
    table = Table()
    loss.loss(
        np.zeros((16, 16, 3), np.float32), loss.prepared(np.zeros((16, 16, 3), np.float32), np.ones((16, 16), bool))
    )
    level = levels.make(SIZE)
    measure_gradients(table)
    measure_speed(table, level)
    splats = measure_fit(table, level, options.final)
    if options.pictures:
        draw(level.held_out[1], splats, options.pictures)
    measure_mask(table, level)
    measure_scales(table, level, splats)
    measure_cycles(table, level, splats)
    measure_files(table)
    measure_gpu(table)
    output = table.json() if options.json else table.text()
    sys.stdout.write(output + "\n")


if __name__ == "__main__":
    main()
