"""A file that is being written takes the old one's place whole, or not at all."""

from __future__ import annotations

import pytest

from core.atomic_files import TEMPORARY, beside, replacing


class TestReplacing:
    def test_a_failure_leaves_the_old_file_and_no_other(self, tmp_path):
        path = tmp_path / "a.bin"
        path.write_bytes(b"old")
        with pytest.raises(RuntimeError), replacing(path) as file:
            file.write(b"new")
            raise RuntimeError
        assert path.read_bytes() == b"old"
        assert list(tmp_path.iterdir()) == [path]

    def test_the_new_file_is_there_at_the_end_alone(self, tmp_path):
        path = tmp_path / "a.bin"
        with beside(path) as temporary:
            temporary.write_bytes(b"new")
            assert temporary.suffix == ".bin" and temporary.name.startswith(TEMPORARY)
            assert not path.exists()
        assert path.read_bytes() == b"new"
        assert list(tmp_path.iterdir()) == [path]
