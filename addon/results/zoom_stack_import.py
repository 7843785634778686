"""Import of a zoom stack (`dreamzoom zoomstack`) as nested planes under a rig: the zoom without 3D.

All planes face the rig's camera, so that at its own zoom each picture fills the camera as in the film, and contains the
next one at its position. Each plane lies slightly behind its level's focus and is larger by the same factor: from the
camera it looks the same, and the plane of a finer level is always in front.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy
from mathutils import Matrix, Vector

from .. import rig
from ..core.errors import DreamzoomError
from ..core.safety import limits
from ..core.safety.bounded_json import read_json
from ..core.safety.png_header import png_size
from ..splats.node_builder import NodeBuilder

STACK = "dreamzoom_stack"
"""Custom property of the objects, materials and the collection of an imported stack."""

NAME = "zoomstack.json"
BEHIND = 2e-4
"""Distance of a plane behind its focus, as a share of the camera's distance: less than a tenth of a pixel."""

FEATHER = 1 / 16
"""Width of the soft border of a finer picture, as a share of its side, as in the film."""

MAX_LEVELS = 64
AGAIN = "Run dreamzoom zoomstack again, and choose the folder that it wrote"


@dataclass(frozen=True)
class Picture:
    """One level: its picture's file, its prompt, and the pixel (x, y) where the next level's picture is centred."""

    file: Path
    prompt: str
    centre: tuple[float, float] | None


@dataclass(frozen=True)
class Stack:
    """The content of `zoomstack.json`.

    Attributes:
        factor: How much larger the world appears from one level to the next.
        size: (width, height) in pixels of the camera's view.
        picture: (width, height) in pixels of the pictures, which extend beyond the view on all sides.
        levels: From far to near.
        loop: Whether the first level follows the last.
    """

    factor: float
    size: tuple[int, int]
    picture: tuple[int, int]
    levels: tuple[Picture, ...]
    loop: bool


def read_stack(path: Path) -> Stack:
    """Read the stack of a folder, or of the `zoomstack.json` in it.

    Raises:
        DreamzoomError: There is none, it is damaged, or a picture is missing.
    """
    file = path / NAME if path.is_dir() else path
    try:
        raw = read_json(file, limits.RECORD_BYTES, links=True)
    except FileNotFoundError:
        raise DreamzoomError(f"There is no {NAME} in {file.parent}", AGAIN) from None
    except (OSError, ValueError) as error:
        raise DreamzoomError(f"{file} can't be read: {error}", AGAIN) from None
    try:
        return _parsed(raw, file.parent)
    except (KeyError, TypeError, ValueError, OverflowError):
        raise DreamzoomError(f"{file} is not a valid zoom stack", AGAIN) from None


def import_stack(scene: bpy.types.Scene, path: Path, root: bpy.types.Object | None = None, still: bool = True):
    """Import a stack under a rig, in place of an earlier one.

    Args:
        scene: Contains the rig; its aspect ratio is the camera's.
        path: The folder, or the `zoomstack.json` in it.
        root: The rig, if it has the stack's count of levels and zoom factor; otherwise a new rig is created.
        still: Stop the rig's orbit, so that its camera keeps facing the planes.

    Returns:
        The rig.

    Raises:
        DreamzoomError: The stack can't be imported; nothing was changed.
    """
    stack = read_stack(path)
    if root is not None and not fits(root, stack):
        root = None
    if root is not None:
        _CameraFrame(scene, root, stack)  # raises before anything is changed
    images = _load([level.file for level in stack.levels], stack.picture)
    if root is None:
        root = rig.create_rig(scene, scene.cursor.location, len(stack.levels), stack.factor)
    if root.dreamzoom.loop != stack.loop:
        root.dreamzoom.loop = stack.loop
    if still:
        root["orbit"] = 0.0
        root.update_tag()
    frame = _CameraFrame(scene, root, stack)
    home = _collection(root)
    for level, (item, picture, image) in enumerate(zip(root.dreamzoom.levels, stack.levels, images)):
        item.prompt = item.prompt or picture.prompt
        if picture.centre is not None:
            focus = frame.focus(picture.centre)
            if (focus - Vector(item.focus)).length > 1e-5:
                item.focus = focus
        _remove(rig.level_empty(root, level))
        soft = level > 0 or stack.loop
        obj = bpy.data.objects.new(f"{root.name} {level} picture", frame.mesh(f"{root.name} {level} picture"))
        obj.data.materials.append(_material(image, soft))
        obj[STACK] = True
        home.objects.link(obj)
        rig.attach(root, obj, level, superseded=False)
    return root


def fits(root: bpy.types.Object, stack: Stack) -> bool:
    """Whether a rig has a stack's count of levels and its zoom factor."""
    settings = root.dreamzoom
    return len(settings.levels) == len(stack.levels) and math.isclose(settings.zoom_factor, stack.factor, rel_tol=1e-6)


class _CameraFrame:
    """The position of a picture in a level's frame that fills the rig's camera at the level's own zoom."""

    def __init__(self, scene: bpy.types.Scene, root: bpy.types.Object, stack: Stack):
        camera = root.dreamzoom.camera
        if camera is None or camera.type != "CAMERA":
            raise DreamzoomError("The rig has no camera", "Choose one in the panel, under Flight")
        scene.view_layers[0].update()
        self.pose = root.matrix_world.inverted() @ camera.matrix_world
        self.pose = Matrix.LocRotScale(self.pose.translation, self.pose.to_quaternion(), None)
        self.distance = -(self.pose.inverted() @ Vector()).z
        if self.distance <= 1e-6:
            raise DreamzoomError("The rig's camera does not look towards its focus", "Turn it to the focus first")
        corners = camera.data.view_frame(scene=scene)
        far = self.distance / -corners[0].z if camera.data.type == "PERSP" else 1.0
        left, right = (pick(corner.x for corner in corners) * far for pick in (min, max))
        low, high = (pick(corner.y for corner in corners) * far for pick in (min, max))
        self.middle = Vector(((left + right) / 2, (low + high) / 2, -self.distance))
        self.pixel = max((right - left) / stack.size[0], (high - low) / stack.size[1])
        self.picture, self.factor = stack.picture, stack.factor

    def focus(self, centre: tuple[float, float]) -> Vector:
        """The origin of the next level's frame in this level's, if its picture is centred at pixel `centre`."""
        right, down = (at - side / 2 for at, side in zip(centre, self.picture))
        point = self.middle + Vector((right * self.pixel, -down * self.pixel, 0))
        return self.pose @ point - (self.pose @ self.middle) / self.factor

    def mesh(self, name: str) -> bpy.types.Mesh:
        """The plane of a picture, slightly behind the focus."""
        back = 1 + BEHIND
        x, y = (side * self.pixel / 2 for side in self.picture)
        corners = [self.pose @ ((self.middle + Vector(at)) * back) for at in _rectangle(x, y)]
        mesh = bpy.data.meshes.new(name)
        mesh.from_pydata(corners, [], [(0, 1, 2, 3)])
        layer = mesh.uv_layers.new(name="UVMap")
        for index, corner in enumerate(_rectangle(0.5, 0.5)):
            layer.uv[index].vector = (corner[0] + 0.5, corner[1] + 0.5)
        return mesh


def _rectangle(x: float, y: float) -> list[tuple[float, float, float]]:
    """The corners of a rectangle whose sides are 2x and 2y."""
    return [(-x, -y, 0), (x, -y, 0), (x, y, 0), (-x, y, 0)]


def _parsed(raw: dict[str, Any], folder: Path) -> Stack:
    """The stack of a JSON object. Raises KeyError, TypeError, ValueError or OverflowError where it is invalid."""
    factor, count = float(raw["zoom_factor"]), len(raw["levels"])
    if not (1 < factor <= 16 and 1 <= count <= MAX_LEVELS):
        raise ValueError
    names = ("width", "height", "picture_width", "picture_height")
    width, height, wide, high = (int(raw[name]) for name in names)
    if not (0 < width <= wide <= 1 << 16 and 0 < height <= high <= 1 << 16):
        raise ValueError
    levels = tuple(_level(entry, folder) for entry in raw["levels"])
    if any(level.centre is None for level in levels[:-1]):
        raise ValueError
    return Stack(factor, (width, height), (wide, high), levels, bool(raw.get("loop", False)))


def _level(entry: dict[str, Any], folder: Path) -> Picture:
    file = (folder / str(entry["image"])).resolve()
    if not file.is_relative_to(folder.resolve()):
        raise DreamzoomError(f"{NAME} names a file outside its folder: {entry['image']}", "Do not use this folder")
    if not file.is_file():
        raise DreamzoomError(f"The picture {entry['image']} is missing in {folder}", AGAIN)
    centre = entry.get("centre")
    if centre is not None:
        x, y = centre
        centre = float(x), float(y)
        if not all(map(math.isfinite, centre)):
            raise ValueError
    return Picture(file, str(entry.get("prompt", "")), centre)


def _load(files: list[Path], size: tuple[int, int]) -> list[bpy.types.Image]:
    """Load the pictures, each once; if one can't be loaded, none is kept."""
    before = set(bpy.data.images)
    found: list[bpy.types.Image] = []
    for file in files:
        try:
            if png_size(file, limits.STACK_PIXELS) != size:
                raise RuntimeError("it is of another size than the others")
            image = bpy.data.images.load(str(file), check_existing=True)
            found.append(image)
            if tuple(image.size) != size:
                raise RuntimeError("it is damaged, or of another size than the others")
        except (RuntimeError, OSError, ValueError) as error:
            bpy.data.batch_remove([image for image in set(found) if image not in before])
            raise DreamzoomError(f"The picture {file} can't be shown: {str(error).strip()}", AGAIN) from None
        image.buffers_free()
        image.colorspace_settings.name = "sRGB"
    return found


def _collection(root: bpy.types.Object) -> bpy.types.Collection:
    home = root.dreamzoom.collection
    for child in home.children:
        if STACK in child:
            return child
    made = bpy.data.collections.new(f"{root.name} Pictures")
    made[STACK] = True
    home.children.link(made)
    return made


def _remove(empty: bpy.types.Object) -> None:
    """Remove a level's plane of an earlier import, with its mesh and materials if nothing else uses them."""
    for obj in [child for child in empty.children if STACK in child]:
        mesh, materials = obj.data, list(obj.data.materials)
        bpy.data.objects.remove(obj)
        bpy.data.batch_remove([mesh] if mesh.users == 0 else [])
        bpy.data.batch_remove([material for material in materials if material is not None and material.users == 0])


def _material(image: bpy.types.Image, soft: bool) -> bpy.types.Material:
    """A material that emits the picture. If it is soft, the alpha of the object's colour fades it, and its border is
    transparent towards the edge.
    """
    material = bpy.data.materials.new(image.name)
    if not material.node_tree:
        material.use_nodes = True
    nodes = NodeBuilder(material.node_tree)
    texture = nodes.add("TexImage", image=image, extension="EXTEND")
    shown = nodes.add("Emission", {"Color": texture.outputs["Color"]}).outputs["Emission"]
    if soft:
        clear = nodes.add("BsdfTransparent").outputs["BSDF"]
        inputs = {"Fac": _alpha(nodes), "Shader": clear, "Shader_001": shown}
        shown = nodes.add("MixShader", inputs).outputs["Shader"]
    nodes.add("OutputMaterial", {"Surface": shown})
    material[STACK] = True
    material.surface_render_method = "DITHERED"
    material.cycles.emission_sampling = "NONE"  # otherwise Cycles samples every plane as a lamp
    return material


def _alpha(nodes: NodeBuilder):
    """The alpha of the object's colour, which falls to 0 linearly over the border of width FEATHER."""
    shown = nodes.add("ObjectInfo").outputs["Alpha"]
    across, along, _ = nodes.separate(nodes.add("TexCoord").outputs["UV"])
    for coordinate in (across, along):
        edge = nodes.math("DIVIDE", nodes.math("PINGPONG", coordinate, 0.5), FEATHER)
        shown = nodes.math("MULTIPLY", shown, nodes.math("MINIMUM", edge, 1.0))
    return shown
