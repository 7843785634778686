"""Limits, bounded JSON, and doors: what is not a plain file within limits inside its folder is refused by name."""

import io
import json
import os
import socket
import struct
import sys
import time
import zipfile
from pathlib import Path

import pytest

from core.errors import DreamzoomError, RefusedFile
from core.safety import bounded_arrays, bounded_json, bounded_zip, contained, limits, regular_files

posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no such files")


def decode(text, **options):
    return bounded_json.decode_json(text if isinstance(text, bytes) else text.encode(), "x.json", 64 << 20, **options)


class TestJson:
    @pytest.mark.parametrize(
        "value",
        [{}, [], 1, 'é \\ " [[[[ {{ ,,,', {"a\\": ["\\\\", '\\"', '\\\\\\"'], "b": [1.5, -0.0, None, True]}],
    )
    def test_what_is_within_the_limits_is_decoded(self, value):
        assert decode(json.dumps(value), depth=3, values=20) == value
        assert decode(json.dumps(value, ensure_ascii=False), depth=3) == value

    @pytest.mark.parametrize("count", [65, 1000, 100_000, 3_000_000])
    @pytest.mark.parametrize("opening", ["[", '{"a":'])
    def test_deep_nesting_is_refused_at_once(self, count, opening):
        began = time.monotonic()
        with pytest.raises(RefusedFile, match=r"x\.json is nested too deeply"):
            decode(opening * count)
        assert time.monotonic() - began < 60

    def test_depth_is_counted_across_chunks_and_not_inside_text(self):
        far = "1" + " " * (3 << 20)
        assert decode(f'[{far}, "{"[" * 500}", [2]]') == [1, "[" * 500, [2]]
        with pytest.raises(RefusedFile, match="deeply"):
            decode("[" * 40 + " " * (2 << 20) + "[" * 40)
        with pytest.raises(RefusedFile, match="deeply"):
            decode(f'["{"x" * (2 << 20)}", {"[" * 70}')

    def test_many_values_are_refused_before_they_are_made(self):
        began = time.monotonic()
        with pytest.raises(RefusedFile, match="too many values"):
            decode(b"[" + b"[]," * 20_000_000)
        assert time.monotonic() - began < 60

    @pytest.mark.parametrize(
        "text",
        ["", "{", "[1,]", "NaN", "[Infinity]", "[1e999]", b"\xff\xfe[\0]\0", b"[\0", b'"\xff"', "9" * 5000, '"\\'],
    )
    def test_what_is_no_json_is_refused(self, text):
        with pytest.raises(RefusedFile, match=r"x\.json is not valid JSON"):
            decode(text)

    def test_escapes_are_left_out_across_chunks(self):
        for before in range(4):
            text = "x" * ((1 << 20) - 2 - before) + '\\\\\\" [[' * 3 + "\\\\"
            assert decode('["' + text + '", [1]]', depth=2) == [json.loads(f'"{text}"'), [1]]
        with pytest.raises(RefusedFile, match="deeply"):
            decode('["' + "\\\\" * (1 << 19) + '", ' + "[" * 70)

    def test_text_that_would_take_much_memory_is_refused(self):
        for text in ("x" * (17 << 20), "\\ud83d\\ude00" + "x" * (17 << 20)):
            with pytest.raises(RefusedFile, match="too much text"):
                decode(f'["{text}"]')
        numbers = "1.25," * (14 << 20) + "1"  # within the limits of size, but four bytes a character
        with pytest.raises(RefusedFile, match="too much text"):
            bounded_json.decode_json(f'["\U0001f600", {numbers}]'.encode(), "x.json", 96 << 20, values=1 << 30)

    def test_nan_is_let_through_where_the_caller_names_the_field(self):
        assert decode("[1e999]", finite=False) == [float("inf")]

    def test_size_is_checked_before_reading(self, tmp_path):
        path = tmp_path / "big.json"
        with path.open("wb") as file:
            file.truncate(5 << 40 if sys.platform == "linux" else 1 << 30)
        with pytest.raises(RefusedFile, match=r"big\.json has .* bytes; at most"):
            bounded_json.read_json(path, limits.RECORD_BYTES)

    def test_an_error_is_shown_to_users_and_counts_as_a_value_error(self):
        assert issubclass(RefusedFile, DreamzoomError) and issubclass(RefusedFile, ValueError)


class TestRegularFiles:
    @posix
    @pytest.mark.parametrize("kind", ["pipe", "folder", "link", "socket", "device"])
    @pytest.mark.parametrize("links", [True, False])
    def test_anything_else_is_refused_without_waiting(self, tmp_path, kind, links):
        path = tmp_path / "x"
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "folder":
            path.mkdir()
        elif kind == "link":
            path.symlink_to("/dev/zero")
        elif kind == "socket":
            here = Path.cwd()
            os.chdir(tmp_path)
            socket.socket(socket.AF_UNIX).bind("x")
            os.chdir(here)
        else:
            path = Path("/dev/zero")
        with pytest.raises(RefusedFile, match="is a "):
            regular_files.read_regular(path, 1000, links=links)

    def test_links_are_followed_where_they_may(self, tmp_path):
        (tmp_path / "a").write_bytes(b"abc")
        try:
            (tmp_path / "b").symlink_to(tmp_path / "a")
        except OSError:
            pytest.skip("this user may not make links")
        assert regular_files.read_regular(tmp_path / "b", 3, links=True) == b"abc"
        with pytest.raises(RefusedFile, match="link"):
            regular_files.read_regular(tmp_path / "b", 3)
        with pytest.raises(RefusedFile, match="at most 2"):
            regular_files.read_regular(tmp_path / "a", 2)
        with pytest.raises(FileNotFoundError):
            regular_files.read_regular(tmp_path / "c", 2)

    @pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
    def test_a_file_without_a_size_is_bounded_too(self):
        with pytest.raises(RefusedFile, match="grew"):
            regular_files.read_regular(Path("/proc/cpuinfo"), 10)


BAD_NAMES = [
    "", ".", "..", "../x", "a/../../x", "/etc/x", "C:/x", "c:x", "a\\..\\x", "\\\\host\\x", "a\0b", "con", "a/NUL.png",
    "com1", "aux.tar.gz", "a.", "a ", "a/b ./c", "x:stream", "a\nb", "x" * 2000, None, 3, "what?", "a|b",
]  # fmt: skip


class TestContained:
    @pytest.mark.parametrize("name", BAD_NAMES)
    def test_names_can_not_lead_out(self, tmp_path, name):
        assert not contained.is_contained(name)
        with pytest.raises(RefusedFile):
            contained.ContainedFolder(tmp_path).path(name)

    @pytest.mark.parametrize("name", ["a", "levels/000/image.png", ".lock", "Отпуск 山.png", "console", "nullable.txt"])
    def test_ordinary_names_may(self, tmp_path, name):
        assert contained.is_contained(name)
        assert contained.ContainedFolder(tmp_path).path(name) == tmp_path / name

    def test_a_long_name_leaves_room_for_a_prefix(self):
        plain = contained.plain_name("星" * 84 + ".png")
        assert len(plain.encode()) <= 120 and plain.endswith("星.png")

    @pytest.mark.parametrize("name", [*filter(lambda n: isinstance(n, str), BAD_NAMES), "\ud800", "a" * 300 + ".png"])
    def test_any_name_has_a_plain_form(self, name):
        plain = contained.plain_name(name)
        assert contained.is_contained(plain) and "/" not in plain and plain.encode()
        assert not name.endswith(".png") or plain.endswith(".png")

    @pytest.mark.parametrize("name", ["levels/000/none.png", "journal.jsonl"])
    def test_errors_of_the_system_name_the_whole_path(self, tmp_path, name):
        folder = contained.ContainedFolder(tmp_path)
        folder.make_parents(name)
        with pytest.raises(FileNotFoundError) as caught:
            folder.open(name)
        assert caught.value.filename == str(tmp_path / name)

    @posix
    @pytest.mark.parametrize("place", ["file", "folder", "deep"])
    def test_links_are_refused_at_every_place(self, tmp_path, place):
        outside, root = tmp_path / "outside", tmp_path / "job"
        (outside / "b").mkdir(parents=True)
        (outside / "b" / "x").write_bytes(b"secret")
        (root / "a" / "b").mkdir(parents=True) if place != "folder" else root.mkdir()
        if place == "file":
            (root / "a/b/x").symlink_to(outside / "b/x")
        elif place == "folder":
            (root / "a").symlink_to(outside)
        else:
            (root / "a/b").rmdir()
            (root / "a/b").symlink_to(outside / "b")
        folder = contained.ContainedFolder(root)
        for use in (
            folder.path,
            folder.open,
            folder.append_to,
            folder.make_parents,
            folder.remove,
            lambda name: folder.read(name, 100),
        ):
            with pytest.raises(RefusedFile, match="link"):
                use("a/b/x")
        assert not folder.exists("a/b/x")
        assert (outside / "b/x").read_bytes() == b"secret"

    @posix
    def test_pipes_and_folders_are_refused_and_nothing_waits(self, tmp_path):
        os.mkfifo(tmp_path / "pipe")
        (tmp_path / "folder").mkdir()
        folder = contained.ContainedFolder(tmp_path)
        for name in ("pipe", "folder"):
            for use in (folder.open, folder.append_to, folder.remove):
                with pytest.raises(RefusedFile, match=f"{name} is a {name}"):
                    use(name)
        with pytest.raises(RefusedFile, match="pipe"):
            folder.path("pipe/x")

    @posix
    def test_the_folder_itself_may_be_reached_through_a_link(self, tmp_path):
        (tmp_path / "real").mkdir()
        (tmp_path / "link").symlink_to(tmp_path / "real")
        folder = contained.ContainedFolder(tmp_path / "link")
        with folder.append_to("x") as file:
            file.write(b"abc")
        assert folder.read("x", 3) == b"abc" and folder.stat("x").st_size == 3
        assert folder.remove("x") and not folder.remove("x")

    @posix
    def test_what_is_made_is_for_its_user_alone(self, tmp_path):
        folder = contained.ContainedFolder(tmp_path)
        folder.make_parents("a/b/x")
        folder.append_to("a/b/x").close()
        modes = [(tmp_path / name).stat().st_mode & 0o777 for name in ("a", "a/b", "a/b/x")]
        assert modes == [0o700, 0o700, 0o600]

    def test_names_of_a_folder(self, tmp_path):
        (tmp_path / "a").mkdir()
        (tmp_path / "a/x").write_bytes(b"1")
        folder = contained.ContainedFolder(tmp_path)
        assert [name for name, _ in folder.names("a")] == ["x"]
        assert list(folder.names("none")) == []


def packed(count: int, name: str = "a.npy") -> bytes:
    """A zip with so many empty entries."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number in range(count):
            archive.writestr(f"{number}{name}", b"")
    return buffer.getvalue()


class TestZip:
    def opened(self, data, most=10):
        return bounded_zip.open_zip(io.BytesIO(data), "x.zip", most)

    def test_what_is_within_the_limits_is_opened(self):
        assert len(self.opened(packed(10)).infolist()) == 10
        assert self.opened(packed(1) + b"").testzip() is None

    def test_more_entries_are_refused(self):
        with pytest.raises(RefusedFile, match=r"x\.zip holds 11 files"):
            self.opened(packed(11))

    def test_a_directory_is_refused_before_it_is_read(self):
        data = packed(4000, "")
        with pytest.raises(RefusedFile, match="claims more files"):
            self.opened(data)

    @pytest.mark.parametrize("honest", ["both", "told", "before"])
    def test_of_two_records_of_its_size_the_larger_counts(self, honest):
        """Python takes the record before the locator, others the one that it tells."""

        def record(size):
            return struct.pack("<4sQHHLLQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, 1, 1, size, 0)

        small, large = record(50), record(1 << 40)
        told, before = {"both": (large, large), "told": (small, large), "before": (large, small)}[honest]
        end = struct.pack("<4sHHHHLLH", b"PK\5\6", 0, 0, 1, 1, 50, 0, 0)
        data = told + before + struct.pack("<4sLQL", b"PK\6\7", 0, 0, 1) + end
        with pytest.raises(RefusedFile, match="claims more files"):
            self.opened(data)

    @pytest.mark.parametrize("data", [b"", b"PK\3\4", b"PK\5\6", packed(2)[:-30], b"PK\5\6" + b"\xff" * 18])
    def test_what_is_no_zip_is_refused(self, data):
        with pytest.raises(RefusedFile, match=r"x\.zip"):
            self.opened(data)

    def test_arrays_use_it(self, tmp_path):
        (tmp_path / "x.npz").write_bytes(packed(limits.ARRAY_COUNT + 1))
        with pytest.raises(RefusedFile, match=r"x\.npz holds"):
            bounded_arrays.read_npz(tmp_path / "x.npz")
