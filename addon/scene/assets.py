"""The artist's own objects under the levels, written as splats in the level's frame for the dream to see.

Splats are written as they are; whatever else has a surface is sampled to surfels in the colours of its materials. Light
and shadow are no part of it.
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
from . import surface_sampling
from .meshes import Copies
from .time_slicing import Place, Slice, Sliced, finished

FOLDER = ".assets"
"""Within the job's folder; a folder that holds nothing else still counts as empty there."""

MARK = "dreamzoom_"
"""What the names of custom properties of the rig's own objects begin with."""

MOST = 300_000
"""Surfels of one level at the most."""

SAMPLES_PER_PIXEL = 2.0
SIGMA = 0.75
"""Size of a surfel, in distances of samples."""

LOGIT_OPACITY = 6.0
NAMES = (
    *("x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2", "opacity"),
    *("scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3"),
)


def of_level(root: bpy.types.Object, level: int) -> list[bpy.types.Object]:
    """The artist's objects under a level that a render shows, with all that hangs under them."""
    empties = [empty for empty in rig.level_empties(root) if empty[rig.LEVEL] == level]
    return [obj for empty in empties for obj in _own(empty) if not obj.hide_render]


def _own(parent: bpy.types.Object) -> Iterator[bpy.types.Object]:
    for child in parent.children:
        if not any(name.startswith(MARK) for name in child.keys()):  # noqa: SIM118
            yield child
            yield from _own(child)


def write(
    root: bpy.types.Object,
    scene: bpy.types.Scene,
    view_layer: bpy.types.ViewLayer,
    folder: Path,
    request: dict[str, Any],
) -> dict[str, Any]:
    """Write the assets of every level beside the job, as they lie now, and name them in the request.

    Args:
        root: The rig.
        scene: Where it is.
        view_layer: What is to be seen of it.
        folder: The job's.
        request: As `build_request` made it; returned with `assets` in its levels.

    Raises:
        DreamzoomError: They can't be written.
    """
    return finished(look(Place(root, scene, view_layer), folder, request, Slice()))


def look(place: Place, folder: Path, request: dict[str, Any], turn: Slice) -> Sliced[dict[str, Any]]:
    """The same in slices: objects are copied from Blender one by one; a thread works on the copies and writes.

    Raises:
        DreamzoomError: As `write`, or the rig or its levels are gone meanwhile.
    """
    home, count = folder / FOLDER, len(request["levels"])
    spacing = 2.0 / max(request["width"], request["height"]) / np.sqrt(SAMPLES_PER_PIXEL)
    levels, kept = [], set()
    try:
        with ThreadPoolExecutor(1) as thread:
            for index, level in enumerate(request["levels"]):
                copies = yield from _copied(place, index, count, turn)
                names = []
                if copies is not None:
                    writing = thread.submit(copies.write, home, index, spacing)
                    while not turn.is_endless and not writing.done():
                        yield (index + 0.5) / count
                    names = writing.result()
                kept |= set(names)
                levels.append(level | {"assets": [str(name) for name in names]} if names else level)
                yield (index + 1) / count
        for old in set(home.glob("*.ply")) - kept:
            old.unlink()
    except (OSError, splats.SplatFileError) as error:
        raise DreamzoomError(f"The scene's own objects can't be written: {error}", "Choose another folder") from error
    return request | {"levels": levels}


@dataclass
class _Copies:
    """What is copied of one level's objects: meshes, and splats as what makes them of the copied arrays."""

    meshes: Copies = field(default_factory=Copies)
    splats: dict[int, Callable[[], Gaussians]] = field(default_factory=dict)

    def go_on(self, chosen: list[bpy.types.Object], view_layer, empty: bpy.types.Object, turn: Slice) -> bool:
        """Copy until the slice is over; whether all is copied. The level has its own size now."""
        graph = view_layer.depsgraph
        into = np.linalg.inv(np.array(empty.evaluated_get(graph).matrix_world, np.float64))
        shown = [obj for obj in chosen if splats.holds_splats(obj)]
        for obj in shown:
            if obj.session_uid not in self.splats:
                self.splats[obj.session_uid] = splats.taken(obj, into)
                if turn.is_over:
                    return False
        return self.meshes.go_on(graph, {obj for obj in chosen if obj not in shown}, into, turn)

    def write(self, home: Path, level: int, spacing: float) -> list[Path]:
        """The files of the level's objects; none where they have neither splats nor a surface.

        Args:
            home: Their folder.
            level: Which.
            spacing: Of samples near the level's middle, in its units.
        """
        parts = [make() for make in self.splats.values()]
        faces = self.meshes.faces()
        names = []
        if parts or faces is not None:
            home.mkdir(parents=True, exist_ok=True)
        if parts:
            names.append(home / f"level_{level:03d}_splats.ply")
            splat_ply.write_parts(names[-1], parts)
        if faces is not None:
            names.append(home / f"level_{level:03d}_surfaces.ply")
            _write_ply(names[-1], _table(surface_sampling.sample(faces, spacing, MOST)))
        return names


def _copied(place: Place, index: int, count: int, turn: Slice) -> Sliced[_Copies | None]:
    """Copies of one level's objects; None where there are none."""
    copies = _Copies()
    while True:
        root, _, view_layer = place.find()
        if len(root.dreamzoom.levels) != count:
            raise DreamzoomError("Levels were added or removed meanwhile", "Press Generate again")
        chosen = of_level(root, index) if root.dreamzoom.see_assets else []
        chosen = [obj for obj in chosen if obj.name in view_layer.objects]
        if not chosen:
            return None
        with _free_zoom(root, view_layer) as set_zoom:
            set_zoom(index)
            if copies.go_on(chosen, view_layer, rig.level_empties(root)[index], turn):
                return copies
        yield index / count


@contextmanager
def _free_zoom(root: bpy.types.Object, view_layer: bpy.types.ViewLayer) -> Iterator[Callable[[float], None]]:
    """Let the rig be set to any zoom meanwhile, whatever its keys say.

    Each level is looked at where it has its own size: there its objects are most exact, and the same from any frame.
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


def _table(samples: surface_sampling.Samples) -> np.ndarray:
    """Samples as the rows of a 3DGS PLY, (N, 17) float32."""
    sigma = np.log(SIGMA * samples.spacing)
    flat = sigma + np.log(1e-3)
    columns = [
        samples.positions,
        samples.normals,
        (samples.rgb - 0.5) / SH_C0,
        np.full((len(sigma), 1), LOGIT_OPACITY),
        np.stack([sigma, sigma, flat], -1),
        surface_sampling.turned_to(samples.normals),
    ]
    return np.concatenate(columns, -1).astype("<f4")


def _write_ply(path: Path, table: np.ndarray) -> None:
    """Write whole or not at all."""
    with replacing(path) as file:
        file.write(ply.header_for({"vertex": (len(table), np.dtype([(name, "<f4") for name in NAMES]))}))
        file.write(table.data)
