"""Pictures for docs/geometry.md: a scene seen from a moved camera, and every rule's error along a turn around."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from core.colour import to_bytes
from dreamzoom.geometry import views
from dreamzoom.geometry.cloud import Cloud
from dreamzoom.geometry.lift import lift
from dreamzoom.geometry.project import project
from dreamzoom.geometry.view import COARSE, KNOWN

from . import baselines, regions, scenes

SIZE, GAP = 176, 4
PAIR = 6
"""The views of the turn that are shown together with the next."""
FULL = 0.4
"""The relative error that has full colour."""
RULES = {
    "no fit": baselines.none,
    "weighted median": baselines.median,
    "LucidDreamer, the paper's rule": baselines.paper,
}


def write(folder: Path, prompt: str, seed: int) -> None:
    """Write geometry_project.jpg, geometry_align.jpg and geometry_views.jpg into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    world, camera = scenes.scene(prompt, SIZE, seed)
    _save(folder / "geometry_project.jpg", _beside(_moved(world, camera)))
    cameras = scenes.paths(camera)["rotate 360"]
    sequence = scenes.sequence(world, cameras, closed=True, between=False)
    factor, kind, doubt = scenes.FACTORS["½ to 2"]
    values = scenes.predicted(sequence.depths, np.random.default_rng(seed), factor)
    found = {name: regions.chain(sequence, values, rule)[0] for name, rule in RULES.items()}
    chained = regions.chain(sequence, values, regions.align_rule(kind))[0]
    joint = regions.refined(sequence, values, None, chained, kind, doubt)
    found |= {"ours, view by view": chained, "ours, joint": regions.glued_chain(sequence, joint)[0]}
    _save(folder / "geometry_align.jpg", _under([_errors(depths, sequence.depths) for depths in found.values()]))
    between = views.translation(views.bridges(cameras)[PAIR], (0.3, 0, 0), 2)[1].camera
    true = world.render(between, 0)[0]
    _save(folder / "geometry_views.jpg", _beside([true, *(_seen(sequence, d, between) for d in found.values())]))


def _moved(world, camera) -> list[np.ndarray]:
    """The picture; from a moved camera its points scattered, the same with a z-buffer, and the mask."""
    picture, depth = world.render(camera, 0)
    cloud = lift(camera, depth, picture, view=0)
    moved = views.translation(camera, (0.25, 0, 0.25), 2)[1].camera
    pixels, z = moved.project(cloud.position)
    x, y = np.floor(pixels).astype(int).T
    good = (z > 0) & (x >= 0) & (x < SIZE) & (y >= 0) & (y < SIZE)
    scattered = np.zeros_like(picture)
    scattered[y[good], x[good]] = cloud.rgb[good]
    seen = project(cloud, moved)
    mask = np.full(picture.shape, 0.12, np.float32)
    mask[seen.mask == KNOWN], mask[seen.mask == COARSE] = (0.3, 0.62, 0.35), (0.9, 0.75, 0.25)
    return [picture, scattered, seen.rgb, mask]


def _errors(depths: list[np.ndarray], truth: list[np.ndarray]) -> np.ndarray:
    """All views side by side: blue where too near, red where too far."""
    wrong = [np.clip((depth / true - 1)[::2, ::2] / FULL, -1, 1) for depth, true in zip(depths, truth, strict=True)]
    wrong = np.nan_to_num(np.concatenate(wrong, 1))[..., None]
    near, far = np.array([0.1, 0.3, 0.85]), np.array([0.85, 0.15, 0.1])
    return (1 - np.abs(wrong) + np.where(wrong > 0, wrong * far, -wrong * near)).astype(np.float32)


def _seen(sequence: scenes.Sequence, depths: list[np.ndarray], camera) -> np.ndarray:
    """Two neighbouring views' points, seen from between them and a step aside."""
    clouds = [lift(sequence.cameras[n], depths[n], sequence.pictures[n], view=n) for n in (PAIR, PAIR + 1)]
    return project(Cloud.joined(clouds), camera).rgb


def _beside(pictures: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.pad(p, ((0, 0), (0, GAP), (0, 0)), constant_values=1) for p in pictures], 1)


def _under(pictures: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.pad(p, ((0, GAP), (0, 0), (0, 0)), constant_values=1) for p in pictures], 0)


def _save(path: Path, rgb: np.ndarray) -> None:
    buffer = io.BytesIO()
    Image.fromarray(to_bytes(rgb)).save(buffer, "jpeg", quality=88)
    path.write_bytes(buffer.getvalue())
