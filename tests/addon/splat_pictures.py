"""Splats in numpy: making some, writing them as PLY, and the picture that the image model of the fit gives for them."""

from __future__ import annotations

from pathlib import Path

import bpy
import numpy as np
from mathutils import Vector

from addon.core import spherical_harmonics
from addon.core.colour import quick_srgb_to_linear
from addon.core.gaussians import Gaussians
from addon.core.quaternions import axes_of
from addon.core.spherical_harmonics import SH_C0

SIZE = 32


def random_splats(count: int, seed: int, degree: int = 0, flat: bool = True, size: float = 0.15) -> Gaussians:
    """Splats about the origin, none outside a radius of about 1."""
    rng = np.random.default_rng(seed)
    quaternions = rng.standard_normal((count, 4)).astype(np.float32)
    quaternions /= np.linalg.norm(quaternions, axis=-1, keepdims=True)
    log_scales = np.log(size * rng.uniform(0.4, 1, (count, 3))).astype(np.float32)
    if flat:
        log_scales[:, 2] = log_scales[:, :2].min(-1) + np.log(1e-3)
    sh = (rng.standard_normal((count, (degree + 1) ** 2, 3)) * 0.25).astype(np.float32)
    sh[:, 0] = rng.uniform(-1.6, 1.6, (count, 3))
    return Gaussians(
        rng.uniform(-0.8, 0.8, (count, 3)).astype(np.float32),
        log_scales,
        quaternions,
        rng.uniform(-1, 4, count).astype(np.float32),
        sh,
    )


def write_3dgs(path: Path, splats: Gaussians, order=None, extra: dict[str, np.ndarray] | None = None):
    """A 3DGS PLY written the plain way, columns in any `order`."""
    rest = splats.sh[:, 1:].transpose(0, 2, 1).reshape(len(splats), 3 * splats.sh.shape[1] - 3)
    columns = dict(zip("xyz", splats.means.T))
    columns |= {f"f_dc_{i}": splats.sh[:, 0, i] for i in range(3)}
    columns |= {f"f_rest_{i}": rest[:, i] for i in range(rest.shape[1])}
    columns |= {"opacity": splats.logit_opacities}
    columns |= {f"scale_{i}": splats.log_scales[:, i] for i in range(3)}
    columns |= {f"rot_{i}": splats.quaternions[:, i] for i in range(4)}
    columns |= extra or {}
    names = list(columns) if order is None else list(order(list(columns)))
    rows = np.empty(len(splats), [(name, columns[name].dtype.str) for name in names])
    for name in names:
        rows[name] = columns[name]
    kinds = {"f": "float", "u": "uchar", "i": "int"}
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(splats)}"]
    header += [f"property {kinds[columns[name].dtype.kind]} {name}" for name in names] + ["end_header\n"]
    path.write_bytes("\n".join(header).encode() + rows.tobytes())


def camera_at(place, size: int = SIZE, lens: float = 40.0) -> bpy.types.Object:
    """The scene's camera, looking at the origin; a square picture of `size` pixels."""
    scene = bpy.context.scene
    camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    camera.data.lens = lens
    camera.location = place
    camera.rotation_euler = (-Vector(place)).to_track_quat("-Z", "Y").to_euler()
    scene.collection.objects.link(camera)
    scene.camera = camera
    scene.render.resolution_x = scene.render.resolution_y = size
    bpy.context.view_layer.update()
    return camera


def rendered(folder: Path, samples: int = 64, at_centres: bool = False) -> np.ndarray:
    """What Cycles makes of the scene: (H, W, 4), linear light times alpha, and alpha; means over the pixels, or what
    rays through their centres see.
    """
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.cycles.samples = samples
    scene.cycles.use_denoising = False
    scene.cycles.use_adaptive_sampling = False
    scene.cycles.pixel_filter_type, scene.cycles.filter_width = "GAUSSIAN" if at_centres else "BOX", 0.01
    scene.cycles.transparent_max_bounces = scene.cycles.min_transparent_bounces = 256
    scene.render.film_transparent = True
    scene.view_settings.view_transform = "Standard"
    scene.render.image_settings.file_format = "OPEN_EXR"
    scene.render.image_settings.color_depth = "32"
    scene.render.filepath = str(folder / "picture.exr")
    bpy.ops.render.render(write_still=True)
    image = bpy.data.images.load(scene.render.filepath)
    pixels = np.empty(len(image.pixels), np.float32)
    image.pixels.foreach_get(pixels)
    size = image.size[:]
    bpy.data.images.remove(image)
    return pixels.reshape(size[1], size[0], 4)[::-1]


def rays(camera: bpy.types.Object, size: int = SIZE, grid: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """The camera's centre (3,) and unit rays (size, size, grid², 3) on a grid in every pixel, in world axes."""
    steps = (np.arange(size * grid) + 0.5) / (size * grid) - 0.5
    half = camera.data.sensor_width / camera.data.lens
    x, y = np.meshgrid(steps * half, -steps * half)
    matrix = np.array(camera.matrix_world)
    directions = np.stack([x, y, -np.ones_like(x)], -1) @ matrix[:3, :3].T
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    tiles = directions.reshape(size, grid, size, grid, 3).transpose(0, 2, 1, 3, 4)
    return matrix[:3, 3], tiles.reshape(size, size, grid * grid, 3)


def surfel_picture(splats: Gaussians, camera: bpy.types.Object, size: int = SIZE) -> np.ndarray:
    """The image model of the fit: (H, W, 4) linear light times alpha, and alpha, averaged over each pixel."""
    centre, directions = rays(camera, size)
    first, second, normal = axes_of(splats.quaternions.astype(np.float64))
    scales = np.exp(splats.log_scales.astype(np.float64))
    rays_flat = directions.reshape(-1, 3)
    towards = splats.means - centre
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = (towards * normal).sum(-1) / (rays_flat @ normal.T)
    offset = distance[..., None] * rays_flat[:, None] - towards
    u = (offset * first).sum(-1) / scales[:, 0]
    v = (offset * second).sum(-1) / scales[:, 1]
    squared = u * u + v * v
    alpha = np.where((squared < 6.25) & (distance > 0), splats.opacities * np.exp(-squared / 2), 0)
    return blended(alpha, distance, seen_colours(splats, rays_flat), size)


def gaussian_picture(splats: Gaussians, camera: bpy.types.Object, size: int = SIZE) -> np.ndarray:
    """Gaussians at their largest along each ray, ordered by where it enters their spheres: as `surfel_picture`."""
    centre, directions = rays(camera, size)
    rays_flat = directions.reshape(-1, 3)
    scales = np.exp(splats.log_scales.astype(np.float64))
    towards = splats.means - centre
    along = rays_flat @ towards.T
    radius = np.minimum(3, np.sqrt(2 * np.log(np.maximum(splats.opacities * 255, 1)))) * scales.max(-1)
    inside = radius**2 - ((towards**2).sum(-1) - along**2)
    axes = np.stack(axes_of(splats.quaternions.astype(np.float64)), 1) / scales[..., None]
    o = -np.einsum("nij,nj->ni", axes, towards)
    r = np.einsum("nij,pj->pni", axes, rays_flat)
    squared = (np.cross(np.broadcast_to(o, r.shape), r) ** 2).sum(-1) / (r**2).sum(-1)
    alpha = np.where((inside > 0) & (along > 0), splats.opacities * np.exp(-squared / 2), 0)
    return blended(alpha, along - np.sqrt(np.maximum(inside, 0)), seen_colours(splats, rays_flat), size)


def largest_picture(splats: Gaussians, camera: bpy.types.Object, size: int = SIZE) -> np.ndarray:
    """Gaussians at their largest along each ray, ordered by where that is: as `surfel_picture`."""
    centre, directions = rays(camera, size)
    rays_flat = directions.reshape(-1, 3)
    towards = splats.means - centre
    axes = np.stack(axes_of(splats.quaternions.astype(np.float64)), 1) / np.exp(splats.log_scales)[..., None]
    o = np.broadcast_to(-np.einsum("nij,nj->ni", axes, towards), (len(rays_flat), len(splats), 3))
    r = np.einsum("nij,pj->pni", axes, rays_flat)
    length = (r**2).sum(-1)
    squared = (np.cross(o, r) ** 2).sum(-1) / length
    reach = np.minimum(3, np.sqrt(2 * np.log(np.maximum(splats.opacities * 255, 1))))
    along = -(o * r).sum(-1) / length
    alpha = np.where((squared < reach**2) & (along > 0), splats.opacities * np.exp(-squared / 2), 0)
    return blended(alpha, along, seen_colours(splats, rays_flat), size)


def seen_colours(splats: Gaussians, directions: np.ndarray) -> np.ndarray:
    """Linear colours (P, N, 3) of splats along unit directions (P, 3) away from the eye."""
    above = spherical_harmonics.basis(*directions.T, spherical_harmonics.degree_of(splats.sh))
    basis = np.stack([np.full(len(directions), SH_C0), *above], -1)
    return quick_srgb_to_linear(0.5 + np.einsum("pk,nkc->pnc", basis, splats.sh))


def blended(alpha: np.ndarray, distance: np.ndarray, rgb_linear: np.ndarray, size: int) -> np.ndarray:
    """Fragments (rays, splats) over one another by distance, averaged per pixel: (H, W, 4)."""
    order = np.argsort(distance, axis=-1)
    alpha = np.take_along_axis(alpha, order, -1)
    rgb = np.take_along_axis(rgb_linear, order[..., None], 1)
    through = np.cumprod(1 - alpha, -1)
    weight = alpha * np.concatenate([np.ones_like(through[:, :1]), through[:, :-1]], -1)
    picture = np.concatenate([(weight[..., None] * rgb).sum(1), 1 - through[:, -1:]], -1)
    return picture.reshape(size, size, -1, 4).mean(2)


def decibels(picture: np.ndarray, truth: np.ndarray) -> float:
    """PSNR of two pictures over black, (H, W, 4) linear times alpha, compared in sRGB."""
    encode = lambda x: np.where(x <= 0.0031308, 12.92 * x, 1.055 * np.maximum(x, 1e-9) ** (1 / 2.4) - 0.055)  # noqa: E731
    error = encode(np.clip(picture[..., :3], 0, 1)) - encode(np.clip(truth[..., :3], 0, 1))
    return float(-10 * np.log10(np.mean(error**2)))


def viewer_picture(
    splats: Gaussians, camera: bpy.types.Object, size: int = SIZE, antialiased: bool = False
) -> np.ndarray:
    """What the usual viewers of 3DGS show: (H, W, 4), sRGB times alpha, and alpha; at the pixels' centres.

    With `antialiased` splats are as much fainter as the blur enlarges them (Mip-Splatting).
    """
    to_camera = np.linalg.inv(np.array(camera.matrix_world)) * np.array([1, -1, -1, 1])[:, None]
    focal = camera.data.lens / camera.data.sensor_width * size
    centre = np.array(camera.matrix_world)[:3, 3]
    axes = np.stack(axes_of(splats.quaternions.astype(np.float64)), -1) * np.exp(splats.log_scales)[:, None]
    x, y, z = (splats.means @ to_camera[:3, :3].T + to_camera[:3, 3]).T
    zero = np.zeros_like(z)
    jacobian = np.stack(
        [np.stack([focal / z, zero, -focal * x / z**2], -1), np.stack([zero, focal / z, -focal * y / z**2], -1)], 1
    )
    spread = jacobian @ to_camera[:3, :3] @ axes
    sharp = spread @ spread.transpose(0, 2, 1)
    covariance = sharp + 0.3 * np.eye(2)
    factor = np.sqrt(np.linalg.det(sharp) / np.linalg.det(covariance)) if antialiased else 1
    steps = np.arange(size) + 0.5
    pixels = np.stack(np.meshgrid(steps, steps), -1).reshape(-1, 1, 2)
    offset = pixels - np.stack([focal * x / z, focal * y / z], -1) - size / 2
    squared = np.einsum("pni,nij,pnj->pn", offset, np.linalg.inv(covariance), offset)
    alpha = np.minimum(0.99, splats.opacities * factor * np.exp(-squared / 2))
    alpha = np.where(alpha > 1 / 255, alpha, 0)
    directions = splats.means - centre
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    basis = np.stack(
        [np.full(len(z), SH_C0), *spherical_harmonics.basis(*directions.T, spherical_harmonics.degree_of(splats.sh))],
        -1,
    )
    rgb = np.maximum(0.5 + np.einsum("nk,nkc->nc", basis, splats.sh), 0)
    distance, rgb = np.broadcast_to(z, alpha.shape), np.broadcast_to(rgb, (*alpha.shape, 3))
    return blended(alpha, distance, rgb, size)
