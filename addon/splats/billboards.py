"""Splats as quads that always face the camera and show what the usual viewers show: EWA splatting (Zwicker et al. 2001)
as in 3DGS (Kerbl et al. 2023), ordered by the depth of the centres.

All four corners of a quad lie at the splat's centre; a modifier of geometry nodes spreads them in the plane through the
centre that is parallel to the screen, along the axes of the splat's projection. So a ray meets a splat at its centre's
depth, in tight bounds, and the place on the quad is the place under the projected Gaussian: exactly what viewers
evaluate. The modifier follows the scene's camera and needs no add-on.
"""

from __future__ import annotations

import bpy
import numpy as np

from ..core import spherical_harmonics
from ..core.gaussians import Gaussians
from ..core.quaternions import axes_of
from .materials import viewer_material
from .node_builder import Graph, found_or_new_group, group_input_path, set_group_input
from .surfels import add_faces

FAINTEST = 1 / 255
"""Viewers leave out alpha below this."""

BLUR = 0.3
"""What viewers add to the variance of every splat's projection, in pixels²."""

NEAR = 0.01
"""Splats nearer to the camera than this, in the object's unit, do not show."""

MODIFIER = "Face the Camera"


def facing_mesh(name: str, splats: Gaussians) -> bpy.types.Mesh:
    """A mesh of one quad per splat, all of whose corners lie at its centre, with what the modifier and the material
    read: FACE `splat` (sRGB, opacity), `axis_0..2` (at one sigma), `sh_1..`; POINT `sigma`.
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
    mesh.materials.append(viewer_material(degree))
    return mesh


def face_camera(obj: bpy.types.Object, scene: bpy.types.Scene) -> None:
    """Give an object made from `facing_mesh` its modifier; a driver keeps the blur that of the scene's resolution."""
    modifier = obj.modifiers.new(MODIFIER, "NODES")
    modifier.node_group = _group("sh_1" in obj.data.attributes)
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
    reach = np.sqrt(2 * np.log(np.maximum(opacities / FAINTEST, 1 + 1e-6)))[:, None, None]
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


def _group(coloured: bool) -> bpy.types.NodeTree:
    """Spreads the corners. `Blur` is in pixels², `Pixels` the picture's longer side.

    `coloured` groups also store FACE `away`, the unit direction from the eye to the centre, for the harmonics.
    """
    inputs = (("Geometry", "NodeSocketGeometry"), ("Blur", "NodeSocketFloat"), ("Pixels", "NodeSocketFloat"))
    name = "Dreamzoom Facing SH" if coloured else "Dreamzoom Facing"
    return found_or_new_group(name, f"facing {coloured} 1", inputs, lambda graph: _build(graph, coloured))


def _build(graph: Graph, coloured: bool) -> None:
    given = graph.add("NodeGroupInput")
    camera = graph.add("GeometryNodeInputActiveCamera").outputs["Active Camera"]
    frame = graph.add("GeometryNodeObjectInfo", {"Object": camera}, transform_space="RELATIVE")
    lens = graph.add("GeometryNodeCameraInfo", {"Camera": camera})
    sides = [_direction(graph, axis, frame.outputs["Transform"]) for axis in ((1, 0, 0), (0, 1, 0), (0, 0, -1))]
    place = graph.add("GeometryNodeInputPosition").outputs["Position"]
    centre = graph.vector("SUBTRACT", place, frame.outputs["Location"])
    width, _, _ = graph.apart(lens.outputs["Sensor"])
    focal = graph.math("DIVIDE", lens.outputs["Focal Length"], width)
    ellipse = _ellipse(graph, sides, centre, focal, given)
    sigma = graph.apart(graph.named("sigma", "FLOAT_VECTOR"))
    moved = [graph.scaled(graph.of_face(axis, "FLOAT_VECTOR"), part) for axis, part in zip(ellipse, sigma)]
    geometry = given.outputs["Geometry"]
    if coloured:
        # before the corners are spread: after it a face's position is no more exactly its splat's centre
        geometry = graph.store(geometry, "away", graph.vector("NORMALIZE", centre))
    inputs = {"Geometry": geometry, "Offset": graph.vector("ADD", *moved)}
    graph.end(graph.add("GeometryNodeSetPosition", inputs).outputs["Geometry"])


def _direction(graph: Graph, axis: tuple[int, int, int], transform):
    """A unit axis of the camera in the object's axes."""
    turned = graph.add("FunctionNodeTransformDirection", {"Direction": axis, "Transform": transform})
    return graph.vector("NORMALIZE", turned.outputs["Direction"])


def _ellipse(graph: Graph, sides, centre, focal, given):
    """The two half axes, at one sigma, of a splat's projection onto the plane through its centre: object vectors.

    With the centre at (x, y, d) before the camera, an axis a of the splat moves its picture in that plane by
    (a·X − x/d a·D, a·Y − y/d a·D), to first order; x/d and y/d are clamped as viewers do.
    """
    right, up, ahead = sides
    depth = graph.vector("DOT_PRODUCT", centre, ahead)
    limit = graph.math("DIVIDE", 1.3 * 0.5, focal)
    slopes = []
    for side in (right, up):
        slope = graph.math("DIVIDE", graph.vector("DOT_PRODUCT", centre, side), depth)
        slopes.append(graph.math("MINIMUM", limit, graph.math("MAXIMUM", slope, graph.math("MULTIPLY", limit, -1.0))))
    xx, xy, yy = _covariance(graph, (right, up, ahead), slopes)
    pixel = graph.math("DIVIDE", depth, graph.math("MULTIPLY", focal, given.outputs["Pixels"]))
    blur = graph.math("MULTIPLY", given.outputs["Blur"], graph.math("MULTIPLY", pixel, pixel))
    xx, yy = graph.math("ADD", xx, blur), graph.math("ADD", yy, blur)
    middle = graph.math("MULTIPLY", graph.math("ADD", xx, yy), 0.5)
    half = graph.math("MULTIPLY", graph.math("SUBTRACT", xx, yy), 0.5)
    spread = graph.math("SQRT", graph.math("ADD", graph.math("MULTIPLY", half, half), graph.math("MULTIPLY", xy, xy)))
    angle = graph.math("MULTIPLY", graph.math("ARCTAN2", xy, half), 0.5)
    cosine, sine = graph.math("COSINE", angle), graph.math("SINE", angle)
    axes = []
    for sign, (x, y) in (("ADD", (cosine, sine)), ("SUBTRACT", (graph.math("MULTIPLY", sine, -1.0), cosine))):
        length = graph.math("SQRT", graph.math("MAXIMUM", graph.math(sign, middle, spread), 0.0))
        shown = graph.math("MULTIPLY", length, graph.math("GREATER_THAN", depth, NEAR))
        turned = graph.vector("ADD", graph.scaled(right, x), graph.scaled(up, y))
        axes.append(graph.scaled(turned, shown))
    return axes


def _covariance(graph: Graph, sides, slopes):
    """xx, xy, yy of the projection: the sums over the splat's three axes."""
    right, up, ahead = sides
    sums = [None, None, None]
    for row in range(3):
        axis = graph.named(f"axis_{row}", "FLOAT_VECTOR")
        deep = graph.vector("DOT_PRODUCT", axis, ahead)
        x, y = (
            graph.math("SUBTRACT", graph.vector("DOT_PRODUCT", axis, side), graph.math("MULTIPLY", slope, deep))
            for side, slope in zip((right, up), slopes)
        )
        for index, (a, b) in enumerate(((x, x), (x, y), (y, y))):
            product = graph.math("MULTIPLY", a, b)
            sums[index] = product if row == 0 else graph.math("ADD", sums[index], product)
    return sums
