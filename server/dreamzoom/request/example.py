"""An example request: a camera that slowly orbits the focus while it approaches it."""

from __future__ import annotations

import math
from typing import Any

from core.camera import look_at

FRAMES_PER_LEVEL = 24
PROMPTS = (
    "deep space, a spiral galaxy among stars",
    "a blue planet with swirling white clouds",
    "a green continent with rivers and a long coast",
    "snowy mountains at sunrise",
    "a dense autumn forest",
    "a single green leaf with fine veins",
    "plant cells under a microscope",
    "a violet crystal lattice",
    "glowing atoms in a cloud of electrons",
)
LANDSCAPE = "snowy mountains at sunrise"  # for paths that look around
DISTANCE = 3.0  # of the camera from the focus, in gauge units
ELEVATION = math.radians(50)  # above the horizon: the camera is tilted by 40 degrees from vertical
ORBIT = math.radians(18)  # per level


def example(
    levels: int = 6,
    size: tuple[int, int] = (512, 512),
    factor: float = 2.0,
    engine: str = "procedural",
    preset: str | None = None,
) -> dict[str, Any]:
    """A request as JSON values, with a camera for every frame or a preset path; not validated.

    Args:
        levels: Number of levels; the prompts repeat after the last one, as in an endless zoom.
        size: Width and height in pixels.
        factor: The zoom factor p.
        engine: The engine's name.
        preset: Name of a preset path, used instead of cameras.
    """
    last = max(levels - 1, 0.5)
    frames = round(last * FRAMES_PER_LEVEL)
    first = 0 if preset in (None, "straight") else PROMPTS.index(LANDSCAPE)
    request: dict[str, Any] = {
        "version": 1,
        "seed": 1,
        "quality": "preview",
        "engine": {"name": engine},
        "zoom_factor": factor,
        "width": size[0],
        "height": size[1],
        "levels": [{"prompt": PROMPTS[(first + level) % len(PROMPTS)]} for level in range(levels)],
    }
    if preset is not None:
        return request | {"preset": preset}
    return request | {"cameras": [_camera(1 + frame, last * frame / frames, size) for frame in range(frames + 1)]}


def _camera(frame: int, zoom: float, size: tuple[int, int]) -> dict[str, Any]:
    width, height = size
    azimuth = -math.pi / 2 + ORBIT * zoom
    ground = DISTANCE * math.cos(ELEVATION)
    centre = (ground * math.cos(azimuth), ground * math.sin(azimuth), DISTANCE * math.sin(ELEVATION))
    focal = round(DISTANCE / 2 * max(width, height), 3)  # the picture is two units wide at the focus
    return {
        "frame": frame,
        "zoom": round(zoom, 6),
        "camera_to_gauge": [[round(value, 9) for value in row] for row in look_at(centre, (0, 0, 0)).tolist()],
        "fx": focal,
        "fy": focal,
        "cx": width / 2,
        "cy": height / 2,
    }
