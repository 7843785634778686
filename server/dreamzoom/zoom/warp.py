"""The depth-aware second pass: the crop between levels becomes the warp through depth, and side views join in.

A warp takes the pixels of one view, as small squares at their depth, to the pixels of another that sees no finer: every
target pixel is the mean, by area, of the visible squares in it. For a flat scene that faces the camera at the focus
this is the crop's D, exactly. Noise goes with the pixel that a square's middle falls into: groups are disjoint, so it
stays exactly white for any relief.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import csr_matrix

from dreamzoom.camera import Camera
from dreamzoom.report import Report
from dreamzoom.zoom.blend import quantise
from dreamzoom.zoom.noise import draw
from dreamzoom.zoom.sampler import Denoiser, Prompt, advance, predict

TOLERANCE = 0.03
"""A pixel is hidden when it lies behind the target's depth by more than this share of it."""


@dataclass(frozen=True)
class Seen:
    """A view with its depth.

    Attributes:
        camera: In a frame common to the views that are compared.
        depth: (H, W) z-depth in that frame's units.
    """

    camera: Camera
    depth: np.ndarray


@dataclass(frozen=True)
class Warp:
    """From the n pixels of a source view to the m pixels of a target view.

    Attributes:
        means: (m, n) sparse, rows sum to 1 where `covered`, else empty.
        covered: (m,) bool: target pixels whose area is filled by visible source pixels.
        group: (n,) int64: the target pixel that the middle of each visible source pixel falls into, −1 for none.
    """

    means: csr_matrix
    covered: np.ndarray
    group: np.ndarray

    def __call__(self, picture: torch.Tensor) -> torch.Tensor:
        """(C, H, W) of the source at the target's pixels, 0 where not covered; (C, m)."""
        return torch.from_numpy((self.means @ picture.reshape(len(picture), -1).numpy().T).T)

    def back(self, values: torch.Tensor) -> torch.Tensor:
        """The adjoint: (C, m) to (C, n)."""
        return torch.from_numpy((self.means.T @ values.numpy().T).T)

    def noise(self, noise: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
        """Unit white noise of the target: the source's where it goes, its own elsewhere. Both (C, H, W)."""
        count = np.bincount(self.group[self.group >= 0], minlength=len(self.covered))
        flat, result = noise.reshape(len(noise), -1).numpy(), own.reshape(len(own), -1).clone()
        for channel, target in zip(flat, result):
            total = np.bincount(self.group[self.group >= 0], channel[self.group >= 0], len(count))
            target.copy_(torch.where(torch.from_numpy(count > 0),
                                     torch.from_numpy((total / np.sqrt(np.maximum(count, 1))).astype(np.float32)),
                                     target))  # fmt: skip
        return result.reshape(own.shape)


def make_warp(source: Seen, target: Seen, coarser: int = 1) -> Warp:
    """The warp from one view to another.

    Args:
        source, target: With cameras in the same frame.
        coarser: Meet at this many target pixels a side: 2 for views of the same scale, whose finest octave can't be
            compared without blurring it.
    """
    camera = target.camera.resized(target.camera.width // coarser, target.camera.height // coarser)
    depth = target.depth
    if coarser > 1:
        shape = (camera.height, coarser, camera.width, coarser)
        depth = depth[: camera.height * coarser, : camera.width * coarser].reshape(shape).mean((1, 3))
    points = source.camera.unproject(source.depth)
    pixel, z = camera.project(points)
    # a source pixel's side, in target pixels
    size = (source.depth / source.camera.fx) * camera.fx / np.maximum(z, 1e-9)
    column, row = np.floor(pixel[..., 0] + 1e-6).astype(int), np.floor(pixel[..., 1] + 1e-6).astype(int)
    inside = (column >= 0) & (column < camera.width) & (row >= 0) & (row < camera.height) & (z > 0)
    near = depth[np.clip(row, 0, camera.height - 1), np.clip(column, 0, camera.width - 1)]
    visible = inside & (np.abs(z - near) < TOLERANCE * near)
    group = np.where(visible, row * camera.width + column, -1).ravel()
    rows, columns, areas = _areas(pixel[visible], np.minimum(size[visible], 1.0), np.flatnonzero(visible), camera)
    count = camera.width * camera.height
    weights = csr_matrix((areas, (rows, columns)), shape=(count, source.depth.size))
    total = np.asarray(weights.sum(1)).ravel()
    covered = total > 0.75
    scale = np.where(covered, 1 / np.maximum(total, 1e-9), 0)
    means = csr_matrix(weights.multiply(scale[:, None]), dtype=np.float32)
    return Warp(means, covered, group)


def _areas(pixel: np.ndarray, size: np.ndarray, index: np.ndarray, camera: Camera):
    """Overlaps of squares of `size` ≤ 1 about `pixel` with the up to four pixels they touch: rows, columns, areas."""
    low, high = pixel - size[:, None] / 2, pixel + size[:, None] / 2
    first = np.floor(low + 1e-6).astype(int)
    rows, columns, areas = [], [], []
    for dy in (0, 1):
        for dx in (0, 1):
            cell = first + (dx, dy)
            sides = np.minimum(high, cell + 1) - np.maximum(low, cell)
            area = np.maximum(sides, 0).prod(1)
            good = (area > 1e-9) & (cell >= 0).all(1) & (cell[:, 0] < camera.width) & (cell[:, 1] < camera.height)
            rows.append((cell[:, 1] * camera.width + cell[:, 0])[good])
            columns.append(index[good])
            areas.append(area[good])
    return np.concatenate(rows), np.concatenate(columns), np.concatenate(areas)


@dataclass(frozen=True)
class Link:
    """Two views that see the same: `source` is not coarser than `target`; they meet at `coarser` target pixels a
    side.
    """

    source: int
    target: int
    warp: Warp
    coarser: int = 1

    def gap(self, pictures: Sequence[torch.Tensor]) -> torch.Tensor:
        """What the target shows less what the source says, where covered; (C, m)."""
        covered = torch.from_numpy(self.warp.covered)
        return (self._shrink(pictures[self.target]) - self.warp(pictures[self.source])) * covered

    def spread(self, values: torch.Tensor, changes: list[torch.Tensor]) -> None:
        """Add the adjoint of `gap` to the views' changes."""
        values = values * torch.from_numpy(self.warp.covered)
        source, target = changes[self.source], changes[self.target]
        source -= self.warp.back(values).reshape(source.shape)
        target += self._grow(values, target.shape)

    def _shrink(self, picture: torch.Tensor) -> torch.Tensor:
        if self.coarser > 1:
            picture = torch.nn.functional.avg_pool2d(picture[None], self.coarser)[0]
        return picture.reshape(len(picture), -1)

    def _grow(self, values: torch.Tensor, shape: torch.Size) -> torch.Tensor:
        if self.coarser == 1:
            return values.reshape(shape)
        small = values.reshape(shape[0], shape[1] // self.coarser, shape[2] // self.coarser)
        grown = small.repeat_interleave(self.coarser, 1).repeat_interleave(self.coarser, 2) / self.coarser**2
        return torch.nn.functional.pad(grown, (0, shape[2] - grown.shape[2], 0, shape[1] - grown.shape[1]))


def agree(pictures: Sequence[torch.Tensor], links: Sequence[Link], rounds: int = 12) -> list[torch.Tensor]:
    """The pictures closest to the given ones in which linked views show the same, by conjugate gradients.

    With A x the gaps of all links this is x − Aᵀ (A Aᵀ)⁻¹ A x: what no other view sees of a picture, its detail, stays.
    """
    gaps = [-link.gap(pictures) for link in links]
    solution = [torch.zeros_like(gap) for gap in gaps]
    direction = [gap.clone() for gap in gaps]
    power = sum(float((gap**2).sum()) for gap in gaps)
    goal = power * 1e-6
    for _ in range(rounds):
        if power <= goal or power < 1e-12:
            break
        image = [link.gap(_back(pictures, links, direction)) for link in links]
        step = power / max(sum(float((d * a).sum()) for d, a in zip(direction, image)), 1e-20)
        for s, d, gap, a in zip(solution, direction, gaps, image):
            s += step * d
            gap -= step * a
        before, power = power, sum(float((gap**2).sum()) for gap in gaps)
        direction = [gap + (power / before) * d for gap, d in zip(gaps, direction)]
    return [picture + change for picture, change in zip(pictures, _back(pictures, links, solution))]


def _back(pictures: Sequence[torch.Tensor], links: Sequence[Link], values: Sequence[torch.Tensor]):
    changes = [torch.zeros_like(picture) for picture in pictures]
    for link, value in zip(links, values):
        link.spread(value, changes)
    return changes


def refine_levels(
    denoiser: Denoiser,
    pictures: Sequence[np.ndarray],
    views: Sequence[Seen],
    pairs: Sequence[tuple[int, int, int]],
    prompts: Sequence[Prompt],
    seeds: Sequence[int],
    *,
    keep: Sequence[bool] = (),
    strength: float = 0.5,
    steps: int = 20,
    batch: int = 4,
    report: Report | None = None,
) -> list[np.ndarray]:
    """The second pass: all views sampled again from a middle noise, agreeing through their depth.

    Args:
        denoiser: The model that made the pictures.
        pictures: (H, W, 3) float32 sRGB a view, anchors and side views alike, finer levels later.
        views: Cameras with aligned depth, all in one frame (that of the first level here; a camera of level k is
            brought there with `Camera.moved`, its depth times that similarity's scale).
        pairs: (source, target, coarser) of views that overlap, the source not coarser than the target.
        prompts, seeds: One a view.
        keep: Views that must stay as they are (photos, finished levels).
        strength: 0..1, how far back in log noise ratio to start.
        steps: Model evaluations a view.
        batch: Most latents in one call.
        report: Progress and cancel.

    Returns:
        (H, W, 3) float32 sRGB in steps of 1/255, a view each.
    """
    report = report or Report()
    schedule, codec = denoiser.schedule, denoiser.codec
    links = [Link(a, b, make_warp(views[a], views[b], coarser), coarser) for a, b, coarser in pairs]
    now = [torch.from_numpy(np.asarray(picture, np.float32)).permute(2, 0, 1).contiguous() for picture in pictures]
    fixed = list(keep) or [False] * len(now)
    high = schedule.ratio_min * (schedule.ratio_max / schedule.ratio_min) ** strength
    ratios = np.geomspace(high, schedule.ratio_min, steps)
    start = codec.encode(torch.stack(now).to(denoiser.device))
    z = list(start + high * _noise(start.shape, seeds, links, codec.scale, 0).to(start))
    last: list[torch.Tensor] | None = None
    for index, ratio in enumerate(ratios):
        report.progress(index / steps, f"depth-aware step {index + 1} of {steps}")
        raw = predict(denoiser, z, [float(ratio)] * len(z), prompts, batch)
        decoded = list(codec.decode(torch.stack(raw)).cpu())
        merged = agree([own if hold else new for own, new, hold in zip(now, decoded, fixed)], links)
        merged = [own if hold else new for own, new, hold in zip(now, merged, fixed)]
        if index + 1 == steps:
            break
        latents = codec.encode(torch.stack(merged).to(denoiser.device))
        if not codec.exact:
            latents = torch.stack(raw) + latents - codec.encode(torch.stack(decoded).to(latents))
        clean = list(latents)
        noise = _noise(start.shape, seeds, links, codec.scale, index + 1).to(start)
        z = [
            advance(one, x, None if last is None else last[k], noise[k], float(ratio), float(ratios[index + 1]))
            for k, (one, x) in enumerate(zip(z, clean))
        ]
        last = clean
    final = [quantise(picture) for picture in merged]
    return [picture.permute(1, 2, 0).numpy() for picture in final]


def _noise(shape, seeds: Sequence[int], links: Sequence[Link], scale: int, step: int) -> torch.Tensor:
    """White noise for every view; in pixel models the coarser view of a link takes the finer one's where it goes."""
    noise = [draw(tuple(shape[1:]), seed, 10_000 + step) for seed in seeds]
    if scale == 1:
        for link in sorted(links, key=lambda link: -link.source):
            if link.coarser == 1:
                noise[link.target] = link.warp.noise(noise[link.source], noise[link.target])
    return torch.stack(noise)


def reprojection_db(pictures: Sequence[np.ndarray], links: Sequence[Link]) -> list[float]:
    """PSNR of what the source says against what the target shows, a link each, where it is covered."""
    tensors = [torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1))) for picture in pictures]
    result = []
    for link in links:
        error = link.gap(tensors)[:, torch.from_numpy(link.warp.covered)]
        result.append(float(-10 * torch.log10((error**2).mean().clamp_min(1e-12))))
    return result
