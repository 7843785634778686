"""What comments of PLY headers say of splats, beside the axes, and the comments that are written."""

from __future__ import annotations

import re
from collections.abc import Iterable

from .format import About

_MODE = re.compile(r"splat\s*render\s*mode\s*[:=]\s*(\w+)", re.IGNORECASE)
_FLAG = re.compile(r"^\W*anti[\s_-]?alias(?:ed|ing)\b\s*[:=]?\s*(\w*)", re.IGNORECASE)
_SYSTEM = re.compile(r"\bEPSG\s*[:=]?\s*(\d{3,6})\b", re.IGNORECASE)


def is_antialiased(comments: Iterable[str]) -> bool:
    """Whether the splats were trained with the anti-aliasing of Mip-Splatting; the last word counts.

    Brush and SuperSplat write "SplatRenderMode: mip", Postshot "antialiased 1".
    """
    found = False
    for comment in comments:
        mode, flag = _MODE.search(comment), _FLAG.search(comment)
        if mode:
            found = mode[1].lower() in ("mip", "antialiased")
        elif flag:
            found = flag[1].lower() in ("", "1", "true", "yes", "on")
    return found


def reference_system(comments: Iterable[str]) -> str:
    """The EPSG number of the coordinate reference system that a file names; "" without one."""
    found = next((match for match in map(_SYSTEM.search, comments) if match), None)
    return found[1] if found else ""


def written(about: About) -> list[str]:
    """The comments of a file that is written: its axes as Nerfstudio names them, −Y as a vector, and anti-aliasing."""
    texts = {"-Y": "0 -1 0", "Y": "0 1 0", "Z": "z"}
    comments = [f"Vertical Axis: {texts[about.up]}"] if about.up else []
    return comments + (["SplatRenderMode: mip"] if about.antialiased else [])
