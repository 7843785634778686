"""The README's first command, at its smallest."""

import subprocess
import sys
from pathlib import Path

import bpy
import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(bpy.app.version[:2] != (4, 5), reason="once is enough: the demo runs in Blender 4.5")
def test_the_demo_leaves_film_sheet_scene_and_job(tmp_path):
    options = ["--levels", "2", "--size", "64x36", "--frames-per-level", "3", "--out", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "demo.py"), *options], capture_output=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    assert "done in" in done.stdout
    assert (tmp_path / "flythrough.mp4").read_bytes()[4:8] == b"ftyp"
    assert (tmp_path / "contact_sheet.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "scene.blend").stat().st_size > 1000
    assert (tmp_path / "job" / "result.json").is_file()
    assert len(list((tmp_path / "frames").glob("*.png"))) == 4
