"""Copies of the artist's meshes: triangles, and the colours of their materials.

Copying needs Blender's main thread; `MeshCopy.faces` and all that follows does not need Blender.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import bpy
import numpy as np

from ..core.colour import linear_to_srgb
from ..splats.evaluation import ShownObject, mesh_of
from .surface_sampling import Faces, Texture

GREY = 0.8
"""Base colour, in linear light, of objects without material, as in Blender."""

COLOURED_SHADERS = ("BSDF_PRINCIPLED", "BSDF_DIFFUSE", "EMISSION")


@dataclass(frozen=True)
class SurfaceColour:
    """The base colour of a material: a constant (linear RGB), an image, or a colour attribute."""

    rgb_linear: tuple[float, float, float] = (GREY, GREY, GREY)
    image: bpy.types.Image | None = None
    uv_map: str = ""
    attribute: str | None = None


@dataclass(frozen=True)
class MeshCopy:
    """The triangles of one mesh, with V vertices, L loops, T triangles and M materials.

    Attributes:
        positions: (V, 3) float32, in the mesh's own space.
        matrix: (4, 4) float64, from there into the level's frame.
        vertices, loops: (T, 3) int32, the vertices and the loops at the triangles' corners.
        materials: (T,) int32, the material of each triangle.
        rgb: (M, 3) sRGB colour of each material.
        texture: (M,) int, index into `MeshCopies.textures`; -1 for none.
        uv: By material, the texture coordinates of the loops, (L, 2).
        attributes: By material, the domain ("vertices" or "loops") of its colour attribute and the linear RGBA values
            (V or L, 4).
    """

    positions: np.ndarray
    matrix: np.ndarray
    vertices: np.ndarray
    loops: np.ndarray
    materials: np.ndarray
    rgb: np.ndarray
    texture: np.ndarray
    uv: dict[int, np.ndarray]
    attributes: dict[int, tuple[str, np.ndarray]]

    def faces(self) -> Faces:
        """The triangles in the level's frame."""
        count, used = len(self.vertices), np.minimum(self.materials, len(self.rgb) - 1)
        positions = self.positions.astype(np.float64) @ self.matrix[:3, :3].T + self.matrix[:3, 3]
        faces = Faces(
            positions[self.vertices],
            self.rgb[used],
            self.texture[used],
            np.broadcast_to(np.float64(0), (count, 3, 2)),
            np.broadcast_to(np.float64(np.nan), (count, 3, 3)),
        )
        for number, uv in self.uv.items():
            here = (used == number)[:, None, None]
            faces = replace(faces, uv=np.where(here, uv[self.loops], faces.uv))
        for number, (rows, colours) in self.attributes.items():
            here = (used == number)[:, None, None]
            painted = linear_to_srgb(colours[getattr(self, rows), :3])
            faces = replace(faces, painted=np.where(here, painted, faces.painted))
        return faces


@dataclass
class MeshCopies:
    """Copies of the evaluated meshes of some objects and their instances.

    Attributes:
        meshes: The copies.
        textures: The images of their materials.
    """

    meshes: list[MeshCopy] = field(default_factory=list)
    textures: list[Texture] = field(default_factory=list)
    _texture_indices: dict[str, int] = field(default_factory=dict)

    def copy(self, shown: ShownObject, into: np.ndarray) -> None:
        """Copy the mesh of an evaluated object; nothing if it has no surface.

        Args:
            shown: The object, evaluated at the level's own zoom.
            into: (4, 4), from the world into the level's frame.
        """
        with mesh_of(shown.evaluated) as mesh:
            if mesh is not None and len(mesh.vertices):
                slots = shown.evaluated.material_slots
                colours = [colour_of(slot.material) for slot in slots] or [colour_of(None)]
                self.meshes.append(self._mesh_copy(mesh, colours, into @ shown.matrix_world))

    def faces(self) -> Faces | None:
        """All triangles; None where there are none."""
        parts = [part for part in (mesh.faces() for mesh in self.meshes) if len(part.corners)]
        if not parts:
            return None
        names = ("corners", "rgb", "texture", "uv", "painted")
        if len(parts) == 1:
            return replace(parts[0], textures=tuple(self.textures))
        columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
        return Faces(**columns, textures=tuple(self.textures))

    def _mesh_copy(self, mesh: bpy.types.Mesh, colours: list[SurfaceColour], matrix: np.ndarray) -> MeshCopy:
        mesh.calc_loop_triangles()
        loops = _read(mesh.loop_triangles, "loops", 3, np.int32)
        materials = np.zeros(len(loops), np.int32)
        if len(colours) > 1:
            mesh.loop_triangles.foreach_get("material_index", materials)
        textures = [-1] * len(colours)
        uv, attributes = {}, {}
        for number, colour in enumerate(colours):
            layer = _uv_layer(mesh, colour)
            if layer is not None:
                textures[number] = self._texture_index(colour.image)
                uv[number] = _read(layer.uv, "vector", 2, np.float32)
            elif colour.image is None and colour.attribute is not None:
                attributes |= _colour_attribute(mesh, number, colour.attribute)
        return MeshCopy(
            _read(mesh.vertices, "co", 3, np.float32),
            matrix,
            _read(mesh.attributes[".corner_vert"].data, "value", 1, np.int32)[:, 0][loops],
            loops,
            materials,
            linear_to_srgb(np.array([colour.rgb_linear for colour in colours], np.float32)),
            np.array(textures),
            uv,
            attributes,
        )

    def _texture_index(self, image: bpy.types.Image) -> int:
        """The index of an image in `textures`, which it is added to the first time."""
        if image.name not in self._texture_indices:
            self._texture_indices[image.name] = len(self.textures)
            self.textures.append(_texture(image))
        return self._texture_indices[image.name]


def colour_of(material: bpy.types.Material | None) -> SurfaceColour:
    """The base colour of a material; its viewport colour where its nodes are not understood."""
    if material is None:
        return SurfaceColour()
    rgba: Any = material.diffuse_color
    viewport = SurfaceColour(tuple(rgba[:3]))
    if material.node_tree is None:
        return viewport
    shader = _shader(material.node_tree)
    if shader is None:
        return viewport
    socket = shader.inputs["Base Color" if shader.type == "BSDF_PRINCIPLED" else "Color"]
    strength = shader.inputs.get("Emission Strength")
    is_black = not socket.is_linked and not any(socket.default_value[:3])
    if is_black and strength is not None and strength.default_value > 0:
        socket = shader.inputs["Emission Color"]
    if not socket.is_linked:
        return SurfaceColour(tuple(socket.default_value[:3]))
    links: Any = socket.links
    source = links[0].from_node
    if source.type == "TEX_IMAGE" and source.image is not None:
        vector = source.inputs["Vector"]
        mapped = vector.links[0].from_node if vector.is_linked else None
        return SurfaceColour(
            image=source.image, uv_map=mapped.uv_map if mapped is not None and mapped.type == "UVMAP" else ""
        )
    if source.type in ("VERTEX_COLOR", "ATTRIBUTE"):
        return SurfaceColour(attribute=source.layer_name if source.type == "VERTEX_COLOR" else source.attribute_name)
    return viewport


def _shader(tree: bpy.types.NodeTree) -> bpy.types.Node | None:
    """The shader nearest to the output that has a base colour."""
    output = tree.get_output_node("ALL")
    waiting = [output] if output is not None else []
    seen = set()
    while waiting:
        node = waiting.pop(0)
        if node.type in COLOURED_SHADERS:
            return node
        seen.add(node)
        links = (link for socket in node.inputs if socket.type == "SHADER" for link in socket.links)
        waiting += [link.from_node for link in links if link.from_node not in seen]
    return None


def _read(items, name: str, width: int, dtype) -> np.ndarray:
    """The values of a property of all items, (N, width)."""
    values = np.empty(len(items) * width, dtype)
    items.foreach_get(name, values)
    return values.reshape(-1, width)


def _uv_layer(mesh: bpy.types.Mesh, colour: SurfaceColour) -> bpy.types.MeshUVLoopLayer | None:
    """The UV map of an image on the mesh; None where there is no image or no UV map."""
    return None if colour.image is None else mesh.uv_layers.get(colour.uv_map) or mesh.uv_layers.active


def _colour_attribute(mesh: bpy.types.Mesh, number: int, name: str) -> dict[int, tuple[str, np.ndarray]]:
    """The colour attribute of material `number`, as in `MeshCopy.attributes`; empty where there is none."""
    layer = mesh.color_attributes.get(name) or mesh.color_attributes.active_color
    if layer is None or layer.domain not in ("POINT", "CORNER"):
        return {}
    rows = "vertices" if layer.domain == "POINT" else "loops"
    return {number: (rows, _read(layer.data, "color", 4, np.float32))}


def _texture(image: bpy.types.Image) -> Texture:
    """An image's pixels; grey where it can't be loaded."""
    width, height = tuple(image.size)
    if not width or not height:
        return Texture(np.full((1, 1, 3), GREY, np.float32), encoded=False)
    pixels = np.empty(width * height * image.channels, np.float32)
    image.pixels.foreach_get(pixels)
    encoded = image.colorspace_settings.name == "sRGB" and not image.is_float
    return Texture(pixels.reshape(height, width, image.channels), encoded)
