"""What the artist's objects look like, copied from Blender: triangles and what colours them.

Copying needs Blender and its main thread; `Shape.faces` and all that follows needs neither.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import bpy
import numpy as np

from ..core.colour import linear_to_srgb
from .surface_sampling import Faces, Picture
from .time_slicing import Slice

GREY = 0.8
"""Base colour, in linear light, of what has no material: Blender's own."""

SHADERS = {"BSDF_PRINCIPLED": "Base Color", "BSDF_DIFFUSE": "Color", "EMISSION": "Color"}


@dataclass(frozen=True)
class Look:
    """The colour of a material: one all over (linear), or a picture, or a colour attribute."""

    rgb_linear: tuple[float, float, float] = (GREY, GREY, GREY)
    image: bpy.types.Image | None = None
    uv_map: str = ""
    attribute: str | None = None


@dataclass(frozen=True)
class Shape:
    """The triangles of one mesh.

    Attributes:
        places: (V, 3) float32, in the mesh's own space.
        matrix: (4, 4), from there into the level's frame.
        vertices, loops: (T, 3) int32, rows of the triangles' corners.
        materials: (T,) int32.
        rgb: (M, 3) sRGB colour of each material.
        texture: (M,) which of `Copies.pictures`; -1 for none.
        uv: Places in its picture by material, (L, 2).
        painted: By material, the rows that count ("vertices" or "loops") and their linear colours (N, 4).
    """

    places: np.ndarray
    matrix: np.ndarray
    vertices: np.ndarray
    loops: np.ndarray
    materials: np.ndarray
    rgb: np.ndarray
    texture: np.ndarray
    uv: dict[int, np.ndarray]
    painted: dict[int, tuple[str, np.ndarray]]

    def faces(self) -> Faces:
        """The triangles in the level's frame."""
        count, used = len(self.vertices), np.minimum(self.materials, len(self.rgb) - 1)
        placed = self.places.astype(np.float64) @ self.matrix[:3, :3].T + self.matrix[:3, 3]
        faces = Faces(
            placed[self.vertices],
            self.rgb[used],
            self.texture[used],
            np.broadcast_to(np.float64(0), (count, 3, 2)),
            np.broadcast_to(np.float64(np.nan), (count, 3, 3)),
        )
        for number, uv in self.uv.items():
            here = (used == number)[:, None, None]
            faces = replace(faces, uv=np.where(here, uv[self.loops], faces.uv))
        for number, (rows, colours) in self.painted.items():
            here = (used == number)[:, None, None]
            painted = linear_to_srgb(colours[getattr(self, rows), :3])
            faces = replace(faces, painted=np.where(here, painted, faces.painted))
        return faces


@dataclass
class Copies:
    """What is copied of some objects, modifiers and instances included, over one slice or more.

    Attributes:
        shapes: Of their meshes.
        pictures: That colour them.
    """

    shapes: list[Shape] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    _numbers: dict[str, int] = field(default_factory=dict)
    _done: set[tuple] = field(default_factory=set)

    def go_on(self, graph: bpy.types.Depsgraph, objects: set[bpy.types.Object], into: np.ndarray, turn: Slice) -> bool:
        """Copy until the slice is over; whether all is copied.

        Args:
            graph: As the level has its own size.
            objects: Whose.
            into: (4, 4), from the world into the level's frame.
            turn: The slice.
        """
        if not objects:
            return True
        for instance in graph.object_instances:
            owner = instance.parent if instance.is_instance else instance.object
            if owner is None or owner.original not in objects or instance.object.type == "EMPTY":
                continue
            place = tuple(instance.persistent_id) if instance.is_instance else ()
            key = owner.original.session_uid, instance.object.original.session_uid, place
            if key in self._done:
                continue
            self._done.add(key)
            self._copy(instance, into)
            if turn.is_over:
                return False
        return True

    def faces(self) -> Faces | None:
        """All triangles; None where there are none."""
        parts = [part for part in (shape.faces() for shape in self.shapes) if len(part.corners)]
        if not parts:
            return None
        names = ("corners", "rgb", "texture", "uv", "painted")
        if len(parts) == 1:
            return replace(parts[0], textures=tuple(self.pictures))
        columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
        return Faces(**columns, textures=tuple(self.pictures))

    def _copy(self, instance: bpy.types.DepsgraphObjectInstance, into: np.ndarray) -> None:
        obj = instance.object
        try:
            mesh = obj.to_mesh()
        except RuntimeError:
            return  # what has no surface
        if mesh is not None and len(mesh.vertices):
            looks = [look_of(slot.material) for slot in obj.material_slots] or [look_of(None)]
            self.shapes.append(self._shape(mesh, looks, into @ np.array(instance.matrix_world, np.float64)))
        obj.to_mesh_clear()

    def _shape(self, mesh: bpy.types.Mesh, looks: list[Look], matrix: np.ndarray) -> Shape:
        mesh.calc_loop_triangles()
        loops = _read(mesh.loop_triangles, "loops", 3, np.int32)
        materials = np.zeros(len(loops), np.int32)
        if len(looks) > 1:
            mesh.loop_triangles.foreach_get("material_index", materials)
        textures = [-1] * len(looks)
        uv, painted = {}, {}
        for number, look in enumerate(looks):
            layer = _uv_of(mesh, look)
            if layer is not None:
                textures[number], uv[number] = self._number(look.image), _read(layer.uv, "vector", 2, np.float32)
            elif look.image is None and look.attribute is not None:
                painted |= _painted(mesh, number, look.attribute)
        return Shape(
            _read(mesh.vertices, "co", 3, np.float32),
            matrix,
            _read(mesh.attributes[".corner_vert"].data, "value", 1, np.int32)[:, 0][loops],
            loops,
            materials,
            linear_to_srgb(np.array([look.rgb_linear for look in looks], np.float32)),
            np.array(textures),
            uv,
            painted,
        )

    def _number(self, image: bpy.types.Image) -> int:
        """Which of the pictures an image is."""
        if image.name not in self._numbers:
            self._numbers[image.name] = len(self.pictures)
            self.pictures.append(_picture(image))
        return self._numbers[image.name]


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
    socket = shader.inputs.get(SHADERS[shader.type])
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


def _read(items, name: str, width: int, dtype) -> np.ndarray:
    """A property of all items, (N, width)."""
    values = np.empty(len(items) * width, dtype)
    items.foreach_get(name, values)
    return values.reshape(-1, width)


def _uv_of(mesh: bpy.types.Mesh, look: Look) -> bpy.types.MeshUVLoopLayer | None:
    """The map by which a picture lies on the mesh; None where there is no picture, or no map."""
    return None if look.image is None else mesh.uv_layers.get(look.uv_map) or mesh.uv_layers.active


def _painted(mesh: bpy.types.Mesh, number: int, name: str) -> dict[int, tuple[str, np.ndarray]]:
    """The colour attribute of one material, as `Shape.painted`; empty where there is none."""
    layer = mesh.color_attributes.get(name) or mesh.color_attributes.active_color
    if layer is None or layer.domain not in ("POINT", "CORNER"):
        return {}
    rows = "vertices" if layer.domain == "POINT" else "loops"
    return {number: (rows, _read(layer.data, "color", 4, np.float32))}


def _picture(image: bpy.types.Image) -> Picture:
    """An image's pixels; grey where it can't be loaded."""
    width, height = tuple(image.size)
    if not width or not height:
        return Picture(np.full((1, 1, 3), GREY, np.float32), encoded=False)
    pixels = np.empty(width * height * image.channels, np.float32)
    image.pixels.foreach_get(pixels)
    encoded = image.colorspace_settings.name == "sRGB" and not image.is_float
    return Picture(pixels.reshape(height, width, image.channels), encoded)
