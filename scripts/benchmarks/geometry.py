"""Dream and align against the truth, beside other rules: scale, new region, seam, loop, holes, time.

`--json` prints one object; `--size N` sets the pictures' side for everything but the times (192).
"""

from __future__ import annotations

import argparse
import json
import sys
import time

import _baselines as baselines
import _scenes as scenes
import numpy as np
import torch
from scipy.ndimage import maximum_filter, minimum_filter

from dreamzoom.engines.base import UNKNOWN, DepthKind, DepthMap
from dreamzoom.engines.procedural.distortion import distort
from dreamzoom.geometry import views
from dreamzoom.geometry.clean import clean
from dreamzoom.geometry.cloud import Cloud
from dreamzoom.geometry.joint import Posed, refine
from dreamzoom.geometry.lift import lift
from dreamzoom.geometry.merge import glue, merge
from dreamzoom.geometry.project import project
from dreamzoom.geometry.scale import fit_scale
from dreamzoom.geometry.seam import align
from dreamzoom.path import ZoomPath

OURS, JOINT, BETWEEN = "ours, view by view", "ours, joint", "ours, joint, depth in between"
TARGETS = {
    "scale_error": 0.005,
    "new_region_over_floor": 1.0,
    "seam_over_noise": 1.1,
    "loop_error": 0.01,
    "coverage_min": 0.98,
    "bleed_share": 0.001,
    "align_seconds": 0.3,
    "align_speedup": 5.0,
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
    corrections = refine(posed)
    return [view.depth * np.exp(g) for view, g in zip(posed, corrections, strict=True)][: len(depths)]


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


def measure_regions(size: int) -> tuple[dict, dict, dict]:
    """New region over floor per rule and cell, and the seam per rule. Lower is better."""
    errors: dict[str, dict[str, list[float]]] = {}
    seams: dict[str, list[np.ndarray]] = {}
    for prompt in scenes.PROMPTS:
        world, camera = scenes.scene(prompt, size)
        for path, cameras in scenes.paths(camera).items():
            views_ = scenes.sequence(world, cameras, closed=path == "rotate 360")
            for cell, (factor, kind, doubt) in scenes.FACTORS.items():
                rng = np.random.default_rng([scenes.PROMPTS.index(prompt), len(cameras), len(cell)])
                values = scenes.predicted(views_.depths, rng, factor)
                between = scenes.predicted(views_.depths_between, rng, factor, unit=False)
                note = errors.setdefault(f"{path}, {cell}", {})
                rules = baselines.RULES | {OURS: align_rule(kind)}
                for name, rule in rules.items():
                    depths, fresh, projections = chain(views_, values, rule)
                    note.setdefault(name, []).append(new_error(depths, fresh, views_.depths))
                    seams.setdefault(name, []).append(seam_jumps(depths, projections, views_.depths))
                note.setdefault("floor", []).append(floor_error(values, fresh, views_.depths))
                for name, more in ((JOINT, None), (BETWEEN, between)):
                    joint = refined(views_, values, more, depths, kind, doubt)
                    final, seen = glued_chain(views_, joint)
                    note.setdefault(name, []).append(new_error(final, fresh, views_.depths))
                    seams.setdefault(name, []).append(seam_jumps(final, seen, views_.depths))
    over = {
        name: {cell: float(np.mean(e[name]) / np.mean(e["floor"])) for cell, e in errors.items()}
        for name in [*baselines.RULES, OURS, JOINT, BETWEEN]
    }
    noise = float(np.quantile(np.abs(np.random.default_rng(0).normal(0, 0.01 * np.sqrt(2), 200_000)), 0.95))
    jumps = {name: float(np.nanquantile(np.concatenate(parts), 0.95) / noise) for name, parts in seams.items()}
    return over, jumps, {cell: float(np.mean(e["floor"])) for cell, e in errors.items()}


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


def measure_scale() -> dict[str, float]:
    """The largest |ŝ/s − 1| over s from ¼ to 4, with 2 % noise and 20 % outliers."""
    rng = np.random.default_rng(5)
    world, camera = scenes.scene("city", 128)
    picture, depth = world.render(camera, 0)
    seen = project(lift(camera, depth, picture, view=0), camera)
    known = np.where(seen.mask != UNKNOWN, seen.depth, np.nan)
    worst = {"ours": 0.0, "weighted median": 0.0, "LucidDreamer, Adam mended": 0.0}
    for s in (0.25, 0.5, 0.8, 1.0, 1.25, 2.0, 4.0):
        values = distort(depth, rng, factor=(1 / s, 1 / s), warp=0, noise=0.02, outliers=0.2)
        found = {
            "ours": fit_scale(values, known, np.isfinite(known) * 1.0, DepthKind.SCALE).scale,
            "weighted median": float(np.nanmedian((known / values)[np.isfinite(known)])),
            "LucidDreamer, Adam mended": baselines.adam_scale(values, seen, camera, about_origin=True, power=2),
        }
        for name, value in found.items():
            worst[name] = max(worst[name], abs(value / s - 1))
    return worst


def measure_loop(size: int) -> dict[str, float]:
    """Median relative difference of the first view and the cloud of all others, after 20 views around."""
    world, camera = scenes.scene("mountains with a forest", size)
    views_ = scenes.sequence(world, [k.camera for k in views.rotate360(camera, 20)], closed=True)
    factor, kind, doubt = scenes.FACTORS["½ to 2"]
    rng = np.random.default_rng(3)
    values = scenes.predicted(views_.depths, rng, factor)
    between = scenes.predicted(views_.depths_between, rng, factor, unit=False)
    chained, _, _ = chain(views_, values, align_rule(kind))
    found = {OURS: chained}
    for name, more in ((JOINT, None), (BETWEEN, between)):
        found[name] = refined(views_, values, more, chained, kind, doubt)
    return {name: _return_error(views_, depths) for name, depths in found.items()}


def _return_error(views_: scenes.Sequence, depths: list[np.ndarray]) -> float:
    last = range(len(depths) - 2, len(depths))  # the views that look at the first one's left side again
    clouds = [lift(views_.cameras[n], depths[n], views_.pictures[n], view=n) for n in last]
    seen = project(Cloud.joined(clouds), views_.cameras[0])
    back = seen.mask != UNKNOWN
    return float(np.nanmedian(np.abs(seen.depth / depths[0] - 1)[back]))


def measure_coverage(size: int) -> dict[str, float]:
    """Share of pixels that the cloud hits, along paths whose views were planned; frames between the keys count too."""
    found = {}
    world, camera = scenes.scene("moss and rock", size)
    turn = views.lookaround(camera, 12, yaw=60)
    shift = views.translation(camera, (0.5, 0.0, -0.5), 8)
    both = [views.Key(a.frame, 0.0, a.camera) for a in views.translation(camera, (0.4, 0, -0.4), 8)]
    both = [views.rotate360(key.camera, 24)[number // 2].camera for number, key in enumerate(both)]
    both = [views.Key(number + 1, 0.0, camera) for number, camera in enumerate(both)]
    for name, keys in (("rotate", turn), ("translate", shift), ("both", both)):
        found[name] = _coverage(world, keys)
    return found


def _coverage(world, keys) -> float:
    rng = np.random.default_rng(2)
    path = ZoomPath(2.0, np.zeros((1, 3)), tuple(keys))
    picture, depth = world.render(keys[0].camera, 0)
    cloud = lift(keys[0].camera, clean(distort(depth, rng, factor=(1, 1)), keys[0].camera), picture, view=0)
    for _ in range(3):
        wanted = views.side_views(path, 0, cloud, limit=0.01, most=24)
        for view in wanted:
            picture, depth = world.render(view.camera, 0)
            seen = project(cloud, view.camera)
            fit = align(DepthMap(distort(depth, rng), DepthKind.SCALE), seen, view.camera)
            points = lift(view.camera, fit.depth, picture, view=1, keep=seen.mask == UNKNOWN)
            cloud = Cloud.joined([cloud, points])
        if not wanted:
            break
    cameras = [key.camera for key in keys]
    frames = cameras + views.bridges(cameras)
    return float(np.mean([(project(cloud, frame).mask != UNKNOWN).mean() for frame in frames]))


def measure_bleed(size: int) -> dict[str, float]:
    """Share of pixels whose true point the first view saw, but that show something behind it, from true depth."""
    shares: dict[str, list[float]] = {"ours": [], "scatter without z-buffer": []}
    for prompt in scenes.PROMPTS:
        world, camera = scenes.scene(prompt, size)
        picture, depth = world.render(camera, 0)
        cloud = lift(camera, depth, picture, view=0)
        for shift in ((0.2, 0, 0), (0.0, -0.1, 0.0), (-0.1, 0, 0.2)):
            moved = views.translation(camera, shift, 2)[1].camera
            true = world.render(moved, 0)[1]
            pixels, z = camera.project(moved.unproject(true))
            column, row = (np.floor(pixels[..., n]).astype(int).clip(0, size - 1) for n in (0, 1))
            inside = (pixels > 1).all(-1) & (pixels < size - 1).all(-1)
            was_seen = inside & (np.abs(depth[row, column] / z - 1) < 0.005)
            for name, drawn in (
                ("ours", project(cloud, moved).depth),
                ("scatter without z-buffer", _scatter(cloud, moved)),
            ):
                behind = np.isfinite(drawn) & (drawn > 1.05 * true) & was_seen
                shares[name].append(float(behind.sum() / was_seen.sum()))
    return {name: float(np.mean(values)) for name, values in shares.items()}


def _scatter(cloud: Cloud, camera) -> np.ndarray:
    """Each point to its nearest pixel, the last one wins."""
    pixels, z = camera.project(cloud.position)
    depth = np.full((camera.height, camera.width), np.inf)
    x, y = np.floor(pixels[:, 0]).astype(int), np.floor(pixels[:, 1]).astype(int)
    good = (z > 0) & (x >= 0) & (x < camera.width) & (y >= 0) & (y < camera.height)
    depth[y[good], x[good]] = z[good]
    return depth


def measure_time() -> dict[str, float]:
    """Seconds of one core to align one 512² view, best of five; and of 100 Adam steps with an interpolated seam."""
    torch.set_num_threads(1)
    world, camera = scenes.scene("mountains with a forest", 512)
    turned = views.rotate360(camera, 10)[1].camera
    picture, depth = world.render(camera, 0)
    values = distort(world.render(turned, 0)[1], np.random.default_rng(1))
    seen = project(lift(camera, depth, picture, view=0), turned)
    ours = align_rule(DepthKind.SCALE)
    ours(values, seen, turned)
    return {
        "ours": _best(lambda: ours(values, seen, turned), 5),
        "Adam and griddata": _best(lambda: baselines.paper(values, seen, turned), 2),
    }


def _best(work, count: int) -> float:
    times = []
    for _ in range(count):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def measure(size: int) -> dict:
    """Everything, as one object."""
    scale, bleed, seconds = measure_scale(), measure_bleed(size), measure_time()
    loop, coverage = measure_loop(size), measure_coverage(size)
    over, seams, floors = measure_regions(size)
    return {
        "scale_error": scale["ours"],
        "new_region_over_floor": max(over[BETWEEN].values()),
        "seam_over_noise": seams[BETWEEN],
        "loop_error": loop[BETWEEN],
        "coverage_min": min(coverage.values()),
        "bleed_share": bleed["ours"],
        "align_seconds": seconds["ours"],
        "align_speedup": seconds["Adam and griddata"] / seconds["ours"],
        "rows": {
            "scale_error": scale,
            "new_region_over_floor": over,
            "floor": floors,
            "seam_over_noise": seams,
            "loop_error": loop,
            "coverage": coverage | {"LucidDreamer, reported": [0.798, 0.682, 0.775]},
            "bleed_share": bleed,
            "seconds": seconds,
        },
    }


def table(result: dict) -> str:
    """The same for people."""
    lines = []
    for key, target in TARGETS.items():
        good = result[key] >= target if key in ("coverage_min", "align_speedup") else result[key] <= target
        sign = "≥" if key in ("coverage_min", "align_speedup") else "≤"
        lines.append(f"{key:<24}{result[key]:>10.4f}   target {sign} {target:<8g}{'met' if good else 'MISSED'}")
    for title, rows in result["rows"].items():
        lines.append(f"\n{title}")
        for name, value in rows.items():
            shown = value if not isinstance(value, dict) else "  ".join(f"{k} {v:.3f}" for k, v in value.items())
            lines.append(f"  {name:<34}{shown if not isinstance(shown, float) else format(shown, '.4f')}")
    return "\n".join(lines)


def main() -> int:
    """Print the table or the object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--size", type=int, default=192, help="side of the pictures, in pixels (192)")
    options = parser.parse_args()
    result = measure(options.size)
    sys.stdout.write((json.dumps(result, ensure_ascii=False) if options.json else table(result)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
