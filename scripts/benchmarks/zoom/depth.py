"""The depth-aware warp: on a flat scene the crop exactly, on a relief better than it."""

from __future__ import annotations

import math

import numpy as np
import torch

from core.camera import Camera, Similarity, look_at
from dreamzoom.engines.procedural.world import World
from dreamzoom.engines.spectral import SpectralEngine
from dreamzoom.report import Report
from dreamzoom.zoom.second import Again, Shot, refine_views
from dreamzoom.zoom.stack import make_nest
from dreamzoom.zoom.warp import Link, Seen, make_link, make_warp, reprojection_db


def measure_warp():
    """A flat scene at the focus: the warp against the crop's D."""
    camera = Camera(96, 96, 130, 130, 48, 48, look_at((0, 0, 2.8), (0, 0, 0)))
    rows, picture = [], torch.rand(3, 96, 96)
    for factor in (2.0, 3.0):
        fine = camera.moved(Similarity(1 / factor, np.zeros(3)))
        flat = make_warp(Seen(fine, np.full((96, 96), 2.8 / factor)), Seen(camera, np.full((96, 96), 2.8)))
        nest = make_nest((96, 96), factor)
        error = float((nest.window(flat(picture).reshape(3, 96, 96)) - nest.down(picture)).abs().max())
        rows.append({"flat warp, p": factor, "largest difference from the crop": error})
    return {"warp_flat_error": max(row["largest difference from the crop"] for row in rows)}, rows


def measure_relief():
    """Two scales and the half scales between on the procedural world's relief, orbiting: crop against depth-aware."""
    size, views = 96, []
    world = World(["mountains"] * 3, [1, 2, 3], 2.0, np.zeros((3, 3)), cells=160)
    for zoom in (0, 0.5, 1, 1.5, 2):
        turn = 0.25 * zoom
        pose = look_at((2.6 * math.sin(turn), -1.8 * math.cos(turn), 1.9), (0, 0, 0))
        camera = Camera(size, size, 1.4 * size, 1.4 * size, size / 2, size / 2, pose).moved(
            Similarity(2.0**-zoom, np.zeros(3))
        )
        _, depth = world.render(camera, 0, 2, shadows=False)
        views.append(Seen(camera, depth))
    flat = [Seen(v.camera, np.full((size, size), float(v.camera.to_camera(np.zeros(3))[2]))) for v in views]
    pairs = [(2, 0, 1), (4, 2, 1), (1, 0, 2), (2, 1, 2), (3, 2, 2), (4, 3, 2)]
    links = [make_link(a, b, (views[a], views[b]), coarser) for a, b, coarser in pairs]
    crops = [make_link(a, b, (flat[a], flat[b]), coarser) for a, b, coarser in pairs]
    denoiser = SpectralEngine().denoiser(Report())

    def sample(pictures, between: list[Link], **options):
        shots = [Shot(picture, (("mountains", 1.0),), k) for k, picture in enumerate(pictures)]
        return refine_views(denoiser, shots, between, Again(**options))

    crop = sample([np.full((size, size, 3), 0.5, np.float32)] * 5, crops, strength=1.0, steps=24)
    again = sample(crop, crops, steps=16)
    aware = sample(crop, links, steps=16)
    rows = []
    for name, pictures in (("crop", again), ("depth-aware", aware)):
        dbs = reprojection_db(pictures, links)
        contrast = float(np.mean([picture.std() for picture in pictures]))
        rows.append({"relief": name, "cross-level dB": dbs[:2], "cross-view dB": dbs[2:], "contrast": contrast})
    keys = ("cross-level dB", "cross-view dB")
    gain = min(b - a for key in keys for a, b in zip(rows[0][key], rows[1][key]))
    return {"depth_gain_db": gain}, rows
