"""Stages and durations as the panels write them."""

from __future__ import annotations

from ..translations import translated

STAGES = {
    "plan": "Planning the path",
    "zoom": "Generating pictures",
    "dream": "Dreaming views",
    "align": "Fitting depth",
    "refine": "Matching views",
    "splat": "Fitting splats",
    "export": "Writing files",
    "import": "Importing",
    "refit": "Fitting to other viewers",
}


def of_stage(stage: str) -> str:
    """What the server does in a stage."""
    return translated(STAGES.get(stage, stage.replace("_", " ").capitalize()))


def counted(count: int, noun: str) -> str:
    """A number with its noun: 1 object, 1,000 objects."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def of_seconds(seconds: float) -> str:
    """A duration in seconds, minutes or hours, in the language of the interface."""
    return translated(_duration(seconds))


def _duration(seconds: float) -> str:
    seconds = max(0, round(seconds))
    if seconds < 60:
        return f"{seconds} s"
    minutes, rest = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if minutes < 10 and rest else f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"
