"""Steps out of declared stages: their digests and their order."""

from dataclasses import replace
from pathlib import Path

import pytest
from small_stages import CONTEXT, TEXT, chain, entry, stage, steps

from dreamzoom.pipeline.folder import Folder
from dreamzoom.pipeline.runner import run
from dreamzoom.pipeline.steps import digests
from dreamzoom.request.inputs import Input
from dreamzoom.stages.base.layout import Entry
from dreamzoom.stages.base.stage import each, every_level


class TestDigests:
    def test_depend_on_everything_above(self):
        before, after = digests(chain("b")), digests(chain("c"))
        assert before["one"] == after["one"]
        assert before["two"] != after["two"]
        assert before["three"] != after["three"]

    def test_depend_on_the_version(self):
        assert digests(steps(stage("a", version=1))) != digests(steps(stage("a", version=2)))

    def test_do_not_depend_on_the_order_of_keys(self):
        one, two = stage("a", parameters={"x": 1, "y": "é"}), stage("a", parameters={"y": "é", "x": 1})
        assert digests(steps(one)) == digests(steps(two))

    def test_are_the_same_in_every_version(self):
        assert digests(steps(stage("a")))["a"] == "16483b957cc6885a9c1a5f406f6b136f13478c88c43b7149ea53d75b863fc48a"

    @pytest.mark.parametrize(
        ("stages", "message"),
        [
            ([stage("a", ["b"])], "'a' reads 'b.txt', which no step writes"),
            ([stage("a", ["b"]), stage("b", ["a"])], "depend on each other in a cycle: a, b"),
            ([stage("a"), stage("a")], "two steps are named 'a'"),
            ([stage("a"), stage("b", writes={"text": entry("a")})], "both write 'a.txt'"),
            ([stage("a", parameters={"x": float("nan")})], "JSON"),
        ],
    )
    def test_refuse_a_wrong_graph(self, stages, message):
        with pytest.raises(ValueError, match=message):
            steps(*stages)

    def test_refuse_a_parameter_that_has_none(self):
        with pytest.raises(TypeError, match="can't depend on a set"):
            steps(stage("a", parameters={"x": {1, 2}}))

    def test_leave_out_where_a_file_lies_but_not_what_is_in_it(self):
        def digest(path, sha256):
            return digests(steps(stage("a", parameters={"file": Input(Path(path), sha256)})))["a"]

        assert digest("/here/a.png", "1") == digest("/there/b.png", "1") != digest("/here/a.png", "2")

    def test_cover_arrays_and_cameras(self):
        camera = CONTEXT.path.keys[0].camera
        turned = replace(camera, camera_to_frame=camera.camera_to_frame[::-1])
        found = [digests(steps(stage("a", parameters={"camera": one})))["a"] for one in (camera, turned)]
        assert found[0] != found[1]


class TestOrder:
    def test_follows_from_who_writes_what(self):
        found = steps(stage("c", ["b"]), stage("a"), stage("b", ["a"]))
        assert [step.name for step in found] == ["a", "b", "c"]
        assert [step.needs for step in found] == [[], ["a"], ["b"]]

    def test_a_level_goes_on_before_the_next_unless_a_stage_takes_all_levels_first(self):
        def both(name, **changes):
            return replace(stage(name, writes={}), scopes=every_level, **changes)

        def names(*stages):
            return [step.name.removeprefix("levels/00") for step in steps(*stages)]

        assert names(both("a"), both("b")) == ["0/a", "0/b", "1/a", "1/b"]
        barrier = both("a", level_by_level=lambda context: False)
        assert names(barrier, both("b"), both("c")) == ["0/a", "1/a", "0/b", "0/c", "1/b", "1/c"]

    def test_a_stage_gets_the_last_version_before_it(self, tmp_path):
        """A stage in between needs nothing but its own file and a line in the list."""
        first = stage("first")
        tidy = replace(stage("tidy", ["first"]), writes={"text": entry("first").version("tidy")})
        run(steps(first, stage("before", ["first"]), tidy, stage("after", ["first"])), Folder(tmp_path))
        assert "tidy" not in (tmp_path / "before.txt").read_text()
        assert "tidy" in (tmp_path / "after.txt").read_text()
        assert (tmp_path / "first.tidy.txt").exists()

    def test_of_coarser_levels_it_gets_what_a_later_stage_writes(self):
        points = Entry("points", "levels/{level:03d}/points", TEXT)
        parents = each(points, lambda context, scope: range(scope.first))
        look = replace(stage("look", writes={}), reads={"parents": parents}, scopes=every_level)
        make = replace(stage("make"), writes={"points": points}, scopes=every_level)
        found = {step.name: step.needs for step in steps(look, make)}
        assert found["levels/001/look"] == ["levels/000/make"]
