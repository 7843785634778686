"""Jobs of an engine that only paints, and how well the middles of their pictures agree with the next level's."""

from __future__ import annotations

import numpy as np
import torch
from painting import Painting
from PIL import Image
from scipy.ndimage import gaussian_filter

from core.camera import look_at
from dreamzoom.example import example
from dreamzoom.pipeline.folder import Folder
from dreamzoom.pipeline.runner import run
from dreamzoom.pipeline.steps import build
from dreamzoom.request.validation import convert_request
from dreamzoom.stages import paste, plan, zoom
from dreamzoom.stages.base import files, layout
from dreamzoom.stages.base.quality import settings
from dreamzoom.stages.levels import repainted
from dreamzoom.zoom.stack import make_nest


def content(levels=3, size=(64, 48), *, flat=False, loop=False, **changes):
    """A request; the engine is put in by `painted`. Flat: a still camera that faces the focus straight on."""
    request = example(levels, size) | {"quality": "draft", "loop": loop} | changes
    if flat or loop:
        still = request["cameras"][0]
        if flat:
            still["camera_to_gauge"] = look_at((0, 0, 3), (0, 0, 0), up=(0, 1, 0)).tolist()
        last = levels - 1 + loop
        request["cameras"] = [still | {"frame": frame, "zoom": frame * last / 12} for frame in range(13)]
    return request


def steps_of(request, relief=0.0):
    made = convert_request(request)
    return build(made, Painting(made.path(), relief))


def painted(folder, request, relief=0.0, sink=None, cancel=None):
    """A finished job of the engine that only paints."""
    made = convert_request(request)
    engine = Painting(made.path(), relief)
    run(build(made, engine), Folder(folder), sink, cancel)
    return engine


def picture(folder, level, name="image.png"):
    return Folder(folder).load(files.PICTURES, f"levels/{level:03d}/{name}")


def anchor(folder, level):
    return Folder(folder).load(files.VIEWS, f"levels/{level:03d}/parts/views.npz")[0]


def final_level(folder, level):
    """A level's points and views in their final colours."""
    entries = layout.POINTS, layout.VIEWS, layout.FINAL_PICTURES
    return repainted(*(folder.load(entry.format, entry.path(level)) for entry in entries))


def db(one, other):
    return float(-10 * np.log10(np.mean((one - other) ** 2) + 1e-12))


def flat_db(folder, request, level, after=None, name="image.png"):
    """How well the middle of a level's picture is D of the next one's, for a flat scene: by `make_nest`."""
    made = convert_request(request)
    path, limits = made.path(), settings(made)
    anchors = [plan.anchor(path, k, limits) for k in range(path.levels)]
    after = (level + 1) % path.levels if after is None else after
    coarse, fine = (torch.from_numpy(picture(folder, k, name)).permute(2, 0, 1) for k in (level, after))
    nest = make_nest(tuple(coarse.shape[1:]), path.factor, zoom._child_middle(path, anchors, level))
    return db(nest.window(coarse).numpy(), nest.down(fine).numpy())


def depth_db(folder, request, level, name="image.png"):
    """The same through the levels' depths, and the share of the picture where the finer one shows."""
    path = convert_request(request).path()
    coarse, fine = anchor(folder, level), anchor(folder, (level + 1) % path.levels)
    nothing = np.zeros(coarse.depth.shape, bool)
    middle = paste.middle_of(coarse, fine, path.between(level + 1, level), nothing)
    one, other = picture(folder, level, name), picture(folder, (level + 1) % path.levels, name)
    return db(one[middle.shown], middle.down(other)), middle.shown.mean()


def photo(path, size=(64, 48), seed=0, sizes=(1, 3, 9)):
    """A picture with forms of several sizes, in pixels."""
    rng = np.random.default_rng(seed)
    noise = [gaussian_filter(rng.standard_normal((size[1], size[0], 3)), (s, s, 0)) * s for s in sizes]
    rgb = np.clip(0.5 + 0.2 * np.sum(noise, 0), 0.1, 0.9)
    Image.fromarray((255 * rgb).astype(np.uint8)).save(path)
    return str(path)


def given_error(folder, level, file):
    """The largest difference between what the artist gave and the middle of the level's picture, in steps of 8 bits."""
    given = np.asarray(Image.open(file)).astype(int)
    rgb = np.asarray(Image.open(folder / f"levels/{level:03d}/image.png")).astype(int)
    top, left = (rgb.shape[0] - given.shape[0]) // 2, (rgb.shape[1] - given.shape[1]) // 2
    return np.abs(rgb[top : top + given.shape[0], left : left + given.shape[1]] - given).max()
