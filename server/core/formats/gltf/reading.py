"""Splats out of glTF files, with the transforms of their nodes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ...colour import linear_to_srgb
from ...errors import SplatFileError
from ...gaussians import Gaussians, padded_join, transformed
from ...quaternions import unit
from ...safety import limits
from ...spherical_harmonics import SH_C0
from .. import axes, quantization, spz
from ..format import SplatFile, flat_note, flattened, origin_of
from ..source import Source
from .container import Glb

EXTENSION = "KHR_gaussian_splatting"
SPZ = (
    "KHR_gaussian_splatting_compression_spz_2",
    "KHR_gaussian_splatting_compression_spz",
    "KHR_spz_gaussian_splats_compression",
    "KHR_spz_compression",
)
"""Names of the compression by SPZ: that of the proposal, and those of earlier drafts."""

KNOWN = {EXTENSION, *SPZ, "KHR_mesh_quantization"}
BARRIERS = ("compress", "meshopt", "draco", "splat", "quantization")
"""Parts of the names of extensions without which splats can't be read."""

ROW_BYTES = 56
"""Of a splat of degree 0 in memory."""


def read(path: Path | Source) -> SplatFile:
    """Read all splats of the scene of a GLB or .gltf file: one set, with y up, in the places of their nodes.

    Raises:
        SplatFileError: The file is invalid or holds no splats; the message says what is wrong.
        OSError: The file can't be opened.
    """
    glb = Glb(Source.of(path))
    required = glb.document.get("extensionsRequired", [])
    for extension in required if isinstance(required, list) else ():
        if extension not in KNOWN and any(part in str(extension).lower() for part in BARRIERS):
            raise SplatFileError(f"{glb.name}: needs the glTF extension {extension!s:.60}, which is not known")
    parts, total = [], 0
    for node, matrix in glb.nodes():
        for primitive in _splat_primitives(glb, node):
            part = _primitive(glb, primitive)
            total += len(part.splats) * ROW_BYTES
            if total > limits.SPLAT_UNPACKED_FREE + limits.GLB_INSTANCED_RATIO * glb.size:
                raise SplatFileError(f"{glb.name}: its nodes show far more splats than it holds")
            parts.append((part, matrix))
    if not parts:
        raise SplatFileError(
            f"{glb.name}: holds no splats: no mesh of the GLB has the extension {EXTENSION}",
            "File › Import › glTF in Blender brings meshes in",
        )
    return _joined(parts)


def _splat_primitives(glb: Glb, node: dict[str, Any]) -> list[dict[str, Any]]:
    if "mesh" not in node:
        return []
    primitives = glb.item("meshes", node["mesh"]).get("primitives", [])
    found = [one for one in primitives if isinstance(one, dict)] if isinstance(primitives, list) else []
    return [one for one in found if {EXTENSION, *SPZ} & _extensions(one).keys()]


def _extensions(item: dict[str, Any]) -> dict[str, Any]:
    found = item.get("extensions")
    return found if isinstance(found, dict) else {}


def _primitive(glb: Glb, primitive: dict[str, Any]) -> SplatFile:
    extension = _extensions(primitive).get(EXTENSION)
    extension = extension if isinstance(extension, dict) else {}
    nested = _extensions(primitive) | _extensions(extension)
    compressed = next((nested[name] for name in SPZ if isinstance(nested.get(name), dict)), None)
    extras = primitive.get("extras")
    antialiased = isinstance(extras, dict) and extras.get("antialiased") is True
    if compressed is not None and "bufferView" in compressed:
        # glTF's axes are those that SPZ has by default, and what loaders take them for
        found = spz.read(Source(glb.source.path, glb.bytes_of(compressed["bufferView"])))
        return _turned(found) if found.axes.said else found
    attributes = primitive.get("attributes")
    if not isinstance(attributes, dict):
        raise SplatFileError(f"{glb.name}: the GLB's splats have no attributes")
    found = _of_attributes(glb, attributes)
    notes = [*found.notes, _kernel_note(extension)]
    if str(extension.get("colorSpace", "")).lower().startswith("lin"):
        found = replace(found, splats=_encoded(found.splats))
        notes.append("its colours were linear light")
    return replace(found, antialiased=antialiased, notes=tuple(note for note in notes if note))


def _kernel_note(extension: dict[str, Any]) -> str:
    kernel = extension.get("kernel", "ellipse")
    return "" if kernel == "ellipse" else f"its kernel {kernel!s:.30} is not known, shown as ellipses"


def _of_attributes(glb: Glb, attributes: dict[str, Any]) -> SplatFile:
    """Splats out of accessors: linear scales and opacities, quaternions xyzw."""

    def values(name: str, width: int) -> np.ndarray | None:
        index = attributes.get(f"{EXTENSION}:{name}", attributes.get(f"_{name}"))
        return None if index is None else glb.values(index, width)

    means = glb.values(attributes.get("POSITION"), 3)
    count, notes = len(means), []
    scales, turns, opacity = values("SCALE", 3), values("ROTATION", 4), values("OPACITY", 1)
    sh = _harmonics(glb, values, count)
    colour = glb.values(attributes["COLOR_0"], 4) if sh is None or opacity is None and "COLOR_0" in attributes else None
    if sh is None and colour is not None:
        sh = quantization.constant_of(colour[:, :3])[:, None]
        notes.append("it has no harmonics, its colours are those of its points")
    opacity = colour[:, 3:] if opacity is None and colour is not None else opacity
    if scales is None or turns is None or opacity is None or sh is None:
        raise SplatFileError(f"{glb.name}: the GLB's splats lack scales, rotations, opacities or colours")
    if any(len(part) != count for part in (scales, turns, opacity, sh)):
        raise SplatFileError(f"{glb.name}: the GLB's attributes of splats differ in their number")
    with np.errstate(divide="ignore", invalid="ignore"):
        if (scales < 0).any():  # scales are positive, but one draft stored their logarithms
            notes.append("its scales are logarithms, as in a draft of the extension")
            logs = scales
        else:
            logs = np.log(scales)
    notes.append(flat_note(flattened(logs)))
    splats = Gaussians(means, logs, unit(turns[:, [3, 0, 1, 2]]), _logits(opacity[:, 0]), sh)
    finite = np.isfinite(means).all(-1) & np.isfinite(logs).all(-1) & np.isfinite(turns).all(-1)
    finite &= np.isfinite(opacity[:, 0]) & np.isfinite(sh).all((1, 2))
    kept = splats if finite.all() else splats[finite]
    return SplatFile(kept, axes.usual("Y"), count - len(kept), notes=tuple(note for note in notes if note))


def _harmonics(glb: Glb, values, count: int) -> np.ndarray | None:
    """The coefficients (N, K, 3) of all whole degrees; None if there are none."""
    found: list[np.ndarray] = []
    for degree in range(4):
        names = [f"SH_DEGREE_{degree}_COEF_{order}" for order in range(2 * degree + 1)]
        some = [values(name, 3) for name in names]
        whole = [one for one in some if one is not None]
        if len(whole) < len(names):
            break
        found += whole
    if any(len(one) != count for one in found):
        raise SplatFileError(f"{glb.name}: the GLB's attributes of splats differ in their number")
    return np.stack(found, 1) if found else None


def _logits(opacity: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        return quantization.logits_of(opacity * 255)


def _encoded(splats: Gaussians) -> Gaussians:
    """Splats whose harmonics give linear light, as ones whose harmonics give sRGB: exactly so for the mean colour, and
    to first order about it.
    """
    rgb = np.maximum(splats.rgb, 0)
    step = np.float32(1e-3)
    slope = (linear_to_srgb(rgb + step) - linear_to_srgb(rgb)) / step
    sh = splats.sh * slope[:, None]
    sh[:, 0] = (linear_to_srgb(rgb) - np.float32(0.5)) / np.float32(SH_C0)
    return replace(splats, sh=sh)


def _turned(file: SplatFile) -> SplatFile:
    """SPZ data that name their axes, with y up as glTF has it."""
    file = file.usable()
    matrix = np.eye(4)
    matrix[:3, :3] = axes.UPRIGHT["Y"].T @ file.axes.matrix
    sh = file.splats.sh[:, :16]
    return replace(file, splats=transformed(replace(file.splats, sh=sh), matrix), axes=axes.usual("Y"))


def _joined(parts: list[tuple[SplatFile, np.ndarray]]) -> SplatFile:
    """All parts in the scene's space; recentred if they are far away."""
    placed, means = [], []
    for part, matrix in parts:
        linear = np.eye(4)
        linear[:3, :3] = matrix[:3, :3]
        if np.abs(np.linalg.det(linear)) < 1e-30:
            continue  # scaled to nothing
        splats = part.splats
        if not np.allclose(linear, np.eye(4), rtol=0, atol=1e-12):
            splats = transformed(replace(splats, sh=splats.sh[:, :16]), linear)
            means.append(part.splats.means.astype(np.float64) @ matrix[:3, :3].T + matrix[:3, 3])
        else:
            means.append(splats.means + matrix[:3, 3] if matrix[:3, 3].any() else splats.means)
        placed.append(splats)
    notes = tuple(dict.fromkeys(note for part, _ in parts for note in part.notes))
    dropped = sum(part.dropped for part, _ in parts)
    if not placed:
        return replace(parts[0][0], splats=parts[0][0].splats[:0], dropped=dropped + len(parts[0][0].splats))
    whole = means[0] if len(means) == 1 else np.concatenate(means)
    origin = origin_of(whole) if whole.dtype == np.float64 else np.zeros(3)
    splats = replace(padded_join(placed), means=np.asarray(whole - origin if origin.any() else whole, np.float32))
    antialiased = all(part.antialiased for part, _ in parts)
    return SplatFile(splats, axes.usual("Y"), dropped, origin, antialiased, notes)
