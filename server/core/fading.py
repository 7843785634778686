"""When a level of the zoom is shown: the one definition that the server's renders and Blender's drivers follow.

All levels show one place, so the change from level k to k+1 is a change of resolution. At zoom u a splat of level k is
p^(u−k) pixels wide, one of level k+1 p^(u−k−1), which is less than one for all u < k+1: the finer level opens as soon
as the coarser one begins to be magnified. The superseded splats of level k close once it has, but for a hair, so that
nothing is seen through in between. Both take some frames: the two differ by less than a pixel, and less at a time.
"""

from __future__ import annotations

OPENS_FROM, OPENS_AT = 0.0, 0.2
"""Level k+1 opens over this range of u − k."""

CLOSES_FROM, CLOSES_AT = 0.15, 0.4
"""What it supersedes of level k closes over this range of u − k."""


def smoothstep(low: float, high: float, value: float) -> float:
    """3t² − 2t³ of t = (value − low) / (high − low) clamped to 0..1."""
    t = min(max((value - low) / (high - low), 0.0), 1.0)
    return t * t * (3.0 - 2.0 * t)


def opacity(level: int, zoom: float, superseded: bool = False, first: bool = False) -> float:
    """How opaque a level is at a zoom u, 0 to 1.

    Args:
        level: k.
        zoom: u.
        superseded: Whether the part of the level is meant that the next one shows more finely.
        first: Whether there is no coarser level: it is open from the beginning.
    """
    shown = 1.0 if first else smoothstep(level - 1 + OPENS_FROM, level - 1 + OPENS_AT, zoom)
    return shown * (1.0 - smoothstep(level + CLOSES_FROM, level + CLOSES_AT, zoom)) if superseded else shown


def expression(level: int, zoom: str, superseded: bool = False, first: bool = False) -> str:
    """`opacity` as an expression of Blender's drivers, in which `smoothstep` is known; empty where it is 1 throughout.

    Args:
        level, superseded, first: As of `opacity`.
        zoom: The expression for u.
    """
    factors = [] if first else [f"smoothstep({level - 1 + OPENS_FROM:g}, {level - 1 + OPENS_AT:g}, {zoom})"]
    if superseded:
        factors.append(f"(1 - smoothstep({level + CLOSES_FROM:g}, {level + CLOSES_AT:g}, {zoom}))")
    return " * ".join(factors)


def window(level: int, superseded: bool = False, first: bool = False) -> tuple[float, float]:
    """The zooms between which a level's opacity is above 0: hidden at and below the one, at and above the other."""
    opens = float("-inf") if first else level - 1 + OPENS_FROM
    return opens, level + CLOSES_AT if superseded else float("inf")
