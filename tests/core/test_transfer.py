"""Chunks that travel: packed and hashed, attached to frames, put together to a file, whatever the other side sends."""

import hashlib
import os
import zlib

import numpy as np
import pytest
from frames import read_all

from core.errors import RefusedFile
from core.protocol import error_codes, framing
from core.safety import limits
from core.transfer import packing
from core.transfer.packing import Packer, unpack
from core.transfer.partial import PartialFile

HEADER = (
    b"ply\nformat binary_little_endian 1.0\ncomment up Z\nelement vertex 8000\nproperty float x\nproperty uchar red\n"
    b"property double t\nend_header\n"
)


def table(rows=8000):
    found = np.zeros(rows, [("x", "<f4"), ("red", "u1"), ("t", "<f8")])
    found["x"], found["t"] = np.random.default_rng(1).normal(size=(2, rows))
    return found.tobytes()


def sha256(data):
    return hashlib.sha256(data).hexdigest()


class TestPacking:
    @pytest.mark.parametrize("known", [*packing.known(), "unknown", packing.PLAIN])
    @pytest.mark.parametrize("chunk", [b"", b"x", table()[:100_003], bytes(300_000), os.urandom(5000)])
    def test_a_chunk_comes_back_as_it_was(self, known, chunk):
        packed = Packer("splats.ply", known, HEADER).pack(chunk)
        assert unpack(packed.data, packed.fields()) == chunk
        assert len(packed.data) <= max(len(chunk), 1)

    def test_rows_of_a_ply_are_known_and_pack_better(self):
        assert packing.row_bytes(HEADER) == 13
        turned, straight = (Packer("a.ply", "zlib", start).pack(table()) for start in (HEADER, b""))
        assert len(turned.data) < 0.95 * len(straight.data if straight.packing else table())

    @pytest.mark.parametrize("start", [b"", b"ply", b"ply\nend_header", HEADER.replace(b"8000", b"0"), b"PK\x03\x04"])
    def test_anything_else_has_no_rows(self, start):
        assert packing.row_bytes(start) == 1

    def test_what_is_dense_or_does_not_pack_is_sent_as_it_is(self):
        assert Packer("photo.JPG", "zlib").pack(bytes(1000)).packing == packing.PLAIN
        packer = Packer("noise.exr", "zlib")
        assert [packer.pack(chunk).packing for chunk in (os.urandom(9000), bytes(9000))] == [packing.PLAIN] * 2

    @pytest.mark.parametrize(
        ("data", "fields"),
        [
            (zlib.compress(bytes(100_000_000)), {"packing": "zlib", "size": 1000}),
            (b"abc", {"size": limits.CHUNK_BYTES + 1}),
            (b"abc", {"size": -1}),
            (b"abc", {"size": True}),
            (b"abc", {"size": "3"}),
            (b"abc", {"size": 3, "stride": 0}),
            (b"abc", {"size": 3, "stride": 1 << 40}),
            (b"abc", {"size": 3, "packing": "lzma"}),
            (b"abc", {"size": 3, "packing": ["zlib"]}),
            (b"abc", {"size": 3, "packing": "zlib"}),
            (b"abc", {"size": 3, "packing": "zstd"}),
            (b"abc", {"size": 2}),
            (b"abc", {}),
        ],
    )
    def test_what_can_not_be_is_refused_and_takes_no_memory(self, data, fields):
        with pytest.raises(RefusedFile):
            unpack(data, {"sha256": sha256(b"abc"), **fields})

    def test_a_flipped_bit_is_noticed(self):
        packed = Packer("a.bin", packing.PLAIN).pack(b"abcdef")
        with pytest.raises(RefusedFile, match="SHA-256"):
            unpack(b"abcdeg", packed.fields())


class TestAttachments:
    def test_bytes_of_any_kind_travel_with_a_message(self):
        data = bytes(range(256)) + b"Content-Length: 5\r\n\r\n{}"
        first, second = read_all(framing.encode({"id": 1}, data) + framing.encode({"id": 2}), limit=10_000)
        assert (first.attachment, second.attachment) == (data, b"")
        assert b'"id": 1' in first and first.endswith(b"}")

    @pytest.mark.parametrize("length", [b"6", b"9999999", b"99999999999999999"])
    def test_an_attachment_larger_than_its_frame_is_refused_and_the_next_frame_is_read(self, length):
        bad = b"Content-Length: 5\r\nAttachment-Length: " + length + b"\r\n\r\n"
        found = read_all(bad + framing.encode({"id": 2}))
        assert found[0] == error_codes.INVALID_REQUEST and b'"id": 2' in found[1]

    def test_one_above_the_limit_is_refused(self):
        count = limits.CHUNK_BYTES + 1
        bad = b"Content-Length: %d\r\nAttachment-Length: %d\r\n\r\n" % (count + 2, count)
        assert read_all(bad, limit=1 << 30) == [error_codes.INVALID_REQUEST]


class TestPartialFile:
    def test_it_goes_on_from_what_is_there_and_is_checked_as_a_whole(self, tmp_path):
        data = os.urandom(10_000)
        first = PartialFile(tmp_path / "part", sha256(data), len(data))
        first.add(0, data[:7000])
        first.close()
        second = PartialFile(tmp_path / "part", sha256(data), len(data))
        assert second.at == 7000
        second.add(7000, data[7000:])
        second.finish(tmp_path / "whole")
        assert (tmp_path / "whole").read_bytes() == data and not (tmp_path / "part").exists()
        if os.name != "nt":
            assert (tmp_path / "whole").stat().st_mode & 0o777 == 0o600

    def test_a_damaged_beginning_is_noticed_and_thrown_away(self, tmp_path):
        (tmp_path / "part").write_bytes(b"xx")
        (tmp_path / "whole").write_bytes(b"before")
        partial = PartialFile(tmp_path / "part", sha256(b"abcd"), 4)
        partial.add(2, b"cd")
        with pytest.raises(RefusedFile, match="arrived damaged"):
            partial.finish(tmp_path / "whole")
        assert (tmp_path / "whole").read_bytes() == b"before" and not (tmp_path / "part").exists()

    def test_more_than_the_whole_is_none_of_it(self, tmp_path):
        (tmp_path / "part").write_bytes(b"too long")
        assert PartialFile(tmp_path / "part", sha256(b"abcd"), 4).at == 0

    @pytest.mark.parametrize(("offset", "chunk"), [(1, b"a"), (-1, b"a"), (0, b"abcde")])
    def test_a_chunk_at_another_place_is_refused(self, tmp_path, offset, chunk):
        partial = PartialFile(tmp_path / "part", sha256(b"abcd"), 4)
        with pytest.raises(RefusedFile):
            partial.add(offset, chunk)
        partial.close()

    @pytest.mark.parametrize("kind", ["link", "pipe"])
    def test_a_link_or_pipe_in_its_place_is_not_written_to(self, tmp_path, kind):
        if os.name == "nt":
            pytest.skip("Windows has no such pipes, and asks for rights to make links")
        if kind == "link":
            (tmp_path / "outside").write_bytes(b"")
            (tmp_path / "part").symlink_to(tmp_path / "outside")
        else:
            os.mkfifo(tmp_path / "part")
        with pytest.raises((RefusedFile, OSError)):
            PartialFile(tmp_path / "part", sha256(b"abcd"), 4).add(0, b"abcd")
        assert kind == "pipe" or not (tmp_path / "outside").read_bytes()
