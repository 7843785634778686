"""The materials that show splats and points in Cycles and EEVEE: plain nodes that render without the add-on.

Every material gives light of its own and takes none. It ends in a smooth alpha for Cycles and, for EEVEE, in a hard
one that a white noise at the hit draws anew for every sample and layer: without order, without bias. The alpha of the
object's colour multiplies both, so that a driver on it fades the object.
"""

from __future__ import annotations

import bpy

from ..core import spherical_harmonics
from .node_builder import VERSION, Graph, Term

CUT = 2.5
"""Where the kernel ends, in sigmas; the fit cuts it there too."""

MOST_DEGREE_IN_EEVEE = 2
"""EEVEE draws nothing with a material that reads more than 15 attributes."""


TRIANGLES = "surfel"
"""The attribute that the faces of triangles have in place of `splat` and `sigma`."""


def surfel_material(degree: int = 0, triangles: bool = False) -> bpy.types.Material:
    """Faces that carry FACE `splat` (linear RGB, or sRGB above degree 0; opacity) and `sh_1..`, and POINT `sigma` (the
    place on the face, in sigmas).

    Args:
        degree: Of the harmonics.
        triangles: Whether the faces are triangles about the splats, each corner 2 CUT sigmas away, which carry FACE
            `surfel` in place of `splat` and `sigma`.
    """
    name = f"Dreamzoom Surfels SH {degree}" if degree else "Dreamzoom Surfels"
    name += " Triangles" if triangles else ""
    version = f"surfels {degree} {triangles} 5"
    return _found_or_built(name, version, lambda graph: _surfels(graph, degree, triangles))


def point_material() -> bpy.types.Material:
    """Points that carry `rgba` (linear RGB, alpha) and `disc`, the radius of the disc towards the eye that is shown.

    Cycles gives black for an attribute named `color`.
    """
    return _found_or_built("Dreamzoom Points", "points 3", _points)


def gaussian_material(degree: int) -> bpy.types.Material:
    """Points that carry `rgba` (linear RGB, or sRGB above degree 0; opacity), `inverse_0..2`, and `sh_1..`.

    The spheres of the points bound Gaussians, which are evaluated along the ray: with A = S⁻¹Rᵀ, its rows `inverse_i`,
    o = A(P − μ) and r = A·ray, the smallest squared distance in sigmas is |o × r|² / |r|².
    """
    return _found_or_built(
        f"Dreamzoom Gaussians SH {degree}", f"gaussians {degree} 2", lambda graph: _gaussians(graph, degree)
    )


def flat_material(degree: int) -> bpy.types.Material:
    """Quads that carry FACE `splat` (linear RGB, or sRGB above degree 0; opacity), `inverse_0..2` (the longest axis
    first) and `sh_1..`, and CORNER `sigma`: Gaussians evaluated along the ray as by `gaussian_material`, o being the
    place on the quad.
    """
    return _found_or_built(f"Dreamzoom Flat Gaussians SH {degree}", f"flat {degree} 2", lambda g: _flat(g, degree))


def viewer_material(degree: int) -> bpy.types.Material:
    """Quads that carry FACE `splat` (sRGB, opacity), `away` and `sh_1..`, and POINT `sigma`.

    Emits the sRGB values themselves, so that under the view transform Raw splats blend in sRGB, as viewers do it.
    """
    name = f"Dreamzoom Viewers SH {degree}"
    return _found_or_built(name, f"viewers {degree} 2", lambda graph: _viewers(graph, degree))


def native_material() -> bpy.types.Material:
    """Blender's own splats as they look without a material, but that the alpha of the object's colour fades them."""
    return _found_or_built("Dreamzoom Native Splats", "native 1", _native)


def finish(graph: Graph, colour, alpha, eevee_colour):
    """End in light of `colour` covering `alpha` of what is behind, faded by the object, for both engines."""
    fade = graph.add("ObjectInfo").outputs["Alpha"]
    alpha = graph.math("MULTIPLY", alpha, fade)
    clear = graph.add("BsdfTransparent").outputs["BSDF"]
    place = graph.add("NewGeometry").outputs["Position"]
    noise = graph.add("TexWhiteNoise", {"Vector": place}, noise_dimensions="3D").outputs["Value"]
    hard = graph.math("GREATER_THAN", alpha, noise)
    for target, cover, shown in (("CYCLES", alpha, colour), ("EEVEE", hard, eevee_colour)):
        light = graph.add("Emission", {"Color": shown}).outputs["Emission"]
        mixed = graph.add("MixShader", {"Fac": cover, "Shader": clear, "Shader_001": light}).outputs["Shader"]
        graph.add("OutputMaterial", {"Surface": mixed}, target=target)


def _surfels(graph: Graph, degree: int, triangles: bool):
    splat = graph.attribute(TRIANGLES if triangles else "splat")
    if triangles:
        squared = _squared_in_triangle(graph)
    else:
        sigma = graph.attribute("sigma").outputs["Vector"]
        squared = graph.vector("DOT_PRODUCT", sigma, sigma)
    kernel = graph.math("EXPONENT", graph.math("MULTIPLY", squared, -0.5))
    inside = graph.math("LESS_THAN", squared, CUT * CUT)
    alpha = graph.math("MULTIPLY", graph.math("MULTIPLY", kernel, inside), splat.outputs["Alpha"])
    ray = graph.in_object(graph.add("NewGeometry").outputs["Incoming"]) if degree else None
    colour, eevee_colour = _seen_colours(graph, splat.outputs["Color"], ray, degree)
    finish(graph, colour, alpha, eevee_colour)


def _squared_in_triangle(graph: Graph):
    """The squared distance from the middle of an equilateral triangle whose corners lie 2 CUT from it.

    Of the barycentric coordinates u, v, w = 1 − u − v it is (2 CUT)² (1 − 3 (uv + vw + wu)), whichever corner each of
    them belongs to.
    """
    u, v, _ = (Term(graph, part) for part in graph.apart(graph.add("NewGeometry").outputs["Parametric"]))
    pairs = (u + v) * (u * -1.0 - v + 1.0) + u * v
    return ((pairs * -3.0 + 1.0) * (4 * CUT * CUT)).socket


def _viewers(graph: Graph, degree: int):
    splat = graph.attribute("splat")
    sigma = graph.attribute("sigma").outputs["Vector"]
    kernel = graph.math("EXPONENT", graph.math("MULTIPLY", graph.vector("DOT_PRODUCT", sigma, sigma), -0.5))
    alpha = graph.math("MINIMUM", graph.math("MULTIPLY", kernel, splat.outputs["Alpha"]), 0.99)
    alpha = graph.math("MULTIPLY", alpha, graph.math("GREATER_THAN", alpha, 1 / 255))
    colour = colour_in_eevee = splat.outputs["Color"]
    if degree:
        colour, colour_in_eevee = _summed(graph, colour, graph.attribute("away").outputs["Vector"], degree)
    shown, shown_in_eevee = (graph.vector("MAXIMUM", srgb, (0, 0, 0)) for srgb in (colour, colour_in_eevee))
    finish(graph, shown, alpha, shown_in_eevee)


def _native(graph: Graph):
    light = graph.add("Emission", {"Color": graph.attribute("radiance").outputs["Color"]}).outputs["Emission"]
    clear = graph.add("BsdfTransparent").outputs["BSDF"]
    fade = graph.add("ObjectInfo").outputs["Alpha"]
    mixed = graph.add("MixShader", {"Fac": fade, "Shader": clear, "Shader_001": light}).outputs["Shader"]
    graph.add("OutputMaterial", {"Surface": mixed})


def _points(graph: Graph):
    point = graph.attribute("rgba")
    hit = graph.add("NewGeometry")
    centre = graph.add("PointInfo").outputs["Position"]
    offset = graph.in_object(graph.vector("SUBTRACT", hit.outputs["Position"], centre))
    ray = graph.vector("NORMALIZE", graph.in_object(hit.outputs["Incoming"]))
    from_centre = graph.vector("LENGTH", graph.vector("CROSS_PRODUCT", offset, ray))
    inside = graph.math("LESS_THAN", from_centre, graph.scalar("disc"))
    alpha = graph.math("MULTIPLY", point.outputs["Alpha"], inside)
    finish(graph, point.outputs["Color"], alpha, point.outputs["Color"])


def _gaussians(graph: Graph, degree: int):
    point = graph.attribute("rgba")
    hit = graph.add("NewGeometry")
    centre = graph.add("PointInfo").outputs["Position"]
    offset = graph.in_object(graph.vector("SUBTRACT", hit.outputs["Position"], centre))
    ray = graph.in_object(hit.outputs["Incoming"])
    kernel = _along_ray(graph, _in_sigmas(graph, offset), _in_sigmas(graph, ray))
    _finish_gaussian(graph, point, kernel, ray, degree)


def _flat(graph: Graph, degree: int):
    ray = graph.in_object(graph.add("NewGeometry").outputs["Incoming"])
    kernel = _along_ray(graph, graph.attribute("sigma").outputs["Vector"], _in_sigmas(graph, ray))
    _finish_gaussian(graph, graph.attribute("splat"), kernel, ray, degree)


def _in_sigmas(graph: Graph, vector):
    """A vector of the object's axes in a Gaussian's own, each in its sigma."""
    rows = (graph.attribute(f"inverse_{row}").outputs["Vector"] for row in range(3))
    parts = {axis: graph.vector("DOT_PRODUCT", row, vector) for axis, row in zip("XYZ", rows)}
    return graph.add("CombineXYZ", parts).outputs["Vector"]


def _along_ray(graph: Graph, o, r):
    """The largest value of a unit Gaussian along the line through o along r: exp(−½ |o × r|² / |r|²)."""
    across = graph.vector("CROSS_PRODUCT", o, r)
    squared = graph.math("DIVIDE", graph.vector("DOT_PRODUCT", across, across), graph.vector("DOT_PRODUCT", r, r))
    return graph.math("EXPONENT", graph.math("MULTIPLY", squared, -0.5))


def _finish_gaussian(graph: Graph, base, kernel, ray, degree: int):
    """End in the colour and opacity of the attribute node `base`, by the kernel."""
    alpha = graph.math("MULTIPLY", kernel, base.outputs["Alpha"])
    colour, eevee_colour = _seen_colours(graph, base.outputs["Color"], ray, degree)
    finish(graph, colour, alpha, eevee_colour)


def _seen_colours(graph: Graph, base, ray, degree: int):
    """Linear colours, for Cycles and for EEVEE, seen along `ray` (towards the eye, the object's axes, any length)."""
    if not degree:
        return base, base
    away = graph.vector("NORMALIZE", graph.scaled(ray, -1.0))
    colour, colour_in_eevee = _summed(graph, base, away, degree)
    shown = _decoded(graph, colour)
    return shown, _decoded(graph, colour_in_eevee) if degree > MOST_DEGREE_IN_EEVEE else shown


def _summed(graph: Graph, base, away, degree: int):
    """The sRGB colours, for Cycles and for EEVEE, seen along the unit direction `away` from the eye (object axes)."""
    colour = colour_in_eevee = base
    values = spherical_harmonics.basis(*(Term(graph, part) for part in graph.apart(away)), degree)
    for index, value in enumerate(values, 1):
        colour = graph.vector("MULTIPLY_ADD", graph.attribute(f"sh_{index}").outputs["Vector"], value.socket, colour)
        if index <= (MOST_DEGREE_IN_EEVEE + 1) ** 2 - 1:
            colour_in_eevee = colour
    return colour, colour_in_eevee


def _decoded(graph: Graph, srgb):
    """SRGB to linear light, 0 where it is negative: the curve above its toe, plus the straight toe below."""
    toe = 0.04045
    srgb = graph.vector("MAXIMUM", srgb, (0, 0, 0))
    above = graph.vector("MAXIMUM", srgb, (toe, toe, toe))
    scaled = graph.vector("MULTIPLY_ADD", above, (1 / 1.055,) * 3, (0.055 / 1.055,) * 3)
    curve = graph.add("Gamma", {"Color": scaled, "Gamma": 2.4}).outputs["Color"]
    below = graph.vector("SUBTRACT", graph.vector("MINIMUM", srgb, (toe, toe, toe)), (toe, toe, toe))
    return graph.vector("MULTIPLY_ADD", below, (1 / 12.92,) * 3, curve)


def _found_or_built(name: str, version: str, build) -> bpy.types.Material:
    """The file's own material of this version, or a new one."""
    for material in bpy.data.materials:
        if material.get(VERSION) == version and material.library is None:
            return material
    material = bpy.data.materials.new(name)
    if not material.node_tree:
        material.use_nodes = True
    build(Graph(material.node_tree))
    material[VERSION] = version
    material.surface_render_method = "DITHERED"
    material.use_transparent_shadow = True
    if hasattr(material, "cycles"):
        material.cycles.emission_sampling = "NONE"  # else every quad becomes a lamp
    return material
