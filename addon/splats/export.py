"""Objects that show splats back to arrays, in world axes, and to a 3DGS PLY."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import bpy
import numpy as np

from . import applied_transforms, harmonics, ply
from .arrays import SH_C0, SplatFileError, Splats, axes_of, linear_to_srgb, smallest
from .materials import TRIANGLES
from .surfels import SQUARE, TRIANGLE

CHUNK = 1 << 14
FLATNESS = np.log(np.float32(1e-3))
LEAST_OPACITY = np.float32(1e-6)
FIELDS = {
    "FLOAT_COLOR": ("color", 4),
    "BYTE_COLOR": ("color", 4),
    "FLOAT_VECTOR": ("vector", 3),
    "FLOAT4": ("vector", 4),
    "QUATERNION": ("value", 4),
}
"""How attributes are read, by their type."""

Values = dict[str, np.ndarray]


def holds_splats(obj: bpy.types.Object) -> bool:
    """Whether an object shows splats that `splats_of` can take up."""
    if obj.type == "MESH":
        names = _names(obj.data)
        return {"splat", "sigma"} <= names or TRIANGLES in names
    names = _names(obj.data) if obj.type == "POINTCLOUD" else set()
    return {"rgba", "inverse_0"} <= names or {"radiance:base", "scale", "rotation"} <= names


def splats_of(obj: bpy.types.Object, after: np.ndarray | None = None) -> Splats:
    """The splats that an object shows, moved by its world matrix and then by `after` (4, 4).

    Raises:
        SplatFileError: The object shows no splats.
    """
    return taken(obj, after)()


def taken(obj: bpy.types.Object, after: np.ndarray | None = None) -> Callable[[], Splats]:
    """The same in two steps: the object's arrays are copied now, and what is called later needs nothing of Blender.

    Raises:
        SplatFileError: The object shows no splats.
    """
    if not holds_splats(obj):
        raise SplatFileError(f"{obj.name} shows no splats")
    applied_transforms.mend(obj.data)
    name, values, matrix = obj.data.name, _copied(obj.data), np.array(obj.matrix_world, np.float64)
    if after is not None:
        matrix = np.array(after, np.float64) @ matrix
    if obj.type == "MESH" and "inverse_0" in values:
        return lambda: moved(_from_flat(values, name), matrix)
    if obj.type == "MESH" and "axis_0" not in values:
        return lambda: moved(_from_faces(values, name), matrix)
    read = next(read for column, read in READERS.items() if column in values)
    return lambda: moved(read(values), matrix)


def export_splats(objects: list[bpy.types.Object], path: Path, after: np.ndarray | None = None) -> int:
    """Write the splats of all `objects` into one 3DGS PLY, with their transforms applied; how many there are.

    Raises:
        SplatFileError: An object shows no splats, or none were given.
        OSError: The folder can't be written.
    """
    if not objects:
        raise SplatFileError("No object that shows splats is selected")
    return write_parts([splats_of(obj, after) for obj in objects], path)


def write_parts(parts: list[Splats], path: Path) -> int:
    """Write splats, one part or more, into one 3DGS PLY; how many there are.

    Raises:
        OSError: The folder can't be written.
    """
    most = max(part.sh.shape[1] for part in parts)
    total = sum(len(part) for part in parts)
    dtype = _row_type(most)
    names = "\n".join(f"property float {name}" for name in dtype.names)
    header = f"ply\nformat binary_little_endian 1.0\nelement vertex {total}\n{names}\nend_header\n"
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(header.encode("ascii"))
            for part in parts:
                for start in range(0, len(part), CHUNK):
                    file.write(_packed(part[start : start + CHUNK], dtype, most).data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return total


def moved(splats: Splats, matrix: np.ndarray) -> Splats:
    """Splats after an affine transform (4, 4): exact for any; colours turn with its rotation.

    What a shear or an uneven scale makes of a Gaussian is a Gaussian: Σ' = L Σ Lᵀ, taken apart anew into axes and
    scales.
    """
    linear = np.asarray(matrix, np.float64)[:3, :3]
    means = (splats.means @ linear.T + np.asarray(matrix)[:3, 3]).astype(np.float32)
    left, stretch, right = np.linalg.svd(linear)
    rotation = left @ right
    axes = np.stack(axes_of(splats.quaternions), -1)
    log_scales = splats.log_scales
    if stretch[0] - stretch[2] < 1e-5 * stretch[0]:
        axes = rotation @ axes
        log_scales = (log_scales + np.log(stretch[0])).astype(np.float32)
    else:
        axes, log_scales = _stretched(axes, log_scales, linear)
    return Splats(
        means,
        log_scales,
        quaternions_of(axes),
        splats.logit_opacities,
        harmonics.turned(splats.sh, rotation),
        splats.extra,
    )


def quaternions_of(axes: np.ndarray) -> np.ndarray:
    """Unit quaternions wxyz (N, 4) of matrices whose columns are orthonormal axes (N, 3, 3); mirrored ones lose their
    third axis's sign, which a Gaussian does not have.
    """
    m = np.where((np.linalg.det(axes) < 0)[:, None, None], axes * np.array([1, 1, -1]), axes)
    xx, yy, zz = m[:, 0, 0], m[:, 1, 1], m[:, 2, 2]
    # Four times the outer product of each quaternion with itself: its longest row is the most exact.
    outer = np.empty((len(m), 4, 4))
    outer[:, 0, 0], outer[:, 1, 1] = 1 + xx + yy + zz, 1 + xx - yy - zz
    outer[:, 2, 2], outer[:, 3, 3] = 1 - xx + yy - zz, 1 - xx - yy + zz
    for row, column, value in (
        (0, 1, m[:, 2, 1] - m[:, 1, 2]),
        (0, 2, m[:, 0, 2] - m[:, 2, 0]),
        (0, 3, m[:, 1, 0] - m[:, 0, 1]),
        (1, 2, m[:, 0, 1] + m[:, 1, 0]),
        (1, 3, m[:, 0, 2] + m[:, 2, 0]),
        (2, 3, m[:, 1, 2] + m[:, 2, 1]),
    ):
        outer[:, row, column] = outer[:, column, row] = value
    best = outer[np.arange(len(m)), np.argmax(outer.diagonal(axis1=1, axis2=2), -1)]
    return (best / np.linalg.norm(best, axis=-1, keepdims=True)).astype(np.float32)


def _stretched(axes: np.ndarray, log_scales: np.ndarray, linear: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Axes, the longest first, and log-scales after any linear map; by the SVD of L R S, in double precision."""
    new_axes = np.empty_like(axes, np.float64)
    new_scales = np.empty_like(log_scales)
    for start in range(0, len(axes), CHUNK):
        where = slice(start, start + CHUNK)
        scaled = linear @ axes[where] * np.exp(log_scales[where].astype(np.float64))[:, None, :]
        new_axes[where], lengths, _ = np.linalg.svd(scaled)
        new_scales[where] = np.log(np.maximum(lengths, 1e-30))
    return new_axes, new_scales


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


def _corners(mesh: Values, name: str) -> np.ndarray:
    """Where the corners of the faces lie, (N, 3 or 4, 3) float64."""
    count, sides = (len(mesh[TRIANGLES]), 3) if TRIANGLES in mesh else (len(mesh["splat"]), 4)
    if len(mesh["position"]) != sides * count:
        raise SplatFileError(f"{name} was edited: its faces are no splats any more")
    return mesh["position"].reshape(count, sides, 3).astype(np.float64)


def _from_faces(mesh: Values, name: str) -> Splats:
    corners = _corners(mesh, name)
    colour, shape = (mesh[TRIANGLES], TRIANGLE) if TRIANGLES in mesh else (mesh["splat"], SQUARE)
    sides = np.einsum("ak,nkx->nxa", np.linalg.pinv(shape), corners)
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
    quaternions = quaternions_of(np.stack([first, second, third], -1))
    sh = _harmonics(mesh, colour)
    return Splats(corners.mean(1).astype(np.float32), log_scales, quaternions, _logits(colour[:, 3]), sh)


def _from_flat(mesh: Values, name: str) -> Splats:
    centres = _corners(mesh, name).mean(1).astype(np.float32)
    return _from_spheres(mesh | {"position": centres, "rgba": mesh["splat"]})


def _from_axes(mesh: Values) -> Splats:
    colour = mesh["splat"]
    log_scales, quaternions = _shapes(np.stack([mesh[f"axis_{row}"] for row in range(3)], -1))
    means = np.ascontiguousarray(mesh["position"][::4])
    return Splats(means, log_scales, quaternions, _logits(colour[:, 3]), _harmonics(mesh, colour, encoded=True))


def _from_spheres(cloud: Values) -> Splats:
    colour = cloud["rgba"]
    log_scales, quaternions = _shapes(np.stack([cloud[f"inverse_{row}"] for row in range(3)], -1))
    return Splats(cloud["position"], -log_scales, quaternions, _logits(colour[:, 3]), _harmonics(cloud, colour))


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
    return np.log(lengths).astype(np.float32), quaternions_of(axes)


def _from_native(cloud: Values) -> Splats:
    base = cloud["radiance:base"]
    count = sum(name.startswith("radiance:sh_") for name in cloud)
    above = [cloud[f"radiance:sh_{index}"][:, None] for index in range(count)]
    return Splats(
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


READERS = {"axis_0": _from_axes, "radiance:base": _from_native, "inverse_0": _from_spheres}
"""How to read splats that are no quads, by an attribute that they alone have."""


def _constant(srgb: np.ndarray) -> np.ndarray:
    return ((srgb - np.float32(0.5)) / np.float32(SH_C0))[:, None]


def _logits(opacities: np.ndarray) -> np.ndarray:
    alpha = np.clip(opacities, LEAST_OPACITY, 1 - LEAST_OPACITY)
    return np.log(alpha / (1 - alpha))


def _row_type(coefficients: int) -> np.dtype:
    rest = [f"f_rest_{index}" for index in range(3 * coefficients - 3)]
    names = [*ply.MEANS, *ply.NORMALS, *ply.COLOUR, *rest, "opacity", *ply.SCALES, *ply.ROTATION]
    return np.dtype([(name, "<f4") for name in names])


def _packed(splats: Splats, dtype: np.dtype, coefficients: int) -> np.ndarray:
    sh = np.zeros((len(splats), coefficients, 3), np.float32)
    sh[:, : splats.sh.shape[1]] = splats.sh
    flat = splats.log_scales[:, 2:] < splats.log_scales[:, :2].min(-1, keepdims=True) + FLATNESS / 2
    normals = np.where(flat, axes_of(splats.quaternions)[2], 0)
    rest = sh[:, 1:].transpose(0, 2, 1).reshape(len(splats), 3 * coefficients - 3)
    columns = (splats.means, normals, sh[:, 0], rest, splats.logit_opacities[:, None])
    table = np.concatenate([*columns, splats.log_scales, splats.quaternions], -1).astype("<f4")
    return table.view(dtype)
