"""Files that say that their splats were trained with anti-aliasing."""

from __future__ import annotations

import pytest
from field_figure import FIELD, with_comments
from some_splats import some

from core import formats


class TestAntialiasing:
    @pytest.mark.parametrize(
        ("comment", "expected"),
        [
            ("SplatRenderMode: mip", True),
            ("SplatRenderMode: default", False),
            ("antialiased 1", True),
            ("antialiased 0", False),
            ("Anti-Aliasing: true", True),
            ("no antialiasing known", False),
        ],
    )
    def test_plys_say_it_in_comments(self, tmp_path, comment, expected):
        assert formats.read(with_comments(tmp_path / "a.ply", some(3), comment)).antialiased is expected

    @pytest.mark.parametrize("suffix", [".ply", ".compressed.ply", ".spz", ".glb", ".sog"])
    def test_it_is_kept(self, tmp_path, suffix):
        formats.write(tmp_path / f"a{suffix}", some(9), formats.About(antialiased=True))
        formats.write(tmp_path / f"b{suffix}", some(9))
        assert formats.read(tmp_path / f"a{suffix}").antialiased
        assert not formats.read(tmp_path / f"b{suffix}").antialiased

    def test_flags_of_the_field(self):
        flags = {
            name: formats.read(FIELD / f"{name}.spz").antialiased for name in ("plain", "tiny_flag0", "tiny_flag1")
        }
        assert flags == {"plain": False, "tiny_flag0": False, "tiny_flag1": True}
