"""Framing: whatever arrives, the reader finds the next frame, and says at once what is none."""

import json
import os
import time

import pytest
from frames import frame, read_all

from core.protocol import error_codes, framing
from core.protocol.framing import FrameError, Reader


class TestReader:
    def test_frames_in_a_row(self):
        assert read_all(frame(b"one") + frame(b"") + frame("zwei é".encode())) == [b"one", b"", "zwei é".encode()]

    def test_other_headers_and_plain_newlines(self):
        assert read_all(b"content-length: 2\r\nContent-Type: x; charset=utf-8\r\n\r\nab") == [b"ab"]
        assert read_all(b"Content-Length: 2\n\nab") == [b"ab"]
        assert read_all(frame(b"{}") + b"content-length:3\r\nX: y\r\n\r\n[1]") == [b"{}", b"[1]"]

    def test_garbage_is_told_once_and_skipped(self):
        welcome = b"Welcome to gpu-box!\r\n" * 3
        assert read_all(welcome + frame(b"one") + b"??" + frame(b"two")) == [
            error_codes.PARSE_ERROR,
            b"one",
            error_codes.PARSE_ERROR,
            b"two",
        ]

    def test_a_flood_of_garbage_takes_no_memory_and_gives_one_answer(self):
        assert read_all(os.urandom(3_000_000).replace(b"C", b"c") + frame(b"one")) == [error_codes.PARSE_ERROR, b"one"]

    def test_a_frame_that_is_too_large_is_refused_and_the_next_is_read(self):
        assert read_all(frame(b"x" * 5000) + frame(b"one")) == [error_codes.INVALID_REQUEST, b"one"]

    def test_a_length_that_lies_swallows_nothing(self):
        assert read_all(b"Content-Length: 99999999999\r\n\r\n" + frame(b"one")) == [error_codes.INVALID_REQUEST, b"one"]

    @pytest.mark.parametrize("length", [b"-5", b"abc", b"", b"1e3", b"9" * 30])
    def test_a_length_that_is_no_number(self, length):
        assert read_all(b"Content-Length: " + length + b"\r\n\r\n" + frame(b"one")) == [error_codes.PARSE_ERROR, b"one"]

    def test_input_that_ends_within_a_frame_is_the_end(self):
        assert read_all(b"Content-Length: 10\r\n\r\nabc") == ["cut off"]

    @pytest.mark.parametrize("piece", [1, 2, 7])
    def test_it_does_not_matter_in_what_pieces_it_comes(self, piece):
        data = frame(b"one") + b"what?" + frame(b"two") + b"Content-Length: 2\r\nX: y\r\n\r\n{}"
        assert read_all(data, piece=piece) == [b"one", error_codes.PARSE_ERROR, b"two", b"{}"]

    @pytest.mark.parametrize(
        "data",
        [
            b"hello\n\n",
            b"Content-Length: -1\r\n\r\n",
            b"Content-Length: 99999999999\r\n\r\n",
            b"Content-Length: x\r\n\r\n",
            b"Content-Length: 5\r\n\r\n{}",
            b"Content-Length: 5",
            b"x" * 2000,
        ],
    )
    def test_damage_never_passes_for_the_end(self, data):
        found = read_all(data)
        assert len(found) in (1, 2)
        assert found[0] in (error_codes.PARSE_ERROR, error_codes.INVALID_REQUEST, "cut off")

    def test_garbage_is_told_while_more_may_come(self):
        source, sink = os.pipe()
        os.write(sink, b"hello\n")
        with pytest.raises(FrameError):
            Reader(source).read()
        os.close(source)
        os.close(sink)


class TestCraftedInput:
    """A megabyte of each, which would take minutes if time grew with the square of the size."""

    @pytest.mark.parametrize(
        "piece",
        [
            b"Content-Length: 1\r\n",
            b"Content-Length: 1\n",
            b"Content-Length:",
            b"Content-Length: 1\nA: content-length: 1\nB:\n",
            b"Content-Length: 1\n" + b"a:\n" * 50,
            b"Content-Length: 1\n" + b"a" * 300,
            b"a:\n",
            b"\r",
            b" ",
            b"\n",
        ],
    )
    def test_takes_time_in_proportion_to_its_size(self, piece):
        began = time.monotonic()
        found = read_all(piece * (1_000_000 // len(piece)) + frame(b"one"))
        assert time.monotonic() - began < 30
        assert found[-1] == b"one" and len(found) <= 2

    def test_a_second_length_begins_another_header(self):
        assert read_all(b"Content-Length: 9\r\nX: y\r\n" + frame(b"one")) == [error_codes.PARSE_ERROR, b"one"]


class TestEncode:
    def test_a_reader_finds_what_was_encoded_whatever_the_text(self):
        message = {"id": 3, "method": "log", "params": {"text": "é\ud83d\n"}}
        (body,) = read_all(framing.encode(message))
        assert json.loads(body) == {"jsonrpc": "2.0"} | message

    def test_what_json_lacks_is_refused(self):
        with pytest.raises(ValueError):
            framing.encode({"params": {"zoom": float("nan")}})
