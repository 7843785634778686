"""Requests: good ones pass, bad ones are refused in one line that names the field."""

import json

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import BadRequest
from dreamzoom.request import validation
from dreamzoom.request.example import example


def refusal(raw):
    with pytest.raises(BadRequest) as caught:
        validation.decode_request(raw if isinstance(raw, bytes) else json.dumps(raw).encode())
    return str(caught.value)


class TestExample:
    @pytest.mark.parametrize("levels", [1, 2, 6, 64])
    def test_is_a_request_and_fits_its_schema(self, levels):
        raw = example(levels, (640, 360), 2.5)
        request = validation.decode_request(json.dumps(raw).encode())
        assert len(request.levels) == levels
        jsonschema.validate(raw, validation.request_schema())

    def test_sees_the_focus_in_the_middle_at_every_moment(self):
        for key in validation.convert_request(example(3, (640, 360))).path().keys:
            pixel, depth = key.camera.project([0, 0, 0])
            assert pixel == pytest.approx((320, 180), abs=1e-3)
            assert depth == pytest.approx(3, abs=1e-6)

    def test_levels_may_have_keys(self):
        raw = example(2)
        raw["levels"][1]["key"] = 2**31 - 1
        assert [level.key for level in validation.convert_request(raw).levels] == [0, 2**31 - 1]
        for key in (-1, 2**31, "a", 1.5):
            raw["levels"][1]["key"] = key
            assert "levels[1].key" in refusal(raw)

    def test_survives_a_round_trip(self):
        request = validation.convert_request(example(4))
        again = validation.decode_request(validation.encode_request(request))
        assert again == request
        assert validation.encode_request(again) == validation.encode_request(request)


class TestRefusals:
    def test_name_the_field_in_one_line(self, bad_request):
        raw, field = bad_request
        text = refusal(raw)
        assert text.startswith(field)
        assert text.isprintable()
        assert len(text) < 250

    @pytest.mark.parametrize(
        ("path", "value", "text"),
        [
            ("levels", [{"prompt": "x"}] * 65, "levels: must be a list of 1 to 64 entries; got a list of 65"),
            ("seed", -1, "seed: must be a whole number from 0 to 4294967295; got -1"),
            ("seed", "x", "seed: must be a whole number from 0 to 4294967295; got 'x'"),
            ("quality", "best", "quality: must be one of draft, final, preview; got 'best'"),
            ("zoom_factor", 1.0, "zoom_factor: must be a number from 1.25 to 16; got 1.0"),
            ("levels", None, "levels: must be a list of 1 to 64 entries; got null"),
            ("extra", 1, "extra: is not a field that is known here; remove it"),
            (
                "levels",
                [{"prompt": "x" * 100_000}],
                "levels[0].prompt: must be text of at most 4000 characters; got text of 100000 characters",
            ),
        ],
    )
    def test_say_what_it_must_be_and_what_it_was(self, path, value, text):
        assert refusal(example() | {path: value}) == text

    @pytest.mark.parametrize(
        ("data", "text"),
        [
            (b'{"version": 1,\n "seed": ', "request: must be valid JSON; Expecting value at line 2, column 10"),
            (b"", "request: must be valid JSON; Expecting value at line 1, column 1"),
            (b'{"seed": "\xff"}', "request: must be valid JSON in UTF-8"),
            (b"[" * 100_000, "request: must be valid JSON; it is nested too deeply"),
            (b'{"a": ' + b"[" * 800 + b"NaN" + b"]" * 800 + b"}", "a[0][0]"),
            (b'{"seed": ' + b"9" * 5000 + b"}", "request: must be valid JSON"),
        ],
    )
    def test_of_broken_json_say_where(self, data, text):
        assert refusal(data).startswith(text)

    def test_of_too_much(self):
        assert "at most 64 MB" in refusal(b" " * (validation.MAX_REQUEST_BYTES + 1))

    def test_a_byte_order_mark_is_no_mistake(self):
        assert validation.decode_request(b"\xef\xbb\xbf" + json.dumps(example()).encode()).seed == 1

    @settings(max_examples=150, deadline=None)
    @given(st.data())
    def test_any_change_is_accepted_or_refused_by_name(self, data):
        """Whatever stands at any place of a request: a request comes out, or a BadRequest, never another error."""
        raw = example(2, (64, 48))
        raw["cameras"] = raw["cameras"][:2]
        holder = raw
        while True:
            key = data.draw(st.sampled_from(list(holder) if isinstance(holder, dict) else list(range(len(holder)))))
            if not isinstance(holder[key], (dict, list)) or data.draw(st.booleans()):
                break
            holder = holder[key]
        scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.just(10**400)
        holder[key] = data.draw(scalars | st.lists(scalars, max_size=5) | st.dictionaries(st.text(max_size=5), scalars))
        try:
            request = validation.convert_request(raw)
        except BadRequest as error:
            assert error.field  # noqa: PT017
            assert str(error).isprintable()
        else:
            validation.decode_request(validation.encode_request(request))
            assert request.path().levels == len(request.levels)


class TestPresets:
    PRESETS = ["straight", "rotate360", "lookaround", "lookdown", "back_and_forth", "llff", "headbanging"]

    @pytest.mark.parametrize("name", PRESETS)
    def test_a_preset_stands_for_cameras(self, name):
        found = validation.convert_request({"levels": [{"prompt": "a"}, {"prompt": "b"}], "preset": name})
        path = found.path()
        assert [key.frame for key in path.keys] == sorted(key.frame for key in path.keys)
        assert {key.camera.width for key in path.keys} == {found.width}
        assert validation.convert_request(json.loads(validation.encode_request(found))) == found

    def test_one_of_both_is_needed(self):
        with pytest.raises(BadRequest, match="^cameras: .*preset"):
            validation.convert_request({"levels": [{"prompt": "a"}]})

    def test_not_both(self):
        key = {"frame": 1, "zoom": 0.0, "fx": 500.0, "fy": 500.0, "cx": 256.0, "cy": 256.0}
        pose = [[1.0, 0, 0, 0], [0, 1.0, 0, 0], [0, 0, 1.0, 0], [0, 0, 0, 1.0]]
        with pytest.raises(BadRequest, match="^preset: "):
            validation.convert_request(
                {"levels": [{"prompt": "a"}], "preset": "llff", "cameras": [key | {"camera_to_gauge": pose}]}
            )
