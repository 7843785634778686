"""The final animation on several workers: each Blender renders a share of the frames; missing ones are done again.

The .blend is rendered as it is: the add-on is not needed. Machines that do not see the folder of the frames are sent
the scene, and send the frames back; pictures that the scene uses have to be packed into it then.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from core.errors import BadRequest, DreamzoomError
from dreamzoom.cluster.cache import digest_of
from dreamzoom.cluster.pool import WorkerPool
from dreamzoom.pipeline.folder import Folder
from dreamzoom.progress import Report

ROUNDS = 3
"""Frames that are missing or damaged are rendered so often before the farm gives up."""
NOTE = "farm.json"
"""In the folder of the frames: a digest of the scene and settings that each finished frame shows."""
LOOK = 0.5
"""Seconds between two looks for finished frames."""

IN_BLENDER = """
import json, os, sys, bpy
plan = json.loads(sys.argv[-1])
bpy.ops.wm.open_mainfile(filepath=os.path.abspath(plan["scene"]), load_ui=False, use_scripts=False)
render = bpy.context.scene.render
settings = render.image_settings
if hasattr(settings, "media_type"):
    settings.media_type = "IMAGE"
settings.file_format = "PNG"
render.use_file_extension = True
if not render.use_stamp:  # else the files would tell when and where they were rendered, and never be equal
    for name in ("date", "time", "render_time", "memory", "hostname", "filename"):
        setattr(render, "use_stamp_" + name, False)

def without_times(png):  # Cycles writes them whatever the settings say
    parts, place = [png[:8]], 8
    while place < len(png):
        end = place + 12 + int.from_bytes(png[place:place + 4], "big")
        kind, word = png[place + 4:place + 8], png[place + 8:end].partition(b"\\0")[0]
        if kind != b"tEXt" or not word.endswith(b"_time"):
            parts.append(png[place:end])
        place = end
    return b"".join(parts)

if plan["samples"]:
    bpy.context.scene.cycles.samples = plan["samples"]
parent = os.getppid()
for frame, target in plan["frames"]:
    if os.getppid() != parent:
        os._exit(1)  # the worker died: its frames are another one's now
    partial = os.path.abspath(os.path.splitext(target)[0] + ".part-" + str(os.getpid()) + ".png")
    bpy.context.scene.frame_set(frame)
    render.filepath = partial
    bpy.ops.render.render(write_still=True)
    with open(partial, "rb+") as file:
        png = without_times(file.read())
        file.seek(0)
        file.truncate()
        file.write(png)
    os.replace(partial, os.path.abspath(target))
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
        blender: A Blender executable, or a Python with the module bpy, on the machines that render.
        samples: Samples per pixel for Cycles; 0 for the scene's own.
    """

    scene: Path
    frames: range
    out: Path
    blender: str
    samples: int = 0

    def picture(self, frame: int) -> Path:
        """The file of a frame."""
        return self.out / _name(frame)

    def order(self, frames: Sequence[int]) -> dict[str, Any]:
        """The order (see `WorkerPool.command`) that renders some frames."""
        plan = {"scene": str(self.scene), "samples": self.samples, "frames": [[one, _name(one)] for one in frames]}
        return {
            "command": self.command(plan),
            "command_apart": self.command(plan | {"scene": "scene.blend"}),
            "reads": {"scene.blend": str(self.scene)},
            "writes": [_name(one) for one in frames],
        }

    def command(self, plan: dict[str, Any]) -> list[str]:
        """The program, with its arguments, that carries out a plan."""
        if Path(self.blender).stem.startswith("python"):
            return [self.blender, "-c", IN_BLENDER, json.dumps(plan)]
        quiet = ["--background", "--disable-autoexec", "--python-exit-code", "1"]
        return [self.blender, *quiet, "--python-expr", IN_BLENDER, "--", json.dumps(plan)]


def render(film: Film, pool: WorkerPool, report: Report) -> None:
    """Render the frames that are not there yet, or that show an earlier state of the scene.

    Raises:
        BadRequest: The folder holds pictures of something else.
        DreamzoomError: Frames are missing or damaged after all rounds; the message has what Blender said last.
        Cancelled: The report said so. Finished frames are kept.
    """
    finished = _Finished(film, report)
    missing, said = finished.missing(), ""
    for _ in range(ROUNDS):
        if not missing:
            return
        said = _round(film, missing, finished, pool, report) or said
        before, missing = missing, finished.missing()
        if len(missing) == len(before):
            break  # Blender fails at each of them: more rounds would only take longer
    if missing:
        words = said.strip().splitlines()[-1:] or ["nothing"]
        raise DreamzoomError(
            f"{len(missing)} of {len(film.frames)} frames could not be rendered, the first is {missing[0]}; Blender "
            f"said: {words[0][:200]}",
            "look at the scene's settings and at the space on the disk, then start again: finished frames are kept",
        )


class _Finished:
    """Which frames are finished. Removes those that show an earlier state of the scene."""

    def __init__(self, film: Film, report: Report):
        self._film, self._folder = film, Folder(film.out)
        state = f"{digest_of(film.scene)} {film.samples}"
        self._state = hashlib.sha256(state.encode()).hexdigest()
        self._shown: dict[str, str] = {}
        there = [frame for frame in film.frames if film.picture(frame).exists()]
        if self._folder.exists(NOTE):
            self._shown = self._folder.read_json(NOTE)
        elif there:
            raise BadRequest("--out", f"must be an empty folder, or one of a farm; {film.out} holds other pictures")
        old = [frame for frame in there if self._shown.get(_name(frame)) != self._state]
        if old:
            report.log(f"{len(old)} frames show an earlier state of the scene; they are rendered again")
        for frame in old:
            self._folder.remove(_name(frame))
        self._folder.write_json(NOTE, self._shown)
        self._whole = {frame for frame in film.frames if frame not in old and is_whole(film.picture(frame))}

    def missing(self) -> list[int]:
        """The frames that are not there or not whole; notes the new ones."""
        new = {frame for frame in self._film.frames if frame not in self._whole and is_whole(self._film.picture(frame))}
        if new:
            self._whole |= new
            self._shown |= {_name(frame): self._state for frame in new}
            self._folder.write_json(NOTE, self._shown)
        return [frame for frame in self._film.frames if frame not in self._whole]


def _round(film: Film, missing: list[int], finished: _Finished, pool: WorkerPool, report: Report) -> str:
    """Render the missing frames once; returns the last words of a Blender that failed."""

    def share(frames: list[int]) -> tuple[int, str]:
        def order() -> dict[str, Any]:
            return film.order([frame for frame in frames if not is_whole(film.picture(frame))])

        return pool.command(f"frames {frames[0]} to {frames[-1]}", film.out, order, report, "farm")

    shares = _shares(missing, pool.slots)
    with ThreadPoolExecutor(len(shares)) as threads:
        everything = [threads.submit(share, frames) for frames in shares]
        running: set[Future[tuple[int, str]]] = set(everything)
        while running:
            running = wait(running, LOOK).not_done
            done = len(film.frames) - len(finished.missing())
            if not any(one.exception() for one in everything if one.done()):
                report.progress(done / len(film.frames), f"{done} of {len(film.frames)} frames")
    return next((tail for code, tail in (one.result() for one in everything) if code), "")


def is_whole(path: Path) -> bool:
    """Whether a picture is there and can be decoded to its end."""
    try:
        with Image.open(path, formats=["PNG"]) as picture:
            picture.load()
        return True
    except (OSError, ValueError, SyntaxError):
        return False


def _name(frame: int) -> str:
    return f"{frame:04d}.png"


def _shares(frames: list[int], slots: int) -> list[list[int]]:
    """Frames in consecutive shares: four per slot, so that a lost worker costs little, and Blender starts seldom."""
    size = max(1, -(-len(frames) // (4 * slots)))
    return [frames[first : first + size] for first in range(0, len(frames), size)]
