"""The depth-aware warp: the crop where the scene is flat, right where it is not, hidden places left out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from core.camera import Camera, Similarity, look_at
from dreamzoom.engines.spectral import SpectralEngine
from dreamzoom.progress import Report
from dreamzoom.sampling.depth_warp import Link, Seen, agree, make_link, make_warp, reprojection_db
from dreamzoom.sampling.level_resampling import make_nest
from dreamzoom.sampling.noise import draw
from dreamzoom.sampling.second_pass import Again, Shot, refine_views

torch.set_num_threads(1)
SIZE = 48


def camera(turn=0.0, zoom=0.0):
    pose = look_at((2.8 * np.sin(turn), 0, 2.8 * np.cos(turn)), (0, 0, 0), (0, 1, 0))
    base = Camera(SIZE, SIZE, 1.4 * SIZE, 1.4 * SIZE, SIZE / 2, SIZE / 2, pose)
    return base.moved(Similarity(2.0**-zoom, np.zeros(3)))


def heightfield(view):
    """Z-depth of the surface z = 0.15 sin(3x) cos(2y), and its colours there, by fixed-point iteration along rays."""
    depth = np.full((SIZE, SIZE), float(view.to_camera(np.zeros(3))[2]))
    rays = view.rays()
    for _ in range(60):
        point = view.centre + depth[..., None] * rays
        height = 0.15 * np.sin(3 * point[..., 0]) * np.cos(2 * point[..., 1])
        depth = depth + 0.7 * (height - point[..., 2]) / rays[..., 2]
    return Seen(view, depth), 0.5 + 0.4 * np.sin(6 * point[..., 0]) * np.sin(5 * point[..., 1])


class TestFlat:
    @pytest.mark.parametrize("zoom", [1.0, 2.0])
    def test_a_flat_scene_at_the_focus_gives_the_crop(self, zoom):
        seen = [Seen(camera(zoom=u), np.full((SIZE, SIZE), 2.8 * 2.0**-u)) for u in (zoom, 0.0)]
        picture, nest = draw((3, SIZE, SIZE), 0), make_nest((SIZE, SIZE), 2.0**zoom)
        warp = make_warp(*seen)
        assert (nest.window(warp(picture).reshape(3, SIZE, SIZE)) - nest.down(picture)).abs().max() < 1e-3
        noise = warp.noise(picture, torch.zeros(3, SIZE, SIZE))
        assert torch.allclose(nest.window(noise), nest.white_down(picture), atol=1e-4)


class TestRelief:
    def test_what_the_warp_carries_is_what_the_other_view_sees(self):
        (near, colour), (far, expected) = heightfield(camera(0.2, 0.7)), heightfield(camera())
        warp = make_warp(near, far)
        said = warp(torch.from_numpy(colour).float()[None])[0].numpy()
        assert warp.covered.mean() > 0.2
        assert np.abs(said - expected.ravel())[warp.covered].mean() < 0.01

    def test_hidden_places_are_left_out(self):
        far = Seen(camera(), np.full((SIZE, SIZE), 2.0))
        assert not make_warp(Seen(camera(), np.full((SIZE, SIZE), 2.8)), far).covered.any()

    def test_noise_stays_white_on_relief(self):
        warp = make_warp(heightfield(camera(0.3, 0.6))[0], heightfield(camera())[0])
        noise = warp.noise(draw((400, SIZE, SIZE), 0), draw((400, SIZE, SIZE), 1))
        assert abs(float(noise.std()) - 1) < 0.005
        assert abs(float((noise[..., 1:] * noise[..., :-1]).mean())) < 0.005

    def test_back_is_the_adjoint(self):
        warp = make_warp(heightfield(camera(0.2, 0.5))[0], heightfield(camera())[0])
        a, b = draw((1, SIZE, SIZE), 0), draw((1, SIZE * SIZE), 1)
        assert float((warp(a) * b).sum()) == pytest.approx(float((a.reshape(1, -1) * warp.back(b)).sum()), rel=1e-3)


class TestAgree:
    def test_linked_views_agree_afterwards_and_the_rest_stays(self):
        seen = [heightfield(camera())[0], heightfield(camera(0.1, 1.0))[0], heightfield(camera(-0.2))[0]]
        links = [Link(1, 0, make_warp(seen[1], seen[0])), Link(2, 0, make_warp(seen[2], seen[0], 2), 2)]
        pictures = [torch.rand(3, SIZE, SIZE) for _ in range(3)]
        joined = agree(pictures, links, rounds=60)
        assert max(float(link.gap(joined).abs().max()) for link in links) < 0.02
        alone = torch.from_numpy(~links[0].warp.covered.reshape(SIZE, SIZE))
        assert float((joined[0] - pictures[0]).abs()[:, alone].mean()) < 0.2


class TestRefine:
    def test_the_second_pass_beats_the_crop_by_far(self):
        seen = [heightfield(camera())[0], heightfield(camera(0.3, 0.5))[0], heightfield(camera(0.1, 1.0))[0]]
        flat = [Seen(one.camera, np.full((SIZE, SIZE), float(one.camera.to_camera(np.zeros(3))[2]))) for one in seen]
        pairs = [(2, 0, 1), (1, 0, 2), (2, 1, 2)]
        denoiser, blank = SpectralEngine().denoiser(Report()), np.full((SIZE, SIZE, 3), 0.5, np.float32)

        def links(views):
            return [make_link(a, b, (views[a], views[b]), coarser) for a, b, coarser in pairs]

        def sample(pictures, views, keep=None, **options):
            shots = [
                Shot(picture, (("rock", 1.0),), k, held=np.full((SIZE, SIZE), k == keep))
                for k, picture in enumerate(pictures)
            ]
            return refine_views(denoiser, shots, links(views), Again(**options))

        crop = sample([blank] * 3, flat, strength=1.0, steps=12)
        aware = sample(crop, seen, keep=2, steps=8)
        assert np.array_equal(aware[2], crop[2])
        gains = np.subtract(reprojection_db(aware, links(seen)), reprojection_db(crop, links(seen)))
        assert gains.min() > 6
