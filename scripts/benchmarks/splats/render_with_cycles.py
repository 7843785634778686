"""Runs in Blender's Python: surfels as quads, rendered by Cycles. `render_with_cycles.py IN.npz OUT.npz`.

IN: corners (N, 4, 3), rgb_linear (N, 3), opacity (N,), camera_to_frame (4, 4) in OpenCV axes, width, height, focal,
samples. OUT: rgba (H, W, 4) float32, linear and premultiplied.
"""

import sys
from pathlib import Path

import bpy
import numpy as np

CUT = 2.5


def main(source: Path, target: Path):
    """Build, render, save."""
    data = np.load(source)
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.collection.objects.link(bpy.data.objects.new("splats", _mesh(data)))
    _camera(scene, data)
    _settings(scene, int(data["samples"]), target.with_suffix(".exr"))
    bpy.ops.render.render(write_still=True)
    image = bpy.data.images.load(str(target.with_suffix(".exr")))
    pixels = np.array(image.pixels[:], np.float32).reshape(int(data["height"]), int(data["width"]), 4)
    np.savez(target, rgba=pixels[::-1])


def _mesh(data) -> bpy.types.Mesh:
    corners = data["corners"].reshape(-1, 3)
    count = len(corners) // 4
    mesh = bpy.data.meshes.new("splats")
    mesh.vertices.add(4 * count)
    mesh.loops.add(4 * count)
    mesh.polygons.add(count)
    mesh.vertices.foreach_set("co", corners.astype(np.float32).ravel())
    mesh.loops.foreach_set("vertex_index", np.arange(4 * count, dtype=np.int32))
    mesh.polygons.foreach_set("loop_start", np.arange(0, 4 * count, 4, dtype=np.int32))
    splat = np.concatenate([data["rgb_linear"], data["opacity"][:, None]], 1).astype(np.float32)
    mesh.attributes.new("splat", "FLOAT_COLOR", "FACE").data.foreach_set("color", splat.ravel())
    sigma = np.tile(np.array([[-CUT, -CUT, 0], [CUT, -CUT, 0], [CUT, CUT, 0], [-CUT, CUT, 0]], np.float32), (count, 1))
    mesh.attributes.new("sigma", "FLOAT_VECTOR", "CORNER").data.foreach_set("vector", sigma.ravel())
    mesh.update()
    mesh.materials.append(_material())
    return mesh


def _material() -> bpy.types.Material:
    material = bpy.data.materials.new("splats")
    material.use_nodes = True
    nodes, links = material.node_tree.nodes, material.node_tree.links
    nodes.clear()

    def node(kind, inputs=(), **settings):
        made = nodes.new(f"ShaderNode{kind}")
        for name, value in settings.items():
            setattr(made, name, value)
        for identifier, value in dict(inputs).items():
            target = next(socket for socket in made.inputs if socket.identifier == identifier)
            if isinstance(value, bpy.types.NodeSocket):
                links.new(value, target)
            else:
                target.default_value = value
        return made

    def math(operation, first, second=0.0):
        return node("Math", {"Value": first, "Value_001": second}, operation=operation).outputs["Value"]

    splat = node("Attribute", attribute_type="GEOMETRY", attribute_name="splat")
    sigma = node("Attribute", attribute_type="GEOMETRY", attribute_name="sigma").outputs["Vector"]
    squared = node("VectorMath", {"Vector": sigma, "Vector_001": sigma}, operation="DOT_PRODUCT").outputs["Value"]
    kernel = math("EXPONENT", math("MULTIPLY", squared, -0.5))
    alpha = math("MULTIPLY", kernel, math("LESS_THAN", squared, CUT * CUT))
    alpha = math("MULTIPLY", alpha, splat.outputs["Alpha"])
    light = node("Emission", {"Color": splat.outputs["Color"]}).outputs["Emission"]
    clear = node("BsdfTransparent").outputs["BSDF"]
    mixed = node("MixShader", {"Fac": alpha, "Shader": clear, "Shader_001": light}).outputs["Shader"]
    node("OutputMaterial", {"Surface": mixed})
    return material


def _camera(scene, data):
    camera = bpy.data.cameras.new("camera")
    camera.sensor_fit, camera.sensor_width = "HORIZONTAL", 36.0
    camera.lens = float(data["focal"]) / float(data["width"]) * 36.0
    camera.clip_start = 0.01
    pose = data["camera_to_frame"].copy()
    pose[:3, 1:3] *= -1
    holder = bpy.data.objects.new("camera", camera)
    holder.matrix_world = pose.T
    scene.collection.objects.link(holder)
    scene.camera = holder
    scene.render.resolution_x, scene.render.resolution_y = int(data["width"]), int(data["height"])
    scene.render.resolution_percentage = 100


def _settings(scene, samples: int, path: Path):
    scene.render.engine, scene.cycles.device = "CYCLES", "CPU"
    scene.cycles.samples, scene.cycles.use_adaptive_sampling, scene.cycles.use_denoising = samples, False, False
    scene.cycles.max_bounces = scene.cycles.transparent_max_bounces = scene.cycles.min_transparent_bounces = 128
    scene.cycles.min_light_bounces = 0
    scene.cycles.pixel_filter_type = "BOX"
    scene.render.film_transparent = True
    scene.view_settings.view_transform = "Standard"
    scene.render.image_settings.file_format, scene.render.image_settings.color_depth = "OPEN_EXR", "32"
    scene.render.image_settings.color_mode = "RGBA"
    scene.render.filepath = str(path)
    scene.render.threads_mode, scene.render.threads = "FIXED", 2


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
