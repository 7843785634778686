"""Splats as arrays: moved, turned, put together, put in order."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from some_splats import covariances_of, rotations_differ, some

from core import quaternions, spherical_harmonics
from core.camera import Similarity
from core.gaussians import joined, moved, transformed


def turn_about(axis, angle: float) -> np.ndarray:
    """The matrix (3, 3) of a turn about an axis (Rodrigues)."""
    x, y, z = np.asarray(axis) / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


MAPS = {
    "turn": turn_about((1, 2, -1), 1.1),
    "turn and scale": 2 * turn_about((1, 2, -1), 1.1),
    "mirror": turn_about((1, 2, -1), 1.1) @ np.diag([-2.0, 2, 2]),
    "uneven": np.diag([1.0, 2, 3]),
    "shear": np.array([[1, 0.4, 0], [0, 0.5, 0], [0, 0, 3.0]]),
}


class TestTransformed:
    @pytest.mark.parametrize("linear", MAPS.values(), ids=MAPS)
    def test_is_exact_for_any_affine_map(self, linear):
        splats = replace(some(50, 3), extra={"view": np.arange(50)})
        matrix = np.eye(4)
        matrix[:3, :3], matrix[:3, 3] = linear, (1, 2, 3)
        found = transformed(splats, matrix)
        assert np.allclose(found.means, splats.means @ linear.T + (1, 2, 3), atol=1e-5)
        truth = linear @ covariances_of(splats) @ linear.T
        assert np.allclose(covariances_of(found), truth, rtol=1e-3, atol=1e-6)
        assert np.allclose(np.linalg.norm(found.quaternions, axis=1), 1, atol=1e-6)
        assert np.array_equal(found.extra["view"], splats.extra["view"])

    def test_a_similarity_is_one(self):
        splats = some(20, 1)
        similarity = Similarity(2.5, np.array([0.1, -0.2, 0.3]))
        matrix = np.diag([2.5, 2.5, 2.5, 1])
        matrix[:3, 3] = -2.5 * similarity.offset
        ours, theirs = moved(splats, similarity), transformed(splats, matrix)
        assert np.allclose(ours.means, theirs.means, atol=1e-6)
        assert np.allclose(ours.log_scales, theirs.log_scales, atol=1e-6)
        assert rotations_differ(ours.quaternions, theirs.quaternions) < 2e-3
        assert np.allclose(ours.sh, theirs.sh, atol=1e-6)


class TestSets:
    def test_joined_in_order_with_the_lowest_degree(self):
        first, second = some(3, 2), some(4, 1, 1)
        both = joined([first, second])
        assert np.array_equal(both.means, np.concatenate([first.means, second.means]))
        assert np.array_equal(both.sh[:3], first.sh[:, :4])

    def test_ordered(self):
        splats = replace(some(100_000, 1), extra={"view": np.arange(100_000)})
        order = np.random.default_rng(0).permutation(100_000)
        found = splats.ordered(order)
        assert np.array_equal(found.extra["view"], order)
        assert all(np.array_equal(now, was[order]) for now, was in zip(found.parts, splats.parts))

    def test_usable_leaves_out_what_is_absurd(self):
        splats = some(10)
        assert splats.usable() is splats
        splats.means[1] = 1e20
        splats.log_scales[4, 1] = 31
        assert np.array_equal(splats.usable().means, np.delete(splats.means, [1, 4], 0))

    def test_surfels_are_flat(self):
        splats = some(10)
        splats.log_scales[:, 2] = splats.log_scales[:, :2].min(1) - 5
        assert splats.are_surfels()
        splats.log_scales[3, 2] = splats.log_scales[3, 0]
        assert not splats.are_surfels()


class TestQuaternions:
    def test_axes_there_and_back(self):
        turns = some(200).quaternions
        axes = np.stack(quaternions.axes_of(turns), -1)
        assert np.allclose(axes @ axes.transpose(0, 2, 1), np.eye(3), atol=1e-5)
        assert rotations_differ(quaternions.from_axes(axes), turns) < 2e-3
        assert np.allclose(quaternions.third_axes(turns), axes[..., 2], atol=1e-6)


class TestHarmonics:
    def test_the_basis_is_orthonormal(self):
        directions = spherical_harmonics._spread_directions(20_000)
        values = np.stack(spherical_harmonics.basis(*directions.T, 3), -1)
        assert np.allclose(values.T @ values * (4 * np.pi / 20_000), np.eye(15), atol=1e-3)

    def test_turned_colours_are_the_old_ones_seen_from_the_turned_direction(self):
        rotation = turn_about((1, -2, 0.5), 0.7)
        sh = np.random.default_rng(0).standard_normal((5, 16, 3)).astype(np.float32)
        directions = spherical_harmonics._spread_directions(50)
        after = np.stack(spherical_harmonics.basis(*(directions @ rotation.T).T, 3), -1)
        before = np.stack(spherical_harmonics.basis(*directions.T, 3), -1)
        new = np.einsum("pk,nkc->pnc", after, spherical_harmonics.turned(sh, rotation)[:, 1:])
        assert np.allclose(new, np.einsum("pk,nkc->pnc", before, sh[:, 1:]), atol=1e-5)
