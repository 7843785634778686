"""What other viewers show: the image model and its gradients, the refit to it, and the export of a job."""

from dataclasses import replace

import gsply
import numpy as np
import pytest
import torch
from plyfile import PlyData
from small_jobs import small_request

from core import camera_files, formats
from core.camera import Camera, look_at
from core.errors import BadRequest, Cancelled, DreamzoomError
from core.formats.axes import UPRIGHT
from core.gaussians import Gaussians
from core.spherical_harmonics import SH_C0
from dreamzoom import cli
from dreamzoom.geometry.zoom_path import Key, ZoomPath
from dreamzoom.pipeline.folder import Folder
from dreamzoom.pipeline.generate import generate
from dreamzoom.progress import Report, reporting_to
from dreamzoom.render.consistency import psnr
from dreamzoom.render.flight import Flight, open_flight
from dreamzoom.render.viewer_export.export import export
from dreamzoom.render.viewer_export.views import fitted_frames, held_out_frames, view_of
from dreamzoom.render.viewer_export.world import world_of
from dreamzoom.rpc.export_rpc import exported
from dreamzoom.splats.rasterize import rasterize
from dreamzoom.splats.viewers import torch_reference
from dreamzoom.splats.viewers.projection import MIN_ALPHA
from dreamzoom.splats.viewers.rasterize import gradients, seen_colours, show
from dreamzoom.splats.viewers.refit import CpuRefit, View, prepared, refit
from dreamzoom.splats.viewers.torch_refit import TorchRefit

NAMES = ("means", "log_scales", "quaternions", "logit_opacities", "rgb")


def camera(width=40, height=34, centre=(0.2, -2.4, 0.5)):
    return Camera(width, height, 44.0, 40.0, width / 2 + 1, height / 2 - 2, look_at(centre, (0, 0, 0)))


def scattered(count, seed, degree=0):
    rng = np.random.default_rng(seed)
    turns = rng.normal(size=(count, 4))
    turns /= np.linalg.norm(turns, axis=1, keepdims=True)
    sh = rng.uniform(-1, 1, (count, (degree + 1) ** 2, 3))
    parts = (rng.uniform(-1, 1, (count, 3)), rng.uniform(-4, -1, (count, 3)), turns, rng.normal(0, 2, count), sh)
    return Gaussians(*(part.astype(np.float32) for part in parts))


def ground(side, seed=0):
    """A floor of side² surfels of random colours, which lie closer together than they are wide."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:side, 0:side].reshape(2, -1) / (side - 1) * 2 - 1
    means = np.stack([x, y, 0.1 * np.sin(4 * x)], -1)
    logs = np.full((side * side, 3), np.log(1.2 / side))
    logs[:, 2] += np.log(1e-3)
    turns = np.tile([1.0, 0, 0, 0], (side * side, 1))
    sh = ((0.5 + 0.4 * np.sin(7 * x + 3 * y))[:, None] + rng.normal(0, 0.1, (side * side, 3)) - 0.5)[:, None] / SH_C0
    logits = np.full(side * side, 5.0)
    return Gaussians(*(part.astype(np.float32) for part in (means, logs, turns, logits, sh)))


def views_of_ground(splats, count=5):
    """Views as our own rasteriser shows them."""
    found = []
    for x in np.linspace(-0.4, 0.4, count):
        seen = Camera(48, 36, 50.0, 50.0, 24.0, 18.0, look_at((x, -1.2, 1.2), (0, 0, 0)))
        found.append(View(seen, np.clip(rasterize(splats, seen, backend="cpu").rgb, 0, 1)))
    return found


def by_twin(splats, view):
    """The twin's picture, and its parameters, in float64."""
    values = (splats.means, splats.log_scales, splats.quaternions, splats.logit_opacities, seen_colours(splats, view))
    leaves = [torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in values]
    matrix = torch.tensor(np.linalg.inv(view.camera_to_frame))[None]
    lens = torch.tensor([[[view.fx, 0, view.cx], [0, view.fy, view.cy], [0, 0, 1]]], dtype=torch.float64)
    means, logs, turns, logits, rgb = leaves
    size = view.width, view.height
    shown, alpha, _ = torch_reference.rasterization(
        means, turns, logs.exp(), torch.sigmoid(logits), rgb, matrix, lens, *size
    )
    return shown[0], alpha[0, ..., 0], leaves


class TestImageModel:
    @pytest.mark.parametrize("degree", [0, 2])
    def test_is_that_of_the_twin(self, degree):
        splats = scattered(150, 1, degree)
        shown, alpha, _ = by_twin(splats, camera())
        picture = show(splats, camera())
        assert np.abs(picture.rgb - shown.detach().numpy()).max() < 1e-5
        assert np.abs(picture.alpha - alpha.detach().numpy()).max() < 1e-5
        assert picture.alpha.max() > 0.9 > picture.alpha.min()

    def test_gsplat_projects_alike(self):
        """By gsplat's own code in torch, where that is installed: its kernels need a GPU."""
        pytest.importorskip("gsplat")
        from gsplat.cuda._torch_impl import _fully_fused_projection, _quat_scale_to_covar_preci

        splats, view = scattered(150, 1), camera()
        turns, scales = torch.tensor(splats.quaternions), torch.tensor(np.exp(splats.log_scales))
        covariance, _ = _quat_scale_to_covar_preci(turns, scales, True, False, triu=False)
        matrix = torch.tensor(np.linalg.inv(view.camera_to_frame), dtype=torch.float32)[None]
        lens = torch.tensor([[[view.fx, 0, view.cx], [0, view.fy, view.cy], [0, 0, 1.0]]])
        size = view.width, view.height
        theirs = _fully_fused_projection(torch.tensor(splats.means), covariance, matrix, lens, *size, eps2d=0.3)
        picture = show(splats, view)
        assert np.abs(theirs[1][0].numpy()[picture.order] - picture.table[:, :2]).max() < 1e-3
        assert np.abs(theirs[3][0].numpy()[picture.order] - picture.table[:, 2:5]).max() < 1e-4

    def test_gradients_are_those_of_autograd(self):
        splats = scattered(150, 2)
        shown, _, leaves = by_twin(splats, camera())
        weights = np.random.default_rng(3).normal(size=shown.shape)
        (shown * torch.tensor(weights)).sum().backward()
        found = gradients(show(splats, camera()), splats, camera(), weights.astype(np.float32))
        for name, leaf in zip(NAMES, leaves):
            wanted = leaf.grad.numpy().reshape(found[name].shape)
            assert np.abs(found[name] - wanted).max() < 1e-4 * np.abs(wanted).max(), name

    def test_gradients_are_those_of_finite_differences(self):
        splats = replace(
            scattered(1, 4), means=np.zeros((1, 3), np.float32), log_scales=np.full((1, 3), -1.5, np.float32)
        )
        weights = np.random.default_rng(5).normal(size=(34, 40, 3)).astype(np.float32)
        found = gradients(show(splats, camera()), splats, camera(), weights)

        def value(mean):
            return float((show(replace(splats, means=mean), camera()).rgb.astype(np.float64) * weights).sum())

        for axis in range(3):
            step = np.zeros((1, 3), np.float32)
            step[0, axis] = 1e-3
            slope = (value(splats.means + step) - value(splats.means - step)) / 2e-3
            assert slope == pytest.approx(float(found["means"][0, axis]), rel=0.02, abs=0.05)

    def test_splats_are_ordered_by_their_centres(self):
        near = replace(
            scattered(1, 0), means=np.array([[0, -0.2, 0]], np.float32), sh=np.full((1, 1, 3), 1, np.float32)
        )
        near = replace(near, logit_opacities=np.array([9], np.float32), log_scales=np.full((1, 3), -1, np.float32))
        far = replace(near, means=np.array([[0, 0.2, 0]], np.float32), sh=np.full((1, 1, 3), -1, np.float32))
        for parts in ((near, far), (far, near)):
            both = Gaussians(*(np.concatenate(pair) for pair in zip(*(part.parts for part in parts))))
            assert show(both, camera()).rgb[15, 21] == pytest.approx(near.rgb[0], abs=0.01)

    def test_nothing_is_shown_behind_the_camera_nor_of_faint_splats(self):
        splats = scattered(20, 6)
        assert not show(replace(splats, means=splats.means - (0, 9, 0)), camera()).alpha.any()
        assert not show(replace(splats, logit_opacities=np.full(20, -6, np.float32)), camera()).alpha.any()
        nothing = show(splats[:0], camera(), background_rgb=(0.2, 0.4, 0.6))
        assert nothing.rgb[0, 0] == pytest.approx((0.2, 0.4, 0.6))


class TestRefit:
    def test_viewers_come_to_show_what_we_show(self):
        splats = ground(26)
        views = views_of_ground(splats)
        held = views_of_ground(splats, 4)

        def quality(found):
            return np.mean([psnr(show(found, view.camera).rgb, view.rgb) for view in held])

        fitted = refit(CpuRefit(prepared(splats, views), views), len(views), 20, 0, Report())
        assert quality(splats) < 27
        assert quality(fitted) > max(31, quality(splats) + 4.5)

    def test_equal_inputs_give_equal_bits(self):
        splats = ground(12)
        views = views_of_ground(splats, 3)
        first, second = (refit(CpuRefit(prepared(splats, views), views), 3, 3, 7, Report()) for _ in range(2))
        assert all(np.array_equal(*pair) for pair in zip(first.parts, second.parts))

    def test_by_torch_it_takes_the_same_way(self):
        """As with gsplat on a GPU, whose place the twin takes, since it is called in the same way."""
        splats = ground(12)
        views = views_of_ground(splats, 3)
        start = prepared(splats, views)
        cpu = CpuRefit(start, views)
        other = TorchRefit(start, views, torch_reference.rasterization, "cpu")
        found = [refit(state, 3, 3, 7, Report()) for state in (cpu, other)]
        pictures = [[show(splats, view.camera).rgb for view in views] for splats in found]
        assert min(psnr(*pair) for pair in zip(*pictures)) > 34

    def test_can_be_cancelled(self):
        splats = ground(12)
        views = views_of_ground(splats, 3)
        with pytest.raises(Cancelled):
            refit(CpuRefit(splats, views), 3, 3, 7, Stopping(4))


class Stopping(Report):
    """Cancels after so many reports of progress."""

    def __init__(self, left):
        self.left = left

    def progress(self, fraction, message=""):
        self.left -= 1
        self.check()

    def check(self):
        if self.left <= 0:
            raise Cancelled


class TestCancel:
    def test_is_heard_while_the_refit_is_prepared(self):
        splats = ground(12)
        views = views_of_ground(splats, 1)
        with pytest.raises(Cancelled), reporting_to(Stopping(0)):
            prepared(splats, views)


class TestWorld:
    @pytest.mark.parametrize("loop", [False, True])
    def test_cameras_and_splats_meet_as_in_the_gauge(self, loop):
        focuses = np.array([(0.1, -0.05, 0.02), (0.05, 0.1, 0), (-0.1, 0, 0.03)])
        keys = tuple(Key(1 + 8 * k, float(k), camera()) for k in range(3))
        marked = {"superseded": np.arange(40, dtype=np.float32) % 2}
        levels = [replace(scattered(40, seed), extra=marked) for seed in range(3)]
        flight = Flight(None, ZoomPath(2.0, focuses, keys, loop=loop), levels)  # type: ignore[arg-type]
        world = world_of(flight)
        assert world.levels == (range(-2, 3) if loop else range(3))
        splats = world.splats()
        assert len(splats) == 20 * (len(world.levels) - 1) + 40
        key = flight.path.at_frame(6.5)
        for index, level in enumerate(world.levels[:-1]):
            part = splats.means[20 * index : 20 * (index + 1)]
            there = flight.path.gauge(key.zoom, level).inverse().apply(levels[level % 3].means[::2])
            assert np.allclose(world.camera(key).project(part)[0], key.camera.project(there)[0], atol=0.01)

    def test_held_out_frames_lie_between_those_that_are_fitted(self):
        keys = (Key(1, 0.0, camera()), Key(101, 2.0, camera()))
        flight = Flight(None, ZoomPath(2.0, np.zeros((3, 3)), keys), [])  # type: ignore[arg-type]
        fitted, held = fitted_frames(flight), held_out_frames(flight)
        assert len(fitted) == 25 and (fitted[0], fitted[-1]) == (1, 101)
        assert not set(fitted) & set(held) and len(held) == 12

    def test_what_single_precision_cannot_hold_is_refused(self):
        keys = tuple(Key(1 + k, float(k), camera()) for k in range(60))
        marked = {"superseded": np.zeros(1, np.float32)}
        levels = [replace(scattered(1, 0), extra=marked)] * 60
        flight = Flight(None, ZoomPath(2.0, np.zeros((60, 3)), keys), levels)  # type: ignore[arg-type]
        with pytest.raises(DreamzoomError, match="spans 60 levels"):
            world_of(flight).splats()


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    root = tmp_path_factory.mktemp("viewers") / "job"
    generate(small_request(2), Folder(root))
    return root


class TestExport:
    def test_a_viewer_that_reads_the_file_shows_the_flight(self, job, tmp_path):
        """By other readers, and through the cameras that were written with it."""
        out, beside = tmp_path / "flight.ply", tmp_path / "cameras.json"
        done = export(job, out, Report(), rounds=8, cameras=beside)
        assert np.mean(done.after) > np.mean(done.before) + 4
        rows = PlyData.read(str(out))["vertex"]
        theirs = gsply.plyread(out)
        assert len(rows) == len(theirs.means) == done.splats
        assert np.allclose(np.stack([rows["x"], rows["y"], rows["z"]], -1), theirs.means)
        assert 1 / (1 + np.exp(-np.max(rows["opacity"]))) <= 0.991
        assert 1 / (1 + np.exp(-np.min(rows["opacity"]))) > MIN_ALPHA
        flight = open_flight(job)
        cameras = camera_files.read(beside).cameras
        assert len(cameras) == done.cameras == len(flight.frames())
        splats = formats.read(out).splats
        for frame in (0, len(cameras) - 1):
            key = flight.path.at_frame(flight.frames()[frame])
            near = world_of(flight).near(key.zoom)
            shown = show(splats, cameras[frame].camera, near=near).rgb
            assert psnr(shown, flight.view(key).rgb) > np.mean(done.before) + 2

    @pytest.mark.parametrize("suffix", [".spz", ".glb", ".sog", ".compressed.ply"])
    def test_other_formats_hold_the_same(self, job, tmp_path, suffix):
        done = export(job, tmp_path / f"flight{suffix}", Report(), kind="blender")
        read = formats.read(tmp_path / f"flight{suffix}")
        assert len(read.splats) == done.splats and done.after == ()
        flight = open_flight(job)
        view = view_of(world_of(flight), flight.frames()[-1])
        turn = np.eye(4)
        turn[:3, :3] = UPRIGHT[read.up].T
        own = world_of(flight).splats()
        seen = show(read.splats, view.camera.posed(turn @ view.camera.camera_to_frame), near=view.near).rgb
        assert psnr(seen, show(own, view.camera, near=view.near).rgb) > 25

    def test_cancelled_it_writes_nothing(self, job, tmp_path):
        with pytest.raises(Cancelled):
            export(job, tmp_path / "flight.ply", Stopping(30))
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"kind": "browsers"}, "for"),
            ({"rounds": 0}, "rounds"),
            ({"up": "X"}, "up"),
            ({"out": "flight.txt"}, "out"),
            ({"out": "flight.spz", "up": "Z"}, "up"),
            ({"out": "gone/flight.ply"}, "out"),
            ({"out": ""}, "out"),
        ],
    )
    def test_wrong_arguments_are_named_before_any_work(self, job, tmp_path, changes, field):
        out = tmp_path / changes.pop("out", "flight.ply")
        with pytest.raises(BadRequest) as caught:
            export(job, out, Stopping(1), **changes)
        assert caught.value.field == field

    def test_the_method_of_the_server(self, job, tmp_path):
        given = dict.fromkeys(("kind", "up", "rounds", "cameras"))
        given |= {"out": str(job), "path": str(tmp_path / "flight.ply"), "rounds": 1}
        found = exported(given, Report())
        assert found["splats"] > 1000 and found["after"] > found["before"] and "dB" in found["told"]
        for name, value in (("rounds", 1.5), ("rounds", True), ("path", None), ("cameras", 3), ("kind", 7), ("up", [])):
            with pytest.raises(BadRequest) as caught:
                exported(given | {name: value}, Report())
            assert caught.value.field == {"kind": "for"}.get(name, name)

    def test_the_command(self, job, tmp_path, capsys):
        out = tmp_path / "flight.ply"
        assert cli.main(["export", str(job), str(out), "--for", "viewers", "--rounds", "1"]) == 0
        told = capsys.readouterr().out
        assert told.startswith(f"{out}: ") and "viewers show" in told and out.is_file()
        assert cli.main(["export", str(tmp_path), str(out)]) == 1
        assert cli.main(["export", str(job), str(tmp_path / "flight.obj")]) == 2
