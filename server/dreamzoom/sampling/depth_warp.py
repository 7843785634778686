"""Warps between views through depth, and the consistency constraint of the second pass.

In the second pass a warp replaces the crop between levels, and side views take part. A warp maps the pixels of a source
view, as small squares at their depth, to the pixels of a target view of the same or a coarser scale: each target pixel
is the area-weighted mean of the visible squares in it. For a flat scene that faces the camera at the focus this is
exactly D of the crop. Noise is assigned to the target pixel that contains the square's centre: the groups are disjoint,
so it stays exactly white for any relief.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_matrix

from dreamzoom.progress import Report
from dreamzoom.sampling.warp_areas import Areas, Seen, make_areas


@dataclass(frozen=True)
class _Placed:
    """A warp's operators on one device.

    Attributes:
        covered: (m,) bool.
        means, back: Sparse (m, n) and its transpose (n, m); None on the CPU.
    """

    covered: torch.Tensor
    means: Any
    back: Any


def _sparse(matrix: csr_matrix, device: torch.device) -> torch.Tensor:
    parts = (torch.from_numpy(part).to(device) for part in (matrix.indptr, matrix.indices, matrix.data))
    with warnings.catch_warnings():  # PyTorch warns that sparse CSR support is in beta
        warnings.simplefilter("ignore", UserWarning)
        return torch.sparse_csr_tensor(*parts, size=matrix.shape, device=device)


@dataclass(frozen=True)
class Warp(Areas):
    """A linear map from the n pixels of a source view to the m pixels of a target view, for torch's tensors."""

    _placed: dict[torch.device, _Placed] = field(default_factory=dict, repr=False, compare=False)

    def __call__(self, picture: torch.Tensor) -> torch.Tensor:
        """Warp a source picture (C, H, W) to the target's pixels, (C, m); 0 where not covered."""
        flat = picture.reshape(len(picture), -1)
        if flat.device.type == "cpu":
            return torch.from_numpy((self.means @ flat.numpy().T).T)
        return (self.on(flat.device).means @ flat.T).T

    def back(self, values: torch.Tensor) -> torch.Tensor:
        """The adjoint: (C, m) to (C, n)."""
        if values.device.type == "cpu":
            return torch.from_numpy((self.means.T @ values.numpy().T).T)
        return (self.on(values.device).back @ values.T).T

    def on(self, device: torch.device) -> _Placed:
        """The warp's operators on a device, created on first use and cached."""
        if device not in self._placed:
            covered, means, back = torch.from_numpy(self.covered).to(device), None, None
            if device.type != "cpu":
                means, back = _sparse(self.means, device), _sparse(self.means.T.tocsr(), device)
            self._placed[device] = _Placed(covered, means, back)
        return self._placed[device]

    def noise(self, noise: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
        """Unit white noise of the target (C, H, W): the source's `noise` where it maps to, `own` elsewhere."""
        count = np.bincount(self.group[self.group >= 0], minlength=len(self.covered))
        flat, result = noise.reshape(len(noise), -1).numpy(), own.reshape(len(own), -1).clone()
        for channel, target in zip(flat, result):
            total = np.bincount(self.group[self.group >= 0], channel[self.group >= 0], len(count))
            target.copy_(torch.where(torch.from_numpy(count > 0),
                                     torch.from_numpy((total / np.sqrt(np.maximum(count, 1))).astype(np.float32)),
                                     target))  # fmt: skip
        return result.reshape(own.shape)


def make_warp(source: Seen, target: Seen, coarser: int = 1) -> Warp:
    """Compute the warp from one view to another; arguments as for `warp_areas.make_areas`."""
    found = make_areas(source, target, coarser)
    return Warp(found.means, found.covered, found.group)


@dataclass(frozen=True)
class Link:
    """Two overlapping views.

    Attributes:
        source, target: Indices of the views; the source is not coarser than the target.
        warp: From the source to the target reduced by `coarser`.
        coarser: Factor by which the target is reduced for the comparison.
        noise: The warp for the noise of latents if both views share it; None if each has its own.
    """

    source: int
    target: int
    warp: Warp
    coarser: int = 1
    noise: Warp | None = None

    def gap(self, pictures: Sequence[torch.Tensor]) -> torch.Tensor:
        """The target's picture minus the warped source, (C, m); 0 where not covered."""
        covered = self.warp.on(pictures[self.target].device).covered
        return (self._shrink(pictures[self.target]) - self.warp(pictures[self.source])) * covered

    def spread(self, values: torch.Tensor, changes: list[torch.Tensor]) -> None:
        """Add the adjoint of `gap`, applied to `values` (C, m), to the views' `changes` (C, H, W) in place."""
        values = values * self.warp.on(values.device).covered
        source, target = changes[self.source], changes[self.target]
        source -= self.warp.back(values).reshape(source.shape)
        target += self._grow(values, target.shape)

    def _shrink(self, picture: torch.Tensor) -> torch.Tensor:
        if self.coarser > 1:
            picture = torch.nn.functional.avg_pool2d(picture[None], self.coarser)[0]
        return picture.reshape(len(picture), -1)

    def _grow(self, values: torch.Tensor, shape: torch.Size) -> torch.Tensor:
        """The adjoint of `_shrink`: values (C, m) to a picture of `shape` (C, H, W)."""
        if self.coarser == 1:
            return values.reshape(shape)
        small = values.reshape(shape[0], shape[1] // self.coarser, shape[2] // self.coarser)
        grown = small.repeat_interleave(self.coarser, 1).repeat_interleave(self.coarser, 2) / self.coarser**2
        return torch.nn.functional.pad(grown, (0, shape[2] - grown.shape[2], 0, shape[1] - grown.shape[1]))


def make_link(source: int, target: int, views: tuple[Seen, Seen], coarser: int = 1, scale: int = 1) -> Link:
    """The link between two views.

    Args:
        source, target: Indices of the views.
        views: The source and the target.
        coarser: See `warp_areas.make_areas`.
        scale: Pixels per latent along each side, of the codec.
    """
    noise = None
    warp = make_warp(*views, coarser)
    if coarser == 1:
        noise = warp if scale == 1 else make_warp(views[0].reduced(scale), views[1].reduced(scale))
    return Link(source, target, warp, coarser, noise)


def agree(
    pictures: Sequence[torch.Tensor],
    links: Sequence[Link],
    rounds: int = 12,
    held: Sequence[torch.Tensor | None] = (),
    report: Report | None = None,
) -> list[torch.Tensor]:
    """The least squares projection of all pictures to consistency of linked views, by conjugate gradients.

    If A x are the gaps of all links, the result is x − Aᵀ (A Aᵀ)⁻¹ A x. Detail that no other view shows is unchanged.

    Args:
        pictures: (C, H, W) per view.
        links: Between the views.
        rounds: Maximum number of iterations.
        held: (H, W) bool per view, pixels that must not change; None if all may.
        report: For cancellation.

    Returns:
        (C, H, W) per view.
    """
    report = report or Report()
    gaps = [-link.gap(pictures) for link in links]
    solution = [torch.zeros_like(gap) for gap in gaps]
    direction = [gap.clone() for gap in gaps]
    power = sum(float((gap**2).sum()) for gap in gaps)
    goal = power * 1e-6
    for _ in range(rounds):
        if power <= goal or power < 1e-12:
            break
        report.check()
        changes = _back(pictures, links, direction, held)
        image = [link.gap(changes) for link in links]
        step = power / max(sum(float((d * a).sum()) for d, a in zip(direction, image)), 1e-20)
        for s, d, gap, a in zip(solution, direction, gaps, image):
            s += step * d
            gap -= step * a
        before, power = power, sum(float((gap**2).sum()) for gap in gaps)
        direction = [gap + (power / before) * d for gap, d in zip(gaps, direction)]
    return [picture + change for picture, change in zip(pictures, _back(pictures, links, solution, held))]


def _back(pictures, links: Sequence[Link], values: Sequence[torch.Tensor], held) -> list[torch.Tensor]:
    """The sum over all links of the adjoint of `Link.gap`, (C, H, W) per view; 0 at held pixels."""
    changes = [torch.zeros_like(picture) for picture in pictures]
    for link, value in zip(links, values):
        link.spread(value, changes)
    for change, mask in zip(changes, held):
        if mask is not None:
            change[:, mask] = 0
    return changes


def reprojection_db(pictures: Sequence[np.ndarray], links: Sequence[Link]) -> list[float]:
    """PSNR in dB of the warped source against the target on covered pixels, per link; pictures are (H, W, 3)."""
    tensors = [torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1))) for picture in pictures]
    result = []
    for link in links:
        error = link.gap(tensors)[:, torch.from_numpy(link.warp.covered)]
        result.append(float(-10 * torch.log10((error**2).mean().clamp_min(1e-12))))
    return result
