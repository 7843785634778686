"""The cloud: coloured points in one level's frame, each with where it came from."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np


@dataclass(frozen=True)
class Cloud:
    """Points of one level; every array has N rows.

    Attributes:
        position: (N, 3) float32, the level's frame.
        rgb: (N, 3) float32, sRGB in 0..1.
        normal: (N, 3) float32, unit, towards the camera that saw the point.
        footprint: (N,) float32, the size of one pixel at the point in the view where it was born (z-depth / focal).
        view: (N,) int32, the index of that view in the plan.
        confidence: (N,) float32 in 0..1.
        superseded: (N,) bool: a finer level shows this place.
    """

    position: np.ndarray
    rgb: np.ndarray
    normal: np.ndarray
    footprint: np.ndarray
    view: np.ndarray
    confidence: np.ndarray
    superseded: np.ndarray

    def __len__(self) -> int:
        return len(self.position)

    def __getitem__(self, rows) -> Cloud:
        """The points that a mask or an index array picks."""
        return Cloud(*(getattr(self, field.name)[rows] for field in fields(self)))

    def moved(self, similarity) -> Cloud:
        """The same points in another frame (`camera.Similarity`)."""
        position = similarity.apply(self.position).astype(np.float32)
        return replace(self, position=position, footprint=(self.footprint * similarity.scale).astype(np.float32))

    @staticmethod
    def empty() -> Cloud:
        """No points."""
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
        """All points, in order."""
        return Cloud(*(np.concatenate([getattr(cloud, field.name) for cloud in clouds]) for field in fields(Cloud)))
