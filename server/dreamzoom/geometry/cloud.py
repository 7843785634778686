"""Point clouds: coloured, oriented points in one level's frame, each with its source view."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np


@dataclass(frozen=True)
class Cloud:
    """Points of one level; every array has N rows.

    Attributes:
        position: (N, 3) float32, the level's frame.
        rgb: (N, 3) float32, sRGB in 0..1.
        normal: (N, 3) float32, unit, pointing towards the source view's camera.
        footprint: (N,) float32, the size of one pixel of the source view at the point, z-depth / focal length, in the
            frame's units.
        view: (N,) int32, the index of the source view in the plan.
        confidence: (N,) float32 in 0..1.
        superseded: (N,) bool: a finer level covers this part of the surface.
        given: (N,) bool: the colour is that of the artist's own picture of the level. Such points are never repainted
            within their level, however coarse they appear. None in the constructor for no such points.
        measured: (N,) bool: the depth is the artist's own, or follows it in a finer level. None as for `given`.
    """

    position: np.ndarray
    rgb: np.ndarray
    normal: np.ndarray
    footprint: np.ndarray
    view: np.ndarray
    confidence: np.ndarray
    superseded: np.ndarray
    given: np.ndarray = None  # type: ignore[assignment]
    measured: np.ndarray = None  # type: ignore[assignment]

    def __post_init__(self):
        for name in ("given", "measured"):
            if getattr(self, name) is None:
                object.__setattr__(self, name, np.zeros(len(self.position), bool))

    def __len__(self) -> int:
        return len(self.position)

    def __getitem__(self, rows) -> Cloud:
        """The points selected by a mask or an index array."""
        return Cloud(*(getattr(self, field.name)[rows] for field in fields(self)))

    def moved(self, similarity) -> Cloud:
        """The same points in another frame (`camera.Similarity`)."""
        position = similarity.apply(self.position).astype(np.float32)
        return replace(self, position=position, footprint=(self.footprint * similarity.scale).astype(np.float32))

    @staticmethod
    def empty() -> Cloud:
        """A cloud without points."""
        return Cloud(
            np.zeros((0, 3), np.float32),
            np.zeros((0, 3), np.float32),
            np.zeros((0, 3), np.float32),
            np.zeros(0, np.float32),
            np.zeros(0, np.int32),
            np.zeros(0, np.float32),
            np.zeros(0, bool),
        )

    @staticmethod
    def joined(clouds: list[Cloud]) -> Cloud:
        """Concatenate clouds in order."""
        return Cloud(*(np.concatenate([getattr(cloud, field.name) for cloud in clouds]) for field in fields(Cloud)))
