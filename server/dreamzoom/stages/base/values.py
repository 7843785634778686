"""Values that are passed between stages and are not defined in `geometry`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dreamzoom.geometry.view import View

if TYPE_CHECKING:
    from dreamzoom.geometry.depth_edges import Edges


@dataclass(frozen=True)
class DreamedView:
    """One view with its depth; the splats are fitted to it.

    Attributes:
        view: The camera, in the level's frame.
        rgb: (H, W, 3) float32 sRGB.
        depth: (H, W) float32 z-depth in the level's frame, NaN where unknown.
        fresh: (H, W) bool, the pixels that were unprojected to new points.
    """

    view: View
    rgb: np.ndarray
    depth: np.ndarray
    fresh: np.ndarray


@dataclass(frozen=True)
class FittedView:
    """A view whose depth was aligned on its own to the points that were known when it was dreamed.

    Attributes:
        dreamed: The view. Where the artist's own objects are visible, its depth is theirs.
        covered: (H, W) bool, where the artist's own objects are visible.
        correction: (H, W) float32, logarithm of the factor that the alignment applied to the scaled depth.
        confidence: (H, W) float32 in 0..1.
        edges: The edges of the aligned depth.
        behind: Whether the view ignores the artist's own objects and adds points only behind them.
        given: (H, W) bool, the pixels of the artist's own picture; None if there are none.
        measured: (H, W) bool, the pixels whose depth is the artist's own or follows it; None if there are none.
    """

    dreamed: DreamedView
    covered: np.ndarray
    correction: np.ndarray
    confidence: np.ndarray
    edges: Edges
    behind: bool = False
    given: np.ndarray | None = None
    measured: np.ndarray | None = None


@dataclass(frozen=True)
class FittedLevel:
    """A level's views before their depths are aligned jointly.

    Attributes:
        views: The anchor view first, then the others in the order in which they were dreamed.
        anchor_fixed: Whether the anchor's depth is exact and stays fixed in the joint alignment.
    """

    views: Sequence[FittedView]
    anchor_fixed: bool


@dataclass(frozen=True)
class FinalPictures:
    """The pictures of a level's views after all levels were made consistent.

    Attributes:
        pictures: (H, W, 3) float32 sRGB quantised to 1/255, in the order of the views.
        by_difference: Whether a point's colour changes by the same difference as the pixel that it was unprojected
            from; if not, the point takes over the pixel's colour.
    """

    pictures: Sequence[np.ndarray]
    by_difference: bool
