"""How panels write stages and durations."""

from __future__ import annotations

STAGES = {
    "plan": "Planning the path",
    "zoom": "Imagining",
    "dream": "Dreaming",
    "align": "Fitting depth",
    "refine": "Matching views",
    "splat": "Shaping",
    "export": "Writing",
    "import": "Importing",
}


def of_stage(stage: str) -> str:
    """What a stage does."""
    return STAGES.get(stage, stage.replace("_", " ").capitalize())


def of_seconds(seconds: float) -> str:
    """A duration as people say it."""
    seconds = max(0, round(seconds))
    if seconds < 60:
        return f"{seconds} s"
    minutes, rest = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if minutes < 10 and rest else f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"
