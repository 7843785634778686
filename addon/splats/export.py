"""Splats of Blender objects as arrays, in world space as a render shows them, and their export to files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import bpy
import numpy as np

from ..core import formats
from ..core.arrays import smallest
from ..core.colour import linear_to_srgb
from ..core.errors import SplatFileError
from ..core.formats import splat_ply
from ..core.formats.format import origin_of
from ..core.gaussians import FLATNESS, Gaussians, padded_join, transformed
from ..core.quaternions import from_axes
from ..core.spherical_harmonics import SH_C0
from . import evaluation
from .materials import CUT, TRIANGLE_ATTRIBUTE
from .surfels import SQUARE, TRIANGLE

ANTIALIASED = "dreamzoom_antialiased"
"""Custom property of data whose splats were trained with anti-aliasing."""

LEAST_OPACITY = np.float32(1e-6)
FIELDS = {
    "FLOAT2": ("vector", 2),
    "FLOAT_COLOR": ("color", 4),
    "BYTE_COLOR": ("color", 4),
    "FLOAT_VECTOR": ("vector", 3),
    "FLOAT4": ("vector", 4),
    "QUATERNION": ("value", 4),
}
"""The field and the width of an attribute's values, by its data type."""

Values = dict[str, np.ndarray]


def holds_splats(obj: bpy.types.Object) -> bool:
    """Whether an object shows splats that `splats_of` can read: its own, or those of a collection that it instances."""
    if obj.type == "EMPTY" and obj.instance_type == "COLLECTION" and obj.instance_collection is not None:
        inside = (obj.instance_collection, *obj.instance_collection.children_recursive)
        return any(are_splats(inner.data) for one in inside for inner in one.objects)
    return are_splats(obj.data)


def are_splats(data: bpy.types.ID | None) -> bool:
    """Whether a mesh or a cloud, original or evaluated, is one that shows splats."""
    if isinstance(data, bpy.types.Mesh):
        names = _names(data)
        return {"splat", "sigma"} <= names or TRIANGLE_ATTRIBUTE in names
    names = _names(data) if isinstance(data, bpy.types.PointCloud) else set()
    return {"rgba", "inverse_0"} <= names or {"radiance:base", "scale", "rotation"} <= names


def splats_of(obj: bpy.types.Object, after: np.ndarray | None = None) -> Gaussians:
    """The splats that an object shows in a render, moved by its world matrix and then by `after` (4, 4).

    Raises:
        SplatFileError: The object shows no splats.
    """
    return parts_of([obj], bpy.context.view_layer, after)[0]


def parts_of(
    objects: list[bpy.types.Object], view_layer: bpy.types.ViewLayer, after: np.ndarray | None = None
) -> list[Gaussians]:
    """The splats that each of `objects`, and each of their instances, shows in a render, as in `splats_of`.

    Raises:
        SplatFileError: An object shows no splats, or is not in the view layer.
    """
    view_layer.update()  # or it does not know new objects
    for obj in objects:
        if not holds_splats(obj):
            raise SplatFileError(f"{obj.name} shows no splats")
        if obj.name not in view_layer.objects:
            raise SplatFileError(f"{obj.name} shows no splats in this view layer", "Show its collection")
    with evaluation.as_rendered(view_layer, objects) as graph:
        shown = evaluation.shown_objects(graph, set(objects))
        waiting = [deferred_splats_of(item, after) for item in shown if are_splats(item.evaluated.data)]
    parts = [part for part in (make() for make in waiting) if len(part)]
    if not parts:
        names = ", ".join(obj.name for obj in objects)
        raise SplatFileError(f"{names} shows no splats any more", "Undo what deleted them, or look at the modifiers")
    return parts


def deferred_splats_of(shown: evaluation.ShownObject, after: np.ndarray | None = None) -> Callable[[], Gaussians]:
    """The splats of an evaluated object in two steps: the arrays are copied now; the returned function makes splats of
    them, without Blender. It raises SplatFileError for a mesh that was edited beyond recognition.
    """
    matrix = shown.matrix_world if after is None else np.array(after, np.float64) @ shown.matrix_world
    name, data = shown.evaluated.name, shown.evaluated.data
    if not isinstance(data, bpy.types.Mesh):
        values = _copied(data)
        read = next(read for column, read in READERS.items() if column in values)
        return lambda: transformed(read(values), matrix)
    with evaluation.mesh_of(shown.evaluated) as mesh:
        values = _copied(mesh) | _topology(mesh)
    read = _from_flat if "inverse_0" in values else _from_axes if "axis_0" in values else _from_faces
    return lambda: transformed(read(values, name), matrix)


@dataclass(frozen=True)
class Exported:
    """What was written: the number of splats, and what the format could not keep, as phrases for the report."""

    count: int
    notes: tuple[str, ...] = ()


def export_splats(objects: list[bpy.types.Object], path: Path, after: np.ndarray | None = None) -> int:
    """Write the splats of all `objects` into one file, with their transforms applied; how many there are.

    Raises as `write_splats_of` does.
    """
    return write_splats_of(objects, path, after).count


def write_splats_of(
    objects: list[bpy.types.Object], path: Path, after: np.ndarray | None = None, up: str = ""
) -> Exported:
    """Write the splats of all `objects` into one file in the format of its suffix, with their transforms applied.

    Far from the origin, positions are kept relative to the first object; formats that can hold its place do so.

    Args:
        objects: That show splats.
        path: The file.
        after: (4, 4) from world space to the axes of the file.
        up: The axis that points up in these, which the file then says if its format can.

    Raises:
        SplatFileError: An object shows no splats, none were given, or the format can't hold them.
        OSError: The folder can't be written.
    """
    if not objects:
        raise SplatFileError("No object that shows splats is selected")
    form = formats.format_of(path)
    after = np.eye(4) if after is None else np.array(after, np.float64)
    place = (after @ np.array(objects[0].matrix_world, np.float64))[:3, 3]
    away = np.eye(4)
    away[:3, 3] = -place
    parts = parts_of(objects, bpy.context.view_layer, away @ after)
    few = [part.means[:: max(1, len(part) // 4096)] + place for part in parts]
    is_far = bool(origin_of(np.concatenate(few)).any())
    if not is_far and place.any():
        parts = [replace(part, means=(part.means + place).astype(np.float32)) for part in parts]
    antialiased = all(bool(obj.data is not None and obj.data.get(ANTIALIASED)) for obj in objects)
    about = formats.About(up, place if is_far and form.keeps_origin else np.zeros(3), antialiased)
    if form is splat_ply.FORMAT:
        splat_ply.write_parts(path, parts, about)
    else:
        form.write(path, padded_join(parts), about)
    return Exported(sum(len(part) for part in parts), _lost(form, parts, place if is_far else None))


def _lost(form: formats.Format, parts: list[Gaussians], place: np.ndarray | None) -> tuple[str, ...]:
    """The phrases about what a format does not keep."""
    found = []
    if place is not None and not form.keeps_origin:
        found.append(
            f"around its own centre: {form.name} can't hold the place " + ", ".join(f"{x:.12g}" for x in place)
        )
    if form.suffix == ".splat" and any(part.sh.shape[1] > 1 for part in parts):
        found.append(f"without harmonics, which {form.name} lacks")
    return tuple(found)


def _names(data: bpy.types.ID) -> set[str]:
    return {attribute.name for attribute in data.attributes}


def _copied(data: bpy.types.ID) -> dict[str, np.ndarray]:
    """The attributes of a mesh or cloud that hold vectors, colours or turns: (N, width) float32 each."""
    found = {}
    for attribute in data.attributes:
        if attribute.data_type in FIELDS:
            field, width = FIELDS[attribute.data_type]
            values = np.empty(len(attribute.data) * width, np.float32)
            attribute.data.foreach_get(field, values)
            found[attribute.name] = values.reshape(-1, width)
    return found


def _topology(mesh: bpy.types.Mesh) -> Values:
    """`start` and `sides` of the faces (N,), and the vertex of each loop, `vertex` (L,)."""
    start, sides = np.empty((2, len(mesh.polygons)), np.int32)
    vertex = np.empty(len(mesh.loops), np.int32)
    mesh.polygons.foreach_get("loop_start", start)
    mesh.polygons.foreach_get("loop_total", sides)
    mesh.loops.foreach_get("vertex_index", vertex)
    return {"start": start, "sides": sides, "vertex": vertex}


def _corners(mesh: Values, name: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Where the corners of the faces lie, (N, 3 or 4, 3) float64, and that in sigmas, (N, 4, 2), None for triangles.

    Vertices without a face are left over where faces were deleted.
    """
    start, sides, vertex = mesh["start"], mesh["sides"], mesh["vertex"]
    count = 3 if TRIANGLE_ATTRIBUTE in mesh else 4
    if (sides != count).any() or (len(mesh["position"]) - len(vertex)) % count:
        raise _edited(name)
    loops = start[:, None] + np.arange(count)
    corners = mesh["position"][vertex[loops]].astype(np.float64)
    if count == 3:
        return corners, None
    sigma = mesh["sigma"]
    return corners, sigma[loops if len(sigma) == len(vertex) != len(mesh["position"]) else vertex[loops]]


def _edited(name: str) -> SplatFileError:
    return SplatFileError(
        f"{name} was edited: some of its faces are no splats any more",
        "Undo the edit, or remove the modifiers that divide or join its faces",
    )


def _from_faces(mesh: Values, name: str) -> Gaussians:
    corners, sigma = _corners(mesh, name)
    colour = mesh[TRIANGLE_ATTRIBUTE if sigma is None else "splat"]
    shape = TRIANGLE if sigma is None else SQUARE
    if sigma is None or not len(sigma) or np.abs(sigma - SQUARE).max() < 1e-5:
        sides = np.einsum("ak,nkx->nxa", np.linalg.pinv(shape), corners)
    elif np.abs(np.abs(sigma) - CUT).max() < 1e-3 and np.abs(sigma.sum(1)).max() < 1e-3:  # turned over by a modifier
        sides = np.einsum("nak,nkx->nxa", np.linalg.pinv(sigma.astype(np.float64)), corners)
    else:
        raise _edited(name)
    lengths = np.maximum(np.linalg.norm(sides, axis=1), 1e-30)
    first, second = np.moveaxis(sides / lengths[:, None], -1, 0)
    if len(first) and np.abs((first * second).sum(-1)).max() > 1e-3:  # an uneven scale or a shear was applied
        sides, lengths, _ = np.linalg.svd(sides, full_matrices=False)
        first, second = np.moveaxis(sides, -1, 0)
    third = np.cross(first, second)
    second = np.cross(third, first)
    log_scales = np.empty((len(colour), 3), np.float32)
    log_scales[:, :2] = np.log(lengths)
    log_scales[:, 2] = smallest(log_scales[:, :2]) + FLATNESS
    quaternions = from_axes(np.stack([first, second, third], -1))
    sh = _harmonics(mesh, colour)
    return Gaussians(corners.mean(1).astype(np.float32), log_scales, quaternions, _logits(colour[:, 3]), sh)


def _from_flat(mesh: Values, name: str) -> Gaussians:
    centres = _corners(mesh, name)[0].mean(1).astype(np.float32)
    return _from_spheres(mesh | {"position": centres, "rgba": mesh["splat"]})


def _from_axes(mesh: Values, name: str) -> Gaussians:
    colour = mesh["splat"]
    log_scales, quaternions = _shapes(np.stack([mesh[f"axis_{row}"] for row in range(3)], -1))
    means = _corners(mesh, name)[0].mean(1).astype(np.float32)
    return Gaussians(means, log_scales, quaternions, _logits(colour[:, 3]), _harmonics(mesh, colour, encoded=True))


def _from_spheres(cloud: Values) -> Gaussians:
    colour = cloud["rgba"]
    log_scales, quaternions = _shapes(np.stack([cloud[f"inverse_{row}"] for row in range(3)], -1))
    return Gaussians(cloud["position"], -log_scales, quaternions, _logits(colour[:, 3]), _harmonics(cloud, colour))


def _shapes(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log-scales (N, 3) and quaternions of Gaussians, or of their inverses, by three vectors each.

    Those are the columns of (N, 3, 3); they are at right angles but where an uneven scale or a shear was applied.
    """
    vectors = vectors.astype(np.float64)
    lengths = np.maximum(np.linalg.norm(vectors, axis=1), 1e-30)
    axes = vectors / lengths[:, None]
    if len(axes) and np.abs(axes.transpose(0, 2, 1) @ axes - np.eye(3)).max() > 1e-3:
        axes, lengths, _ = np.linalg.svd(vectors)
        lengths = np.maximum(lengths, 1e-30)
    return np.log(lengths).astype(np.float32), from_axes(axes)


def _from_native(cloud: Values) -> Gaussians:
    base = cloud["radiance:base"]
    count = sum(name.startswith("radiance:sh_") for name in cloud)
    above = [cloud[f"radiance:sh_{index}"][:, None] for index in range(count)]
    return Gaussians(
        cloud["position"],
        np.log(np.maximum(cloud["scale"], np.float32(1e-30))),
        cloud["rotation"],
        _logits(base[:, 3]),
        np.concatenate([base[:, None, :3], *above], 1),
    )


def _harmonics(values: Values, colour: np.ndarray, encoded: bool = False) -> np.ndarray:
    """The coefficients (N, K, 3) of a mesh or cloud; the base colour of degree 0 is linear unless `encoded`."""
    count = sum(name.startswith("sh_") for name in values)
    base = _constant(colour[:, :3] if count or encoded else linear_to_srgb(colour[:, :3]))
    above = [values[f"sh_{index}"][:, None] for index in range(1, count + 1)]
    return np.concatenate([base, *above], 1)


READERS = {"radiance:base": _from_native, "inverse_0": _from_spheres}
"""How to read splats in point clouds, by an attribute that they alone have."""


def _constant(srgb: np.ndarray) -> np.ndarray:
    return ((srgb - np.float32(0.5)) / np.float32(SH_C0))[:, None]


def _logits(opacities: np.ndarray) -> np.ndarray:
    alpha = np.clip(opacities, LEAST_OPACITY, 1 - LEAST_OPACITY)
    return np.log(alpha / (1 - alpha))
