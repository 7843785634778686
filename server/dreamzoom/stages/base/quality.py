"""The settings behind the request's quality: "draft", "preview" or "final"."""

from __future__ import annotations

from dataclasses import dataclass

from dreamzoom.request.schema import Request


@dataclass(frozen=True)
class QualitySettings:
    """The settings of one quality.

    Attributes:
        overscan: Maximum factor by which an anchor view is wider than the camera. With √p, level k+1 fills the screen
            from u = k+½ on; until then level k is magnified around it.
        side_views: Maximum number of side views per level for small holes. Holes larger than `LARGE_HOLE` get a side
            view at any quality, because a camera that turns away must not see an empty background.
        hole_share: A side view is dreamed only if holes cover more than this share of its picture.
        iterations: Iterations of the splat fit. With more than about 50 per view the fit overfits these views and gets
            worse in others.
        sharpening: Amount of unsharp masking (σ = 0.7 pixels) applied to a picture before the fit. From any camera but
            the anchor itself, splats are interpolated between their centres, which loses detail: without sharpening,
            frames of a draft (box-filtered over pixels) have 0.62 to 0.95 of the energy of the ground truth's finest
            octave, with it 0.76 to 1.2.
        supports: Number of support views of the cloud, besides those half-way to the side views.
        cap: Maximum number of splats per level, before its gaps are filled.
        points: Maximum number of points per level.
        places: Maximum number of cameras on a level's flight from which its small gaps are filled.
    """

    overscan: float
    side_views: int
    hole_share: float
    iterations: int
    sharpening: float
    supports: int
    cap: int
    points: int
    places: int


LARGE_HOLE = 0.04
"""Holes that cover at least this share of a picture are large."""

QUALITIES = {
    "draft": QualitySettings(
        overscan=1.6,
        side_views=1,
        hole_share=0.0005,
        iterations=5,
        sharpening=0.25,
        supports=0,
        cap=400_000,
        points=600_000,
        places=16,
    ),
    "preview": QualitySettings(
        overscan=1.6,
        side_views=2,
        hole_share=0.0005,
        iterations=50,
        sharpening=0.0,
        supports=2,
        cap=500_000,
        points=1_000_000,
        places=24,
    ),
    "final": QualitySettings(
        overscan=2.0,
        side_views=4,
        hole_share=0.0005,
        iterations=300,
        sharpening=0.0,
        supports=4,
        cap=3_000_000,
        points=6_000_000,
        places=48,
    ),
}


def settings(request: Request) -> QualitySettings:
    """The settings of the request's quality."""
    return QUALITIES[request.quality]
