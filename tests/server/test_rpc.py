"""The server's end of the protocol: messages from many threads, and what is a request."""

import json
import os
import threading

import pytest
from frames import frame, read_all
from hypothesis import given, settings
from hypothesis import strategies as st

from core.protocol import error_codes
from core.protocol.framing import FrameError, Reader
from dreamzoom.rpc.streams import Writer, parse


class TestReader:
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
            (b"{", error_codes.PARSE_ERROR),
            (b"\xff\xfe", error_codes.PARSE_ERROR),
            (b"[" * 100_000, error_codes.PARSE_ERROR),
            (b"[]", error_codes.INVALID_REQUEST),
            (b'{"id": 1, "method": "x"}', error_codes.INVALID_REQUEST),
            (b'{"jsonrpc": "2.0", "id": 1}', error_codes.INVALID_REQUEST),
            (b'{"jsonrpc": "2.0", "id": [1], "method": "x"}', error_codes.INVALID_REQUEST),
            (b'{"jsonrpc": "2.0", "id": 1, "method": "x", "params": [1]}', error_codes.INVALID_REQUEST),
        ],
    )
    def test_what_is_none(self, body, code):
        with pytest.raises(FrameError) as caught:
            parse(body)
        assert caught.value.code == code
