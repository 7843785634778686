"""Reference implementation of the viewers' image model in torch with autograd, called as `gsplat.rasterization` is.

The compiled kernels are tested against it, and it stands in for gsplat where there is no GPU: tests run the refit of
`torch_refit` with it. It is slow: a tile's pixels are computed for all splats that overlap the tile.
"""

from __future__ import annotations

import torch

from dreamzoom.splats.torch_reference import rotations
from dreamzoom.splats.viewers.blending import MOST_ALPHA
from dreamzoom.splats.viewers.projection import MARGIN, MIN_ALPHA

TILE = 32


def rasterization(
    means: torch.Tensor,  # (N, 3)
    quats: torch.Tensor,  # (N, 4) wxyz
    scales: torch.Tensor,  # (N, 3)
    opacities: torch.Tensor,  # (N,)
    colors: torch.Tensor,  # (N, 3) sRGB
    viewmats: torch.Tensor,  # (1, 4, 4) frame to camera
    Ks: torch.Tensor,  # (1, 3, 3)
    width: int,
    height: int,
    near_plane: float = 0.01,
    far_plane: float = 1e10,
    eps2d: float = 0.3,
    packed: bool = False,
    rasterize_mode: str = "classic",
) -> tuple[torch.Tensor, torch.Tensor, dict]:
    """Render sRGB (1, H, W, 3) over black and alpha (1, H, W, 1); "radii" (1, N, 2) is 0 for splats outside."""
    if packed or rasterize_mode != "classic" or len(viewmats) != 1:
        raise ValueError("only one unpacked view in mode classic")
    view, lens = viewmats[0], Ks[0]
    m = means @ view[:3, :3].T + view[:3, 3]
    shown = (m[:, 2] > near_plane) & (m[:, 2] < far_plane) & (opacities > MIN_ALPHA)
    z = torch.where(shown, m[:, 2], torch.ones_like(m[:, 2]))
    centre = torch.stack([lens[0, 0] * m[:, 0] / z + lens[0, 2], lens[1, 1] * m[:, 1] / z + lens[1, 2]], -1)
    covariance = _projected(m, z, view[:3, :3] @ (rotations(quats) * scales[:, None, :]), lens, width, height, eps2d)
    conic = torch.linalg.inv(covariance)
    most = torch.log(opacities.detach().clamp(min=1e-12) / MIN_ALPHA)
    radii = torch.sqrt(2 * most.clamp(min=0)[:, None] * torch.diagonal(covariance.detach(), dim1=1, dim2=2))
    radii = torch.where(shown[:, None], radii + 1e-3, torch.zeros_like(radii))
    order = torch.argsort(m[:, 2].detach(), stable=True)
    order = order[shown[order]]
    low, high = centre.detach() - radii, centre.detach() + radii
    rows = []
    for top in range(0, height, TILE):
        row = []
        for left in range(0, width, TILE):
            bounds = (left, min(left + TILE, width), top, min(top + TILE, height))
            picked = order[_overlapping(low, high, bounds)[order]]
            row.append(_tile(centre[picked], conic[picked], opacities[picked], colors[picked], bounds))
        rows.append(torch.cat(row, 1))
    picture = torch.cat(rows, 0)
    inside = shown & _overlapping(low, high, (0, width, 0, height))
    return picture[None, ..., :3], picture[None, ..., 3:], {"radii": (radii * inside[:, None])[None]}


def _overlapping(low, high, bounds):
    """Which of the rectangles low..high (N, 2) overlap the pixels left, right, top, bottom."""
    left, right, top, bottom = bounds
    return (high[:, 0] > left) & (low[:, 0] < right) & (high[:, 1] > top) & (low[:, 1] < bottom)


def _projected(m, z, axes, lens, width, height, eps2d):
    """The covariances (N, 2, 2) in pixels² of Gaussians whose scaled axes are the columns of `axes` (N, 3, 3)."""
    rows = []
    for index, size in enumerate((width, height)):
        focal, middle = lens[index, index], lens[index, 2]
        margin = MARGIN * 0.5 * size / focal
        slope = (m[:, index] / z).clamp(min=-middle / focal - margin, max=(size - middle) / focal + margin)
        rows.append(focal / z[:, None] * (axes[:, index] - slope[:, None] * axes[:, 2]))
    spread = torch.stack(rows, 1)
    return spread @ spread.mT + eps2d * torch.eye(2, dtype=m.dtype, device=m.device)


def _tile(centre, conic, opacities, colours, bounds):
    """One tile: sRGB and alpha (h, w, 4)."""
    left, right, top, bottom = bounds
    kind = {"dtype": centre.dtype, "device": centre.device}
    x, y = torch.arange(left, right, **kind) + 0.5, torch.arange(top, bottom, **kind) + 0.5
    pixel = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).reshape(-1, 1, 2)
    away = pixel - centre
    power = 0.5 * torch.einsum("pni,nij,pnj->pn", away, conic, away)
    alpha = opacities * torch.exp(-power)
    alpha = torch.where(alpha >= MIN_ALPHA, alpha.clamp(max=float(MOST_ALPHA)), torch.zeros_like(alpha))
    clear = torch.cumprod(torch.cat([torch.ones_like(alpha[:, :1]), 1 - alpha], 1), 1)
    rgb = (clear[:, :-1] * alpha) @ colours.clamp(min=0)
    return torch.cat([rgb, 1 - clear[:, -1:]], 1).reshape(bottom - top, right - left, 4)
