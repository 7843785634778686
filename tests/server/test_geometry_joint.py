"""Align: all views jointly, and the merged cloud."""

import numpy as np
from halls import SIZE, camera, grey, hall, seen_from, warp

from dreamzoom.geometry.cloud import Cloud
from dreamzoom.geometry.joint import Posed, align_jointly
from dreamzoom.geometry.lift import lift
from dreamzoom.geometry.merge import glue, merge, thin
from dreamzoom.geometry.project import project
from dreamzoom.geometry.view import KNOWN, UNKNOWN


class TestAlignJointly:
    def ring(self, count=8, seed=0):
        rng = np.random.default_rng(seed)
        cameras = [camera(360 * n / count) for n in range(count)]
        truth = [hall(view) for view in cameras]
        logs = [warp(seed + n) + (rng.uniform(-0.5, 0.5) if n else 0) for n in range(count)]
        return cameras, truth, [(t * np.exp(w)).astype(np.float32) for t, w in zip(truth, logs, strict=True)]

    def test_closes_the_loop_of_a_ring(self):
        cameras, truth, depths = self.ring(10)
        fields = align_jointly([Posed(c, d) for c, d in zip(cameras, depths, strict=True)])
        refined = [d * np.exp(g) for d, g in zip(depths, fields, strict=True)]
        cloud = lift(cameras[-1], refined[-1], grey(cameras[-1]), view=0)
        seen = project(cloud, cameras[0])
        both = seen.mask != UNKNOWN
        assert both.mean() > 0.1
        assert np.median(np.abs(seen.depth / refined[0] - 1)[both]) < 0.01

    def test_is_nearer_to_the_truth_than_the_best_scale_of_each_view(self):
        cameras, truth, depths = self.ring(20)
        fields = align_jointly([Posed(c, d) for c, d in zip(cameras, depths, strict=True)])
        ours = [np.median(np.abs(d * np.exp(g) / t - 1)) for d, g, t in zip(depths, fields, truth, strict=True)]
        best = [np.median(np.abs(d / t / np.median(d / t) - 1)) for d, t in zip(depths, truth, strict=True)]
        assert np.mean(ours) < np.mean(best)

    def test_a_believed_view_does_not_move(self):
        cameras, truth, depths = self.ring(10)
        views = [Posed(c, d) for c, d in zip(cameras, depths, strict=True)]
        views[3] = Posed(cameras[3], truth[3], log_scale_std=1e-4, warp=1e-4)
        assert np.abs(align_jointly(views)[3]).max() < 0.002

    def test_a_held_pixel_stays_while_its_view_bends_to_the_truth(self):
        ring = [camera(yaw) for yaw in range(-30, 31, 15)]
        bent = [Posed(view, hall(view) * np.exp(warp(seed)), 0.5) for seed, view in enumerate(ring)]
        true = hall(ring[2])
        held = Posed(ring[2], true * np.exp(warp(9) - warp(9)[48, 48]).astype(np.float32), 0.05, held=(48, 48))
        field = align_jointly([*bent[:2], held, *bent[3:]])[2]
        assert abs(field[48, 48]) < 0.005
        before, after = (np.abs(held.depth * np.exp(g) / true - 1) for g in (0 * field, field))
        assert np.median(after) < 0.8 * np.median(before)

    def test_views_that_share_nothing_keep_their_depth(self):
        far = [camera(0), camera(180)]
        fields = align_jointly([Posed(view, hall(view), 0.05) for view in far])
        assert np.abs(fields).max() < 1e-6

    def test_a_view_without_depth_is_left_alone(self):
        views = [camera(0), camera(20)]
        posed = [Posed(views[0], hall(views[0])), Posed(views[1], np.full((SIZE, SIZE), np.nan, np.float32))]
        assert np.abs(align_jointly(posed)).max() < 1e-6


class TestMerge:
    def test_each_place_comes_in_once_and_the_seam_is_closed(self):
        cameras = [camera(yaw) for yaw in (0, 10, 20)]
        depths = [(hall(c) * np.exp(0.3 * warp(n))).astype(np.float32) for n, c in enumerate(cameras)]
        got = merge(cameras, depths, [grey(c) for c in cameras])
        again = project(got.cloud[got.cloud.view == 0], cameras[1])
        assert not (got.fresh[1] & (again.mask == KNOWN)).any()
        assert len(got.cloud) < 1.9 * SIZE * SIZE
        border = got.fresh[1][:, 1:] & ~got.fresh[1][:, :-1]
        jump = np.log(got.depths[1][:, 1:][border] / again.depth[:, :-1][border])
        assert np.percentile(np.abs(jump), 95) < 0.02

    def test_a_finer_view_replaces_coarse_points(self):
        far, near = camera(), camera(centre=(0, 1.0, 0))
        got = merge([far, near], [hall(far), hall(near)], [grey(far), grey(near)])
        assert (got.cloud.view == 0).sum() < SIZE * SIZE
        assert (project(got.cloud, near).mask != UNKNOWN).mean() > 0.99
        assert (project(got.cloud, far).mask != UNKNOWN).mean() > 0.99

    def test_gluing_to_nothing_changes_nothing(self):
        view = camera()
        nothing = seen_from(view, np.zeros((SIZE, SIZE), bool), hall(view))
        assert np.array_equal(glue(hall(view), nothing, view), hall(view))


class TestThin:
    def test_holds_the_cap_and_the_surface_stays_closed(self):
        view = camera(size=128)
        cloud = lift(view, hall(view), grey(view), view=0)
        thinned = thin(cloud, 4000)
        assert 1000 < len(thinned) <= 4000
        assert (project(thinned, view).mask != UNKNOWN).mean() > 0.97

    def test_leaves_a_small_cloud_alone(self):
        assert len(thin(Cloud.empty(), 10)) == 0
