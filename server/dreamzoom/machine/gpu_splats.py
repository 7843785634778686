"""Accuracy and speed of the rasteriser and the splat fit on this machine's GPU, compared with the CPU.

    python -m dreamzoom.machine.gpu_splats

prints each figure as soon as it is available. It takes about two minutes, half of them on the CPU, which may first
compile its kernels and runs a short fit. The scene is generated: spheres in front of a painted wall, with an anchor
view and two side views.
"""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from core.camera import Camera, look_at
from core.gaussians import Gaussians
from dreamzoom.geometry.unproject import lift
from dreamzoom.progress import Report
from dreamzoom.splats.cuda import probe, raster
from dreamzoom.splats.cuda.driver import Card
from dreamzoom.splats.cuda.fit import CardFit
from dreamzoom.splats.fitting import fit as fitting
from dreamzoom.splats.fitting.adam import Rates
from dreamzoom.splats.fitting.initial import initial
from dreamzoom.splats.fitting.target import Target
from dreamzoom.splats.fitting.terms import FINE
from dreamzoom.splats.rasterize import rasterize
from dreamzoom.splats.view_table import NEAR, PIXEL_VARIANCE, camera_arrays, see

SIZE, SPLATS, STEPS = 512, 200_000, 1000
SMALL_SIZE, SMALL_SPLATS, SMALL_STEPS = 256, 50_000, 120
"""Picture side, number of splats and iterations of the fit that also runs on the CPU."""
REPEATS = 30
WIDER = 1.2
"""Width of the anchor's picture relative to the targets', so that the targets don't show its border."""
BALLS = ((0.4, -0.2, 0.35, 0.35), (-0.5, 0.3, 0.25, 0.25), (0.1, 0.6, 0.2, 0.2), (-0.3, -0.6, 0.3, 0.3))
"""(x, y, z, radius) of each sphere."""

Figures = dict[str, Any]


def measure(say: Callable[[str], None] | None = None) -> Figures:
    """Run all measurements. If one fails, its reason is returned and the others still run.

    Args:
        say: Called with a line for each figure as soon as it is available.

    Returns:
        Figures by name; names end in the unit. Only "obstacle" if no suitable GPU was found.
    """
    card = probe.card()
    if card is None:
        return {"obstacle": probe.obstacle()}
    figures: Figures = {}
    for part in (_speed, _steps, _long_fit, _agreement, _short_fits, _kernels):
        try:
            found = part(card)
        except Exception as problem:  # one failed part must not stop the others
            found = {f"failed{part.__name__}": "".join(traceback.format_exception(problem)[-3:])}
        figures |= found
        if say is not None:
            for name, value in found.items():
                say(f"{name}: {value}")
    return figures


def view(size: int, x: float) -> Camera:
    """A camera in front of the wall, moved sideways by x."""
    return Camera(size, size, size, size, size / 2, size / 2, look_at((x, -2.2, 1.6), (0.0, 0.0, 0.1)))


def truth(camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Ground truth of the scene for a camera: sRGB (H, W, 3) and z-depth (H, W), float32."""
    ray, centre = camera.rays(), camera.centre
    depth = np.minimum(centre[2] / np.maximum(-ray[..., 2], 1e-3), 12.0)
    square = (ray * ray).sum(-1)
    for *middle, radius in BALLS:
        to = centre - np.array(middle)
        half = (ray * to).sum(-1)
        root = half * half - square * ((to * to).sum() - radius * radius)
        near = (-half - np.sqrt(np.maximum(root, 0))) / square
        depth = np.where((root > 0) & (near > 0), np.minimum(depth, near), depth)
    x, y, z = np.moveaxis(camera.unproject(depth), -1, 0)
    waves = np.sin(9 * x + np.sin(7 * y) + 5 * z), np.cos(11 * y + 3 * x), np.sin(23 * x) * np.sin(19 * y + 9 * z)
    return (0.5 + 0.35 * np.stack(waves, -1)).astype(np.float32), depth.astype(np.float32)


def scene(size: int, count: int) -> tuple[Gaussians, list[Target], list[Target]]:
    """At most `count` initial surfels; the targets; and held-out views between them."""
    anchor = view(int(count**0.5 / WIDER), 0.0).widened(WIDER)
    rgb, depth = truth(anchor)
    splats = initial(lift(anchor, depth, rgb, view=0), [anchor])
    known = np.ones((size, size), bool)
    targets = [Target(view(size, x), truth(view(size, x))[0], known) for x in (0.0, -0.12, 0.12)]
    held_out = [Target(view(size, x), truth(view(size, x))[0], known) for x in (-0.05, 0.05)]
    return splats[:count], targets, held_out


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB of two pictures for a peak of 1; values may exceed 0..1."""
    return float(-10 * np.log10(max(np.square(a.astype(np.float64) - b).mean(), 1e-30)))


def quality(splats: Gaussians, targets: list[Target]) -> float:
    """Mean PSNR in dB of pictures rendered on the GPU."""
    pictures = [rasterize(splats, target.camera, backend="gpu").rgb for target in targets]
    return round(float(np.mean([psnr(np.clip(rgb, 0, 1), target.rgb) for rgb, target in zip(pictures, targets)])), 2)


class _Counting(Report):
    """Counts the iterations of a fit, which may stop early."""

    def __init__(self):
        self.steps = 0

    def progress(self, fraction: float, message: str = "") -> None:
        self.steps += message == "fitting splats"


def _fitted(start, targets, iterations: int, cap: int, backend: str) -> tuple[Gaussians, float, int]:
    """The fitted splats, the seconds taken, and the number of iterations."""
    report, began = _Counting(), time.perf_counter()
    options = {"background": None, "iterations": iterations, "cap": cap, "seed": 0, "report": report}
    splats = fitting.fit(start, targets, backend=backend, **options)
    return splats, round(time.perf_counter() - began, 2), report.steps


def _slopes(size: int) -> tuple[np.ndarray, np.ndarray]:
    """An arbitrary gradient with respect to a linear picture (H, W, 3) and its alpha (H, W)."""
    rng = np.random.default_rng(11)
    by_rgb, by_alpha = rng.normal(size=(size, size, 3)), rng.normal(size=(size, size))
    return by_rgb.astype(np.float32) / size**2, by_alpha.astype(np.float32) / size**2


def _on_card(card: Card, splats: Gaussians, camera: Camera):
    """A function that runs one forward and one backward pass per call."""
    lens = raster.Lens(card, camera, PIXEL_VARIANCE, NEAR)
    own = raster.shaded(card, splats, lens.arrays[1], raster.uploaded(card, splats.opacities.astype(np.float32)))
    slopes = [raster.uploaded(card, array) for array in _slopes(camera.width)]
    black = torch.zeros(3, device=card.device)

    def once():
        seen = raster.see(lens, [own], black)
        return seen, seen.gradients(own, *slopes)[0]

    return once


def _speed(card: Card) -> Figures:
    """Time of the first use, when the driver compiles the kernels, and of the forward and backward pass."""
    splats, targets, _ = scene(SIZE, SPLATS)
    once = _on_card(card, splats, targets[1].camera)
    began = time.perf_counter()
    once()
    torch.cuda.synchronize()
    first = time.perf_counter() - began
    spans = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        once()
        torch.cuda.synchronize()
        spans.append(time.perf_counter() - began)
    return {
        "gpu": torch.cuda.get_device_name(card.device),
        "torch": torch.__version__,
        "splats": len(splats),
        "first_use_s": round(first, 2),
        "forward_backward_ms": round(1e3 * float(np.median(spans)), 3),
        "peak_memory_mb": round(torch.cuda.max_memory_allocated() / 1e6),
    }


def _steps(card: Card) -> Figures:
    """Time of 1000 iterations with relocations (`fit` may stop earlier), and of the parts of an iteration."""
    start, targets, _ = scene(SIZE, SPLATS)
    figures: Figures = {}
    with CardFit(card, start, targets, [], None) as place:
        place.solve(1, Report())
        place.start()
        fine = round(fitting.FINE_SHARE * STEPS)
        for samples in (1, FINE):
            for view in place.views:
                place.descend(view, Rates(), samples)  # the first call allocates memory
        rng, began = np.random.default_rng(0), _now()
        for name, samples, count in (("step_ms", 1, STEPS - fine), ("fine_step_ms", FINE, fine)):
            before = _now()
            for step in range(count):
                place.descend(place.views[step % len(place.views)], Rates(), samples)
                if (step + 1) % fitting.RELOCATE_EVERY == 0:
                    place.relocate(SPLATS, rng)
            figures[name] = round(1e3 * (_now() - before) / count, 3)
        figures["thousand_steps_s"] = round(_now() - began, 2)
    return figures


def _now() -> float:
    """The time after synchronising with the GPU."""
    torch.cuda.synchronize()
    return time.perf_counter()


def _kernels(card: Card) -> Figures:
    """GPU time of each kernel in an iteration, by torch's profiler."""
    from torch.profiler import ProfilerActivity, profile

    start, targets, _ = scene(SIZE, SPLATS)
    spans: dict[str, float] = {}
    with CardFit(card, start, targets, [], None) as place:
        place.solve(1, Report())
        place.start()
        with profile(activities=[ProfilerActivity.CUDA]) as found:
            for step in range(10):
                place.descend(place.views[step % len(place.views)], Rates())
            torch.cuda.synchronize()
    for event in found.key_averages():
        spans[event.key[:60]] = spans.get(event.key[:60], 0.0) + event.device_time_total / 1e4
    largest = sorted(spans.items(), key=lambda pair: -pair[1])[:16]
    return {"busy_ms_per_step": round(sum(spans.values()), 3), "kernels_ms": {k: round(ms, 3) for k, ms in largest}}


def _long_fit(card: Card) -> Figures:
    """Fit 200 k splats, twice."""
    start, targets, held_out = scene(SIZE, SPLATS)
    _fitted(start[:1000], targets, 20, SPLATS, "gpu")
    torch.cuda.reset_peak_memory_stats()
    first, seconds, steps = _fitted(start, targets, STEPS, SPLATS, "gpu")
    again, _, _ = _fitted(start, targets, STEPS, SPLATS, "gpu")
    names = ("means", "log_scales", "quaternions", "logit_opacities", "sh")
    same = len(first) == len(again) and all(np.array_equal(getattr(first, n), getattr(again, n)) for n in names)
    return {
        "fit_seconds": seconds,
        "fit_steps": steps,
        "fit_ms_per_step": round(1e3 * seconds / max(steps, 1), 2),
        "fit_db": quality(first, targets),
        "fit_held_out_db": quality(first, held_out),
        "start_db": quality(start, targets),
        "fit_repeats_to_the_bit": same,
        "fit_peak_memory_mb": round(torch.cuda.max_memory_allocated() / 1e6),
    }


def _agreement(card: Card) -> Figures:
    """Compare picture and gradients with the CPU's."""
    from dreamzoom.splats import cpu_rasterizer
    from dreamzoom.splats.backward import gradients

    splats, targets, _ = scene(SIZE, SPLATS)
    camera, black = targets[1].camera, np.zeros(3, np.float32)
    seen, got = _on_card(card, splats, camera)()
    again = _on_card(card, splats, camera)()[1]
    hits = see(splats, camera, splats.opacities, PIXEL_VARIANCE, NEAR)
    rgb, alpha, depth = cpu_rasterizer.blend_hits(hits, black)
    want = gradients(splats, hits, camera_arrays(camera), PIXEL_VARIANCE, NEAR, black, *_slopes(SIZE))
    both = rasterize(splats, camera, backend="gpu").rgb, rasterize(splats, camera, backend="cpu").rgb
    finite = np.isfinite(depth)
    errors = {}
    for name, tensor in got.items():
        cpus = getattr(want, name).astype(np.float64)
        errors[name] = float(f"{np.linalg.norm(tensor.cpu().numpy() - cpus) / np.linalg.norm(cpus):.2e}")
    return {
        "agreement_db": round(psnr(*both), 1),
        "picture_error": float(np.abs(seen.rgb.cpu().numpy() - rgb).max()),
        "alpha_error": float(np.abs(seen.alpha.cpu().numpy() - alpha).max()),
        "depth_error": float(np.abs(seen.depth.cpu().numpy()[finite] - depth[finite]).max()),
        "hits_per_pixel": round(float(seen.used.float().mean()), 2),
        "hits_most": int(seen.used.max()),
        "gradient_error": max(errors.values()),
        "gradient_errors": errors,
        "gradients_repeat_to_the_bit": all(bool((got[name] == again[name]).all()) for name in got),
    }


def _short_fits(card: Card) -> Figures:
    """The same fit of 50 k splats on the GPU and on the CPU."""
    start, targets, held_out = scene(SMALL_SIZE, SMALL_SPLATS)
    figures: Figures = {}
    for backend in ("gpu", "cpu"):
        if backend == "cpu":
            _fitted(start[:500], targets, 4, SMALL_SPLATS, backend)  # compiles
        splats, seconds, steps = _fitted(start, targets, SMALL_STEPS, SMALL_SPLATS, backend)
        figures |= {
            f"short_fit_{backend}_seconds": seconds,
            f"short_fit_{backend}_steps": steps,
            f"short_fit_{backend}_db": quality(splats, targets),
            f"short_fit_{backend}_held_out_db": quality(splats, held_out),
        }
    return figures


if __name__ == "__main__":
    for name, value in measure(lambda line: print(line, flush=True)).items():
        if name == "obstacle":
            sys.exit(f"dreamzoom: {value}")
