"""Weights in prompts mean the same to every engine, and are never read as words."""

import json

import models
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core.protocol import prompt_weights
from dreamzoom.engines import registry
from dreamzoom.engines.procedural import parameters as R
from dreamzoom.engines.procedural import vocabulary
from dreamzoom.engines.spectral import _style
from dreamzoom.pipeline.events import Sink
from dreamzoom.pipeline.folder import Folder
from dreamzoom.pipeline.generate import begin
from dreamzoom.progress import Report
from dreamzoom.request import validation
from dreamzoom.request.example import example

WRITTEN = [
    ("a red rock", [("a", 1), ("red", 1), ("rock", 1)]),
    ("a (red:1.3) rock", [("a", 1), ("red", 1.3), ("rock", 1)]),
    ("a (red rock)", [("a", 1), ("red", 1.1), ("rock", 1.1)]),
    ("((red)) [rock]", [("red", 1.21), ("rock", 1 / 1.1)]),
    ("[[red]]", [("red", 1 / 1.21)]),
    ("(a (red:2) rock:0.5)", [("a", 0.5), ("red", 1), ("rock", 0.5)]),
    ("( red : .5 )", [("red", 0.5)]),
    (r"red \(rock\) \\", [("red", 1), ("(rock)", 1), ("\\", 1)]),
    (r"(red \(rock\):1.5)", [("red", 1.5), ("(rock)", 1.5)]),
    ("(red rock", [("red", 1), ("rock", 1)]),
    ("red) rock]", [("red", 1), ("rock", 1)]),
    ("red <lora:paint:0.8> rock", [("red", 1), ("rock", 1)]),
    ("at 12:30, ratio 16:9", [("at", 1), ("12:30,", 1), ("ratio", 1), ("16:9", 1)]),
    ("(red:-2) (rock:1e9)", [("red", 0), ("rock:1e9", 1.1)]),
    ("", []),
]


class TestParse:
    @pytest.mark.parametrize(("prompt", "words"), WRITTEN)
    def test_words_and_their_weights(self, prompt, words):
        found = prompt_weights.parse(prompt).words()
        assert [word for word, _ in found] == [word for word, _ in words]
        assert [weight for _, weight in found] == pytest.approx([weight for _, weight in words], abs=1e-5)

    @given(st.text(alphabet="()[]:\\<lora>1.3 ab", max_size=60))
    def test_any_text_is_read(self, prompt):
        found = prompt_weights.parse(prompt)
        assert len(found.text) == len(found.weights)
        assert all(0 <= weight <= 10 for weight in found.weights)

    def test_plain_text_stays_as_it_is(self):
        assert prompt_weights.plain("a  red: rock, 1.3") == "a  red: rock, 1.3"

    def test_tags_are_named(self):
        (note,) = prompt_weights.notes(["rock", "leaf <lora:paint:0.8> <lyco: moss >"])
        assert "level 1" in note and "<paint>" in note and "<moss>" in note


class TestProcedural:
    def test_a_weight_is_no_word(self):
        plain, weighted = (vocabulary.recipes_of(text, 3) for text in ("a zorblax meadow", "a (zorblax:1.3) (meadow)"))
        assert all(np.array_equal(a, b) for a, b in zip(plain, weighted))

    def test_the_heaviest_style_covers_the_level(self):
        rows, _ = vocabulary.recipes_of("a forest between (mountains:1.4)", 1)
        assert [R.STYLES[int(row[R.STYLE])] for row in rows] == ["mountains", "forest"]

    def test_adjectives_count_by_weight_and_not_at_all_by_zero(self):
        snow = [
            vocabulary.recipes_of(text, 1)[0][0, R.SNOW]
            for text in ("(snowy:0) rock", "(snowy:0.5) rock", "snowy rock", "(snowy:9) rock")
        ]
        assert snow == pytest.approx([0, 0.45, 0.9, 1])

    def test_colour_words_colour_by_weight(self):
        red = [
            vocabulary.recipes_of(text, 1)[0][0, R.COLOURS : R.COLOURS + 15].reshape(5, 3)
            for text in ("[[[[[red]]]]] rock", "red rock", "(red:1.3) rock")
        ]
        excess = [float((row[:, 0] - row[:, 2]).mean()) for row in red]
        assert excess == sorted(excess) and excess[0] < excess[2] and all((row >= 0).all() for row in red)


class TestSpectral:
    def test_weights_mix_the_palettes(self):
        forest, ocean_, mixed = (_style(text, 0.1)[0] for text in ("forest", "crystal", "(forest:3) crystal"))
        towards = torch.linalg.vector_norm(mixed - forest) / torch.linalg.vector_norm(mixed - ocean_)
        assert towards < 0.6

    def test_a_weight_is_no_word(self):
        assert all(
            torch.equal(torch.as_tensor(a), torch.as_tensor(b))
            for a, b in zip(_style("a leaf", 0.1), _style("a (leaf:1.3)", 0.1))
        )


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    made = models.stable_diffusion(folder / "sd"), models.depth_anything(folder / "depth")
    request = example(2, (64, 64)) | {
        "engine": {"name": "diffusion", "model": str(made[0]), "depth_model": str(made[1])}
    }
    return registry.make(validation.convert_request(request)).painter(Report()).encoder


class TestDiffusion:
    def test_a_weighted_token_moves_from_the_empty_text_s_and_no_other(self, encoder):
        plain, weighted, empty = (encoder.read(text)[0] for text in ("red rock sea", "red (rock:1.5) sea", ""))
        first, last = (encoder.read(text)[0] for text in ("red", "red rock"))
        tokenizer = encoder.pipe.tokenizer
        start = 1 + len(tokenizer("red", add_special_tokens=False).input_ids)
        stop = 1 + len(tokenizer("red rock", add_special_tokens=False).input_ids)
        assert first.shape == last.shape == plain.shape
        expected = plain.clone()
        expected[:, start:stop] = empty[:, start:stop] + 1.5 * (plain - empty)[:, start:stop]
        assert torch.allclose(weighted, expected, atol=1e-6)

    def test_weight_1_and_brackets_that_cancel_change_nothing(self, encoder):
        assert torch.equal(encoder.read("red (rock:1.0)")[0], encoder.read("red rock")[0])
        assert torch.equal(encoder.read(r"red <lora:x:1>rock")[0], encoder.read("red  rock")[0])

    def test_long_prompts_are_weighted_in_every_piece(self, encoder):
        text = " ".join(f"word{n}" for n in range(80))
        plain, weighted = encoder.read(text)[0], encoder.read(f"({text}:0.5)")[0]
        assert plain.shape == weighted.shape and plain.shape[1] > 77
        assert all((a != b).any() for a, b in zip(plain.split(77, 1), weighted.split(77, 1)))

    def test_families_that_take_words_get_words(self, encoder):
        from dataclasses import replace

        from dreamzoom.engines.diffusion.prompt_encoding import PromptEncoder

        words = PromptEncoder(encoder.pipe, replace(encoder.family, prompts="negative"), style="(oil:1.2)")
        found = words.for_painter((("a (red:1.3) rock", 1.0),), "[blur]", True)
        assert (found["prompt"], found["negative_prompt"]) == ("a red rock, oil", "blur")
        assert words.ignores_weights("(red:1.3)") and not words.ignores_weights("red")


def test_what_is_left_out_is_logged(tmp_path):
    logged = []

    class Listening(Sink):
        def log(self, message, level):
            logged.append((message, level))

    request = example(1, (32, 32))
    request["levels"][0]["prompt"] = "rock <lora:paint:0.8>"
    with begin(validation.decode_request(json.dumps(request).encode()), Folder(tmp_path / "job"), Listening()):
        pass
    assert any("<paint>" in message and level == "warning" for message, level in logged)
