"""Stages as data: what each declares is all that it gets, and one can be put between two others."""

from dataclasses import replace
from types import FunctionType

import pytest
from painting import Painting

from dreamzoom.engines import registry
from dreamzoom.example import example
from dreamzoom.pipeline.folder import Folder
from dreamzoom.pipeline.generate import generate
from dreamzoom.pipeline.inspect import inspect
from dreamzoom.pipeline.records import records
from dreamzoom.pipeline.runner import run
from dreamzoom.pipeline.steps import bind, build
from dreamzoom.report import Report
from dreamzoom.request.validation import convert_request
from dreamzoom.stages import align, all_stages, splat
from dreamzoom.stages.base import layout
from dreamzoom.stages.base.context import Context, make_context
from dreamzoom.stages.base.stage import Stage, own

ENGINES = {
    "procedural": {"name": "procedural"},
    "spectral": {"name": "spectral", "steps": 5},
    "refined": {"name": "spectral", "steps": 5, "refine": True},
}


def request(levels=3, engine="procedural", **changes):
    return convert_request(
        example(levels, (64, 48)) | {"quality": "draft", "engine": ENGINES[engine]} | changes,
    )


def context(made):
    return make_context(made, registry.make(made))


def halved(inputs, parameters, report):
    """The work of a stage between align and splat: every second point."""
    return {"points": inputs["points"][:: parameters["step"]]}


HALVE = Stage(
    name="halve",
    version=1,
    reads={"points": own(layout.POINTS)},
    writes={"points": layout.POINTS.version("halve")},
    parameters=lambda context, scope: {"step": 2},
    run=halved,
    shown_as="align",
)


def with_halve():
    found = list(all_stages())
    found.insert(found.index(align.ALIGN) + 1, HALVE)
    return found


class TestDeclarations:
    @pytest.mark.parametrize("stage", all_stages(), ids=lambda stage: f"{stage.name}-{stage.version}")
    def test_the_work_holds_on_to_nothing_that_is_not_declared(self, stage):
        assert isinstance(stage.run, FunctionType)
        assert stage.run.__closure__ is None and not stage.run.__defaults__

    @pytest.mark.parametrize("engine", ENGINES)
    def test_no_parameter_is_the_whole_job(self, engine):
        def parts(value):
            yield value
            if hasattr(value, "__dataclass_fields__"):
                for name in value.__dataclass_fields__:
                    yield from parts(getattr(value, name))

        for step in build(made := request(engine=engine), registry.make(made)):
            assert not any(isinstance(part, Context) for part in parts(step.parameters))

    @pytest.mark.parametrize("loop", [False, True])
    def test_whatever_is_read_is_written_before(self, loop):
        asked = [request(engine=engine, loop=loop) for engine in ENGINES]
        jobs = [build(made, registry.make(made)) for made in asked]
        jobs.append(build(asked[0], Painting(asked[0].path())))
        for steps in jobs:
            done = set()
            for step in steps:
                assert done.issuperset(step.needs), step.name
                done.add(step.name)

    def test_a_stage_runs_on_plain_values(self):
        """Without a folder, a job or a runner."""
        inputs = {"points": list(range(10))}
        assert halved(inputs, {"step": 2}, Report()) == {"points": [0, 2, 4, 6, 8]}


class TestBetween:
    def test_later_stages_get_what_it_makes_and_the_finer_levels_what_there_was(self):
        found = {step.name: step for step in bind(with_halve(), context(request()))}

        def points_of(name, read):
            return [source.file.name for source in found[name].sources[read]]

        assert points_of("levels/001/fit", "points") == ["levels/001/parts/points.halve.npz"]
        assert points_of("levels/001/export", "points") == ["levels/001/parts/points.halve.npz"]
        assert points_of("levels/001/dream", "parents") == ["levels/000/parts/points.npz"]

    def test_it_changes_what_comes_out_and_dreams_nothing_again(self, tmp_path):
        made, folder = request(1), Folder(tmp_path)
        run(bind(all_stages(), context(made)), folder)
        count = len(folder.load(layout.POINTS.format, layout.POINTS.path(0)))
        ran = run(bind(with_halve(), context(made)), folder).ran
        assert ran == ("levels/000/halve", "levels/000/fit", "levels/000/export", "result")
        assert folder.read_json(layout.COUNTS.path(0))["points"] == -(-count // 2)


class TestVersions:
    def test_a_raised_version_redoes_the_stage_and_what_follows(self, tmp_path):
        made, folder = request(2), Folder(tmp_path)
        run(bind(all_stages(), context(made)), folder)
        newer = [replace(stage, version=99) if stage is splat.SPLAT else stage for stage in all_stages()]
        ran = run(bind(newer, context(made)), folder).ran
        assert set(ran) == {f"levels/00{k}/{name}" for k in (0, 1) for name in ("fit", "export")} | {"result"}

    def test_a_job_of_another_version_of_this_program_is_done_anew(self, tmp_path):
        """Its digests are others: it is resumed without an error, and its records go as their files are overwritten."""
        made, folder = request(1), Folder(tmp_path)
        generate(made, folder)
        splats = folder.read(layout.SPLATS.path(0))
        for record in records(folder):
            folder.remove(layout.record(record["digest"]))
            old = record | {"digest": record["digest"][::-1]}
            folder.write_json(layout.record(old["digest"]), old)
        assert inspect(folder)["finished"] and inspect(folder)["levels"][0]["splat_count"]
        assert not generate(made, folder).skipped
        assert len(records(folder)) == len({record["step"] for record in records(folder)})
        assert folder.read(layout.SPLATS.path(0)) == splats
