"""Surfaces of objects as evenly spread, coloured samples."""

from __future__ import annotations

from dataclasses import dataclass, replace

import bpy
import numpy as np

from .splats.arrays import linear_to_srgb

GREY = 0.8
"""Base colour, in linear light, of what has no material: Blender's own."""

NEAR = 1.5
"""Samples lie closest within this distance of the level's middle, in its units; beyond they spread with distance."""

FARTHEST = 50.0
LARGEST = 0.5
"""Triangles are split until their sides are this share of their distance from the middle, or of one unit."""

ROUNDS = 16
SHADERS = {"BSDF_PRINCIPLED": "Base Color", "BSDF_DIFFUSE": "Color", "EMISSION": "Color"}


@dataclass(frozen=True)
class Faces:
    """Triangles in a level's frame.

    Attributes:
        corners: (T, 3, 3) float64.
        rgb: (T, 3) sRGB colours of faces that have one all over.
        texture: (T,) index of the picture that colours the face, -1 for none.
        uv: (T, 3, 2), the corners' places in it.
        painted: (T, 3, 3) sRGB colours at the corners; NaN where `rgb` or a picture counts.
        textures: (H, W, 3) sRGB each, bottom row first.
    """

    corners: np.ndarray
    rgb: np.ndarray
    texture: np.ndarray
    uv: np.ndarray
    painted: np.ndarray
    textures: tuple[np.ndarray, ...] = ()


@dataclass(frozen=True)
class Samples:
    """Points on surfaces: positions, unit normals, sRGB colours (N, 3) each, and how far apart they lie (N,)."""

    positions: np.ndarray
    normals: np.ndarray
    rgb: np.ndarray
    spacing: np.ndarray


@dataclass(frozen=True)
class Look:
    """The colour of a material: one all over (linear), or a picture, or a colour attribute."""

    rgb_linear: tuple[float, float, float] = (GREY, GREY, GREY)
    image: bpy.types.Image | None = None
    uv_map: str = ""
    attribute: str | None = None


def collect(graph: bpy.types.Depsgraph, objects: set[bpy.types.Object], into: np.ndarray) -> Faces | None:
    """All triangles of what is seen of `objects`, modifiers and instances included; None where there are none.

    Args:
        into: (4, 4), from the world into the level's frame.
    """
    if not objects:
        return None
    parts: list[Faces] = []
    textures: dict[str, int] = {}
    pictures: list[np.ndarray] = []
    for instance in graph.object_instances:
        owner = instance.parent if instance.is_instance else instance.object
        if owner is None or owner.original not in objects or instance.object.type == "EMPTY":
            continue
        try:
            mesh = instance.object.to_mesh()
        except RuntimeError:
            continue  # what has no surface
        if mesh is not None:
            looks = [look_of(slot.material) for slot in instance.object.material_slots] or [look_of(None)]
            for look in looks:
                if look.image is not None and look.image.name not in textures:
                    textures[look.image.name] = len(pictures)
                    pictures.append(_picture(look.image))
            part = _faces(mesh, looks, textures, into @ np.array(instance.matrix_world, np.float64))
            parts += [part] if len(part.corners) else []
        instance.object.to_mesh_clear()
    if not parts:
        return None
    if len(parts) == 1:
        return replace(parts[0], textures=tuple(pictures))
    names = ("corners", "rgb", "texture", "uv", "painted")
    return Faces(*(np.concatenate([getattr(part, name) for part in parts]) for name in names), tuple(pictures))


def look_of(material: bpy.types.Material | None) -> Look:
    """What a material's surface is coloured by; its viewport colour where that can't be told."""
    if material is None:
        return Look()
    plain = Look(tuple(material.diffuse_color[:3]))
    if material.node_tree is None:
        return plain
    shader = _shader(material.node_tree)
    if shader is None:
        return plain
    socket = shader.inputs[SHADERS[shader.type]]
    strength = shader.inputs.get("Emission Strength")
    dark = not socket.is_linked and not any(socket.default_value[:3])
    if dark and strength is not None and strength.default_value > 0:
        socket = shader.inputs["Emission Color"]
    if not socket.is_linked:
        return Look(tuple(socket.default_value[:3]))
    source = socket.links[0].from_node
    if source.type == "TEX_IMAGE" and source.image is not None:
        vector = source.inputs["Vector"]
        mapped = vector.links[0].from_node if vector.is_linked else None
        return Look(image=source.image, uv_map=mapped.uv_map if mapped is not None and mapped.type == "UVMAP" else "")
    if source.type in ("VERTEX_COLOR", "ATTRIBUTE"):
        return Look(attribute=source.layer_name if source.type == "VERTEX_COLOR" else source.attribute_name)
    return plain


def sample(faces: Faces, spacing: float, most: int) -> Samples:
    """Spread samples evenly, the same for the same faces.

    Args:
        faces: The surfaces.
        spacing: Distance of samples near the level's middle, in its units.
        most: Never more samples than these; the spacing grows instead.
    """
    source, weights = _split(faces.corners)
    corners = faces.corners if weights is None else np.einsum("tij,tjk->tik", weights, faces.corners[source])
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    distance = np.linalg.norm(corners[:, 0] + corners[:, 1] + corners[:, 2], axis=-1) / 3
    apart = spacing * np.maximum(1, distance / NEAR)
    wanted = np.where(distance < FARTHEST, np.linalg.norm(across, axis=-1) / 2 / apart**2, 0)
    if wanted.sum() > most:
        apart = apart * np.sqrt(wanted.sum() / most)
        wanted = wanted * (most / wanted.sum())
    ends = np.cumsum(wanted)
    count = int(np.ceil(ends[-1])) if len(ends) else 0
    index = np.minimum(np.searchsorted(ends, (np.arange(count) + 0.5) * ends[-1] / max(count, 1)), len(ends) - 1)
    inner = _places(count) if weights is None else np.einsum("ni,nij->nj", _places(count), weights[index])
    origin = source[index]
    normals = across[index] / np.maximum(np.linalg.norm(across[index], axis=-1, keepdims=True), 1e-30)
    positions = np.einsum("ni,nij->nj", inner, faces.corners[origin])
    return Samples(positions, normals, _colours(faces, origin, inner), apart[index])


def turned_to(normals: np.ndarray) -> np.ndarray:
    """Unit quaternions wxyz (N, 4) that turn z to unit normals (N, 3)."""
    x, y, z = normals.T
    turn = np.stack([1 + z, -y, x, np.zeros_like(z)], -1)
    turn[z < -0.999999] = (0, 1, 0, 0)
    return turn / np.linalg.norm(turn, axis=-1, keepdims=True)


def _shader(tree: bpy.types.NodeTree) -> bpy.types.Node | None:
    """The first shader with a colour that leads to the output."""
    output = tree.get_output_node("ALL")
    waiting = [output] if output is not None else []
    seen = set()
    while waiting:
        node = waiting.pop(0)
        if node.type in SHADERS:
            return node
        seen.add(node)
        links = (link for socket in node.inputs if socket.type == "SHADER" for link in socket.links)
        waiting += [link.from_node for link in links if link.from_node not in seen]
    return None


def _faces(mesh: bpy.types.Mesh, looks: list[Look], textures: dict[str, int], matrix: np.ndarray) -> Faces:
    """The triangles of a mesh."""
    mesh.calc_loop_triangles()
    count = len(mesh.loop_triangles)
    loops, vertices, materials = (np.empty(count * width, np.int32) for width in (3, 3, 1))
    mesh.loop_triangles.foreach_get("loops", loops)
    mesh.loop_triangles.foreach_get("vertices", vertices)
    mesh.loop_triangles.foreach_get("material_index", materials)
    places = np.empty(3 * len(mesh.vertices), np.float32)
    mesh.vertices.foreach_get("co", places)
    corners = places.reshape(-1, 3).astype(np.float64) @ matrix[:3, :3].T + matrix[:3, 3]
    used = np.minimum(materials, len(looks) - 1)
    faces = Faces(
        corners[vertices].reshape(-1, 3, 3),
        linear_to_srgb(np.array([look.rgb_linear for look in looks]))[used],
        np.array([textures.get(look.image.name, -1) if look.image else -1 for look in looks])[used],
        np.broadcast_to(np.float64(0), (count, 3, 2)),
        np.broadcast_to(np.float64(np.nan), (count, 3, 3)),
    )
    for number, look in enumerate(looks):
        faces = _coloured(faces, mesh, used == number, look, loops, vertices)
    return faces


def _coloured(faces: Faces, mesh, which: np.ndarray, look: Look, loops: np.ndarray, vertices: np.ndarray) -> Faces:
    """Give the faces of one material their places in its picture, or the colours of its attribute."""
    if look.image is not None:
        layer = mesh.uv_layers.get(look.uv_map) or mesh.uv_layers.active
        if layer is None:
            return replace(faces, texture=np.where(which, -1, faces.texture))
        uv = np.empty(2 * len(mesh.loops), np.float32)
        layer.uv.foreach_get("vector", uv)
        return replace(faces, uv=np.where(which[:, None, None], uv.reshape(-1, 2)[loops].reshape(-1, 3, 2), faces.uv))
    if look.attribute is None:
        return faces
    layer = mesh.color_attributes.get(look.attribute) or mesh.color_attributes.active_color
    if layer is None or layer.domain not in ("POINT", "CORNER"):
        return faces
    colours = np.empty(4 * len(layer.data), np.float32)
    layer.data.foreach_get("color", colours)
    rows = vertices if layer.domain == "POINT" else loops
    painted = linear_to_srgb(colours.reshape(-1, 4)[rows, :3].reshape(-1, 3, 3).astype(np.float64))
    return replace(faces, painted=np.where(which[:, None, None], painted, faces.painted))


def _split(corners: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Split large triangles: the row that each part came from (P,), and its corners as weights of that (P, 3, 3);
    None where all stay as they are.
    """
    source = np.arange(len(corners))
    if not _is_large(corners)[0].any():
        return source, None
    weights = np.broadcast_to(np.eye(3), (len(corners), 3, 3))
    done: list[tuple[np.ndarray, np.ndarray]] = []
    for _ in range(ROUNDS):
        now = np.einsum("tij,tjk->tik", weights, corners[source])
        large, longest = _is_large(now)
        done.append((source[~large], weights[~large]))
        if not large.any():
            return tuple(np.concatenate(part) for part in zip(*done))
        source, weights, longest = source[large], weights[large], longest[large]
        rows = np.arange(len(source))
        a, b, c = (weights[rows, (longest + step) % 3] for step in range(3))
        middle = (a + b) / 2
        weights = np.concatenate([np.stack([a, middle, c], 1), np.stack([middle, b, c], 1)])
        source = np.concatenate([source, source])
    return tuple(np.concatenate(part) for part in zip(*done, (source, weights)))


def _is_large(corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which triangles (T, 3, 3) are to be split, and the longest side of each, from its first corner on."""
    squared = np.stack([((corners[:, (k + 1) % 3] - corners[:, k]) ** 2).sum(-1) for k in range(3)], -1)
    distance = ((corners[:, 0] + corners[:, 1] + corners[:, 2]) ** 2).sum(-1) / 9
    return squared.max(-1) > LARGEST**2 * np.maximum(distance, 1.0), squared.argmax(-1)


def _places(count: int) -> np.ndarray:
    """Evenly spread places in a triangle as weights of its corners (N, 3): Roberts' R2 sequence, folded."""
    root = 1.324717957244746  # of x³ = x + 1
    u, v = ((0.5 + np.arange(count) / root**power) % 1 for power in (1, 2))
    folded = u + v > 1
    u, v = np.where(folded, 1 - u, u), np.where(folded, 1 - v, v)
    return np.stack([1 - u - v, u, v], -1)


def _colours(faces: Faces, rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Colours, sRGB (N, 3), of samples on faces `rows`, at `weights` of their corners."""
    painted = np.einsum("ni,nij->nj", weights, faces.painted[rows])
    rgb = np.where(np.isfinite(painted), painted, faces.rgb[rows])
    uv = np.einsum("ni,nij->nj", weights, faces.uv[rows])
    for number, picture in enumerate(faces.textures):
        here = faces.texture[rows] == number
        height, width = picture.shape[:2]
        column = np.floor(uv[here, 0] % 1 * width).astype(int) % width
        row = np.floor(uv[here, 1] % 1 * height).astype(int) % height
        rgb[here] = picture[row, column]
    return np.clip(rgb, 0, 1)


def _picture(image: bpy.types.Image) -> np.ndarray:
    """An image as (H, W, 3) sRGB; grey where it can't be loaded."""
    width, height = image.size
    if not width or not height:
        return np.full((1, 1, 3), linear_to_srgb(np.float32(GREY)), np.float32)
    pixels = np.empty(width * height * image.channels, np.float32)
    image.pixels.foreach_get(pixels)
    rgb = pixels.reshape(height, width, image.channels)[..., : min(image.channels, 3)]
    rgb = np.broadcast_to(rgb, (height, width, 3)) if rgb.shape[-1] == 1 else rgb
    encoded = image.colorspace_settings.name == "sRGB" and not image.is_float
    return rgb if encoded else linear_to_srgb(rgb)
