"""The opacity of each level as a function of zoom u; used by the server's renderer and by Blender's drivers.

All levels show the same place, so the transition from level k to k+1 is a change of resolution. At zoom u a splat of
level k is p^(u−k) pixels wide and one of level k+1 is p^(u−k−1) pixels wide, less than one pixel for all u < k+1. The
finer level therefore fades in as soon as the coarser one begins to be magnified. The superseded splats of level k
start to fade out shortly before that is complete and end after it, so that the surface stays covered in between. Both
fades span several frames; since the two levels differ by less than a pixel, the change per frame is small.
"""

from __future__ import annotations

OPENS_FROM, OPENS_AT = 0.0, 0.2
"""Level k+1 fades in over this range of u − k."""

CLOSES_FROM, CLOSES_AT = 0.15, 0.4
"""The superseded splats of level k fade out over this range of u − k."""


def smoothstep(low: float, high: float, value: float) -> float:
    """3t² − 2t³ of t = (value − low) / (high − low) clamped to 0..1."""
    t = min(max((value - low) / (high - low), 0.0), 1.0)
    return t * t * (3.0 - 2.0 * t)


def opacity(level: int, zoom: float, superseded: bool = False, first: bool = False) -> float:
    """The opacity of a level at zoom u, 0 to 1.

    Args:
        level: k.
        zoom: u.
        superseded: True for the splats that level k+1 replaces with finer ones, False for the others.
        first: Whether there is no coarser level; then the level does not fade in.
    """
    shown = 1.0 if first else smoothstep(level - 1 + OPENS_FROM, level - 1 + OPENS_AT, zoom)
    return shown * (1.0 - smoothstep(level + CLOSES_FROM, level + CLOSES_AT, zoom)) if superseded else shown


def expression(level: int, zoom: str, superseded: bool = False, first: bool = False) -> str:
    """`opacity` as a Blender driver expression, which may call `smoothstep`; empty if the opacity is always 1.

    Args:
        level, superseded, first: As in `opacity`.
        zoom: The driver expression for u.
    """
    factors = [] if first else [f"smoothstep({level - 1 + OPENS_FROM:g}, {level - 1 + OPENS_AT:g}, {zoom})"]
    if superseded:
        factors.append(f"(1 - smoothstep({level + CLOSES_FROM:g}, {level + CLOSES_AT:g}, {zoom}))")
    return " * ".join(factors)


def window(level: int, superseded: bool = False, first: bool = False) -> tuple[float, float]:
    """The open interval of u (low, high) in which a level's opacity is above 0; the ends may be infinite."""
    opens = float("-inf") if first else level - 1 + OPENS_FROM
    return opens, level + CLOSES_AT if superseded else float("inf")
