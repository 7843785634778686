"""Framing: whatever arrives, the reader finds the next frame."""

import json
import os
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dreamzoom import rpc
from dreamzoom.rpc import FrameError, Reader, Writer, parse


def read_all(data, limit=1000):
    """What a reader makes of these bytes: bodies, and the codes of errors."""
    source, sink = os.pipe()

    def feed():
        view = memoryview(data)
        while view:
            view = view[os.write(sink, view) :]
        os.close(sink)

    feeder = threading.Thread(target=feed)
    feeder.start()
    reader, found = Reader(source, limit), []
    while True:
        try:
            body = reader.read()
        except FrameError as error:
            found.append(error.code)
            continue
        if body is None:
            break
        found.append(body)
    feeder.join()
    os.close(source)
    return found


def frame(body):
    return b"Content-Length: %d\r\n\r\n" % len(body) + body


class TestReader:
    def test_frames_in_a_row(self):
        assert read_all(frame(b"one") + frame(b"") + frame("zwei é".encode())) == [b"one", b"", "zwei é".encode()]

    def test_other_headers_and_plain_newlines(self):
        assert read_all(b"content-length: 2\r\nContent-Type: x; charset=utf-8\r\n\r\nab") == [b"ab"]
        assert read_all(b"Content-Length: 2\n\nab") == [b"ab"]

    def test_garbage_is_told_once_and_skipped(self):
        welcome = b"Welcome to gpu-box!\r\n" * 3
        assert read_all(welcome + frame(b"one") + b"??" + frame(b"two")) == [
            rpc.PARSE_ERROR,
            b"one",
            rpc.PARSE_ERROR,
            b"two",
        ]

    def test_a_flood_of_garbage_takes_no_memory_and_gives_one_answer(self):
        assert read_all(os.urandom(3_000_000).replace(b"C", b"c") + frame(b"one")) == [rpc.PARSE_ERROR, b"one"]

    def test_a_frame_that_is_too_large_is_refused_and_the_next_is_read(self):
        assert read_all(frame(b"x" * 5000) + frame(b"one")) == [rpc.INVALID_REQUEST, b"one"]

    def test_a_length_that_lies_swallows_nothing(self):
        assert read_all(b"Content-Length: 99999999999\r\n\r\n" + frame(b"one")) == [rpc.INVALID_REQUEST, b"one"]

    @pytest.mark.parametrize("length", [b"-5", b"abc", b"", b"1e3", b"9" * 30])
    def test_a_length_that_is_no_number(self, length):
        assert read_all(b"Content-Length: " + length + b"\r\n\r\n" + frame(b"one")) == [rpc.PARSE_ERROR, b"one"]

    def test_input_that_ends_within_a_frame_is_the_end(self):
        assert read_all(b"Content-Length: 10\r\n\r\nabc") == []

    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.binary(max_size=40).filter(lambda b: b"ontent" not in b.lower()), max_size=6))
    def test_frames_are_found_between_anything(self, pieces):
        data = b"".join(piece + b"\r\n" + frame(b"%d" % index) for index, piece in enumerate(pieces))
        bodies = [item for item in read_all(data) if isinstance(item, bytes)]
        assert bodies == [b"%d" % index for index in range(len(pieces))]


class TestWriter:
    def test_frames_from_many_threads_stay_whole(self):
        source, sink = os.pipe()
        writer = Writer(sink)

        def tell(name):
            for index in range(50):
                writer.notify("log", {"name": name, "index": index, "text": "é\ud83d" * 200})

        threads = [threading.Thread(target=tell, args=(name,)) for name in "abcd"]
        for thread in threads:
            thread.start()
        reader = Reader(source)
        messages = [json.loads(reader.read()) for _ in range(200)]
        for thread in threads:
            thread.join()
        for name in "abcd":
            own = [message["params"]["index"] for message in messages if message["params"]["name"] == name]
            assert own == list(range(50))
        os.close(source)
        os.close(sink)


class TestParse:
    def test_a_request(self):
        assert parse(b'{"jsonrpc": "2.0", "id": 3, "method": "cancel", "params": {"id": 2}}') == (
            3,
            "cancel",
            {"id": 2},
        )
        assert parse(b'{"jsonrpc": "2.0", "method": "x"}') == (None, "x", {})

    @pytest.mark.parametrize(
        ("body", "code"),
        [
            (b"{", rpc.PARSE_ERROR),
            (b"\xff\xfe", rpc.PARSE_ERROR),
            (b"[" * 100_000, rpc.PARSE_ERROR),
            (b"[]", rpc.INVALID_REQUEST),
            (b'{"id": 1, "method": "x"}', rpc.INVALID_REQUEST),
            (b'{"jsonrpc": "2.0", "id": 1}', rpc.INVALID_REQUEST),
            (b'{"jsonrpc": "2.0", "id": [1], "method": "x"}', rpc.INVALID_REQUEST),
            (b'{"jsonrpc": "2.0", "id": 1, "method": "x", "params": [1]}', rpc.INVALID_REQUEST),
        ],
    )
    def test_what_is_none(self, body, code):
        with pytest.raises(FrameError) as caught:
            parse(body)
        assert caught.value.code == code
