"""The materials that show splats and points in Cycles and EEVEE, of plain nodes that render without the add-on.

All materials emit light and receive none. The output for Cycles has a smooth alpha. The output for EEVEE has an alpha
of 0 or 1, drawn from white noise at the hit position for every sample and layer, which is unbiased and independent of
the order. The alpha of the object's colour multiplies both, so that a driver can fade the object.
"""

from __future__ import annotations

import bpy

from ..core import spherical_harmonics
from .node_builder import VERSION, NodeBuilder, NodeScalar

CUT = 2.5
"""Radius in sigmas at which the kernel is cut off, as in the fit."""

MAX_DEGREE_IN_EEVEE = 2
"""Degree of harmonics in EEVEE, which draws nothing with a material that reads more than 15 attributes."""

TRIANGLE_ATTRIBUTE = "surfel"
"""The attribute that triangular faces have instead of `splat` and `sigma`."""


def surfel_material(degree: int = 0, triangles: bool = False) -> bpy.types.Material:
    """For faces with the attributes FACE `splat` (linear RGB, or sRGB above degree 0; opacity) and `sh_1..`, and POINT
    `sigma` (position on the face, in sigmas).

    Args:
        degree: Of the harmonics.
        triangles: Whether the faces are triangles whose corners are 2 CUT sigmas from the centre, with FACE `surfel`
            instead of `splat` and `sigma`.
    """
    name = f"Dreamzoom Surfels SH {degree}" if degree else "Dreamzoom Surfels"
    name += " Triangles" if triangles else ""
    version = f"surfels {degree} {triangles} 5"
    return _get_or_build(name, version, lambda nodes: _surfels(nodes, degree, triangles))


def point_material() -> bpy.types.Material:
    """For points with the attributes `rgba` (linear RGB, alpha) and `disc`, the radius of a disc that faces the camera.

    Cycles reads black from an attribute named `color`.
    """
    return _get_or_build("Dreamzoom Points", "points 3", _points)


def gaussian_material(degree: int) -> bpy.types.Material:
    """For points with the attributes `rgba` (linear RGB, or sRGB above degree 0; opacity), `inverse_0..2`, `sh_1..`.

    The points' spheres bound Gaussians, which are evaluated along the ray: with A = S⁻¹Rᵀ, its rows `inverse_i`,
    o = A(P − μ) and r = A·ray, the smallest squared distance in sigmas is |o × r|² / |r|².
    """
    return _get_or_build(
        f"Dreamzoom Gaussians SH {degree}", f"gaussians {degree} 2", lambda nodes: _gaussians(nodes, degree)
    )


def flat_material(degree: int) -> bpy.types.Material:
    """For quads with the attributes FACE `splat` (linear RGB, or sRGB above degree 0; opacity), `inverse_0..2` (longest
    axis first) and `sh_1..`, and CORNER `sigma`. Gaussians are evaluated along the ray as by `gaussian_material`, where
    o is the position on the quad.
    """
    return _get_or_build(f"Dreamzoom Flat Gaussians SH {degree}", f"flat {degree} 2", lambda g: _flat(g, degree))


def viewer_material(degree: int, antialiased: bool = False) -> bpy.types.Material:
    """For quads with the attributes FACE `splat` (sRGB, opacity), `away` and `sh_1..`, and POINT `sigma`; with
    `antialiased` also FACE `thinned`, the factor of the opacity.

    It emits the sRGB values themselves, so that with the view transform Raw splats blend in sRGB, as in viewers.
    """
    name = f"Dreamzoom Viewers SH {degree}" + " Anti-Aliased" * antialiased
    version = f"viewers {degree} 2" + " antialiased" * antialiased
    return _get_or_build(name, version, lambda nodes: _viewers(nodes, degree, antialiased))


def native_material() -> bpy.types.Material:
    """For Blender's own splats: as without a material, but faded by the alpha of the object's colour."""
    return _get_or_build("Dreamzoom Native Splats", "native 1", _native)


def add_outputs(nodes: NodeBuilder, colour, alpha, eevee_colour):
    """Add the outputs for both engines: light of `colour` over the background by `alpha`, faded by the object."""
    fade = nodes.add("ObjectInfo").outputs["Alpha"]
    alpha = nodes.math("MULTIPLY", alpha, fade)
    clear = nodes.add("BsdfTransparent").outputs["BSDF"]
    place = nodes.add("NewGeometry").outputs["Position"]
    noise = nodes.add("TexWhiteNoise", {"Vector": place}, noise_dimensions="3D").outputs["Value"]
    hard = nodes.math("GREATER_THAN", alpha, noise)
    for target, cover, shown in (("CYCLES", alpha, colour), ("EEVEE", hard, eevee_colour)):
        light = nodes.add("Emission", {"Color": shown}).outputs["Emission"]
        mixed = nodes.add("MixShader", {"Fac": cover, "Shader": clear, "Shader_001": light}).outputs["Shader"]
        nodes.add("OutputMaterial", {"Surface": mixed}, target=target)


def _surfels(nodes: NodeBuilder, degree: int, triangles: bool):
    splat = nodes.attribute(TRIANGLE_ATTRIBUTE if triangles else "splat")
    if triangles:
        squared = _squared_in_triangle(nodes)
    else:
        sigma = nodes.attribute("sigma").outputs["Vector"]
        squared = nodes.vector("DOT_PRODUCT", sigma, sigma)
    kernel = nodes.math("EXPONENT", nodes.math("MULTIPLY", squared, -0.5))
    inside = nodes.math("LESS_THAN", squared, CUT * CUT)
    alpha = nodes.math("MULTIPLY", nodes.math("MULTIPLY", kernel, inside), splat.outputs["Alpha"])
    ray = nodes.to_object_space(nodes.add("NewGeometry").outputs["Incoming"]) if degree else None
    colour, eevee_colour = _view_colours(nodes, splat.outputs["Color"], ray, degree)
    add_outputs(nodes, colour, alpha, eevee_colour)


def _squared_in_triangle(nodes: NodeBuilder):
    """The squared distance from the centre of an equilateral triangle whose corners have the distance 2 CUT from it.

    With barycentric coordinates u, v, w = 1 − u − v it is (2 CUT)² (1 − 3 (uv + vw + wu)), in whatever order the
    corners are.
    """
    u, v, _ = (NodeScalar(nodes, part) for part in nodes.separate(nodes.add("NewGeometry").outputs["Parametric"]))
    pairs = (u + v) * (u * -1.0 - v + 1.0) + u * v
    return ((pairs * -3.0 + 1.0) * (4 * CUT * CUT)).socket


def _viewers(nodes: NodeBuilder, degree: int, antialiased: bool):
    splat = nodes.attribute("splat")
    opacity = splat.outputs["Alpha"]
    if antialiased:
        opacity = nodes.math("MULTIPLY", opacity, nodes.separate(nodes.attribute("thinned").outputs["Vector"])[0])
    sigma = nodes.attribute("sigma").outputs["Vector"]
    kernel = nodes.math("EXPONENT", nodes.math("MULTIPLY", nodes.vector("DOT_PRODUCT", sigma, sigma), -0.5))
    alpha = nodes.math("MINIMUM", nodes.math("MULTIPLY", kernel, opacity), 0.99)
    alpha = nodes.math("MULTIPLY", alpha, nodes.math("GREATER_THAN", alpha, 1 / 255))
    colour = colour_in_eevee = splat.outputs["Color"]
    if degree:
        colour, colour_in_eevee = _with_harmonics(nodes, colour, nodes.attribute("away").outputs["Vector"], degree)
    shown, shown_in_eevee = (nodes.vector("MAXIMUM", srgb, (0, 0, 0)) for srgb in (colour, colour_in_eevee))
    add_outputs(nodes, shown, alpha, shown_in_eevee)


def _native(nodes: NodeBuilder):
    light = nodes.add("Emission", {"Color": nodes.attribute("radiance").outputs["Color"]}).outputs["Emission"]
    clear = nodes.add("BsdfTransparent").outputs["BSDF"]
    fade = nodes.add("ObjectInfo").outputs["Alpha"]
    mixed = nodes.add("MixShader", {"Fac": fade, "Shader": clear, "Shader_001": light}).outputs["Shader"]
    nodes.add("OutputMaterial", {"Surface": mixed})


def _points(nodes: NodeBuilder):
    point = nodes.attribute("rgba")
    hit = nodes.add("NewGeometry")
    centre = nodes.add("PointInfo").outputs["Position"]
    offset = nodes.to_object_space(nodes.vector("SUBTRACT", hit.outputs["Position"], centre))
    ray = nodes.vector("NORMALIZE", nodes.to_object_space(hit.outputs["Incoming"]))
    from_centre = nodes.vector("LENGTH", nodes.vector("CROSS_PRODUCT", offset, ray))
    inside = nodes.math("LESS_THAN", from_centre, nodes.scalar("disc"))
    alpha = nodes.math("MULTIPLY", point.outputs["Alpha"], inside)
    add_outputs(nodes, point.outputs["Color"], alpha, point.outputs["Color"])


def _gaussians(nodes: NodeBuilder, degree: int):
    point = nodes.attribute("rgba")
    hit = nodes.add("NewGeometry")
    centre = nodes.add("PointInfo").outputs["Position"]
    offset = nodes.to_object_space(nodes.vector("SUBTRACT", hit.outputs["Position"], centre))
    ray = nodes.to_object_space(hit.outputs["Incoming"])
    kernel = _peak_along_ray(nodes, _in_sigmas(nodes, offset), _in_sigmas(nodes, ray))
    _add_gaussian_outputs(nodes, point, kernel, ray, degree)


def _flat(nodes: NodeBuilder, degree: int):
    ray = nodes.to_object_space(nodes.add("NewGeometry").outputs["Incoming"])
    kernel = _peak_along_ray(nodes, nodes.attribute("sigma").outputs["Vector"], _in_sigmas(nodes, ray))
    _add_gaussian_outputs(nodes, nodes.attribute("splat"), kernel, ray, degree)


def _in_sigmas(nodes: NodeBuilder, vector):
    """A vector in object space transformed to a Gaussian's own axes, in units of their sigmas."""
    rows = (nodes.attribute(f"inverse_{row}").outputs["Vector"] for row in range(3))
    parts = {axis: nodes.vector("DOT_PRODUCT", row, vector) for axis, row in zip("XYZ", rows)}
    return nodes.add("CombineXYZ", parts).outputs["Vector"]


def _peak_along_ray(nodes: NodeBuilder, o, r):
    """The maximum of a unit Gaussian along the line through o in direction r: exp(−½ |o × r|² / |r|²)."""
    across = nodes.vector("CROSS_PRODUCT", o, r)
    squared = nodes.math("DIVIDE", nodes.vector("DOT_PRODUCT", across, across), nodes.vector("DOT_PRODUCT", r, r))
    return nodes.math("EXPONENT", nodes.math("MULTIPLY", squared, -0.5))


def _add_gaussian_outputs(nodes: NodeBuilder, base, kernel, ray, degree: int):
    """Add the outputs for the colour and opacity of the attribute node `base`, times the kernel."""
    alpha = nodes.math("MULTIPLY", kernel, base.outputs["Alpha"])
    colour, eevee_colour = _view_colours(nodes, base.outputs["Color"], ray, degree)
    add_outputs(nodes, colour, alpha, eevee_colour)


def _view_colours(nodes: NodeBuilder, base, ray, degree: int):
    """Linear colours, for Cycles and for EEVEE, seen along `ray` (towards the camera, object space, any length)."""
    if not degree:
        return base, base
    away = nodes.vector("NORMALIZE", nodes.scale(ray, -1.0))
    colour, colour_in_eevee = _with_harmonics(nodes, base, away, degree)
    shown = _srgb_to_linear(nodes, colour)
    return shown, _srgb_to_linear(nodes, colour_in_eevee) if degree > MAX_DEGREE_IN_EEVEE else shown


def _with_harmonics(nodes: NodeBuilder, base, away, degree: int):
    """SRGB colours, for Cycles and for EEVEE, seen along the unit direction `away` from the camera (object space)."""
    colour = colour_in_eevee = base
    x, y, z = (NodeScalar(nodes, part) for part in nodes.separate(away))
    values = spherical_harmonics.basis(x, y, z, degree)
    for index, value in enumerate(values, 1):
        colour = nodes.vector("MULTIPLY_ADD", nodes.attribute(f"sh_{index}").outputs["Vector"], value.socket, colour)
        if index <= (MAX_DEGREE_IN_EEVEE + 1) ** 2 - 1:
            colour_in_eevee = colour
    return colour, colour_in_eevee


def _srgb_to_linear(nodes: NodeBuilder, srgb):
    """SRGB to linear light; negative values become 0. The sum of the power curve and the linear part below it."""
    toe = 0.04045
    srgb = nodes.vector("MAXIMUM", srgb, (0, 0, 0))
    above = nodes.vector("MAXIMUM", srgb, (toe, toe, toe))
    scaled = nodes.vector("MULTIPLY_ADD", above, (1 / 1.055,) * 3, (0.055 / 1.055,) * 3)
    curve = nodes.add("Gamma", {"Color": scaled, "Gamma": 2.4}).outputs["Color"]
    below = nodes.vector("SUBTRACT", nodes.vector("MINIMUM", srgb, (toe, toe, toe)), (toe, toe, toe))
    return nodes.vector("MULTIPLY_ADD", below, (1 / 12.92,) * 3, curve)


def _get_or_build(name: str, version: str, build) -> bpy.types.Material:
    """The material of this version in the file, or a new one."""
    for material in bpy.data.materials:
        if material.get(VERSION) == version and material.library is None:
            return material
    material = bpy.data.materials.new(name)
    if not material.node_tree:
        material.use_nodes = True
    build(NodeBuilder(material.node_tree))
    material[VERSION] = version
    material.surface_render_method = "DITHERED"
    material.use_transparent_shadow = True
    if hasattr(material, "cycles"):
        material.cycles.emission_sampling = "NONE"  # otherwise Cycles samples every quad as a lamp
    return material
