"""Paste a finer level's picture into the middle of a coarser one, for engines that only paint.

This fulfils the contract of `engines.base`: the middle of x_k is D(x_{k+1}). The finer picture is warped through its
depth to the coarser picture's pixels (each becomes the mean of the finer pixels inside it) and pasted there. A ring
around it is painted again, so that no border is visible. For a flat scene that faces the camera at the focus, the warp
equals D exactly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter, map_coordinates
from scipy.sparse import csr_matrix, diags
from scipy.sparse.linalg import lsqr

from core.camera import Similarity
from dreamzoom.engines.base import Engine
from dreamzoom.geometry.cloud import Cloud
from dreamzoom.geometry.laplace_solver import solve
from dreamzoom.geometry.point_rendering import project
from dreamzoom.geometry.view import COARSE, KNOWN, View
from dreamzoom.progress import Report
from dreamzoom.sampling.warp_areas import Seen, make_areas
from dreamzoom.stages.base.values import DreamedView, FinalPictures
from dreamzoom.stages.levels import LevelPrompt, repainted
from dreamzoom.stages.zoom import paint

DEPTH_TOLERANCE = 0.03
"""Relative depth tolerance: a point of the cloud is visible in a view if it differs from the view's depth by less."""

DEPTH_EDGE = 0.05
"""Colour changes are not propagated between adjacent pixels whose log depths differ by this or more."""


@dataclass(frozen=True)
class Middle:
    """The area of a level's picture (H, W) that shows the next level's picture (h, w).

    Attributes:
        means: (n, h·w) sparse, rows sum to 1: weights of the finer picture's pixels in each of the n shown pixels.
        shown: (H, W) bool, the n pixels that show the finer picture, in row order.
        given: (H, W) bool, the level's pixels that the artist gives; nothing is pasted over them.
    """

    means: csr_matrix
    shown: np.ndarray
    given: np.ndarray

    @property
    def pasted(self) -> np.ndarray:
        """(H, W) bool, the pixels that are replaced by the finer picture."""
        return self.shown & ~self.given

    def down(self, fine: np.ndarray) -> np.ndarray:
        """D of the finer picture (h, w, 3) at the shown pixels: (n, 3) float32."""
        return (self.means @ fine.reshape(-1, fine.shape[-1])).astype(np.float32)

    def paste(self, coarse: np.ndarray, fine: np.ndarray) -> np.ndarray:
        """The level's picture (H, W, 3) with D of the finer picture in its middle."""
        result = coarse.astype(np.float32)
        result[self.pasted] = self.down(fine)[~self.given[self.shown]]
        return result


def visible_levels(width: int, height: int, factor: float) -> int:
    """Number of finer levels that are at least one pixel long in a picture of this size; at least 1."""
    return max(math.floor(math.log(max(width, height)) / math.log(factor) + 1e-9), 1)


def middle_of(coarse: DreamedView, fine: DreamedView, move: Similarity, given: np.ndarray) -> Middle:
    """Compute the warp of a finer anchor view into a coarser one.

    Args:
        coarse, fine: The views, each in its own level's frame.
        move: Similarity from the finer level's frame to the coarser one's.
        given: (H, W) bool, the coarser view's pixels that the artist gives.
    """
    target = Seen(coarse.view.camera, np.nan_to_num(coarse.depth.astype(np.float64)))
    depth = np.nan_to_num(fine.depth.astype(np.float64)) * move.scale
    source = Seen(fine.view.camera.moved(move), depth)
    warp = make_areas(source, target)
    return Middle(warp.means[warp.covered], warp.covered.reshape(target.depth.shape), given)


def surroundings(
    engine: Engine,
    item: DreamedView,
    finer: np.ndarray,
    middle: Middle,
    factor: float,
    prompt: LevelPrompt,
    report: Report,
) -> np.ndarray:
    """A level's picture with the finer one in its middle and a ring around it painted again.

    The ring extends half-way to the border of a picture whose middle is 1/p of it. So the finer picture's own border,
    which the ring must match, does not change when the finer picture's middle is replaced in turn.

    Args:
        engine: Paints the ring.
        item: The level's anchor view as it was dreamed.
        finer: (h, w, 3) float32 sRGB, the finer level's picture.
        middle: The area that shows the finer picture.
        factor: The zoom factor p.
        prompt: Prompts and seed of the level.
        report: Receives progress and raises `Cancelled`.

    Returns:
        (H, W, 3) float32 sRGB.
    """
    pasted = middle.pasted
    wide = max((1 - 1 / factor) / 4 * min(pasted.shape), 1)
    near = distance_transform_edt(~pasted) <= wide if pasted.any() else pasted
    ring = near & ~pasted & ~middle.given
    rgb = middle.paste(item.rgb, finer)
    rgb = np.where(ring[..., None], _propagated(item, rgb - item.rgb, pasted, ring), rgb)
    mask = np.where(ring, COARSE, KNOWN).astype(np.uint8)
    view = replace(item.view, name=_repainted_name(item.view))
    return paint(engine, view, rgb, mask, prompt, report)


def _repainted_name(view: View) -> str:
    """The name of an anchor view when it is painted again: "002/again/anchor"."""
    return view.name.replace("/anchor", "/again/anchor")


def _propagated(item: DreamedView, change: np.ndarray, pasted: np.ndarray, ring: np.ndarray) -> np.ndarray:
    """The picture (H, W, 3) with the colour change of the pasted pixels propagated through the ring.

    The change is a solution of Laplace's equation that falls to 0 at the ring's outer border and is not propagated
    across depth edges.
    """
    weight = gaussian_filter(pasted.astype(np.float32), 2)
    smooth = gaussian_filter(np.where(pasted[..., None], change, 0), (2, 2, 0)) / np.maximum(weight, 1e-3)[..., None]
    with np.errstate(invalid="ignore", divide="ignore"):
        depth = np.log(item.depth.astype(np.float64))
    right, down = (_link_weights(depth, axis) for axis in (1, 0))
    hold = np.where(ring, 1e-9, 1e3)
    found = [solve(hold, np.where(pasted, smooth[..., c], 0), right, down) for c in range(3)]
    return np.clip(item.rgb + np.stack(found, -1), 0, 1).astype(np.float32)


def _link_weights(depth: np.ndarray, axis: int) -> np.ndarray:
    """Link weights (H, W): 1 where a pixel and the next one along the axis lie on the same surface, else 1e-4."""
    step = np.abs(np.diff(depth, axis=axis, append=np.take(depth, [-1], axis)))
    return np.where(step < DEPTH_EDGE, 1.0, 1e-4)


def gap(middle: Middle, coarse: np.ndarray, fine: np.ndarray, change: np.ndarray) -> np.ndarray:
    """The colour change that the finer picture needs so that its D equals the level's picture, at the level's pixels.

    Args:
        middle: The area that shows the finer picture.
        coarse, fine: (H, W, 3) and (h, w, 3), pictures that agree except at pixels given by the artist.
        change: (H, W, 3), the change of the level's own picture at pixels that are not given.

    Returns:
        (H, W, 3) float32; outside `middle.shown`, the value of the nearest shown pixel.
    """
    wanted, given = change[middle.shown].astype(np.float32), middle.given[middle.shown]
    wanted[given] = (coarse[middle.shown] - middle.down(fine))[given]
    field = np.zeros(change.shape, np.float32)
    field[middle.shown] = wanted
    if middle.shown.any():
        field = field[
            tuple(np.asarray(distance_transform_edt(~middle.shown, return_distances=False, return_indices=True)))
        ]
    return field


def lifted(
    field: np.ndarray, middle: Middle, coarse: DreamedView, fine: DreamedView, move: Similarity, held: np.ndarray
) -> np.ndarray:
    """A change of the finer picture, (h, w, 3) float32, whose D is `field`: smooth, and 0 at the held pixels.

    Args:
        field: (H, W, 3) at the coarser level's pixels.
        middle: The area that shows the finer picture.
        coarse, fine, move: As in `middle_of`.
        held: (h, w) bool, the finer picture's pixels that the artist gives.
    """
    source = fine.view.camera.moved(move)
    pixel, _ = coarse.view.camera.project(source.unproject(np.nan_to_num(fine.depth.astype(np.float64)) * move.scale))
    places = [pixel[..., 1] - 0.5, pixel[..., 0] - 0.5]
    change = np.stack([map_coordinates(field[..., c], places, order=1, mode="nearest") for c in range(3)], -1)
    change = np.where(held[..., None], 0, change)
    rest = field[middle.shown] - middle.down(change)
    free = middle.means @ diags((~held).ravel().astype(np.float32))
    more = np.stack([lsqr(free, rest[:, c], iter_lim=30)[0] for c in range(3)], -1)  # least-norm solution
    return (change + more.reshape(change.shape)).astype(np.float32)


def all_pictures(cloud: Cloud, views: Sequence[DreamedView], anchor: np.ndarray) -> list[np.ndarray]:
    """The pictures of all views of a level after its anchor's picture was replaced by `anchor` (H, W, 3).

    In the other views, pixels that show points of the cloud change like these points; pixels that were new in the view
    stay unchanged.
    """
    first = [anchor, *(item.rgb for item in views[1:])]
    after, _ = repainted(cloud, views, FinalPictures(first, by_difference=True))
    change = replace(cloud, rgb=after.rgb - cloud.rgb)
    for number, item in enumerate(views[1:], 1):
        seen = project(change, item.view.camera)
        with np.errstate(invalid="ignore"):
            taken = ~item.fresh & (np.abs(seen.depth - item.depth) < DEPTH_TOLERANCE * item.depth)
        first[number] = np.clip(item.rgb + np.where(taken[..., None], seen.rgb, 0), 0, 1).astype(np.float32)
    return first
