"""The cameras of a job's flight as a file for other programs (`core.camera_files`), with points of its levels."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from core import camera_files
from core.camera import Similarity
from core.errors import BadRequest
from dreamzoom.geometry.cloud import Cloud
from dreamzoom.geometry.cloud_ply import read_cloud
from dreamzoom.pipeline.folder import Folder
from dreamzoom.pipeline.generate import read_request, read_result
from dreamzoom.progress import Report
from dreamzoom.render.flight import chosen_frames

MOST_POINTS = 100_000
"""Points that are written beside COLMAP's cameras."""

TURNS = {
    "-Y": np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]),
    "Y": np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]]),
    "Z": np.eye(3),
}
"""Rotations (3, 3) from a world in which z points up, by the axis that points up in the file."""


def write_cameras(
    root: Path, out: Path, kind: str, up: str, frames: Iterable[int] | None, report: Report
) -> tuple[int, int]:
    """Write the camera of each frame in the frame of level 0, where level k lies p^k times smaller.

    Args:
        root: The job's folder.
        out: The file, or for COLMAP the folder.
        kind: One of `camera_files.KINDS`.
        up: The axis that points up in the file; z points up in the job.
        frames: The frames; all if None.
        report: Receives progress.

    Returns:
        How many cameras and points were written.

    Raises:
        BadRequest: There are no such frames, or a camera is sheared with a skew, which these files can't hold.
        DreamzoomError: The folder contains no job, or for COLMAP no finished one.
        OSError: The file can't be written.
    """
    folder = Folder(root)
    path = read_request(folder).path()
    chosen = chosen_frames(range(path.keys[0].frame, path.keys[-1].frame + 1), frames)
    turn = TURNS[up]
    found = []
    for index, frame in enumerate(chosen):
        report.progress(index / len(chosen), f"frame {frame}")
        key = path.at_frame(frame)
        if key.skew:
            raise BadRequest("cameras", f"must have no skew to be written; the camera of frame {frame} has")
        camera = key.camera.moved(path.gauge(key.zoom, 0))
        pose = camera.camera_to_frame.copy()
        pose[:3] = turn @ pose[:3]
        camera = camera.posed(pose)
        found.append(camera_files.NamedCamera(f"frame_{frame:05d}.png", camera))
    if kind != camera_files.COLMAP:
        camera_files.write(out, kind, found)
        return len(found), 0
    points = _points(folder, [path.between(level, 0) for level in range(path.levels)])
    camera_files.write(out, kind, found, points.position.astype(np.float64) @ turn.T, points.rgb)
    return len(found), len(points)


def _points(folder: Folder, to_first: list[Similarity]) -> Cloud:
    """Points of all levels that no finer level replaces, in the frame of level 0."""
    levels = read_result(folder)["levels"]
    most = MOST_POINTS // len(levels)
    parts = []
    for level, similarity in zip(levels, to_first):
        cloud = read_cloud(folder.path(level["cloud"]))
        cloud = cloud[~cloud.superseded]
        rows = np.linspace(0, len(cloud) - 1, min(len(cloud), most)).astype(int)
        parts.append(cloud[rows].moved(similarity))
    return Cloud.joined(parts)
