"""The measurements of `dreamzoom check --run`: one function per part, which takes a `Bench` and returns figures."""

from __future__ import annotations

import importlib
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dreamzoom.engines.diffusion.loading import Placement
from dreamzoom.geometry.view import COARSE, KNOWN, UNKNOWN, View
from dreamzoom.machine.random_engine import RandomEngine
from dreamzoom.machine.random_networks import Size
from dreamzoom.progress import Report
from dreamzoom.sampling.level_resampling import make_nest

GIB = 1 << 30
Figures = dict[str, Any]


class Bench:
    """State shared by the measurements.

    Args:
        size: Size of the networks.
        where: Their device and precision.
        deadline: `time.monotonic()` after which long measurements stop.
    """

    def __init__(self, size: Size, where: Placement, deadline: float):
        self.size, self.where, self.deadline = size, where, deadline

    @cached_property
    def engine(self) -> RandomEngine:
        """The networks, created at the first use."""
        return RandomEngine(self.size, self.where)

    def wait(self) -> None:
        """Synchronise with the device."""
        if self.where.device.type == "cuda":
            torch.cuda.synchronize()
        elif self.where.device.type == "mps":
            torch.mps.synchronize()

    def seconds(self, work: Callable[[], Any]) -> float:
        """Seconds of one run of `work`, including the device's work."""
        self.wait()
        began = time.perf_counter()
        work()
        self.wait()
        return time.perf_counter() - began

    def milliseconds(self, work: Callable[[], Any], repeats: int = 5) -> float:
        """Median milliseconds of `repeats` runs after two warm-up runs."""
        for _ in range(2):
            work()
        return round(float(np.median([self.seconds(work) for _ in range(repeats)])) * 1000, 2)

    def view(self, side: int) -> View:
        """A view of the first level with square pictures of `side` pixels."""
        from dreamzoom.request import validation
        from dreamzoom.request.example import example

        request = validation.convert_request(example(2, (side, side)))
        return View("000/anchor", 0, 0.0, request.path().camera(0.0, 0))


def decibels(error: np.ndarray) -> float:
    """PSNR in dB for a difference of two pictures in 0..1."""
    return round(float(-10 * np.log10(max(float((error.astype(np.float64) ** 2).mean()), 1e-12))), 1)


def sampling(bench: Bench) -> Figures:
    """Joint sampling of a closed-form model on the device and on the CPU; compares the pictures."""
    from dreamzoom.engines.spectral import SpectralEngine
    from dreamzoom.sampling.gaussian_fields import FieldDenoiser
    from dreamzoom.sampling.levels import sample_levels

    side, found, figures = min(256, 4 * bench.size.side), {}, {}
    for device in (torch.device("cpu"), bench.where.device):
        denoiser = FieldDenoiser(SpectralEngine()._field, device=device)
        began = time.perf_counter()
        found[device] = sample_levels(
            denoiser, ["space", "forest", "a leaf"], range(3), 2.0, [], (side - 6, side), steps=12
        )  # fmt: skip
        figures[f"{device.type} seconds"] = round(time.perf_counter() - began, 2)
    here, there = (np.stack(pictures) for pictures in (found[bench.where.device], found[torch.device("cpu")]))
    return figures | {"to the CPU dB": decibels(here - there), "levels agree dB": agreement(list(here))}


def agreement(pictures: list[np.ndarray]) -> float:
    """Minimum PSNR in dB, over all levels, between a level's middle and D of the next level."""
    nest = make_nest(pictures[0].shape[:2], 2.0)
    if nest is None:
        return 0.0
    tensors = [torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1))) for picture in pictures]
    return min(decibels((nest.down(b) - nest.window(a)).numpy()) for a, b in zip(tensors, tensors[1:]))


def painting(bench: Bench) -> Figures:
    """Paint a picture with known, coarse and unknown pixels twice: seconds, whether known pixels are kept, and whether
    the results are bit-identical.
    """
    side = bench.size.side
    rgb = np.random.default_rng(0).random((side, side, 3), dtype=np.float32)
    mask = np.full((side, side), KNOWN, np.uint8)
    mask[: side // 3], mask[:, : side // 4] = UNKNOWN, COARSE
    painted, seconds = [], []
    for _ in range(2):
        began = time.perf_counter()
        painted.append(bench.engine.paint(bench.view(side), rgb, mask, "a forest", "fog", 1, Report()))
        seconds.append(time.perf_counter() - began)
    return {
        "seconds a picture": round(min(seconds), 2),
        "first": round(seconds[0], 2),
        "known pixels kept": bool(np.array_equal(painted[0][mask == KNOWN], rgb[mask == KNOWN])),
        "bits repeat": bool(np.array_equal(painted[0], painted[1])),
        "finite": bool(np.isfinite(painted[0]).all()),
    }


def depth(bench: Bench) -> Figures:
    """Estimate a picture's depth twice."""
    side = bench.size.side
    rgb, view = np.random.default_rng(0).random((side, side, 3), dtype=np.float32), bench.view(side)
    found = [bench.engine.depth(view, rgb, 1, Report()).values for _ in range(2)]
    seconds = bench.seconds(lambda: bench.engine.depth(view, rgb, 1, Report()))
    return {"seconds a view": round(seconds, 3), "bits repeat": bool(np.array_equal(found[0], found[1])),
            "finite": bool(np.isfinite(found[0]).all())}  # fmt: skip


def rasteriser(bench: Bench) -> Figures:
    """The rasteriser and a splat fit, on the GPU (if there is a suitable one) and on the CPU."""
    try:
        found = importlib.import_module("dreamzoom.machine.gpu_splats").measure()
    except ModuleNotFoundError:
        return _cpu_raster(bench)
    return found if "obstacle" not in found else found | _cpu_raster(bench)


def _cpu_raster(bench: Bench) -> Figures:
    """The CPU rasteriser's forward pass on random surfels, after a run that compiles the kernels."""
    from core.gaussians import Gaussians
    from dreamzoom.splats.rasterize import rasterize

    count, side = (100_000, 512) if bench.size.side > 256 else (2_000, 64)
    rng = np.random.default_rng(0)
    scales = np.full((count, 3), np.log(2.5 / side), np.float32)
    scales[:, 2] += np.log(1e-3)
    turns = rng.normal(size=(count, 4)).astype(np.float32)
    turns /= np.linalg.norm(turns, axis=1, keepdims=True)
    splats = Gaussians(
        rng.uniform(-1, 1, (count, 3)).astype(np.float32), scales, turns, np.full(count, 2.0, np.float32),
        rng.normal(0, 1, (count, 1, 3)).astype(np.float32),
    )  # fmt: skip
    camera = bench.view(side).camera
    milliseconds = bench.milliseconds(lambda: rasterize(splats, camera), 3)
    return {"cpu splats": count, "cpu pixels a side": side, "cpu forward ms": milliseconds}


class _Parts:
    """Times the networks' forward passes without synchronising: by CUDA events on a GPU, by the clock elsewhere."""

    def __init__(self, modules: dict[str, torch.nn.Module], on_card: bool):
        self.on_card = on_card
        self.pictures: dict[str, int] = defaultdict(int)
        self._spans: dict[str, list[tuple[Any, Any]]] = defaultdict(list)
        self._hooks = []
        for name, module in modules.items():
            self._hooks.append(module.register_forward_pre_hook(self._before(name), with_kwargs=True))
            self._hooks.append(module.register_forward_hook(self._after(name)))
        self._began: dict[str, Any] = {}

    def _now(self) -> Any:
        if not self.on_card:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def _before(self, name: str):
        def before(_, arguments, named):
            first = next(value for value in (*arguments, *named.values()) if isinstance(value, torch.Tensor))
            self.pictures[name] += len(first)
            self._began[name] = self._now()

        return before

    def _after(self, name: str):
        def after(*_):
            self._spans[name].append((self._began[name], self._now()))

        return after

    def seconds(self) -> dict[str, float]:
        """Seconds by name; removes the hooks. The device must be synchronised."""
        for hook in self._hooks:
            hook.remove()
        return {
            name: sum(a.elapsed_time(b) / 1000 if self.on_card else b - a for a, b in spans)
            for name, spans in self._spans.items()
        }


class _Shows(Report):
    """Shows previews as a job does, and sums the sampler's time spent on them."""

    def __init__(self, folder: Path):
        from dreamzoom.pipeline.folder import Folder
        from dreamzoom.pipeline.live_preview import LivePicture

        self.live = LivePicture(Folder(folder), lambda level: None, lambda reason: None)
        self.taken, self.shown = 0.0, 0

    def preview(self, rgb: np.ndarray) -> None:
        began = time.perf_counter()
        self.live.show(rgb, None)
        self.taken, self.shown = self.taken + time.perf_counter() - began, self.shown + 1


def zoom(bench: Bench) -> Figures:
    """Joint sampling of all levels with networks of real size: seconds per level, by network."""
    from dreamzoom.sampling.levels import stream_levels

    size, engine = bench.size, bench.engine
    on_card = bench.where.device.type == "cuda"
    with tempfile.TemporaryDirectory() as folder:
        report = _Shows(Path(folder))
        denoiser = engine.denoiser(report)
        _warm(bench, denoiser)
        if on_card:
            torch.cuda.reset_peak_memory_stats()
        vae = engine.pipe.vae
        watched = _Parts({"unet": engine.pipe.unet, "decode": vae.decoder, "encode": vae.encoder}, on_card)
        prompts = [f"level {k}" for k in range(size.levels)]
        pictures, gone, began = [], 0, time.perf_counter()
        stream = stream_levels(
            denoiser, prompts, range(size.levels), 2.0, [], (size.side, size.side), report=report, **engine.sampling()
        )  # fmt: skip
        for level, picture in stream:
            pictures, gone = [*pictures, picture], level + 1
            if time.monotonic() > bench.deadline:
                break
        bench.wait()
        total = time.perf_counter() - began
        report.live.close()
    parts = watched.seconds()
    own = total - sum(parts.values())
    return {
        "pixels a side": size.side,
        "levels": gone,
        "steps": size.steps,
        "seconds a level": round(total / gone, 2),
        **{f"{name} seconds a level": round(value / gone, 2) for name, value in parts.items()},
        **{f"{name} pictures a level": round(count / gone, 1) for name, count in watched.pictures.items()},
        "own work share": round(own / total, 3),
        "previews": report.shown,
        "previews share": round(report.taken / total, 4),
        "levels agree dB": agreement(pictures) if len(pictures) > 1 else None,
        **_memory(on_card),
    }


def _warm(bench: Bench, denoiser) -> None:
    """Call each network once, so that the first call's overhead is not measured."""
    z = torch.zeros((2, 4, bench.size.side // 8, bench.size.side // 8), device=bench.where.device)
    denoiser(z, np.array([500.0, 500.0]), [(("warm", 1.0),)] * 2)
    denoiser.codec.encode(denoiser.codec.decode(z[:1]))
    bench.wait()


def _memory(on_card: bool) -> Figures:
    if not on_card:
        return {}
    return {
        "peak GB": round(torch.cuda.max_memory_allocated() / GIB, 2),
        "reserved GB": round(torch.cuda.max_memory_reserved() / GIB, 2),
    }


def networks(bench: Bench) -> Figures:
    """One call of each network, with different batch sizes, memory layouts and cuDNN autotuning."""
    pipe, side, dtype, device = bench.engine.pipe, bench.size.side // 8, bench.where.dtype, bench.where.device
    encoder: Any = bench.engine.encoder
    embeds, pooled = encoder.for_network((("a forest", 1.0),), False)
    figures: Figures = {}

    def unet(count: int, memory: torch.memory_format = torch.contiguous_format):
        z = torch.zeros((count, 4, side, side), device=device, dtype=dtype).contiguous(memory_format=memory)
        place = torch.zeros((count, 6), device=device, dtype=dtype)
        added = {"text_embeds": pooled.expand(count, -1), "time_ids": place}
        times = torch.full((count,), 500.0, device=device)
        return lambda: pipe.unet(z, times, encoder_hidden_states=embeds.expand(count, -1, -1), added_cond_kwargs=added)

    z = torch.zeros((1, 4, side, side), device=device, dtype=dtype)
    picture = torch.zeros((1, 3, side * 8, side * 8), device=device, dtype=dtype)
    with torch.no_grad():
        for count in (1, 2, 4, 8):
            figures[f"unet of {count} ms each"] = round(bench.milliseconds(unet(count)) / count, 2)
        figures["decode ms"] = bench.milliseconds(lambda: pipe.vae.decode(z))
        figures["encode ms"] = bench.milliseconds(lambda: pipe.vae.encode(picture))
        if device.type == "cuda":
            figures |= _other_ways(bench, pipe, unet, z, picture)
    return figures


def _other_ways(bench: Bench, pipe: Any, unet: Callable[..., Any], z, picture) -> Figures:
    """The same with cuDNN autotuning, without deterministic algorithms, and with the channels-last layout."""
    figures: Figures = {}

    def take(name: str, layout: torch.memory_format) -> None:
        figures[f"{name}: unet of 4 ms each"] = round(bench.milliseconds(unet(4, layout)) / 4, 2)
        figures[f"{name}: decode ms"] = bench.milliseconds(lambda: pipe.vae.decode(z))
        figures[f"{name}: encode ms"] = bench.milliseconds(lambda: pipe.vae.encode(picture))

    cudnn = torch.backends.cudnn
    try:
        cudnn.benchmark = True
        take("searched", torch.contiguous_format)
        cudnn.deterministic = False
        take("searched among all", torch.contiguous_format)
        cudnn.deterministic = True
        pipe.unet.to(memory_format=torch.channels_last)
        pipe.vae.to(memory_format=torch.channels_last)
        take("searched, channels last", torch.channels_last)
    finally:
        cudnn.benchmark, cudnn.deterministic = False, True
        pipe.unet.to(memory_format=torch.contiguous_format)
        pipe.vae.to(memory_format=torch.contiguous_format)
    return figures


def job(bench: Bench) -> Figures:
    """A whole job of a few levels: seconds per level by stage."""
    from dreamzoom.pipeline.folder import Folder
    from dreamzoom.pipeline.records import records
    from dreamzoom.pipeline.runner import run
    from dreamzoom.pipeline.steps import build
    from dreamzoom.request import validation
    from dreamzoom.request.example import example

    levels, quality = 3, "preview" if bench.size.side > 256 else "draft"
    request = validation.convert_request(example(levels, (bench.size.side, bench.size.side)) | {"quality": quality})
    stop, by_stage = threading.Event(), defaultdict(float)
    timer = threading.Timer(max(1.0, bench.deadline - time.monotonic()), stop.set)
    timer.daemon = True
    with tempfile.TemporaryDirectory() as place:
        folder, began, ended = Folder(Path(place) / "job"), time.perf_counter(), "finished"
        folder.root.mkdir()
        timer.start()
        try:
            run(build(request, bench.engine), folder, None, stop)
        except Exception as error:  # including a cancellation: the finished steps are still reported
            ended = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        timer.cancel()
        total = time.perf_counter() - began
        for record in records(folder):
            by_stage[record["stage"]] += record["seconds"]
    stages = {f"{stage} seconds a level": round(value / levels, 2) for stage, value in by_stage.items()}
    figures = {"levels": levels, "quality": quality, "ended": ended, "seconds a level": round(total / levels, 2)}
    return figures | stages | _memory(bench.where.device.type == "cuda")


PARTS: dict[str, Callable[[Bench], Figures]] = {
    "sampling": sampling,
    "networks": networks,
    "zoom": zoom,
    "painting": painting,
    "depth": depth,
    "rasteriser": rasteriser,
    "job": job,
}
