"""Splats as billboards, quads that face the camera, which show what web viewers show: EWA splatting (Zwicker et al.
2001) as in 3DGS (Kerbl et al. 2023), ordered by the depth of the centres.

All four corners of a quad are stored at the splat's centre. A geometry nodes modifier spreads them in the plane through
the centre that is parallel to the screen, along the axes of the splat's projection. So a ray meets a splat at the depth
of its centre, and the position on the quad is the position in the projected Gaussian: exactly what viewers evaluate.
The modifier follows the scene's camera and does not need the add-on.
"""

from __future__ import annotations

import bpy
import numpy as np

from ..core import spherical_harmonics
from ..core.gaussians import Gaussians
from ..core.quaternions import axes_of
from .materials import viewer_material
from .node_builder import NodeBuilder, get_or_build_group, group_input_path, set_group_input
from .surfels import add_faces

MIN_ALPHA = 1 / 255
"""Viewers discard alpha below this."""

BLUR = 0.3
"""The variance, in pixels², that viewers add to every splat's projection."""

NEAR = 0.01
"""Splats nearer to the camera than this, in the object's unit, are not shown."""

LEAST_AREA = 2.5e-5
"""The least ratio of determinants by which anti-aliased splats are weakened, as in Mip-Splatting's renderer."""

MODIFIER = "Face the Camera"


def billboard_mesh(name: str, splats: Gaussians, antialiased: bool = False) -> bpy.types.Mesh:
    """A mesh of one quad per splat, with all corners at its centre, and the attributes that the modifier and the
    material read: FACE `splat` (sRGB, opacity), `axis_0..2` (at one sigma), `sh_1..`; POINT `sigma`.

    Args:
        name: Of the mesh.
        splats: What it shows.
        antialiased: Whether they were trained with anti-aliasing (Mip-Splatting, Yu et al. 2024, section 5.2): a splat
            is as much fainter as the blur makes it larger.
    """
    degree = min(spherical_harmonics.degree_of(splats.sh), spherical_harmonics.MOST_DEGREE)
    mesh = bpy.data.meshes.new(name)
    add_faces(mesh, len(splats), 4)
    names = [f"axis_{row}" for row in range(3)] + [f"sh_{index}" for index in range(1, (degree + 1) ** 2)]
    mesh.attributes.new("splat", "FLOAT_COLOR", "FACE")
    mesh.attributes.new("sigma", "FLOAT2", "POINT")
    for attribute in names:
        mesh.attributes.new(attribute, "FLOAT_VECTOR", "FACE")
    if len(splats):
        _fill(mesh, splats, degree)
    mesh.update()
    mesh.materials.append(viewer_material(degree, antialiased))
    return mesh


def face_camera(obj: bpy.types.Object, scene: bpy.types.Scene, antialiased: bool = False) -> None:
    """Add the modifier to an object of a `billboard_mesh`; a driver updates it to the scene's resolution."""
    modifier = obj.modifiers.new(MODIFIER, "NODES")
    modifier.node_group = _group("sh_1" in obj.data.attributes, antialiased)
    set_group_input(modifier, "Blur", BLUR)
    driver = obj.driver_add(group_input_path(modifier, "Pixels")).driver
    for name, path in (("x", "resolution_x"), ("y", "resolution_y"), ("share", "resolution_percentage")):
        variable = driver.variables.new()
        variable.name = name
        target = variable.targets[0]
        target.id_type, target.id, target.data_path = "SCENE", scene, f"render.{path}"
    driver.expression = "max(x, y) * share / 100"


def _fill(mesh: bpy.types.Mesh, splats: Gaussians, degree: int):
    opacities = splats.opacities
    colour = np.concatenate([splats.rgb, opacities[:, None]], -1)
    reach = np.sqrt(2 * np.log(np.maximum(opacities / MIN_ALPHA, 1 + 1e-6)))[:, None, None]
    corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)], np.float32)
    scales = np.exp(splats.log_scales)
    attributes = mesh.attributes
    attributes["position"].data.foreach_set("vector", np.repeat(splats.means, 4, 0).ravel())
    attributes["splat"].data.foreach_set("color", colour.ravel())
    attributes["sigma"].data.foreach_set("vector", (reach * corners).astype(np.float32).ravel())
    for row, axis in enumerate(axes_of(splats.quaternions)):
        attributes[f"axis_{row}"].data.foreach_set("vector", (axis * scales[:, row : row + 1]).ravel())
    for index in range(1, (degree + 1) ** 2):
        attributes[f"sh_{index}"].data.foreach_set("vector", np.ascontiguousarray(splats.sh[:, index]).ravel())


def _group(coloured: bool, antialiased: bool) -> bpy.types.NodeTree:
    """The node group that spreads the corners. Its input `Blur` is in pixels², `Pixels` is the picture's longer side.

    With `coloured` it also stores FACE `away`, the unit direction from the camera to the centre, for the harmonics;
    with `antialiased` the vector FACE `thinned`, whose components are the factor of the opacity.
    """
    inputs = (("Geometry", "NodeSocketGeometry"), ("Blur", "NodeSocketFloat"), ("Pixels", "NodeSocketFloat"))
    name = "Dreamzoom Facing" + " SH" * coloured + " Anti-Aliased" * antialiased
    version = f"facing {coloured} 1" + " antialiased" * antialiased
    return get_or_build_group(name, version, inputs, lambda nodes: _build(nodes, coloured, antialiased))


def _build(nodes: NodeBuilder, coloured: bool, antialiased: bool) -> None:
    given = nodes.add("NodeGroupInput")
    camera = nodes.add("GeometryNodeInputActiveCamera").outputs["Active Camera"]
    frame = nodes.add("GeometryNodeObjectInfo", {"Object": camera}, transform_space="RELATIVE")
    lens = nodes.add("GeometryNodeCameraInfo", {"Camera": camera})
    sides = [_direction(nodes, axis, frame.outputs["Transform"]) for axis in ((1, 0, 0), (0, 1, 0), (0, 0, -1))]
    place = nodes.add("GeometryNodeInputPosition").outputs["Position"]
    centre = nodes.vector("SUBTRACT", place, frame.outputs["Location"])
    width, _, _ = nodes.separate(lens.outputs["Sensor"])
    focal = nodes.math("DIVIDE", lens.outputs["Focal Length"], width)
    ellipse, factor = _ellipse(nodes, sides, centre, focal, given, antialiased)
    sigma = nodes.separate(nodes.named_attribute("sigma", "FLOAT_VECTOR"))
    moved = [nodes.scale(nodes.on_faces(axis, "FLOAT_VECTOR"), part) for axis, part in zip(ellipse, sigma)]
    geometry = given.outputs["Geometry"]
    if coloured:
        # before the corners are spread: afterwards a face's position is not exactly its splat's centre
        geometry = nodes.store_on_faces(geometry, "away", nodes.vector("NORMALIZE", centre))
    if antialiased:
        geometry = nodes.store_on_faces(geometry, "thinned", nodes.scale((1.0, 1.0, 1.0), factor))
    inputs = {"Geometry": geometry, "Offset": nodes.vector("ADD", *moved)}
    nodes.set_output(nodes.add("GeometryNodeSetPosition", inputs).outputs["Geometry"])


def _direction(nodes: NodeBuilder, axis: tuple[int, int, int], transform):
    """A unit axis of the camera in the object's space."""
    turned = nodes.add("FunctionNodeTransformDirection", {"Direction": axis, "Transform": transform})
    return nodes.vector("NORMALIZE", turned.outputs["Direction"])


def _ellipse(nodes: NodeBuilder, sides, centre, focal, given, antialiased: bool):
    """The two half axes, at one sigma, of a splat's projection onto the plane through its centre, in object space; and
    the share of its area before the blur, None unless `antialiased`.

    With the centre at (x, y, d) in camera space, an axis a of the splat is projected into that plane, to first order,
    as (a·X − x/d a·D, a·Y − y/d a·D); x/d and y/d are clamped as in viewers.
    """
    right, up, ahead = sides
    depth = nodes.vector("DOT_PRODUCT", centre, ahead)
    limit = nodes.math("DIVIDE", 1.3 * 0.5, focal)
    slopes = []
    for side in (right, up):
        slope = nodes.math("DIVIDE", nodes.vector("DOT_PRODUCT", centre, side), depth)
        slopes.append(nodes.math("MINIMUM", limit, nodes.math("MAXIMUM", slope, nodes.math("MULTIPLY", limit, -1.0))))
    xx, xy, yy = _covariance(nodes, (right, up, ahead), slopes)
    pixel = nodes.math("DIVIDE", depth, nodes.math("MULTIPLY", focal, given.outputs["Pixels"]))
    blur = nodes.math("MULTIPLY", given.outputs["Blur"], nodes.math("MULTIPLY", pixel, pixel))
    sharp, factor = _determinant(nodes, xx, xy, yy) if antialiased else None, None
    xx, yy = nodes.math("ADD", xx, blur), nodes.math("ADD", yy, blur)
    if antialiased:
        share = nodes.math("DIVIDE", sharp, _determinant(nodes, xx, xy, yy))
        factor = nodes.math("SQRT", nodes.math("MAXIMUM", share, LEAST_AREA))
    middle = nodes.math("MULTIPLY", nodes.math("ADD", xx, yy), 0.5)
    half = nodes.math("MULTIPLY", nodes.math("SUBTRACT", xx, yy), 0.5)
    spread = nodes.math("SQRT", nodes.math("ADD", nodes.math("MULTIPLY", half, half), nodes.math("MULTIPLY", xy, xy)))
    angle = nodes.math("MULTIPLY", nodes.math("ARCTAN2", xy, half), 0.5)
    cosine, sine = nodes.math("COSINE", angle), nodes.math("SINE", angle)
    axes = []
    for sign, (x, y) in (("ADD", (cosine, sine)), ("SUBTRACT", (nodes.math("MULTIPLY", sine, -1.0), cosine))):
        length = nodes.math("SQRT", nodes.math("MAXIMUM", nodes.math(sign, middle, spread), 0.0))
        shown = nodes.math("MULTIPLY", length, nodes.math("GREATER_THAN", depth, NEAR))
        turned = nodes.vector("ADD", nodes.scale(right, x), nodes.scale(up, y))
        axes.append(nodes.scale(turned, shown))
    return axes, factor


def _determinant(nodes: NodeBuilder, xx, xy, yy):
    """Of a covariance: the square of the area."""
    return nodes.math("SUBTRACT", nodes.math("MULTIPLY", xx, yy), nodes.math("MULTIPLY", xy, xy))


def _covariance(nodes: NodeBuilder, sides, slopes):
    """The covariance xx, xy, yy of the projection, summed over the splat's three axes."""
    right, up, ahead = sides
    sums: list = [None, None, None]
    for row in range(3):
        axis = nodes.named_attribute(f"axis_{row}", "FLOAT_VECTOR")
        deep = nodes.vector("DOT_PRODUCT", axis, ahead)
        x, y = (
            nodes.math("SUBTRACT", nodes.vector("DOT_PRODUCT", axis, side), nodes.math("MULTIPLY", slope, deep))
            for side, slope in zip((right, up), slopes)
        )
        for index, (a, b) in enumerate(((x, x), (x, y), (y, y))):
            product = nodes.math("MULTIPLY", a, b)
            sums[index] = product if row == 0 else nodes.math("ADD", sums[index], product)
    return sums
