"""The GPU rasteriser: forward pass to a picture and lists of hits, and backward pass to gradients of the splats."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from core.camera import Camera
from core.gaussians import Gaussians
from dreamzoom.splats.cuda.driver import Card
from dreamzoom.splats.cuda.layout import KEPT, ROW_THREADS, TILE, TILE_THREADS, WARP
from dreamzoom.splats.splat_projection import COLUMNS, GRADIENTS
from dreamzoom.splats.view_table import camera_arrays

PIECE = 4096
"""Pixels of a splat's box that one warp sums."""


@dataclass(frozen=True)
class Parameters:
    """N splats on the GPU, float32: as in `Gaussians`, but opacities (N,) in 0..1 and rgb (N, 3) in linear light."""

    means: torch.Tensor
    log_scales: torch.Tensor
    quaternions: torch.Tensor
    opacities: torch.Tensor
    rgb: torch.Tensor

    def __len__(self) -> int:
        return len(self.means)


class Lens:
    """A camera on the GPU, with the variance tau of the pixel filter (pixels²) and the z-depth of the near plane."""

    def __init__(self, card: Card, camera: Camera, tau: float, near: float):
        self.card, self.width, self.height, self.tau, self.near = card, camera.width, camera.height, tau, near
        self.arrays = [uploaded(card, array) for array in camera_arrays(camera)]

    @property
    def arguments(self) -> tuple:
        """The arguments of the kernels `project` and `chain`."""
        return (*self.arrays, self.width, self.height, self.tau, self.near)

    def project(self, parts: list[Parameters]) -> tuple[torch.Tensor, torch.Tensor]:
        """The table (N, COLUMNS) float32 and boxes (N, 4) int32 of all parts, concatenated."""
        count = sum(len(part) for part in parts)
        table = torch.zeros((count, COLUMNS), device=self.card.device)
        box = torch.zeros((count, 4), dtype=torch.int32, device=self.card.device)
        begin = 0
        for part in parts:
            end = begin + len(part)
            arrays = (part.means, part.log_scales, part.quaternions, part.opacities, part.rgb)
            own = table[begin:end], box[begin:end]
            self.card.launch("project", blocks(len(part)), ROW_THREADS, *arrays, *self.arguments, *own)
            begin = end
        return table, box


@dataclass(frozen=True)
class Seen:
    """The result of a view's forward pass.

    Attributes:
        lens: The camera.
        table, box: From `Lens.project`.
        background: (3,) float32, linear RGB.
        rgb: (H, W, 3) float32, linear RGB.
        alpha: (H, W) float32.
        depth: (H, W) float32, mean z-depth of the hits; infinite without hits.
        lists: int32, the splats of each pixel's hits, front to back: KEPT planes of (H · W,), then further hits.
        used: (H · W,) int32, number of hits of each pixel.
        first: (H · W,) int64, start of each pixel's hits beyond KEPT, relative to the end of the planes.
    """

    lens: Lens
    table: torch.Tensor
    box: torch.Tensor
    background: torch.Tensor
    rgb: torch.Tensor
    alpha: torch.Tensor
    depth: torch.Tensor
    lists: torch.Tensor
    used: torch.Tensor
    first: torch.Tensor

    @property
    def hits(self) -> tuple:
        """The hit lists, as arguments of kernels."""
        return self.lists, self.used, self.first

    def gradients(
        self, own: Parameters, grad_rgb: torch.Tensor, grad_alpha: torch.Tensor
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """The gradients of the loss by the parameters of the first splats.

        Args:
            own: The first part that was projected, N splats.
            grad_rgb, grad_alpha: (H, W, 3) and (H, W) float32, of the loss by the linear picture and its alpha.

        Returns:
            Gradients by parameter, including `logit_opacities` and `rgb_linear`; and a mask (N,) bool of the splats
            that are visible in the view.
        """
        card, count = self.lens.card, len(own)
        by_alpha, weights = (torch.empty(len(self.lists), device=card.device) for _ in range(2))
        slopes = grad_rgb, grad_alpha, by_alpha, weights
        pixels = self.used.numel()
        card.launch(
            "slopes", blocks(pixels), ROW_THREADS, self.table, self.lens.width, self.background, *self.hits, *slopes
        )
        notes = by_alpha, weights, grad_rgb
        rows = self._summed("gather_rows", count, GRADIENTS, self.table, self.box, self.lens.width, *self.hits, *notes)
        widths = {"means": 3, "log_scales": 3, "quaternions": 4}
        found = {name: torch.zeros((count, width), device=card.device) for name, width in widths.items()}
        found["logit_opacities"] = torch.zeros(count, device=card.device)
        arrays = own.means, own.log_scales, own.quaternions, own.opacities
        out = self.box, rows, *found.values()
        card.launch("chain", blocks(count), ROW_THREADS, *arrays, *self.lens.arguments, *out)
        found["rgb_linear"] = rows[:, 10:13]
        return found, self.box[:count, 1] > self.box[:count, 0]

    def spread(self, count: int, residual: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """Sums (count, 4) over the hits of the first `count` splats of their blending weight times residual and weight.

        `residual` is (H, W, 3), `weight` is (H, W); compare `cpu_rasterizer.spread_colour`.
        """
        card, pixels = self.lens.card, self.used.numel()
        weights = torch.empty(len(self.lists), device=card.device)
        card.launch("shares", blocks(pixels), ROW_THREADS, self.table, self.lens.width, *self.hits, weights)
        return self._summed("spread", count, 4, self.box, self.lens.width, *self.hits, weights, residual, weight)

    def _summed(self, kernel: str, count: int, width: int, *arguments) -> torch.Tensor:
        """Run a kernel that sums over pieces of splats' boxes, one warp per piece: (count, width) float32."""
        card, box = self.lens.card, self.box[:count]
        areas = (box[:, 1] - box[:, 0]).long() * (box[:, 3] - box[:, 2])
        pieces = ((areas + PIECE - 1) // PIECE).clamp_min(1)
        starts = torch.zeros(count + 1, dtype=torch.int64, device=card.device)
        torch.cumsum(pieces, 0, out=starts[1:])
        total = int(starts[-1])
        splats = torch.arange(count, dtype=torch.int32, device=card.device)
        if total > count:
            splats = torch.repeat_interleave(splats, pieces, output_size=total)
        parts = torch.empty((total, width), device=card.device)
        card.launch(kernel, total, WARP, splats, starts, PIECE, *arguments, parts)
        if total == count:
            return parts
        sums = torch.empty((count, width), device=card.device)
        card.launch("add_pieces", blocks(count), ROW_THREADS, starts, parts, sums)
        return sums


def see(lens: Lens, parts: list[Parameters], background: torch.Tensor, *, listing: bool = True) -> Seen:
    """Rasterise splats over a linear background (3,).

    Args:
        lens: The camera.
        parts: The splats.
        background: (3,) float32, linear RGB.
        listing: Whether to keep the hit lists, which the backward pass requires.
    """
    card, width, height = lens.card, lens.width, lens.height
    table, box = lens.project(parts)
    tile_start, tile_splats, columns = _binned(lens, box)
    rgb = torch.empty((height, width, 3), device=card.device)
    alpha, depth = (torch.empty((height, width), device=card.device) for _ in range(2))
    kept = KEPT if listing else 0
    lists = torch.empty(kept * width * height, dtype=torch.int32, device=card.device)
    used = torch.empty(width * height, dtype=torch.int32, device=card.device)
    tiles = len(tile_start) - 1
    shared = (tile_start, tile_splats, table, box, columns, width, height, lens.near)
    card.launch("forward", tiles, TILE_THREADS, *shared, background, kept, rgb, alpha, depth, lists, used)
    first = torch.zeros(width * height if listing else 0, dtype=torch.int64, device=card.device)
    if listing:
        beyond = (used - KEPT).clamp_min(0).long()
        torch.cumsum(beyond, 0, out=first)
        more = int(first[-1])
        first -= beyond
        if more:
            lists = torch.cat([lists, lists.new_zeros(more)])
            card.launch("overflow", tiles, TILE_THREADS, *shared, used, first, lists)
    return Seen(lens, table, box, background, rgb, alpha, depth, lists, used, first)


def _binned(lens: Lens, box: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, int]:
    """The start of each tile's splats (tiles + 1,) int32, the splats by tile in any order (int32), and tiles across."""
    columns, rows = -(-lens.width // TILE), -(-lens.height // TILE)
    counts = torch.zeros(columns * rows, dtype=torch.int32, device=lens.card.device)
    lens.card.launch("count_tiles", blocks(len(box)), ROW_THREADS, box, columns, counts)
    start = torch.zeros(len(counts) + 1, dtype=torch.int32, device=lens.card.device)
    torch.cumsum(counts, 0, dtype=torch.int32, out=start[1:])
    tile_splats = torch.empty(int(start[-1]), dtype=torch.int32, device=lens.card.device)
    lens.card.launch("fill_tiles", blocks(len(box)), ROW_THREADS, box, columns, start[:-1].clone(), tile_splats)
    return start, tile_splats, columns


def has_room(card: Card, splats: Gaussians, camera: Camera) -> bool:
    """Whether enough GPU memory is free for a picture: its pixels, and the splats with about eight tiles each."""
    needed = 32 * camera.width * camera.height + (200 + splats.sh[:1].nbytes) * len(splats)
    return 1.3 * needed <= bytes_free(card)


def bytes_free(card: Card) -> int:
    """GPU memory, in bytes, that torch can still allocate."""
    free, _ = torch.cuda.mem_get_info(card.device)
    return free + torch.cuda.memory_reserved(card.device) - torch.cuda.memory_allocated(card.device)


def rasterize(
    card: Card,
    splats: Gaussians,
    camera: Camera,
    opacities: np.ndarray,
    background: np.ndarray,
    tau: float,
    near: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Render splats, equivalent to `cpu_rasterizer.blend_hits` after `view_table.see`.

    Args:
        card: The GPU.
        splats, camera: In one frame.
        opacities: (N,) in 0..1.
        background: (3,) linear RGB.
        tau: Variance of the pixel filter, pixels².
        near: Z-depth of the near plane.

    Returns:
        Linear RGB (H, W, 3), alpha (H, W) and mean z-depth (H, W); float32.
    """
    lens = Lens(card, camera, tau, near)
    own = shaded(card, splats, lens.arrays[1], uploaded(card, np.asarray(opacities, np.float32)))
    seen = see(lens, [own], uploaded(card, np.asarray(background, np.float32)), listing=False)
    return seen.rgb.cpu().numpy(), seen.alpha.cpu().numpy(), seen.depth.cpu().numpy()


def shaded(card: Card, splats: Gaussians, centre: torch.Tensor, opacities: torch.Tensor) -> Parameters:
    """Copy splats to the GPU, with colours as seen from `centre` (3,) float64; opacities (N,) are on the GPU."""
    names = ("means", "log_scales", "quaternions", "sh")
    means, log_scales, quaternions, sh = (uploaded(card, getattr(splats, name).astype(np.float32)) for name in names)
    rgb = torch.empty((len(splats), 3), device=card.device)
    card.launch("shade", blocks(len(splats)), ROW_THREADS, means, sh, centre, rgb)
    return Parameters(means, log_scales, quaternions, opacities, rgb)


def uploaded(card: Card, array: np.ndarray) -> torch.Tensor:
    """A contiguous copy on the GPU, of the same type."""
    return torch.tensor(np.ascontiguousarray(array), device=card.device)


def blocks(count: int) -> int:
    """The number of blocks of ROW_THREADS threads for `count` rows."""
    return -(-count // ROW_THREADS)
