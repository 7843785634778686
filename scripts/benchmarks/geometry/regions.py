"""One path through one scene under every rule: depth errors where nothing was known, and jumps at the border of M."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import maximum_filter, minimum_filter

from dreamzoom.geometry.clean import clean
from dreamzoom.geometry.cloud import Cloud
from dreamzoom.geometry.joint import Posed, align_jointly
from dreamzoom.geometry.lift import lift
from dreamzoom.geometry.merge import glue, merge
from dreamzoom.geometry.project import project
from dreamzoom.geometry.scale import fit_scale
from dreamzoom.geometry.seam import align
from dreamzoom.geometry.view import UNKNOWN, DepthKind, DepthMap

from . import baselines, scenes

OURS, JOINT, BETWEEN = "ours, view by view", "ours, joint", "ours, joint, depth in between"
RULES = [*baselines.RULES, OURS, JOINT, BETWEEN]


def measure(prompt: str, path: str, size: int, seed: int) -> dict:
    """All rules on one path through one scene.

    Returns:
        "errors": by cell ("rotate 360, ±5 %"), by rule and for the "floor": the median relative error; "jumps": by
        rule, an array of what crosses the border of M (see `seam_jumps`).
    """
    world, camera = scenes.scene(prompt, size, seed)
    cameras = scenes.paths(camera)[path]
    views_ = scenes.sequence(world, cameras, closed=path == "rotate 360")
    errors: dict[str, dict[str, float]] = {}
    jumps: dict[str, list[np.ndarray]] = {name: [] for name in RULES}
    for cell, (factor, kind, doubt) in scenes.FACTORS.items():
        rng = np.random.default_rng([seed, len(cameras), len(cell), *prompt.encode()])
        values = scenes.predicted(views_.depths, rng, factor)
        between = scenes.predicted(views_.depths_between, rng, factor, unit=False)
        note = errors.setdefault(f"{path}, {cell}", {})
        for name, rule in (baselines.RULES | {OURS: align_rule(kind)}).items():
            depths, fresh, projections = chain(views_, values, rule)
            note[name] = new_error(depths, fresh, views_.depths)
            jumps[name].append(seam_jumps(depths, projections, views_.depths))
        note["floor"] = floor_error(values, fresh, views_.depths)
        for name, more in ((JOINT, None), (BETWEEN, between)):
            final, seen = glued_chain(views_, refined(views_, values, more, depths, kind, doubt))
            note[name] = new_error(final, fresh, views_.depths)
            jumps[name].append(seam_jumps(final, seen, views_.depths))
    return {"errors": errors, "jumps": {name: np.concatenate(parts) for name, parts in jumps.items()}}


def summary(measured: list[dict]) -> dict[str, dict[str, float]]:
    """Of many paths and scenes: "over_floor" by rule and cell, "floor" by cell, "seam" by rule in noises."""
    cells = {cell for one in measured for cell in one["errors"]}
    means = {
        cell: {
            name: float(np.mean([one["errors"][cell][name] for one in measured if cell in one["errors"]]))
            for name in (*RULES, "floor")
        }
        for cell in sorted(cells, key=list(scenes.CELLS).index)
    }
    noise = float(np.quantile(np.abs(np.random.default_rng(0).normal(0, 0.01 * np.sqrt(2), 200_000)), 0.95))
    return {
        "over_floor": {name: {cell: row[name] / row["floor"] for cell, row in means.items()} for name in RULES},
        "floor": {cell: row["floor"] for cell, row in means.items()},
        "seam": {
            name: float(np.nanquantile(np.concatenate([one["jumps"][name] for one in measured]), 0.95) / noise)
            for name in RULES
        },
    }


def chain(views_: scenes.Sequence, values: list[np.ndarray], rule) -> tuple[list, list, list]:
    """One view after another: depths, new regions and projections; the first view's values are taken as they are."""
    first = clean(values[0], views_.cameras[0])
    cloud = lift(views_.cameras[0], first, views_.pictures[0], view=0)
    depths, fresh, projections = [first], [np.ones(first.shape, bool)], [None]
    for number in range(1, len(values)):
        camera = views_.cameras[number]
        seen = project(cloud, camera)
        depth, new = rule(values[number], seen, camera), seen.mask == UNKNOWN
        points = lift(camera, depth, views_.pictures[number], view=number, keep=new)
        cloud = Cloud.joined([cloud, points])
        depths.append(depth)
        fresh.append(new)
        projections.append(seen)
    return depths, fresh, projections


def align_rule(kind: DepthKind):
    """Ours as a rule."""
    return lambda values, seen, camera: align(DepthMap(values, kind), seen, camera).depth


def refined(views_: scenes.Sequence, values, between, depths, kind, doubt) -> list[np.ndarray]:
    """The joint solve from the chain's depths, with depth in between where `between` holds values."""
    posed = []
    for number, (camera, depth) in enumerate(zip(views_.cameras, depths, strict=True)):
        base = clean(values[number], camera)
        first = 0.0 if kind == DepthKind.METRIC else float(np.nanmedian(np.log(depth / base)))
        posed.append(Posed(camera, base * np.float32(np.exp(first)), doubt if number else 1e-4))
    if between:
        cloud = merge(views_.cameras, [view.depth for view in posed], views_.pictures).cloud
        for camera, guess in zip(views_.between, between, strict=True):
            seen = project(cloud, camera)
            known = np.where(seen.mask != UNKNOWN, seen.depth, np.nan)
            fit = fit_scale(guess, known, np.isfinite(known) * 1.0, DepthKind.SCALE)
            factor = 1.0 if kind == DepthKind.METRIC else fit.scale
            posed.append(Posed(camera, clean(guess, camera) * np.float32(factor), doubt))
    corrections = align_jointly(posed)
    return [view.depth * np.exp(g) for view, g in zip(posed, corrections, strict=True)][: len(depths)]


def glued_chain(views_: scenes.Sequence, depths: list[np.ndarray]) -> tuple[list, list]:
    """The joint depths merged: as lifted, and what each view saw before."""
    cloud, out, projections = Cloud.empty(), [], []
    for number, (camera, depth) in enumerate(zip(views_.cameras, depths, strict=True)):
        seen = project(cloud, camera)
        depth = glue(depth, seen, camera)
        points = lift(camera, depth, views_.pictures[number], view=number, keep=seen.mask == UNKNOWN)
        cloud = Cloud.joined([cloud, points])
        out.append(depth)
        projections.append(seen)
    return out, projections


def new_error(depths, fresh, truth) -> float:
    """Median relative error over all new pixels of all views but the first."""
    errors = [np.abs(d / t - 1)[f] for d, f, t in zip(depths[1:], fresh[1:], truth[1:], strict=True)]
    return float(np.nanmedian(np.concatenate(errors)))


def floor_error(values, fresh, truth) -> float:
    """The same for the best single scale per view, taken from the truth."""
    errors = []
    for value, new, true in zip(values[1:], fresh[1:], truth[1:], strict=True):
        if new.any():
            ratio = (value / true)[new]
            trials = (np.abs(ratio / s - 1) for s in np.quantile(ratio, np.linspace(0.2, 0.8, 61)))
            errors.append(min(trials, key=np.median))
    return float(np.median(np.concatenate(errors)))


def seam_jumps(depths, projections, truth) -> np.ndarray:
    """Relative depth jumps across the border of M, the true step taken off, where the true surface goes on.

    It goes on where its depth varies by less than 10 % over 5×5 pixels: elsewhere the two pixels show two surfaces.
    """
    jumps = []
    for depth, seen, true in zip(depths[1:], projections[1:], truth[1:], strict=True):
        known, log_true = seen.mask != UNKNOWN, np.log(true)
        goes_on = maximum_filter(log_true, 5) - minimum_filter(log_true, 5) < 0.1
        with np.errstate(divide="ignore", invalid="ignore"):
            log_known, log_new = np.log(seen.depth), np.log(depth)
        for a, b in (
            (np.s_[:, 1:], np.s_[:, :-1]),
            (np.s_[:, :-1], np.s_[:, 1:]),
            (np.s_[1:], np.s_[:-1]),
            (np.s_[:-1], np.s_[1:]),
        ):
            step = log_true[a] - log_true[b]
            pairs = known[b] & ~known[a] & goes_on[a] & goes_on[b]
            jumps.append((log_new[a] - log_known[b] - step)[pairs])
    return np.abs(np.concatenate(jumps))
