"""What the request's quality stands for."""

from __future__ import annotations

from dataclasses import dataclass

from dreamzoom.wire import Request


@dataclass(frozen=True)
class QualitySettings:
    """What a quality stands for.

    Attributes:
        overscan: The most by which an anchor view is wider than the camera. At √p level k+1 fills the screen from
            u = k+½ on; until then level k is magnified around it.
        side_views: The most side views per level for small holes; fewer where fewer show holes. Holes of more than
            `LARGE_HOLE` get theirs whatever the quality: a camera that turns away must not fly into nothing.
        hole_share: A side view is dreamed only where more than this share of its picture would be a hole.
        iterations: Of the splat fit. With more than about 50 a view it learns these by heart and gets worse in others.
        supports: Extra views of the cloud that the fit has to close, beside those half-way to the side views.
        cap: The most splats of one level, before its gaps are closed.
        points: The most points of one level.
        places: The most places of a level's flight from which its small gaps are closed.
    """

    overscan: float
    side_views: int
    hole_share: float
    iterations: int
    supports: int
    cap: int
    points: int
    places: int


LARGE_HOLE = 0.04
"""The share of a picture from which a hole is large."""

QUALITIES = {
    "draft": QualitySettings(
        overscan=1.6, side_views=1, hole_share=0.0005, iterations=5, supports=0, cap=400_000, points=600_000, places=16
    ),
    "preview": QualitySettings(
        overscan=1.6,
        side_views=2,
        hole_share=0.0005,
        iterations=50,
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
        supports=4,
        cap=3_000_000,
        points=6_000_000,
        places=48,
    ),
}


def settings(request: Request) -> QualitySettings:
    """The settings of the request's quality."""
    return QUALITIES[request.quality]
