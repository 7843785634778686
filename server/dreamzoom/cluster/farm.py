"""The final animation on several workers: each Blender renders a share of the frames; missing ones are done again.

The .blend is rendered as it is: the add-on is not needed. Scene file and frames lie in a folder that all workers see.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from core.errors import DreamzoomError
from dreamzoom.cluster.pool import WorkerPool
from dreamzoom.progress import Report

ROUNDS = 3
"""Frames that are missing or damaged are rendered so often before the farm gives up."""

IN_BLENDER = """
import json, os, sys, bpy
plan = json.loads(sys.argv[-1])
bpy.ops.wm.open_mainfile(filepath=plan["scene"], load_ui=False, use_scripts=False)
render = bpy.context.scene.render
settings = render.image_settings
if hasattr(settings, "media_type"):
    settings.media_type = "IMAGE"
settings.file_format = "PNG"
render.use_file_extension = True
if plan["samples"]:
    bpy.context.scene.cycles.samples = plan["samples"]
for frame, target in plan["frames"]:
    partial = os.path.splitext(target)[0] + ".part-" + str(os.getpid()) + ".png"
    bpy.context.scene.frame_set(frame)
    render.filepath = partial
    bpy.ops.render.render(write_still=True)
    os.replace(partial, target)
sys.stdout.flush()
os._exit(0)
"""
"""What Blender runs: it renders the frames of a plan, each to a temporary file that is renamed when it is whole."""


@dataclass(frozen=True)
class Film:
    """What is to be rendered.

    Attributes:
        scene: The .blend file.
        frames: The frames.
        out: The folder of the pictures.
        blender: A Blender executable, or a Python with the module bpy.
        samples: Samples per pixel for Cycles; 0 for the scene's own.
    """

    scene: Path
    frames: range
    out: Path
    blender: str
    samples: int = 0

    def picture(self, frame: int) -> Path:
        """The file of a frame."""
        return self.out / f"{frame:04d}.png"

    def command(self, frames: Sequence[int]) -> list[str]:
        """The command that renders some frames."""
        plan = {"scene": str(self.scene), "samples": self.samples}
        plan["frames"] = [[frame, str(self.picture(frame))] for frame in frames]
        if Path(self.blender).stem.startswith("python"):
            return [self.blender, "-c", IN_BLENDER, json.dumps(plan)]
        quiet = ["--background", "--disable-autoexec", "--python-exit-code", "1"]
        return [self.blender, *quiet, "--python-expr", IN_BLENDER, "--", json.dumps(plan)]


def render(film: Film, pool: WorkerPool, report: Report) -> None:
    """Render the frames that are not there yet.

    Raises:
        DreamzoomError: Frames are missing or damaged after all rounds; the message has what Blender said last.
        Cancelled: The report said so. Finished frames are kept.
    """
    film.out.mkdir(parents=True, exist_ok=True)
    told = threading.Lock()
    last = ""
    for _ in range(ROUNDS):
        missing = [frame for frame in film.frames if not is_whole(film.picture(frame))]
        if not missing:
            return
        shares = _shares(missing, pool.slots)

        def share(frames: list[int]) -> None:
            nonlocal last
            code, tail = pool.command(f"frames {frames[0]} to {frames[-1]}", film.command(frames), report)
            with told:
                last = tail if code else last
                done = sum(film.picture(frame).is_file() for frame in film.frames)
                report.progress(done / len(film.frames), f"{done} of {len(film.frames)} frames")

        with ThreadPoolExecutor(len(shares)) as threads:
            list(threads.map(share, shares))
    missing = [frame for frame in film.frames if not is_whole(film.picture(frame))]
    if missing:
        said = last.strip().splitlines()[-1:] or ["nothing"]
        raise DreamzoomError(
            f"{len(missing)} of {len(film.frames)} frames could not be rendered, the first is {missing[0]}; Blender "
            f"said: {said[0][:200]}",
            "look at the scene's settings and at the space on the disk, then start again: finished frames are kept",
        )


def is_whole(path: Path) -> bool:
    """Whether a picture is there and can be decoded to its end."""
    try:
        with Image.open(path, formats=["PNG"]) as picture:
            picture.load()
        return True
    except (OSError, ValueError, SyntaxError):
        return False


def _shares(frames: list[int], slots: int) -> list[list[int]]:
    """Frames in consecutive shares: four per slot, so that a lost worker costs little, and Blender starts seldom."""
    size = max(1, -(-len(frames) // (4 * slots)))
    return [frames[first : first + size] for first in range(0, len(frames), size)]
