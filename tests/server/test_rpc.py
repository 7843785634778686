"""The server's end of the protocol: messages from many threads, and what is a request."""

import json
import os
import threading

import pytest
from frames import frame, read_all
from hypothesis import given, settings
from hypothesis import strategies as st

from core.protocol import error_codes
from core.protocol.framing import Reader
from dreamzoom.rpc.requests import Refused, parse
from dreamzoom.rpc.streams import Writer


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


class TestUnreadOutput:
    def test_nobody_waits_and_answers_and_the_latest_progress_are_kept(self):
        source, sink = os.pipe()
        writer = Writer(sink)
        for index in range(20_000):
            writer.notify("progress", {"id": 1, "fraction": index / 20_000, "filler": "x" * 1000})
        for _ in range(8000):
            writer.notify("log", {"id": 1, "message": "x" * 1000})
        writer.result(1, "done")
        reader = Reader(source)
        told = [json.loads(reader.read())]
        while "id" not in told[-1]:
            told.append(json.loads(reader.read()))
        progress = [message["params"]["fraction"] for message in told if message.get("method") == "progress"]
        assert progress[-1] == 19_999 / 20_000
        assert len(told) < 5000
        assert writer.flush(5)
        os.close(source)
        os.close(sink)


class TestParse:
    def test_a_request(self):
        call = parse(b'{"jsonrpc": "2.0", "id": 3, "method": "cancel", "params": {"id": 2}}')
        assert (call.identity, call.method, call.params, call.is_notification) == (3, "cancel", b'{"id": 2}', False)
        call = parse(b'{"jsonrpc": "2.0", "method": "x"}')
        assert (call.identity, call.method, call.params, call.is_notification) == (None, "x", b"{}", True)

    @pytest.mark.parametrize("identity", [0, -5, 2**63 - 1, "", "a b", "\u5c71", None])
    def test_an_id(self, identity):
        call = parse(json.dumps({"jsonrpc": "2.0", "id": identity, "method": "x"}).encode())
        assert (call.identity, call.is_notification) == (identity, False)

    @pytest.mark.parametrize(
        ("body", "code", "identity"),
        [
            (b"", error_codes.PARSE_ERROR, None),
            (b"{", error_codes.PARSE_ERROR, None),
            (b"\xff\xfe", error_codes.PARSE_ERROR, None),
            (b"{}" + b" x", error_codes.PARSE_ERROR, None),
            (b'{"a":' * 100_000, error_codes.PARSE_ERROR, None),
            (b"[" * 100_000, error_codes.PARSE_ERROR, None),
            (b"[]", error_codes.INVALID_REQUEST, None),
            (b'[{"jsonrpc": "2.0", "id": 1, "method": "x"}]', error_codes.INVALID_REQUEST, None),
            (b"7", error_codes.INVALID_REQUEST, None),
            (b'{"id": 1, "method": "x"}', error_codes.INVALID_REQUEST, 1),
            (b'{"jsonrpc": 2.0, "id": "a", "method": "x"}', error_codes.INVALID_REQUEST, "a"),
            (b'{"jsonrpc": "2.0", "id": 1}', error_codes.INVALID_REQUEST, 1),
            (b'{"jsonrpc": "2.0", "id": 1, "method": 5}', error_codes.INVALID_REQUEST, 1),
            (b'{"jsonrpc": "2.0", "id": 1, "method": "x", "params": [1]}', error_codes.INVALID_REQUEST, 1),
            (b'{"jsonrpc": "2.0", "id": 1, "method": "x", "params": null}', error_codes.INVALID_REQUEST, 1),
            (b'{"jsonrpc": "2.0", "id": [1], "method": "x"}', error_codes.INVALID_REQUEST, None),
            (b'{"jsonrpc": "2.0", "id": {}, "method": "x"}', error_codes.INVALID_REQUEST, None),
            (b'{"jsonrpc": "2.0", "id": true, "method": "x"}', error_codes.INVALID_REQUEST, None),
            (b'{"jsonrpc": "2.0", "id": 1.5, "method": "x"}', error_codes.INVALID_REQUEST, None),
            (b'{"jsonrpc": "2.0", "id": 1e400, "method": "x"}', error_codes.INVALID_REQUEST, None),
            (b'{"jsonrpc": "2.0", "id": 9223372036854775808, "method": "x"}', error_codes.INVALID_REQUEST, None),
            (b'{"jsonrpc": "2.0", "id": "%s", "method": "x"}' % (b"x" * 201), error_codes.INVALID_REQUEST, None),
        ],
    )
    def test_what_is_none(self, body, code, identity):
        with pytest.raises(Refused) as caught:
            parse(body)
        assert (caught.value.code, caught.value.identity) == (code, identity)

    def test_of_too_many_values_is_refused_by_its_id_without_being_decoded(self):
        body = b'{"jsonrpc": "2.0", "id": 5, "method": "generate", "params": {"request": [' + b"[]," * 5_000_000
        with pytest.raises(Refused) as caught:
            parse(body + b"1]}}")
        assert caught.value.identity == 5
