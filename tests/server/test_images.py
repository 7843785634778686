"""Files from the artist: what is good is read exactly, what is bad is refused by name."""

from pathlib import Path

import numpy as np
import OpenEXR
import pytest
from PIL import Image

from core.errors import BadRequest
from dreamzoom.request import images


def quiet(message: str) -> None:
    pass


def write_exr(path: Path, channels) -> None:
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    OpenEXR.File(header, channels).write(str(path))


class TestReadPicture:
    def test_a_png_comes_back_exactly(self, tmp_path):
        pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "a.png")
        got = images.read_picture(tmp_path / "a.png", (30, 20), quiet)
        assert got.dtype == np.float32
        assert np.abs(got * 255 - pixels).max() < 0.01

    def test_sixteen_bit_grey(self, tmp_path):
        Image.fromarray(np.full((8, 8), 30000, np.uint16)).save(tmp_path / "a.png")
        assert np.allclose(images.read_picture(tmp_path / "a.png", (8, 8), quiet), 30000 / 65535, atol=1e-4)

    def test_exif_rotation_is_applied(self, tmp_path):
        pixels = np.zeros((16, 32, 3), np.uint8)
        pixels[:, :16] = 255
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.fromarray(pixels).save(tmp_path / "a.jpg", exif=exif, quality=95)
        got = images.read_picture(tmp_path / "a.jpg", (16, 32), quiet)
        assert got[:12].min() > 0.9
        assert got[20:].max() < 0.1

    def test_what_is_transparent_is_unknown_and_it_is_said(self, tmp_path):
        pixels = np.full((4, 4, 4), 255, np.uint8)
        pixels[:2, :, 3] = 0
        Image.fromarray(pixels).save(tmp_path / "a.png")
        said = []
        got = images.read_picture(tmp_path / "a.png", (4, 4), said.append)
        assert np.isnan(got[:2]).all()
        assert got[2:].min() > 0.999
        assert "50 % of it is transparent" in said[0]

    def test_exr_is_linear_light(self, tmp_path):
        write_exr(tmp_path / "a.exr", {"RGB": np.full((8, 8, 3), 0.5, np.float32)})
        assert np.allclose(images.read_picture(tmp_path / "a.exr", (8, 8), quiet), 0.7354, atol=1e-3)

    def test_a_large_photo_and_a_strip_are_cropped_and_scaled_and_it_is_said(self, tmp_path):
        for size in ((2000, 1500), (1600, 200)):
            Image.new("RGB", size, (10, 200, 30)).save(tmp_path / "a.jpg")
            said = []
            got = images.read_picture(tmp_path / "a.jpg", (64, 64), said.append)
            assert got.shape == (64, 64, 3)
            assert np.abs(got - np.array([10, 200, 30]) / 255).max() < 0.02
            assert len(said) == 2
            assert "scaled" in said[0]
            assert "cropped" in said[1]

    @pytest.mark.parametrize("name", ["missing.png", "empty.png", "text.png", "cut.png", "bad.exr"])
    def test_bad_files_are_named(self, tmp_path, name):
        if name != "missing.png":
            Image.new("RGB", (64, 64), (9, 8, 7)).save(tmp_path / "good.png")
            data = {"empty.png": b"", "text.png": b"hello", "cut.png": (tmp_path / "good.png").read_bytes()[:60]}
            (tmp_path / name).write_bytes(data.get(name, b"no exr"))
        with pytest.raises(BadRequest, match=name) as caught:
            images.read_picture(tmp_path / name, (8, 8), quiet, field="levels[0].image")
        assert caught.value.field == "levels[0].image"


class TestReadDepth:
    def depth(self):
        depth = np.linspace(1, 9, 80, dtype=np.float32).reshape(8, 10)
        depth[0, 0] = 0
        return depth

    def test_npy_exr_and_png_agree(self, tmp_path):
        depth = self.depth()
        np.save(tmp_path / "a.npy", depth.astype(np.float64))
        write_exr(tmp_path / "a.exr", {"ViewLayer.Depth.Z": depth})
        Image.fromarray((depth * 1000).round().astype(np.uint16)).save(tmp_path / "a.png")
        found = [images.read_depth(tmp_path / name, (10, 8), quiet) for name in ("a.npy", "a.exr", "a.png")]
        assert all(np.isnan(got[0, 0]) and np.isnan(got).sum() == 1 for got in found)
        assert np.allclose(found[0], found[1], equal_nan=True)
        assert np.allclose(found[0], found[2] / 1000, atol=1e-3, equal_nan=True)

    def test_scaling_makes_no_depth_between_two_surfaces(self, tmp_path):
        depth = np.ones((64, 64), np.float32)
        depth[:, 31:] = 5
        np.save(tmp_path / "a.npy", depth)
        assert set(np.unique(images.read_depth(tmp_path / "a.npy", (24, 24), quiet))) == {1, 5}

    def test_eight_bits_are_warned_of(self, tmp_path):
        Image.fromarray(np.full((8, 8), 7, np.uint8)).save(tmp_path / "a.png")
        said = []
        assert (images.read_depth(tmp_path / "a.png", (8, 8), said.append) == 7).all()
        assert "8 bits" in said[0]

    @pytest.mark.parametrize(
        "array", [np.zeros((4, 4)), np.ones((4, 4, 3)), np.array([["a"]]), np.full((3, 3), np.nan)]
    )
    def test_what_is_no_depth_is_refused(self, tmp_path, array):
        np.save(tmp_path / "a.npy", array)
        with pytest.raises(BadRequest, match="a.npy"):
            images.read_depth(tmp_path / "a.npy", (4, 4), quiet)

    def test_pickles_are_never_read(self, tmp_path):
        np.save(tmp_path / "a.npy", np.array([{"x": 1}], object), allow_pickle=True)
        with pytest.raises(BadRequest, match="a.npy"):
            images.read_depth(tmp_path / "a.npy", (4, 4), quiet)

    def test_a_colour_picture_is_refused(self, tmp_path):
        Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
        with pytest.raises(BadRequest, match="one-channel"):
            images.read_depth(tmp_path / "a.png", (8, 8), quiet)


class TestWithin:
    """A picture of another aspect is kept as far as a wider view shows it."""

    def picture(self, tmp_path, width, height):
        across = np.linspace(0, 255, width).astype(np.uint8)
        Image.fromarray(np.repeat(np.tile(across, (height, 1))[..., None], 3, -1)).save(tmp_path / "a.png")
        return tmp_path / "a.png"

    def test_the_whole_of_a_photo_that_fits_the_wider_view(self, tmp_path):
        said = []
        got = images.read_picture(self.picture(tmp_path, 400, 300), (60, 60), said.append, within=(96, 96))
        assert got.shape == (60, 80, 3)
        assert said == ["a.png: scaled from 400×300 to 80×60"]
        assert got[30, 0].mean() < 0.05
        assert got[30, -1].mean() > 0.95

    def test_a_strip_is_cropped_to_the_wider_view(self, tmp_path):
        said = []
        got = images.read_picture(self.picture(tmp_path, 600, 80), (60, 60), said.append, within=(96, 96))
        assert got.shape == (60, 96, 3)
        assert "cropped to 96×60" in said[1]
        middle = got[30, 47:49].mean()
        assert middle == pytest.approx(0.5, abs=0.01)

    @pytest.mark.parametrize("size", [(61, 60), (60, 60)])
    def test_what_comes_out_has_as_many_pixels_on_either_side(self, tmp_path, size):
        got = images.read_picture(self.picture(tmp_path, 123, 100), size, quiet, within=(96, 96))
        assert got.shape[0] % 2 == got.shape[1] % 2 == 0

    def test_a_picture_of_the_cameras_size_stays_exact(self, tmp_path):
        path = self.picture(tmp_path, 60, 40)
        got = images.read_picture(path, (60, 40), quiet, within=(96, 64))
        assert np.abs(got * 255 - np.asarray(Image.open(path))).max() < 0.01
