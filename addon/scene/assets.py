"""Assets: the artist's own objects under the levels, written as splats in the level's frame for the server.

Splats are written unchanged; anything else that has a surface is sampled to surfels in the base colours of its
materials, without light and shadow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from .. import rig, splats
from ..core.atomic_files import replacing
from ..core.errors import DreamzoomError
from ..core.formats import ply, splat_ply
from ..core.gaussians import Gaussians
from ..core.spherical_harmonics import SH_C0
from ..splats import evaluation
from ..splats.export import are_splats, deferred_splats_of
from . import splat_scene, surface_sampling
from .meshes import MeshCopies
from .time_slicing import RigReference, SlicedWork, TimeSlice, run_to_end

FOLDER = ".assets"
"""Within the job folder; a job folder that holds nothing else still counts as empty."""

PREFIX = "dreamzoom_"
"""Prefix of the custom properties that mark the rig's own objects."""

MAX_SURFELS = 300_000
"""Of one level."""

SAMPLES_PER_PIXEL = 2.0
SIGMA = 0.75
"""Standard deviation of a surfel, in units of the distance between samples."""

LOGIT_OPACITY = 6.0
COLUMNS = (
    *("x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2", "opacity"),
    *("scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3"),
)


def of_level(root: bpy.types.Object, level: int) -> list[bpy.types.Object]:
    """The artist's objects under a level, at any depth, that a render shows."""
    empties = [empty for empty in rig.level_empties(root) if empty[rig.LEVEL] == level]
    scene = root.dreamzoom.splat_scene
    return [obj for empty in empties for obj in _own(empty) if not obj.hide_render and obj != scene]


def _own(parent: bpy.types.Object) -> Iterator[bpy.types.Object]:
    """The children of an object, at any depth, that the rig did not create."""
    for child in parent.children:
        if not any(name.startswith(PREFIX) for name in child.keys()):  # noqa: SIM118
            yield child
            yield from _own(child)


def write(
    root: bpy.types.Object,
    scene: bpy.types.Scene,
    view_layer: bpy.types.ViewLayer,
    folder: Path,
    request: dict[str, Any],
) -> dict[str, Any]:
    """Write the assets of all levels into the job folder and add their paths to the request.

    Args:
        root: The rig.
        scene: Which contains it.
        view_layer: Of the scene; only what it shows is written.
        folder: The job folder.
        request: From `build_request`.

    Returns:
        The request, with `assets` in its levels.

    Raises:
        DreamzoomError: A file can't be written.
    """
    return run_to_end(capture(RigReference(root, scene, view_layer), folder, request, TimeSlice()))


def capture(
    reference: RigReference, folder: Path, request: dict[str, Any], time_slice: TimeSlice
) -> SlicedWork[dict[str, Any]]:
    """`write` in time slices: objects are copied from Blender one by one; a thread samples the copies and writes.

    Raises:
        DreamzoomError: As `write`, or the rig or its levels were removed meanwhile.
    """
    home, count = folder / FOLDER, len(request["levels"])
    spacing = 2.0 / max(request["width"], request["height"]) / np.sqrt(SAMPLES_PER_PIXEL)
    levels, kept = [], set()
    try:
        with ThreadPoolExecutor(1) as thread:
            for index, level in enumerate(request["levels"]):
                copies = yield from _copy_level(reference, index, count, time_slice)
                names = []
                if copies is not None:
                    writing = thread.submit(copies.write, home, index, spacing)
                    while not time_slice.is_unlimited and not writing.done():
                        yield (index + 0.5) / count
                    names = writing.result()
                scene = _write_scene(reference, home) if index == 0 else None
                if scene is not None:
                    kept.add(scene)
                    level = level | {"splats": str(scene)}
                kept |= set(names)
                levels.append(level | {"assets": [str(name) for name in names]} if names else level)
                yield (index + 1) / count
        for old in set(home.glob("*.ply")) - kept:
            old.unlink()
    except (OSError, splats.SplatFileError) as error:
        raise DreamzoomError(f"The scene's own objects can't be written: {error}", "Choose another folder") from error
    return request | {"levels": levels}


@dataclass
class _LevelCopies:
    """Copies of one level's objects.

    Attributes:
        meshes: Of objects with a surface.
        splats: Functions that make splats of arrays that have been copied.
        done: The objects and instances that have been copied.
    """

    meshes: MeshCopies = field(default_factory=MeshCopies)
    splats: list[Callable[[], Gaussians]] = field(default_factory=list)
    done: set[tuple] = field(default_factory=set)

    def copy(self, chosen: list[bpy.types.Object], view_layer, empty: bpy.types.Object, time_slice: TimeSlice) -> bool:
        """Copy until the time slice is over; whether all is copied. The zoom must be that of the level."""
        with evaluation.as_rendered(view_layer, chosen) as graph:
            into = np.linalg.inv(np.array(empty.evaluated_get(graph).matrix_world, np.float64))
            for shown in evaluation.shown_objects(graph, set(chosen)):
                if shown.key in self.done:
                    continue
                self.done.add(shown.key)
                if are_splats(shown.evaluated.data):
                    self.splats.append(deferred_splats_of(shown, into))
                else:
                    self.meshes.copy(shown, into)
                if time_slice.is_over:
                    return False
        return True

    def write(self, home: Path, level: int, spacing: float) -> list[Path]:
        """Write the files of the level's objects; their paths, none if the objects have neither splats nor a surface.

        Args:
            home: The folder of the files.
            level: The level's number.
            spacing: Distance of samples near the level's origin, in its units.
        """
        parts = [part for part in (make() for make in self.splats) if len(part)]
        faces = self.meshes.faces()
        names = []
        if parts or faces is not None:
            home.mkdir(parents=True, exist_ok=True)
        if parts:
            names.append(home / f"level_{level:03d}_splats.ply")
            splat_ply.write_parts(names[-1], parts)
        if faces is not None:
            names.append(home / f"level_{level:03d}_surfaces.ply")
            _write_ply(names[-1], _surfel_rows(surface_sampling.sample(faces, spacing, MAX_SURFELS)))
        return names


def _write_scene(reference: RigReference, home: Path) -> Path | None:
    """The file of the splats that are level 0; None if there are none."""
    root, _, view_layer = reference.resolve()
    with zoom_override(root, view_layer) as set_zoom:
        return splat_scene.write(root, view_layer, home, set_zoom)


def _copy_level(
    reference: RigReference, index: int, count: int, time_slice: TimeSlice
) -> SlicedWork[_LevelCopies | None]:
    """Copies of the objects of level `index` of `count`; None where it has none."""
    copies = _LevelCopies()
    while True:
        root, _, view_layer = reference.resolve()
        if len(root.dreamzoom.levels) != count:
            raise DreamzoomError("Levels were added or removed meanwhile", "Press Generate again")
        chosen = of_level(root, index) if root.dreamzoom.see_assets else []
        chosen = [obj for obj in chosen if obj.name in view_layer.objects]
        if not chosen:
            return None
        with zoom_override(root, view_layer) as set_zoom:
            set_zoom(index)
            if copies.copy(chosen, view_layer, rig.level_empty(root, index), time_slice):
                return copies
        yield index / count


@contextmanager
def zoom_override(root: bpy.types.Object, view_layer: bpy.types.ViewLayer) -> Iterator[Callable[[float], None]]:
    """A function that sets the rig's zoom in spite of its keys; afterwards all is as before.

    Each level is captured at its own zoom, where its scale is 1: there its objects are most exact, and the same from
    any frame.
    """
    curve, before = rig.zoom_curve(root), root["zoom"]
    muted = curve.mute if curve is not None else False

    def set_zoom(zoom: float) -> None:
        root["zoom"] = float(zoom)
        root.update_tag()
        view_layer.update()

    try:
        if curve is not None:
            curve.mute = True
        yield set_zoom
    finally:
        if curve is not None:
            curve.mute = muted
        set_zoom(before)


def _surfel_rows(samples: surface_sampling.Samples) -> np.ndarray:
    """Samples as rows of a 3DGS PLY: (N, 17) float32, in the order of COLUMNS."""
    sigma = np.log(SIGMA * samples.spacing)
    thickness = sigma + np.log(1e-3)
    columns = [
        samples.positions,
        samples.normals,
        (samples.rgb - 0.5) / SH_C0,
        np.full((len(sigma), 1), LOGIT_OPACITY),
        np.stack([sigma, sigma, thickness], -1),
        surface_sampling.quaternions_from_normals(samples.normals),
    ]
    return np.concatenate(columns, -1).astype("<f4")


def _write_ply(path: Path, table: np.ndarray) -> None:
    """Write the rows of a 3DGS PLY, (N, 17), all or nothing."""
    with replacing(path) as file:
        file.write(ply.header_for({"vertex": (len(table), np.dtype([(name, "<f4") for name in COLUMNS]))}))
        file.write(table.data)
