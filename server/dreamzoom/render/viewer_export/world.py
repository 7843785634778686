"""All levels of a flight in one frame, as a file for viewers holds them: there nothing fades, so each place is shown by
its finest level alone.

The frame is that of the deepest level, whose focus is the origin: there single precision is finest, and a camera that
flies towards it sees every level as exactly as in the level's own frame.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from core.camera import Camera, Similarity
from core.errors import DreamzoomError
from core.gaussians import LARGEST, Gaussians, moved, padded_join
from dreamzoom.geometry.zoom_path import Key
from dreamzoom.render.flight import Flight
from dreamzoom.splats.view_table import NEAR


@dataclass(frozen=True)
class World:
    """The frame of a flight's deepest level.

    Attributes:
        flight: The flight.
        levels: The levels that the flight shows; in a loop indices may be below 0 or above N − 1.
    """

    flight: Flight
    levels: range

    @property
    def deepest(self) -> int:
        """The level whose frame this is."""
        return self.levels[-1]

    def splats(self) -> Gaussians:
        """All splats that no finer level replaces.

        Raises:
            DreamzoomError: The flight spans more scales than single precision holds.
        """
        self._check_span()
        return padded_join([part for part in map(self._kept, self.levels) if len(part)])

    def replaced(self) -> Gaussians | None:
        """The splats that finer levels replace, with which the flight shows these places from afar; None without."""
        parts = [part for part in map(self._replaced, self.levels[:-1]) if len(part)]
        return padded_join(parts) if parts else None

    def _kept(self, level: int) -> Gaussians:
        splats = self._level(level)
        return splats if level == self.deepest else splats[splats.extra["superseded"] <= 0]

    def _replaced(self, level: int) -> Gaussians:
        splats = self._level(level)
        return splats[splats.extra["superseded"] > 0]

    def _level(self, level: int) -> Gaussians:
        path = self.flight.path
        return moved(self.flight.levels[level % path.levels], path.between(level, self.deepest))

    def _check_span(self) -> None:
        path = self.flight.path
        spans = math.log(path.factor) * (len(self.levels) - 1)
        if spans > LARGEST - math.log(100):
            most = math.floor((LARGEST - math.log(100)) / math.log(path.factor)) + 1
            raise DreamzoomError(
                f"the flight spans {len(self.levels)} levels, of which one file for viewers can hold {most}",
                "export fewer levels, for example of a shorter flight",
            )

    def similarity(self, zoom: float) -> Similarity:
        """From the gauge at a zoom to this frame."""
        return self.flight.path.gauge(zoom, self.deepest)

    def camera(self, key: Key, camera: Camera | None = None) -> Camera:
        """The camera of a key, or another one in its gauge, in this frame."""
        return (camera or key.camera).moved(self.similarity(key.zoom))

    def near(self, zoom: float) -> float:
        """The near plane at a zoom in this frame's units."""
        return NEAR * self.similarity(zoom).scale


def world_of(flight: Flight) -> World:
    """The levels that the frames of a flight show, and their common frame."""
    shown = [level for frame in flight.frames() for level in flight.levels_shown(flight.path.at_frame(frame).zoom)]
    return World(flight, range(min(shown), max(shown) + 1))
