"""The spectral engine, and the zoom as pictures and a film."""

from __future__ import annotations

import json

import av
import numpy as np
import pytest
import torch
from PIL import Image

from core.camera import Camera, look_at
from dreamzoom.engines.base import Denoises
from dreamzoom.engines.registry import make
from dreamzoom.engines.spectral import SpectralEngine
from dreamzoom.geometry.view import COARSE, KNOWN, UNKNOWN, DepthKind, View
from dreamzoom.progress import Report
from dreamzoom.render.zoom_stack_film import Film, _painted, _pictures, zoomstack
from dreamzoom.request.validation import convert_request
from dreamzoom.sampling.level_resampling import make_nest

pytestmark = pytest.mark.slow

torch.set_num_threads(1)
POSE = look_at((0.0, -1.0, 2.6), (0.0, 0.0, 0.0))
VIEW = View("000/anchor", 0, 0.0, Camera(64, 48, 80, 80, 32, 24, POSE))


def request(levels=3, **changes):
    key = {"frame": 1, "zoom": 0.0, "camera_to_gauge": POSE.tolist(), "fx": 80, "fy": 80, "cx": 32, "cy": 24}
    content = {
        "engine": {"name": "spectral", "steps": 12},
        "levels": [{"prompt": prompt} for prompt in ["forest", "a leaf", "cells", "atoms"][:levels]],
        "cameras": [key, key | {"frame": 48, "zoom": float(levels - 1)}],
        "width": 64,
        "height": 48,
    }
    return convert_request(content | changes)


class TestEngine:
    engine = SpectralEngine()

    def paint(self, mask, rgb=None, seed=1, prompt="forest"):
        rgb = np.zeros((48, 64, 3), np.float32) if rgb is None else rgb
        return self.engine.paint(VIEW, rgb, mask, prompt, "", seed, Report())

    def test_it_is_made_from_a_request_and_denoises(self):
        assert isinstance(make(request()), Denoises)

    def test_same_arguments_same_picture_other_seeds_and_prompts_others(self):
        mask = np.full((48, 64), UNKNOWN, np.uint8)
        first = self.paint(mask)
        assert np.array_equal(first, self.paint(mask))
        assert not np.array_equal(first, self.paint(mask, seed=2))
        assert not np.array_equal(first, self.paint(mask, prompt="a blue planet"))

    def test_known_pixels_stay_and_what_is_new_continues_them(self):
        truth = self.paint(np.full((48, 64), UNKNOWN, np.uint8), seed=7)
        mask = np.full((48, 64), KNOWN, np.uint8)
        mask[:, 32:] = UNKNOWN
        painted = self.paint(mask, truth)
        assert np.array_equal(painted[:, :32], truth[:, :32])
        across = np.abs(painted[:, 32] - painted[:, 31]).mean()
        assert across < 1.5 * np.abs(truth[:, 1:] - truth[:, :-1]).mean()

    def test_coarse_pixels_keep_their_low_frequencies(self):
        truth = self.paint(np.full((48, 64), UNKNOWN, np.uint8), seed=7)
        painted = self.paint(np.full((48, 64), COARSE, np.uint8), truth)
        blocks = [p.reshape(6, 8, 8, 8, 3).mean((1, 3)) for p in (painted, truth)]
        assert np.abs(blocks[0] - blocks[1]).mean() < 0.01
        assert not np.allclose(painted, truth, atol=0.01)

    def test_depth_is_a_gently_relieved_plane_through_the_focus(self):
        rgb = self.paint(np.full((48, 64), UNKNOWN, np.uint8))
        depth = self.engine.depth(VIEW, rgb, 0, Report())
        distance = VIEW.camera.to_camera(np.zeros(3))[2]
        assert depth.kind is DepthKind.SCALE
        assert abs(depth.values.mean() / distance - 1) < 0.05
        assert depth.values.std() > 0


class TestZoomstack:
    def test_pictures_film_and_description(self, tmp_path):
        zoomstack(request(), tmp_path, Report())
        described = json.loads((tmp_path / "zoomstack.json").read_text())
        pictures = [np.asarray(Image.open(tmp_path / row["image"])) / 255.0 for row in described["levels"]]
        nest = make_nest(pictures[0].shape[:2], 2.0, described["levels"][0]["centre"])
        tensors = [torch.from_numpy(picture).permute(2, 0, 1).float() for picture in pictures]
        error = nest.down(tensors[1]) - nest.window(tensors[0])
        assert -10 * torch.log10((error**2).mean()) > 45
        with av.open(str(tmp_path / "zoom.mp4")) as film:
            frames = sum(1 for _ in film.decode(video=0))
        assert frames == 2 * 48 + 1

    def test_a_loop_leads_back_into_the_first_level(self, tmp_path):
        zoomstack(request(loop=True), tmp_path, Report())
        described = json.loads((tmp_path / "zoomstack.json").read_text())
        assert described["loop"]
        pictures = [np.asarray(Image.open(tmp_path / row["image"])) / 255.0 for row in described["levels"]]
        nest = make_nest(pictures[0].shape[:2], 2.0, described["levels"][-1]["centre"])
        last, first = (torch.from_numpy(pictures[k]).permute(2, 0, 1).float() for k in (-1, 0))
        error = nest.down(first) - nest.window(last)
        assert -10 * torch.log10((error**2).mean()) > 45
        with av.open(str(tmp_path / "zoom.mp4")) as film:
            assert sum(1 for _ in film.decode(video=0)) == 3 * 48 + 1

    def test_a_loop_of_an_engine_that_only_paints_closes_too(self):
        class Painter:
            """Of the spectral engine its painting alone."""

            paint = SpectralEngine().paint

        views = [View(f"{k:03d}/anchor", k, float(k), VIEW.camera) for k in range(3)]
        centres = [(30.0, 22.0)] * 3
        found = _pictures(Painter(), request(loop=True), views, centres, (48, 64), Report())
        pictures = [picture for _, picture in found]
        nest = make_nest((48, 64), 2.0, centres[0])
        for coarse, fine in zip(pictures, [*pictures[1:], pictures[0]]):
            error = nest.down(torch.from_numpy(fine).permute(2, 0, 1)) - nest.window(
                torch.from_numpy(coarse).permute(2, 0, 1)
            )
            assert -10 * torch.log10((error**2).mean()) > 45

    def test_a_focus_of_the_request_moves_the_next_level(self, tmp_path):
        levels = [{"prompt": "forest", "focus": [0.2, 0.1, 0.0]}, {"prompt": "leaf"}]
        zoomstack(request(levels=2).__class__(**_fields(request(levels=2), levels)), tmp_path, Report())
        described = json.loads((tmp_path / "zoomstack.json").read_text())
        middle = np.array([described["picture_width"], described["picture_height"]]) / 2
        right, down = described["levels"][0]["centre"] - middle
        assert right > 3 and down < -1

    def test_engines_without_a_denoiser_paint_level_on_level(self):
        job = request(levels=2)
        views = [View(f"{k:03d}/anchor", k, float(k), VIEW.camera) for k in range(2)]
        painted = _painted(SpectralEngine(), job, views, [None], [1, 2], {}, Report())
        coarse, fine = (torch.from_numpy(picture).permute(2, 0, 1) for _, picture in painted)
        nest = make_nest((48, 64), 2.0)
        assert float(((nest.down(fine) - nest.window(coarse)) ** 2).mean()) < 10**-4.5

    def test_an_artists_picture_is_kept(self, tmp_path):
        photo = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
        Image.fromarray(photo).save(tmp_path / "photo.png")
        levels = [{"prompt": "forest", "image": str(tmp_path / "photo.png")}, {"prompt": "leaf"}]
        zoomstack(request(levels=2).__class__(**_fields(request(levels=2), levels)), tmp_path / "out", Report())
        wide = np.asarray(Image.open(tmp_path / "out" / "levels" / "000.png"))
        top, left = (wide.shape[0] - 48) // 2, (wide.shape[1] - 64) // 2
        assert np.abs(wide[top : top + 48, left : left + 64].astype(int) - photo).max() <= 1


def _fields(base, levels):
    import msgspec

    from dreamzoom.request.schema import Level

    return msgspec.structs.asdict(base) | {"levels": [msgspec.convert(level, Level) for level in levels]}


class TestFilm:
    def film(self, folder, loop=False):
        """Levels that are one smooth picture at different scales about a point off the middle."""
        size, factor, centres = 96, 2.0, [(54.0, 44.0)] * (3 if loop else 2)
        paths = []
        offset = np.zeros(2)
        y, x = np.mgrid[0:size, 0:size] + 0.5 - size / 2
        for level in range(3):
            wx, wy = offset[0] + x / factor**level, offset[1] + y / factor**level
            waves = np.cos(wy[..., None] / np.array([7.0, 8.0, 11.0]))
            picture = 0.5 + 0.2 * np.sin(wx / 9)[..., None] + 0.2 * waves
            paths.append(folder / f"{level}.png")
            Image.fromarray((picture.clip(0, 1) * 255).round().astype(np.uint8)).save(paths[-1])
            offset = offset + (np.array(centres[0]) - size / 2) / factor**level
        return Film(paths, centres, factor, (64, 64), loop)

    def test_a_frame_at_a_level_is_that_level(self, tmp_path):
        film = self.film(tmp_path)
        middle = np.asarray(Image.open(tmp_path / "1.png"))[16:80, 16:80]
        assert np.abs(film.frame(1.0).astype(int) - middle).max() <= 2

    def test_nothing_jumps(self, tmp_path):
        frames = [frame.astype(float) for frame in self.film(tmp_path).frames(24)]
        steps = [np.abs(b - a).mean() for a, b in zip(frames, frames[1:])]
        assert max(steps) < 2.5 * np.median(steps)

    def test_a_loop_ends_where_it_began(self, tmp_path):
        film = self.film(tmp_path, loop=True)
        assert np.array_equal(film.frame(0.0), film.frame(film.last))
