"""General Gaussians render as they are defined."""

from __future__ import annotations

import bpy
import numpy as np
import pytest
from mathutils import Matrix

from addon import splats
from addon.core import spherical_harmonics
from addon.core.gaussians import Gaussians, transformed
from addon.splats import flat_gaussians, native, sphere_gaussians

from .. import splat_pictures as pictures


def placed(values, matrix=None):
    obj = bpy.data.objects.new("splats", sphere_gaussians.gaussian_cloud("splats", values))
    bpy.context.scene.collection.objects.link(obj)
    if matrix is not None:
        parent = bpy.data.objects.new("parent", None)
        bpy.context.scene.collection.objects.link(parent)
        parent.matrix_world = matrix
        obj.parent = parent
    return obj


class TestGaussianCloud:
    @pytest.mark.parametrize("degree", [0, 3])
    def test_cycles_shows_each_gaussian_at_its_largest_along_the_ray(self, tmp_path, degree):
        values = pictures.random_splats(60, 1, degree, flat=False)
        placed(values)
        camera = pictures.camera_at((1.5, -2.5, 1.0))
        picture, truth = pictures.rendered(tmp_path), pictures.gaussian_picture(values, camera)
        assert pictures.decibels(picture, truth) > 45

    def test_a_parent_moves_turns_and_scales_them(self, tmp_path):
        values = pictures.random_splats(30, 2, 2, flat=False)
        matrix = Matrix.Translation((0.2, -0.1, 0.1)) @ Matrix.Rotation(1, 4, (1, 2, 3)) @ Matrix.Scale(0.6, 4)
        placed(values, matrix)
        rotation = np.array(Matrix.Rotation(1, 3, (1, 2, 3)))
        turn = np.array(Matrix.Rotation(1, 4, (1, 2, 3)).to_quaternion())
        moved = Gaussians(
            (values.means @ (0.6 * rotation.T) + np.array(matrix.translation)).astype(np.float32),
            values.log_scales + np.float32(np.log(0.6)),
            product(turn, values.quaternions),
            values.logit_opacities,
            spherical_harmonics.turned(values.sh, rotation),
        )
        camera = pictures.camera_at((1.5, -2.5, 1.0))
        assert pictures.decibels(pictures.rendered(tmp_path), pictures.gaussian_picture(moved, camera)) > 45

    def test_the_fainter_the_smaller(self):
        values = pictures.random_splats(3, 3, flat=False)
        values.logit_opacities[:] = (-5.0, -2.0, 9.0)
        cloud = sphere_gaussians.gaussian_cloud("a", values)
        radii = np.array([point.radius for point in cloud.points]) / np.exp(values.log_scales.max(-1))
        assert np.allclose(radii, (np.sqrt(2 * np.log(255 / (1 + np.exp(5)))), 2.614, 3), atol=1e-3)

    def test_eevee_reads_no_more_attributes_than_it_can(self):
        material = placed(pictures.random_splats(3, 3, 3)).data.materials[0]
        outputs = {node.target: node for node in material.node_tree.nodes if node.type == "OUTPUT_MATERIAL"}
        assert len(attributes_behind(outputs["EEVEE"])) == 12
        assert len(attributes_behind(outputs["CYCLES"])) == 19


class TestFlatGaussians:
    @pytest.mark.parametrize("degree", [0, 3])
    def test_cycles_shows_them_as_they_are_and_at_least_as_well_as_spheres(self, tmp_path, degree):
        values = thin(0.03, 80, degree)
        camera = pictures.camera_at((1.5, -2.5, 1.0))
        truth = pictures.largest_picture(values, camera)
        found = {}
        for representation in ("flat", "gaussians"):
            (obj,) = splats.show_splats(values, "splats", bpy.context.scene.collection, representation)
            found[representation] = pictures.decibels(pictures.rendered(tmp_path), truth)
            bpy.data.objects.remove(obj)
        assert found["flat"] > 40, found
        assert found["flat"] > found["gaussians"]

    def test_a_parent_moves_turns_and_scales_them(self, tmp_path):
        values = thin(0.05, 50, 2)
        matrix = Matrix.Translation((0.2, -0.1, 0.1)) @ Matrix.Rotation(1, 4, (1, 2, 3)) @ Matrix.Scale(0.6, 4)
        (obj,) = splats.show_splats(values, "splats", bpy.context.scene.collection)
        assert obj.type == "MESH"
        obj.matrix_world = matrix
        camera = pictures.camera_at((1.5, -2.5, 1.0))
        truth = pictures.largest_picture(transformed(values, np.array(matrix)), camera)
        assert pictures.decibels(pictures.rendered(tmp_path), truth) > 39

    @pytest.mark.parametrize(
        ("thickness", "representation"), [(1e-3, "surfels"), (0.1, "flat"), (0.3, "gaussians"), (1, "gaussians")]
    )
    def test_thickness_decides_whatever_axis_is_the_shortest(self, thickness, representation):
        values = thin(thickness, 500)
        general = "native" if native.available() else "gaussians"
        representation = general if representation == "gaussians" else representation
        assert splats.best_representation(values) == representation
        if representation == "flat":
            values.log_scales[:] = values.log_scales[:, [2, 0, 1]]
            assert splats.best_representation(values) == representation
            values.log_scales[:20] = 0.0
            assert splats.best_representation(values) == general

    def test_no_splats_make_an_empty_object(self):
        assert len(flat_gaussians.flat_mesh("a", thin(0.1, 0)).polygons) == 0


def thin(thickness: float, count: int, degree: int = 0):
    """Random splats whose third axis is `thickness` times the shorter of the others."""
    values = pictures.random_splats(count, 1, degree, flat=False)
    values.log_scales[:, 2] = values.log_scales[:, :2].min(-1) + np.float32(np.log(thickness))
    return values


def attributes_behind(node) -> set[str]:
    found, waiting = set(), [node]
    while waiting:
        node = waiting.pop()
        if node.type == "ATTRIBUTE":
            found.add(node.attribute_name)
        waiting += [link.from_node for socket in node.inputs for link in socket.links]
    return found


def product(first, second):
    """Quaternions wxyz, (4,) by (N, 4)."""
    a, b, c, d = first
    w, x, y, z = second.T
    parts = (
        a * w - b * x - c * y - d * z,
        a * x + b * w + c * z - d * y,
        a * y - b * z + c * w + d * x,
        a * z + b * y - c * x + d * w,
    )
    return np.stack(parts, -1).astype(np.float32)
