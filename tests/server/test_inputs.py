"""The artist's own pictures and depths, through whole jobs: they are used, told of, kept, checked, and noticed."""

import json

import numpy as np
import OpenEXR
import pytest
from PIL import Image

from core.errors import BadRequest
from dreamzoom.engines import registry
from dreamzoom.pipeline import steps
from dreamzoom.pipeline.events import Sink
from dreamzoom.pipeline.folder import Folder
from dreamzoom.pipeline.generate import generate, read_request, read_result
from dreamzoom.pipeline.input_copies import keep
from dreamzoom.pipeline.inspect import inspect, table
from dreamzoom.request import inputs, validation
from dreamzoom.request.example import example
from dreamzoom.stages.base import files

pytestmark = pytest.mark.slow

WIDTH, HEIGHT = 48, 32


class Listener(Sink):
    """Keeps what is logged."""

    def __init__(self):
        self.lines = []

    def log(self, message, level):
        self.lines.append((level, message))

    def said(self, *words):
        """Whether one line holds all of these words."""
        return any(all(word in line for word in words) for _, line in self.lines)


def job(tmp_path, levels=1, **given):
    """A draft of small pictures; `given` are fields of its levels: image0=…, depth0=…, image1=…"""
    raw = example(levels=levels, size=(WIDTH, HEIGHT)) | {"quality": "draft"}
    for name, path in given.items():
        raw["levels"][int(name[-1])][name[:-1]] = str(path)
    return validation.convert_request(raw), Folder(tmp_path / "job")


def digests(request, folder):
    """What every step depends on, by name."""
    return steps.digests(steps.build(request, registry.make(request), keep(folder, request, quiet)))


def photo(path, width, height):
    """Red grows to the right, green downwards; blue nowhere."""
    rgb = np.zeros((height, width, 3), np.uint8)
    rgb[..., 0] = np.round(255 * np.linspace(0.1, 0.9, width))
    rgb[..., 1] = np.round(255 * np.linspace(0.1, 0.9, height))[:, None]
    Image.fromarray(rgb).save(path)
    return path


def middle(picture):
    """The part of an anchor view that the camera shows."""
    top, left = (picture.shape[0] - HEIGHT) // 2, (picture.shape[1] - WIDTH) // 2
    return picture[top : top + HEIGHT, left : left + WIDTH]


def wedge(width=120, height=80):
    """A depth with a tilted floor and a step, in centimetres."""
    y, x = np.mgrid[:height, :width]
    return np.where((x > 0.35 * width) & (y > 0.6 * height), 180.0, 420.0 - 1.2 * y).astype(np.float32)


def write_depth(path, depth):
    """By its suffix: npy, 16-bit PNG, EXR."""
    if path.suffix == ".npy":
        np.save(path, depth)
    elif path.suffix == ".png":
        Image.fromarray(np.nan_to_num(depth).astype(np.uint16)).save(path)
    else:
        header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
        OpenEXR.File(header, {"Z": depth.astype(np.float32)}).write(str(path))
    return path


def quiet(message):
    """Nothing is to be told."""


class TestPictures:
    def test_a_large_photo_is_scaled_and_told_of_and_all_of_its_width_shows(self, tmp_path):
        request, folder = job(tmp_path, image0=photo(tmp_path / "large.jpg", 4000, 3000))
        listener = Listener()
        generate(request, folder, listener)
        assert listener.said("large.jpg", "scaled from 4000×3000 to 48×36")
        assert not listener.said("cropped")
        shown = middle(folder.load(files.PICTURES, "levels/000/image.png"))
        assert np.allclose(shown[16, [0, -1], 0], [0.1, 0.9], atol=0.03)

    def test_a_panorama_strip_is_told_of_and_its_middle_shows(self, tmp_path):
        request, folder = job(tmp_path, image0=photo(tmp_path / "strip.jpg", 6000, 800))
        listener = Listener()
        generate(request, folder, listener)
        assert listener.said("strip.jpg", "scaled from 6000×800 to 240×32")
        assert listener.said("strip.jpg", "cropped to")
        notes = [note["text"] for note in read_result(folder)["notes"]]
        assert notes[0] == "strip.jpg: scaled from 6000×800 to 240×32"
        assert "cropped to" in notes[1]
        assert "  level 0: strip.jpg: scaled from 6000×800 to 240×32" in table(inspect(folder))
        wide = folder.load(files.PICTURES, "levels/000/image.png")
        half = 0.4 * WIDTH / 240
        assert np.allclose(middle(wide)[16, [0, -1], 0], [0.5 - half, 0.5 + half], atol=0.03)
        assert np.allclose(middle(wide)[[0, -1], 24, 1], [0.1, 0.9], atol=0.04)
        row = wide[wide.shape[0] // 2]
        assert (row[:, 2] < 0.1).all(), "it has no blue, and what the camera crops is seen around it"
        assert (np.diff(row[:, 0]) > -0.02).all()

    def test_a_picture_of_a_deeper_level_is_its_picture(self, tmp_path):
        request, folder = job(tmp_path, levels=2, image1=photo(tmp_path / "a.png", WIDTH, HEIGHT))
        generate(request, folder)
        given = np.asarray(Image.open(tmp_path / "a.png"), np.float32) / 255
        assert np.abs(middle(folder.load(files.PICTURES, "levels/001/image.png")) - given).max() < 0.003
        assert np.abs(middle(folder.load(files.PICTURES, "levels/000/image.png")) - given).mean() > 0.05
        points = folder.load(files.POINTS, "levels/001/parts/points.npz")
        assert np.isfinite(points.position).all()


class TestDepth:
    @pytest.mark.parametrize("name", ["depth.npy", "depth.png", "depth.exr"])
    def test_is_the_levels_depth_up_to_its_unit(self, tmp_path, name):
        depth = wedge()
        image = photo(tmp_path / "a.png", 120, 80)
        request, folder = job(tmp_path, image0=image, depth0=write_depth(tmp_path / name, depth))
        generate(request, folder)
        found = middle(folder.load(files.ARRAYS, "levels/000/depth.npz")["depth"])
        given = np.asarray(Image.fromarray(depth).resize((WIDTH, HEIGHT), Image.Resampling.NEAREST))
        ratio = found / given
        assert np.median(np.abs(ratio / np.median(ratio) - 1)) < 0.002
        assert np.mean(np.abs(ratio / np.median(ratio) - 1) < 0.01) > 0.97

    def test_holes_in_it_are_filled_by_the_depth_model(self, tmp_path):
        depth = wedge()
        depth[20:50, 20:60] = np.nan
        image = photo(tmp_path / "a.png", 120, 80)
        request, folder = job(tmp_path, image0=image, depth0=write_depth(tmp_path / "d.npy", depth))
        generate(request, folder)
        found = folder.load(files.ARRAYS, "levels/000/depth.npz")["depth"]
        assert np.isfinite(found).all()
        assert (found > 0).all()

    @pytest.mark.parametrize(
        ("array", "told"),
        [
            (np.full((80, 120), np.nan, np.float32), "positive depths"),
            (-np.ones((80, 120), np.float32), "positive depths"),
            (np.ones((80, 120), bool), "2-D array of numbers"),
            (np.ones((80, 120), complex), "2-D array of numbers"),
            (np.ones((80, 120, 3), np.float32), "2-D array of numbers"),
            (np.ones((80, 80), np.float32), "80×80"),
        ],
        ids=["all NaN", "negative", "bool", "complex", "three channels", "another aspect"],
    )
    def test_a_bad_one_is_refused_by_its_field_before_any_work(self, tmp_path, array, told):
        np.save(tmp_path / "d.npy", array)
        request, folder = job(tmp_path, image0=photo(tmp_path / "a.png", 120, 80), depth0=tmp_path / "d.npy")
        with pytest.raises(BadRequest, match=told) as caught:
            generate(request, folder)
        assert caught.value.field == "levels[0].depth"
        assert "d.npy" in str(caught.value)
        assert not folder.exists("plan.json")

    def test_a_bad_picture_of_the_last_level_is_refused_before_any_work(self, tmp_path):
        (tmp_path / "b.png").write_bytes(photo(tmp_path / "a.png", 120, 80).read_bytes()[:200])
        request, folder = job(tmp_path, levels=3, image2=tmp_path / "b.png")
        with pytest.raises(BadRequest, match=r"b\.png can't be read") as caught:
            generate(request, folder)
        assert caught.value.field == "levels[2].image"
        assert not folder.exists("plan.json")


class TestKeeping:
    def test_a_job_goes_on_after_its_picture_moved_and_says_so(self, tmp_path):
        image = photo(tmp_path / "a.png", 60, 40)
        request, folder = job(tmp_path, image0=image)
        generate(request, folder)
        before = folder.digest("levels/000/splats.ply")
        image.unlink()
        for name in ("levels/000/parts/painted.png", "levels/000/image.png", "levels/000/splats.ply"):
            folder.remove(name)
        listener = Listener()
        summary = generate(read_request(folder), folder, listener)
        message = f"a.png no longer exists in {tmp_path}; its copy in the job's folder is used"
        assert ("warning", message) in listener.lines
        assert "levels/000/agree" in summary.ran  # which writes the level's picture where the artist gives one
        assert folder.digest("levels/000/splats.ply") == before

    def test_a_changed_picture_redoes_its_level_and_what_shows_it(self, tmp_path):
        request, folder = job(tmp_path, levels=3, image1=photo(tmp_path / "a.png", 60, 40))
        before = digests(request, folder)
        assert digests(request, folder) == before
        photo(tmp_path / "a.png", 61, 40)
        changed = {name for name, digest in digests(request, folder).items() if digest != before[name]}
        shows_it = {f"levels/000/{stage}" for stage in ("surround", "agree", "fit", "export")}
        assert {name for name in changed if name.startswith("levels/000")} == shows_it
        assert {"levels/001/image", "levels/001/dream", "levels/002/dream", "result"} <= changed
        assert len(list((folder.root / "inputs").glob("*/*"))) == 1, "the old copy is gone"

    def test_a_changed_depth_leaves_the_picture(self, tmp_path):
        image, depth = photo(tmp_path / "a.png", 120, 80), write_depth(tmp_path / "d.npy", wedge())
        request, folder = job(tmp_path, image0=image, depth0=depth)
        before = digests(request, folder)
        write_depth(depth, wedge()[::-1])
        changed = {name for name, digest in digests(request, folder).items() if digest != before[name]}
        assert "levels/000/image" not in changed
        assert "levels/000/dream" in changed

    def test_a_picture_that_was_never_there_is_refused(self, tmp_path):
        request, folder = job(tmp_path, image0=tmp_path / "none.png")
        with pytest.raises(BadRequest, match=r"none\.png") as caught:
            generate(request, folder)
        assert caught.value.field == "levels[0].image"

    def test_a_copy_of_another_picture_is_never_taken(self, tmp_path):
        (tmp_path / "old").mkdir()
        request, folder = job(tmp_path, image0=photo(tmp_path / "old" / "a.png", 60, 40))
        keep(folder, request, quiet)
        other, _ = job(tmp_path, image0=tmp_path / "a.png")
        with pytest.raises(BadRequest, match=r"a\.png"):
            keep(folder, other, quiet)

    @pytest.mark.parametrize("damage", ["index", "copy"])
    def test_damage_to_what_was_kept_is_mended_from_the_source(self, tmp_path, damage):
        request, folder = job(tmp_path, image0=photo(tmp_path / "a.png", 60, 40))
        first = keep(folder, request, quiet)
        (folder.path("inputs.json") if damage == "index" else first["levels[0].image"].path).write_bytes(b"{")
        assert keep(folder, request, quiet) == first
        assert first["levels[0].image"].path.read_bytes() == (tmp_path / "a.png").read_bytes()
        assert "levels[0].image" in json.loads(folder.read("inputs.json"))["files"]

    def test_a_damaged_copy_of_a_picture_that_is_gone_is_not_used(self, tmp_path):
        request, folder = job(tmp_path, image0=photo(tmp_path / "a.png", 60, 40))
        keep(folder, request, quiet)["levels[0].image"].path.write_bytes(b"half")
        (tmp_path / "a.png").unlink()
        with pytest.raises(BadRequest, match=r"a\.png"):
            keep(folder, request, quiet)


@pytest.mark.parametrize("name", ["scene.gltf", "meta.json"])
def test_splats_in_several_files_are_refused_by_a_job(tmp_path, name):
    """A job keeps a copy of the file that is named; the data beside it would be lost."""
    (tmp_path / name).write_text("{}")
    with pytest.raises(BadRequest, match="must be one file of Gaussian splats; export"):
        inputs.check({"levels[0].splats": inputs.Input(tmp_path / name, "")})
