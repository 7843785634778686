"""Zoom stacks: the pictures of all levels without 3D, and a film that zooms through them at constant speed."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from core.colour import to_bytes
from dreamzoom.engines import registry
from dreamzoom.engines.base import Denoises, Engine
from dreamzoom.geometry.view import COARSE, UNKNOWN, View
from dreamzoom.geometry.zoom_path import ZoomPath
from dreamzoom.progress import Report
from dreamzoom.render.film import write_film
from dreamzoom.request.images import read_picture
from dreamzoom.request.schema import Request
from dreamzoom.sampling.blend import close_loop, finish
from dreamzoom.sampling.level_resampling import make_nest
from dreamzoom.sampling.levels import stream_levels

FRAMES_PER_LEVEL, FPS = 48, 24
MOST_OVERSCAN = 1.5


def zoomstack(request: Request, out: Path, report: Report) -> None:
    """Write `levels/000.png` ..., `zoom.mp4` and `zoomstack.json` (factor, sizes, whether it loops, and per level its
    picture, prompt and centre).

    The pictures are wider than requested by a factor of √p (at most 1.5), so that the film never magnifies a picture by
    more than √p.

    Raises:
        BadRequest: A level's picture can't be read.
        EngineUnavailable: See `registry.make`.
        Cancelled: The user cancelled it.
    """
    path, engine = request.path(), registry.make(request)
    wide = min(math.sqrt(request.zoom_factor), MOST_OVERSCAN)
    views = [View(f"{k:03d}/anchor", k, float(k), path.camera(k, k).widened(wide)) for k in range(len(request.levels))]
    size = (views[0].camera.height, views[0].camera.width)
    centres = child_centres(path, views)
    folder = out / "levels"
    folder.mkdir(parents=True, exist_ok=True)
    names = []
    for level, picture in _pictures(engine, request, views, centres, size, report):
        names.append(f"levels/{level:03d}.png")
        Image.fromarray(to_bytes(picture)).save(out / names[-1])
        report.preview(picture)
    rows = [
        {"image": name, "prompt": level.prompt, "centre": centre}
        for name, level, centre in zip(names, request.levels, centres if path.loop else [*centres, None])
    ]
    described = {"zoom_factor": request.zoom_factor, "width": request.width, "height": request.height,
                 "picture_width": size[1], "picture_height": size[0], "loop": path.loop, "levels": rows}  # fmt: skip
    (out / "zoomstack.json").write_text(json.dumps(described, indent=1), encoding="utf-8")
    size = (request.height, request.width)
    film = Film([out / name for name in names], centres, request.zoom_factor, size, path.loop)
    film.write(out / "zoom.mp4", report)


def child_centres(path: ZoomPath, views: Sequence[View]) -> list[tuple[float, float]]:
    """The pixel (x, y) of each level's picture that shows the middle of the next level's, for a flat scene at the
    focus.

    Args:
        path: Provides the focuses. In a loop the first level follows the last.
        views: The anchor views, one per level, all of the same size.
    """
    centres = []
    for k, (view, after) in enumerate(zip(views, [*views[1:], views[0]] if path.loop else views[1:])):
        focus = view.camera.project(path.focuses[k])[0]
        origin = after.camera.project(np.zeros(3))[0]
        middle = np.array([after.camera.width, after.camera.height]) / 2
        centres.append(tuple(float(v) for v in focus + (middle - origin) / path.factor))
    return centres


def _pictures(engine: Engine, request: Request, views, centres, size, report: Report):
    """Yield the levels' pictures in order: sampled jointly if the engine supports it, else painted one by one."""
    photos = {
        k: _placed(read_picture(Path(level.image), (request.width, request.height), report.log), size)
        for k, level in enumerate(request.levels)
        if level.image
    }
    prompts = [level.prompt for level in request.levels]
    seeds = [request.level_seed(k) for k in range(len(prompts))]
    if isinstance(engine, Denoises):
        negatives = [level.negative_prompt for level in request.levels]
        return stream_levels(
            engine.denoiser(report), prompts, seeds, request.zoom_factor, centres, size,
            negatives=negatives, photos=photos, loop=request.loop, report=report, **engine.sampling(),
        )  # fmt: skip
    painted = _painted(engine, request, views, centres, seeds, photos, report)
    if not request.loop:
        return painted
    nests = [make_nest(size, request.zoom_factor, centre) for centre in centres]
    pictures = [torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1))) for _, picture in painted]
    return ((k, picture.permute(1, 2, 0).numpy()) for k, picture in enumerate(close_loop(pictures, nests)))


def _placed(photo: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Place a picture (h, w, 3) in the middle of a wider one, with NaN around it."""
    wide = np.full((*size, 3), np.nan, np.float32)
    top, left = (size[0] - photo.shape[0]) // 2, (size[1] - photo.shape[1]) // 2
    wide[top : top + photo.shape[0], left : left + photo.shape[1]] = photo
    return wide


def _painted(engine: Engine, request: Request, views, centres, seeds, photos, report: Report):
    """For engines without a denoiser: paint each level over the enlarged middle of the one before, then make all
    pictures consistent.
    """
    before: torch.Tensor | None = None
    for k, (view, level) in enumerate(zip(views, request.levels)):
        size = (view.camera.height, view.camera.width)
        nest = make_nest(size, request.zoom_factor, centres[k - 1]) if k else None
        base, mask = np.zeros((*size, 3), np.float32), np.full(size, UNKNOWN, np.uint8)
        if nest is not None and before is not None:
            base = nest.lift(nest.window(before)).permute(1, 2, 0).numpy()
            mask[:] = COARSE
        rgb = engine.paint(view, base, mask, level.prompt, level.negative_prompt, seeds[k], report)
        rgb = np.where(np.isnan(photos[k]), rgb, photos[k]) if k in photos else rgb
        picture = torch.from_numpy(np.ascontiguousarray(rgb.transpose(2, 0, 1)))
        before = finish(picture, before, nest)
        yield k, before.permute(1, 2, 0).numpy()


class Film:
    """Renders frames of the zoom from the level pictures.

    Args:
        paths: The pictures, all of the same size, at least as large as the film.
        centres: centres[k] is the pixel (x, y) of level k that shows the middle of level k+1.
        factor: The zoom factor p.
        size: (H, W) of the film; even.
        loop: Whether the first level follows the last; then there is one centre per level.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        centres: Sequence[tuple[float, float]],
        factor: float,
        size: tuple[int, int],
        loop: bool = False,
    ):
        self.paths, self.factor, self.size, self.loop = list(paths), factor, size, loop
        read = lru_cache(maxsize=4)(_read)
        self._image: Callable[[int], Image.Image] = lambda level: read(self.paths[level % len(self.paths)])
        width, height = self._image(0).size
        middle = np.array([width / 2, height / 2])
        self.middle, self.shifts = middle, [np.asarray(centre) - middle for centre in centres]

    @property
    def last(self) -> float:
        """The zoom at which the film ends."""
        return float(len(self.paths) if self.loop else len(self.paths) - 1)

    def frame(self, zoom: float) -> np.ndarray:
        """The frame (H, W, 3) uint8 at `zoom`; equal steps of zoom give equal ratios of scale."""
        base = math.floor(zoom + 0.5)
        base = base if self.loop else min(base, len(self.paths) - 1)
        canvas = np.zeros((*self.size, 3), np.float32)
        for level in (base - 1, base, base + 1):
            if not self.loop and not 0 <= level < len(self.paths):
                continue
            share = 1.0 if level <= base else _smooth((zoom - base) * 4)
            if share:
                self._lay(canvas, level, zoom, share)
        return to_bytes(canvas / 255)

    def _lay(self, canvas: np.ndarray, level: int, zoom: float, share: float) -> None:
        """Draw a level's picture on the canvas (H, W, 3), scaled and with a feathered border."""
        scale = self.factor ** (zoom - level)
        image = self._image(level)
        middle = np.array([self.size[1] / 2, self.size[0] / 2])
        origin = self.middle + self._shift(zoom, level) - middle / scale  # the film's corner in the level's pixels
        first = np.maximum(np.ceil(-origin * scale - 1e-9), 0).astype(int)
        last = np.minimum(np.floor((np.array(image.size) - origin) * scale + 1e-9), self.size[::-1]).astype(int)
        if (last - first < 2).any():
            return
        box = (*(origin + first / scale), *(origin + last / scale))
        box = tuple(np.clip(box, 0, image.size * 2))
        patch = np.asarray(image.resize(tuple(last - first), Image.Resampling.BICUBIC, box=box), np.float32)
        weight = share * np.outer(_feather(first[1], last[1], self.size[0]), _feather(first[0], last[0], self.size[1]))
        place = canvas[first[1] : last[1], first[0] : last[0]]
        place += weight[..., None].astype(np.float32) * (patch - place)

    def _shift(self, zoom: float, level: int) -> np.ndarray:
        """Offset (x, y) from the middle of the level's picture to the middle of the film, in the picture's pixels; as
        in `ZoomPath.gauge`.
        """
        base = math.floor(zoom) if self.loop else min(max(math.floor(zoom), 0), len(self.paths) - 1)
        part, p = zoom - base, self.factor
        drift = self._drift(base) * ((1 - p**-part) / (1 - 1 / p))
        for k in range(base, level):
            drift = (drift - self._drift(k)) * p
        for k in range(base - 1, level - 1, -1):
            drift = drift / p + self._drift(k)
        return drift

    def _drift(self, level: int) -> np.ndarray:
        if self.loop:
            return self.shifts[level % len(self.shifts)]
        return self.shifts[level] if 0 <= level < len(self.shifts) else np.zeros(2)

    def frames(self, per_level: int = FRAMES_PER_LEVEL) -> Iterator[np.ndarray]:
        """Yield all frames, including the first and the last."""
        for index in range(round(self.last * per_level) + 1):
            yield self.frame(index / per_level)

    def write(self, target: Path, report: Report, per_level: int = FRAMES_PER_LEVEL, fps: int = FPS) -> None:
        """Write the film as H.264 with BT.709 colours; of odd sizes the last row or column is dropped."""
        total = round(self.last * per_level) + 1

        def told() -> Iterator[np.ndarray]:
            for index, pixels in enumerate(self.frames(per_level)):
                report.progress(index / total, f"frame {index + 1} of {total}")
                yield pixels

        write_film(target, told(), fps, quality=15)


def _read(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB")


def _smooth(t: float) -> float:
    t = min(max(t, 0.0), 1.0)
    return t * t * (3 - 2 * t)


def _feather(first: int, last: int, size: int) -> np.ndarray:
    """Weights of pixels first..last along one side: 1, falling to 0 over a sixteenth of the size at borders that lie
    inside the film.
    """
    position, width = np.arange(first, last) + 0.5, max((last - first) / 16, 1)
    weight = np.ones(last - first)
    if first > 0:
        weight = np.minimum(weight, (position - first) / width)
    if last < size:
        weight = np.minimum(weight, (last - position) / width)
    return weight
