"""Writes a finished job as one file of splats for other viewers, and tells how alike they show it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core import camera_files, formats
from core.atomic_files import not_written
from core.errors import BadRequest, SplatFileError
from core.formats.axes import UPRIGHT
from core.gaussians import Gaussians, padded_join, transformed
from core.protocol.messages import REFIT_ROUNDS as ROUNDS
from dreamzoom.progress import Report, reporting_to
from dreamzoom.render.consistency import psnr
from dreamzoom.render.flight import open_flight
from dreamzoom.render.viewer_export.views import held_out_frames, view_of, views_of
from dreamzoom.render.viewer_export.world import World, world_of
from dreamzoom.splats.viewers.rasterize import show
from dreamzoom.splats.viewers.refit import CpuRefit, View, prepared, refit

MOST_ROUNDS = 1000
SEED = 0
REPLACED_OPACITY = 0.3
"""The opacity with which splats start that finer ones replace. Being seen as points of a pixel's size at any distance,
they cover their places from afar, where the flight shows them, and little of them from near; the refit ends 0.6 dB
better with them.
"""
KINDS = ("viewers", "blender")
"""What a file can be for: other viewers, or Blender and Dreamzoom themselves, which show the splats as they are."""

RENDERED, FITTED = 0.03, 0.98
"""Fractions of the work at which the pictures are rendered, and at which the splats are fitted."""


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        splats: How many.
        cameras: How many cameras; 0 if none were written.
        before, after: For each held-out frame the PSNR in dB of the viewers' picture against the flight's, with the
            splats as they are and as they were written. Empty if nothing was refitted.
    """

    splats: int
    cameras: int = 0
    before: tuple[float, ...] = ()
    after: tuple[float, ...] = ()

    def told(self) -> str:
        """In one line."""
        told = f"{self.splats:,} splats"
        if self.cameras:
            told += f", {self.cameras} cameras"
        if not self.after:
            return told
        return (
            f"{told}; viewers show frames that were not fitted to {np.mean(self.after):.1f} dB (at least "
            f"{min(self.after):.1f}), before {np.mean(self.before):.1f} dB"
        )


def export(
    root: Path,
    out: Path,
    report: Report,
    *,
    kind: str = "viewers",
    up: str = "",
    rounds: int = ROUNDS,
    cameras: Path | None = None,
) -> Exported:
    """Write all levels of a finished job as one file of splats.

    Args:
        root: The job's folder.
        out: The file; its suffix says the format.
        report: Progress and cancellation.
        kind: One of `KINDS`.
        up: The axis that points up in the file: "-Y", "Y" or "Z"; "" for what is usual for the format.
        rounds: Steps of the refit on each view.
        cameras: A file for the camera of each frame in the same world (cameras.json, as SuperSplat takes it), or None.

    Raises:
        BadRequest: An argument can't be used.
        DreamzoomError: The folder contains no finished job, or the format can't hold its splats.
        NotWritten: The file can't be written.
    """
    if kind not in KINDS:
        raise BadRequest("for", f"must be one of {', '.join(KINDS)}; got {kind!r}")
    if not 1 <= rounds <= MOST_ROUNDS:
        raise BadRequest("rounds", f"must be between 1 and {MOST_ROUNDS}; got {rounds}")
    up = _up(out, up)
    _check_writable(out)
    flight = open_flight(root, report)
    world = world_of(flight)
    with reporting_to(report):
        splats, found = world.splats(), ((), ())
        if kind == "viewers":
            splats, found = _refitted(world, splats, rounds, report)
    report.progress(FITTED, f"writing {out.name}")
    turn = np.eye(4)
    turn[:3, :3] = UPRIGHT[up].T
    _write(out, transformed(splats, turn), up)
    count = 0 if cameras is None else _write_cameras(world, cameras, turn, report)
    return Exported(len(splats), count, *found)


def _up(out: Path, up: str) -> str:
    """The axis that points up in the file. Raises BadRequest."""
    try:
        form = formats.format_of(out)
    except SplatFileError as error:
        raise BadRequest("out", f"must be a file of splats: {error}") from None
    if up not in ("", "-Y", "Y", "Z"):
        raise BadRequest("up", f"must be -Y, Y or Z; got {up!r}")
    if up and up != form.up and not form.keeps_axes:
        raise BadRequest("up", f"can't be {up}: in all files of the format {form.name} {form.up} points up")
    return up or form.up


def _check_writable(out: Path) -> None:
    """Raise BadRequest if the file can't be written, before minutes of work are lost."""
    if out.is_dir():
        raise BadRequest("out", f"must be a file, but {out} is a folder")
    if not out.parent.is_dir():
        raise BadRequest("out", f"must be in a folder that exists; there is no {out.parent}")


def _refitted(world: World, splats: Gaussians, rounds: int, report: Report):
    """The splats for viewers, and the PSNR of the held-out frames before and after."""
    views = views_of(world, SEED, _Part(report, 0.0, RENDERED))
    held = [view_of(world, frame) for frame in held_out_frames(world.flight)]
    before = _quality(splats, held, report)
    start, replaced = prepared(splats, views), world.replaced()
    if replaced is not None:
        start = padded_join([start, prepared(replaced, views, REPLACED_OPACITY)])
    state = _begin(start, views, report)
    fitted = refit(state, len(views), rounds, SEED, _Part(report, RENDERED, FITTED))
    return fitted, (before, _quality(fitted, held, report))


def _begin(splats: Gaussians, views: list[View], report: Report):
    """The state of the refit: on a GPU with gsplat if that works, else on the CPU."""
    from dreamzoom.splats.viewers import torch_refit

    rasterization = None if report.less_memory else torch_refit.gsplat_rasterization(report)
    return CpuRefit(splats, views) if rasterization is None else torch_refit.TorchRefit(splats, views, rasterization)


def _quality(splats: Gaussians, views: list[View], report: Report) -> tuple[float, ...]:
    """The PSNR in dB of each view, as viewers show it."""
    found = []
    for view in views:
        report.check()
        found.append(psnr(np.clip(show(splats, view.camera, near=view.near).rgb, 0, 1), view.rgb))
    return tuple(found)


def _write(out: Path, splats: Gaussians, up: str) -> None:
    try:
        formats.write(out, splats, formats.About(up))
    except OSError as error:
        raise not_written(out, error) from error


def _write_cameras(world: World, out: Path, turn: np.ndarray, report: Report) -> int:
    """Write the camera of each frame in the world of the splats; how many there are."""
    found = []
    for frame in world.flight.frames():
        report.check()
        key = world.flight.path.at_frame(frame)
        if key.skew:
            raise BadRequest("cameras", f"must have no skew to be written; the camera of frame {frame} has")
        camera = world.camera(key)
        found.append(camera_files.NamedCamera(f"frame_{frame:05d}.png", camera.posed(turn @ camera.camera_to_frame)))
    try:
        camera_files.write(out, camera_files.CAMERAS, found)
    except OSError as error:
        raise not_written(out, error) from error
    return len(found)


class _Part(Report):
    """Reports a part of the work as a range of the whole."""

    def __init__(self, report: Report, start: float, end: float):
        self._report, self._start, self._end = report, start, end

    def progress(self, fraction: float, message: str = "") -> None:
        self._report.progress(self._start + fraction * (self._end - self._start), message)

    def check(self) -> None:
        self._report.check()

    def log(self, message: str, *, level: str = "info") -> None:
        self._report.log(message, level=level)
