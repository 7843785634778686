"""Values that pass from stage to stage and have no home in the geometry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dreamzoom.geometry.view import View

if TYPE_CHECKING:
    from dreamzoom.geometry.edges import Edges


@dataclass(frozen=True)
class DreamedView:
    """One view with its depth: what the splats are fitted to.

    Attributes:
        view: The camera, in the level's frame.
        rgb: (H, W, 3) float32 sRGB.
        depth: (H, W) float32 z-depth in the level's frame, NaN where there is none.
        fresh: (H, W) bool, the pixels that gave new points.
    """

    view: View
    rgb: np.ndarray
    depth: np.ndarray
    fresh: np.ndarray


@dataclass(frozen=True)
class FittedView:
    """A view whose depth was fitted, by itself, to what was known when it was dreamed.

    Attributes:
        dreamed: The view; its depth is that of the artist's own objects where they are seen.
        covered: (H, W) bool, where the artist's own objects are seen.
        correction: (H, W) float32, the logarithm of what the fit multiplied the scaled depth by.
        confidence: (H, W) float32 in 0..1.
        edges: Of the fitted depth.
        behind: Whether the view looks through the artist's own objects and gives points only behind them.
    """

    dreamed: DreamedView
    covered: np.ndarray
    correction: np.ndarray
    confidence: np.ndarray
    edges: Edges
    behind: bool = False


@dataclass(frozen=True)
class FittedLevel:
    """A level's views before their depths are corrected together.

    Attributes:
        views: The anchor view first, then the others in the order in which they were dreamed.
        anchor_fixed: Whether the anchor's depth is true as it is, and the others have to follow it.
    """

    views: Sequence[FittedView]
    anchor_fixed: bool


@dataclass(frozen=True)
class FinalPictures:
    """The pictures of a level's views after all levels were made to agree.

    Attributes:
        pictures: (H, W, 3) float32 sRGB in steps of 1/255, in the views' order.
        by_difference: Whether a point changes by as much as the pixel that it was lifted from; else it takes over that
            pixel's colour.
    """

    pictures: Sequence[np.ndarray]
    by_difference: bool
