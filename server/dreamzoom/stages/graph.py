"""The graph of a job: which step reads and writes what. Here the stages' values meet the folder's files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import msgspec
import numpy as np

from core import fading
from core.formats.splat_ply import read_splats, write_splats
from core.gaussians import Gaussians, joined, moved
from dreamzoom import images
from dreamzoom.engines.base import Denoises, Engine, View
from dreamzoom.geometry import views
from dreamzoom.geometry.cloud import Cloud
from dreamzoom.geometry.cloud_ply import write_cloud
from dreamzoom.geometry.photometric import Picture
from dreamzoom.geometry.zoom_path import ZoomPath
from dreamzoom.job.folder import Folder
from dreamzoom.job.inputs import Input, asset_fields, in_place
from dreamzoom.job.steps import Step, digest_of
from dreamzoom.report import Report
from dreamzoom.splats.rasterize import rasterize
from dreamzoom.stages import agree_steps, assets, close, dream, export, files, plan, refine_steps, splat, zoom
from dreamzoom.wire import Request

LATER = 0.4
"""The zoom from which the first level is seen once more."""
BACKED = 20
"""From so many iterations on a fit sees the levels above; in fewer it does not learn to work around them."""
PARENTS = 2
"""How many levels above are seen from a level's cameras."""


@dataclass(frozen=True)
class Job:
    """What every step of a job shares."""

    request: Request
    engine: Engine
    path: ZoomPath
    limits: plan.Settings
    inputs: Mapping[str, Input]
    second: bool = False

    @property
    def joint(self) -> bool:
        """Whether all levels' pictures are sampled jointly."""
        return isinstance(self.engine, Denoises)

    @property
    def agreed(self) -> bool:
        """Whether all pictures show one 3D place: the engine's do, and the artist gives none of their own."""
        return self.engine.multiview_consistent and not self.inputs

    def neighbours(self, level: int) -> list[int]:
        """The levels next to this one, whose pictures show the same place; in a loop they count on past both ends."""
        return [k for k in (level - 1, level + 1) if self.path.loop or 0 <= k < self.path.levels]

    def others(self, folder: Folder, level: int) -> list[Picture]:
        """The anchor views of the neighbours in the frame of `level`, where pictures can be compared in 3D."""
        found = []
        for k in self.neighbours(level) if self.agreed else ():
            index = k % self.path.levels
            camera = plan.anchor(self.path, index, self.limits).camera.moved(self.path.between(k, level))
            found.append(Picture(camera, files.read_picture(folder, f"{place(index)}/image.png")))
        return found

    @property
    def pasted(self) -> bool:
        """Whether each level's picture gets the next one's into its middle."""
        return agree_steps.wanted(self.engine)

    def first_picture(self, level: int) -> str:
        """Where a level's picture lies as it was first made; its final one may come later."""
        if self.joint:
            return f"{place(level)}/parts/joint.png"
        return agree_steps.first_picture(level) if self.pasted else f"{place(level)}/image.png"

    def digest(self, field: str) -> str | None:
        """SHA-256 of a file that the request names; None where it names none."""
        return self.inputs[field].sha256 if field in self.inputs else None

    def picture_key(self, level: int) -> Any:
        """What a level's picture depends on beside its prompt: the artist's own picture, and objects seen in it."""
        own, seen = self.digest(f"levels[{level}].image"), self.asset_key(level)
        return [own, seen] if seen else own

    def asset_key(self, level: int) -> list:
        """The artist's own objects that a level sees: whose level they are of, how that lies, and their files."""
        key = []
        for other in assets.in_reach(self.path, level, range(self.path.levels)):
            digests = [self.digest(field) for field in asset_fields(self.request, other)]
            placed = self.path.between(other, level)
            key += [[other, placed.scale, *placed.offset.tolist(), *digests]] if digests else []
        return key

    def assets(self, level: int) -> assets.Assets:
        """The artist's own objects that a level sees, in its frame."""
        named = {other: asset_fields(self.request, other) for other in range(self.path.levels)}
        found = {other: [self.inputs[field].path for field in fields] for other, fields in named.items() if fields}
        return assets.load(self.path, level, found, self.engine.name)

    def parents(self, level: int) -> range:
        """The levels whose clouds a level's views see."""
        return range(max(level - PARENTS, 0), level)

    def known(self, folder: Folder, level: int) -> Cloud:
        """The parents' points in the frame of `level`; of higher ones only what a finer one does not show."""
        clouds = [Cloud.empty()]
        for parent in self.parents(level):
            cloud = files.read_points(folder, f"{place(parent)}/parts/points.npz")
            finer = plan.next_anchor(self.path, parent, self.limits)
            assert finer is not None
            if parent < level - 1 and finer is not None:
                cloud = cloud[~export.shown_finer(cloud.position, finer)]
            clouds.append(cloud.moved(self.path.between(parent, level)))
        return Cloud.joined(clouds)

    def around(self, folder: Folder, level: int) -> Gaussians | None:
        """The parents' splats in the frame of `level`, but for what a finer level shows; None where there are none."""
        parts = []
        for parent in self.parents(level):
            splats = read_splats(folder.path(f"{place(parent)}/parts/fit.ply"))
            finer = plan.next_anchor(self.path, parent, self.limits)
            assert finer is not None
            parts.append(moved(splats[~export.shown_finer(splats.means, finer)], self.path.between(parent, level)))
        return joined(parts) if parts else None

    def before(self, level: int) -> range:
        """The levels that a looping flight shows before its first level comes again, counted down from that."""
        return range(max(-PARENTS, 1 - self.path.levels), 0) if self.path.loop and level == 0 else range(0)

    def stays(self, folder: Folder, level: int) -> list[Gaussians]:
        """What is seen beside a level once it is whole, in its frame: the parents' splats that no finer level shows,
        and the artist's own objects.
        """
        parts = []
        for parent in self.parents(level):
            splats = read_splats(folder.path(f"{place(parent)}/splats.ply"))
            parts.append(moved(splats[splats.extra["superseded"] == 0], self.path.between(parent, level)))
        for parent in self.before(level):
            index = parent % self.path.levels
            splats = read_splats(folder.path(f"{place(index)}/parts/fit.ply"))
            splats = export.feathered(splats, plan.anchor(self.path, index, self.limits).camera)
            finer = plan.next_anchor(self.path, index, self.limits)
            assert finer is not None
            parts.append(moved(splats[~export.shown_finer(splats.means, finer)], self.path.between(parent, level)))
        own = self.assets(level).splats
        return parts if own is None else [*parts, own]


def build(request: Request, engine: Engine, inputs: Mapping[str, Input] | None = None) -> list[Step]:
    """All steps of a job, in an order in which they can run.

    Args:
        request: What to dream along which path.
        engine: What imagines.
        inputs: The files that the request names, by field; where the artist has them, if None.

    Raises:
        BadRequest: A picture that a level names can't be read.
    """
    inputs = in_place(request) if inputs is None else inputs
    second = refine_steps.wanted(request, engine)
    job = Job(request, engine, request.path(), plan.settings(request), inputs, second)
    steps, levels = [_plan_step(job)], range(len(request.levels))
    if isinstance(engine, Denoises):
        steps.append(_joint_step(job, engine))
    if second and isinstance(engine, Denoises):
        steps += [_dream_step(job, level) for level in levels]
        steps += refine_steps.build(job, engine, lambda level, report: _given_picture(job, level, report))
    if job.pasted:
        steps += [step for level in levels for step in (_image_step(job, level), _dream_step(job, level))]
        steps += agree_steps.build(job, lambda level, report: _given_picture(job, level, report))
    if job.agreed:
        steps += [_image_step(job, level) for level in levels]
    for level in levels:
        if not second and not job.pasted and not job.agreed:
            steps.append(_joint_image_step(job, level) if job.joint else _image_step(job, level))
        if not second and not job.pasted:
            steps.append(_dream_step(job, level))
        steps += [_splat_step(job, level)] if job.path.loop else [_splat_step(job, level), _export_step(job, level)]
    if job.path.loop:  # the first level is seen after the last
        steps += [_export_step(job, level) for level in levels]
    return [*steps, _result_step(job, steps)]


def place(level: int) -> str:
    """The folder of a level."""
    return f"levels/{level:03d}"


def _plan_step(job: Job) -> Step:
    anchors = [plan.anchor(job.path, level, job.limits) for level in range(job.path.levels)]
    content = {
        "quality": job.request.quality,
        "settings": asdict(job.limits),
        "zoom_factor": job.path.factor,
        "anchors": [{"name": view.name} | plan.describe(view.camera) for view in anchors],
    }

    def run(folder: Folder, report: Report) -> None:
        folder.write_json("plan.json", content)

    return Step("plan", "plan", None, 1, content, (), ("plan.json",), run, weight=0.01)


def _common(job: Job, level: int) -> dict[str, Any]:
    """What every step of a level depends on."""
    item = job.request.levels[level]
    return {
        "engine": job.engine.identity(),
        "engine_needs": job.engine.dependencies(level),
        "prompt": item.prompt,
        "negative_prompt": item.negative_prompt,
        "seed": job.request.level_seed(level),
        "anchor": plan.describe(plan.anchor(job.path, level, job.limits).camera),
        "parents": [
            [job.path.between(parent, level).scale, *job.path.between(parent, level).offset.tolist()]
            for parent in job.parents(level)
        ],
    }


def _image_step(job: Job, level: int) -> Step:
    item, base = job.request.levels[level], place(level)
    view = plan.anchor(job.path, level, job.limits)
    parameters = _common(job, level) | {"image": job.picture_key(level)}
    output, version = job.first_picture(level), 3 if job.pasted else 2

    def run(folder: Folder, report: Report) -> None:
        given = _given_picture(job, level, report)
        known = Cloud.empty() if job.agreed else job.known(folder, level)
        seen = dream.parents_seen(known, view, job.path.factor)
        seed = job.request.level_seed(level)
        rgb = zoom.level_image(job.engine, view, seen, item.prompt, item.negative_prompt, seed, given, report)
        files.write_picture(folder, output, rgb)
        report.preview(rgb)

    needs = () if job.agreed else tuple(f"{place(parent)}/dream" for parent in job.parents(level))
    return Step(f"{base}/image", "zoom", level, version, parameters, needs, (output,), run, weight=2)


def _joint_step(job: Job, engine: Denoises) -> Step:
    """One step for all levels, since each level's picture depends on every level's prompt."""
    count = job.path.levels
    parameters = {"engine": job.engine.identity(), "loop": job.path.loop, "levels": []}
    for level in range(count):
        own = _common(job, level)
        own["image"] = job.picture_key(level)
        parameters["levels"].append(own)

    def run(folder: Folder, report: Report) -> None:
        anchors = [plan.anchor(job.path, level, job.limits) for level in range(count)]
        texts = [
            (item.prompt, item.negative_prompt, job.request.level_seed(level))
            for level, item in enumerate(job.request.levels)
        ]
        pictures = {level: _given_picture(job, level, report) for level in range(count)}
        given = {level: rgb for level, rgb in pictures.items() if rgb is not None}
        for level, rgb in zoom.joint_images(engine, job.path, anchors, texts, given, report):
            files.write_picture(folder, f"{place(level)}/parts/joint.png", rgb)
            report.preview(rgb)

    outputs = tuple(f"{place(level)}/parts/joint.png" for level in range(count))
    return Step("zoom", "zoom", None, 3, parameters, (), outputs, run, weight=4 * count)


def _joint_image_step(job: Job, level: int) -> Step:
    """The level's picture is what was sampled jointly."""
    base = place(level)

    def run(folder: Folder, report: Report) -> None:
        folder.write(f"{base}/image.png", folder.read(f"{base}/parts/joint.png"))

    return Step(f"{base}/image", "zoom", level, 2, {}, ("zoom",), (f"{base}/image.png",), run, weight=0.01)


def _given_picture(job: Job, level: int, report: Report) -> np.ndarray | None:
    """What the artist gives of a level's picture: an own one, (h, w, 3), about the middle of the anchor view, and over
    it the own objects; NaN where neither is, None where there are none.
    """
    own, view = _given(job, level, "image", report), plan.anchor(job.path, level, job.limits)
    objects = job.assets(level).photo(view.camera)
    if objects is None:
        return own
    around = np.nan if own is None else zoom.centred(own, objects.shape[:2])
    return np.where(np.isfinite(objects), objects, around).astype(np.float32)


def _given(job: Job, level: int, kind: str, report: Report) -> np.ndarray | None:
    """The artist's own picture or depth of a level at the camera's scale, as much as the anchor view shows; or None."""
    field = f"levels[{level}].{kind}"
    if field not in job.inputs:
        return None
    camera = plan.anchor(job.path, level, job.limits).camera
    read = images.read_depth if kind == "depth" else images.read_picture
    size, within = (job.request.width, job.request.height), (camera.width, camera.height)
    return read(job.inputs[field].path, size, report.log, within=within, field=field)


def _dream_step(job: Job, level: int) -> Step:
    item, base = job.request.levels[level], place(level)
    view = plan.anchor(job.path, level, job.limits)
    flight = [[key.zoom, plan.describe(key.camera)] for key in _flight(job, level)]
    limits = {"side_views": job.limits.side_views, "hole_share": job.limits.hole_share}
    limits |= {"points": job.limits.points, "large_hole": plan.LARGE_HOLE}
    parameters = _common(job, level) | {"flight": flight} | limits
    parameters["depth"] = job.digest(f"levels[{level}].depth")
    if job.asset_key(level):
        parameters["assets"] = job.asset_key(level)

    needs = (f"{base}/image",)
    if job.joint:
        needs = ("zoom", *(f"{place(parent)}/dream" for parent in job.parents(level)))
    elif job.agreed:
        images_around = (f"{place(k % job.path.levels)}/image" for k in (level, *job.neighbours(level)))
        needs = (*dict.fromkeys(images_around), *(f"{place(parent)}/dream" for parent in job.parents(level)))

    def side_views(cloud: Cloud) -> list[View]:
        most, limit = job.limits.side_views, job.limits.hole_share
        return views.side_views(
            job.path, level, cloud, limit=limit, most=most, large=plan.LARGE_HOLE, before=1 - fading.CLOSES_FROM
        )

    def run(folder: Folder, report: Report) -> None:
        rgb = files.read_picture(folder, job.first_picture(level))
        given = _given(job, level, "depth", report)
        given = None if given is None else zoom.centred(given, rgb.shape[:2])
        parents = job.known(folder, level)
        seen = dream.parents_seen(parents, view, job.path.factor)
        cloud, dreamed = dream.level_cloud(
            job.engine,
            view,
            rgb,
            seen,
            parents,
            seed=job.request.level_seed(level),
            given_depth=given,
            side_views=side_views,
            prompt=item.prompt,
            negative_prompt=item.negative_prompt,
            most=job.limits.points,
            report=report,
            assets=job.assets(level),
            others=job.others(folder, level) + _further_picture(job, level, report),
        )
        files.write_points(folder, f"{base}/parts/points.npz", cloud)
        files.write_views(folder, f"{base}/parts/views.npz", dreamed)
        files.write_arrays(folder, f"{base}/depth.npz", {"depth": dreamed[0].depth})

    outputs = (f"{base}/parts/points.npz", f"{base}/parts/views.npz", f"{base}/depth.npz")
    return Step(f"{base}/dream", "dream", level, 10, parameters, needs, outputs, run, weight=4)


def _further_picture(job: Job, level: int, report: Report) -> list[Picture]:
    """What the first level has in place of a picture of the level above, to measure its depth in: the path's view a
    little later, in which nearly all of the first frames is seen.
    """
    if not job.agreed or level or job.path.loop:
        return []
    wider = plan.overscan(job.path, job.limits)
    camera = job.path.camera(LATER, level).widened(wider)
    item, view = job.request.levels[level], View(f"{level:03d}/later", level, LATER, camera)
    nothing = dream.parents_seen(Cloud.empty(), view, job.path.factor)
    words = item.prompt, item.negative_prompt, job.request.level_seed(level)
    return [Picture(camera, zoom.level_image(job.engine, view, nothing, *words, None, report))]


def _splat_step(job: Job, level: int) -> Step:
    base = place(level)
    limits = {"iterations": job.limits.iterations, "cap": job.limits.cap, "supports": job.limits.supports}
    parameters = limits | {"seed": job.request.level_seed(level)}

    def run(folder: Folder, report: Report) -> None:
        cloud, dreamed = refine_steps.read_level(job, folder, level)
        supports = views.support_cameras(dreamed[0].view, count=job.limits.supports)
        seed = job.request.level_seed(level)
        around = job.around(folder, level) if job.limits.iterations >= BACKED else None
        fitted = splat.level_splats(cloud, dreamed, supports, around, job.limits, seed, report)
        folder.write_with(f"{base}/parts/fit.ply", lambda temporary: write_splats(temporary, fitted))

    weight = 1 + 0.3 * job.limits.iterations
    return Step(
        f"{base}/fit",
        "splat",
        level,
        2,
        parameters,
        (*_finished(job, level), *(f"{place(parent)}/fit" for parent in job.parents(level))),
        (f"{base}/parts/fit.ply",),
        run,
        weight=weight,
    )


def _export_step(job: Job, level: int) -> Step:
    base = place(level)
    anchor = plan.anchor(job.path, level, job.limits).camera
    finer = plan.next_anchor(job.path, level, job.limits)
    names = [f"{base}/{name}" for name in ("splats.ply", "cloud.ply", "preview.png", "level.json")]
    cameras = plan.gap_cameras(job.path, level, job.limits)
    parameters = {"finer": plan.describe(finer) if finer else None, "level": level, "loop": job.path.loop}
    parameters["gaps"] = [plan.describe(camera) for camera in cameras]

    def run(folder: Folder, report: Report) -> None:
        fitted = read_splats(folder.path(f"{base}/parts/fit.ply"))
        cloud, _ = refine_steps.read_level(job, folder, level)
        shown = fitted if level == 0 and not job.path.loop else export.feathered(fitted, anchor)
        shown = close.closed(shown, job.stays(folder, level), cameras, report)
        splats, cloud = export.mark_superseded(shown, cloud, finer)
        folder.write_with(names[0], lambda temporary: write_splats(temporary, splats))
        folder.write_with(names[1], lambda temporary: write_cloud(temporary, cloud))
        files.write_picture(folder, names[2], _preview(fitted, job, level))
        folder.write_json(names[3], {"points": len(cloud), "splat_count": len(splats)})

    parents = [f"{place(parent)}/export" for parent in job.parents(level)]
    parents += [f"{place(parent % job.path.levels)}/fit" for parent in job.before(level)]
    needs = (*_finished(job, level), f"{base}/fit", *parents)
    return Step(f"{base}/export", "export", level, 7, parameters, needs, tuple(names), run, weight=2)


def _finished(job: Job, level: int) -> tuple[str, ...]:
    """The steps after which a level's points and views are as they will be."""
    own = (f"{place(level)}/dream",)
    if job.pasted:
        return (*own, agree_steps.step_of(level))
    return (*own, refine_steps.step_of(job, level)) if job.second else own


def _preview(splats: Gaussians, job: Job, level: int) -> np.ndarray:
    """A small picture of the level's splats from the path's camera."""
    camera = job.path.camera(float(level), level)
    scale = min(1.0, 384 / max(camera.width, camera.height))
    small = camera.resized(max(round(camera.width * scale), 1), max(round(camera.height * scale), 1))
    return rasterize(splats, small).rgb


def _result_step(job: Job, steps: list[Step]) -> Step:
    request = job.request
    parameters = {"request": msgspec.to_builtins(request)}
    listed = [name for step in steps for name in step.outputs if "/parts/" not in name]

    def run(folder: Folder, report: Report) -> None:
        levels = []
        for index, item in enumerate(request.levels):
            base = place(index)
            levels.append(
                {
                    "index": index,
                    "prompt": item.prompt,
                    "negative_prompt": item.negative_prompt,
                    "seed": request.level_seed(index),
                    "focus": list(item.focus or (0.0, 0.0, 0.0)),
                    "image": f"{base}/image.png",
                    "cloud": f"{base}/cloud.ply",
                    "splats": f"{base}/splats.ply",
                    "preview": f"{base}/preview.png",
                }
                | folder.read_json(f"{base}/level.json")
            )
        result = {
            "version": 1,
            "request_digest": digest_of(msgspec.to_builtins(request)),
            "seed": request.seed,
            "quality": request.quality,
            "engine": job.engine.identity(),
            "zoom_factor": request.zoom_factor,
            "width": request.width,
            "height": request.height,
            "levels": levels,
            "cameras": msgspec.to_builtins(request.cameras),
            "files": {name: folder.digest(name) for name in listed},
        }
        folder.write_json("result.json", result)

    needs = tuple(step.name for step in steps)
    return Step("result", "export", None, 1, parameters, needs, ("result.json",), run, weight=0.1)


def _flight(job: Job, level: int) -> list:
    """The keys of the path on which this level is seen with nothing coarser behind it, up to the next one's."""
    start = level - 1 + fading.CLOSES_FROM
    inside = [key for key in job.path.keys if start <= key.zoom <= level + 1]
    return [job.path.key_at(start), *inside, job.path.key_at(float(level + 1))]
