"""Files of splats: people's, the speed of all formats, and agreement with independent readers."""

from __future__ import annotations

import importlib.util
import json
import os
import random
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import environments
import numpy as np
from some_splats import some

import dreamzoom  # noqa: F401 - registers what decodes the pictures of SOG files
from core import formats
from core.errors import SplatFileError
from core.gaussians import Gaussians, transformed

from ..shared.table import Table
from ..splat_files import _splats as many_splats

FIELD = environments.ROOT / "tests" / "data" / "field"
COUNTS = {"ascii.ply": 100, "cut.splat": 399, "tiny_flag0.spz": 9, "tiny_flag1.spz": 9}
SPLATS, MOST_SECONDS = 1_000_000, 0.5
TOOL = "DREAMZOOM_SPLAT_TRANSFORM"
"""Variable with the path of splat-transform's `cli.mjs` (npm: @playcanvas/splat-transform), which reads SOG."""

BLENDER = """
import json, sys, bpy, numpy as np
bpy.ops.wm.read_factory_settings(use_empty=True)
bpy.ops.import_scene.gltf(filepath=sys.argv[1])
obj = next(obj for obj in bpy.data.objects if obj.type == "POINTCLOUD")
bpy.context.view_layer.update()
found = {}
for name, (field, width) in {"position": ("vector", 3), "scale": ("vector", 3), "radiance:base": ("vector", 4)}.items():
    data = obj.data.attributes[name].data
    values = np.empty(len(data) * width, np.float32)
    data.foreach_get(field, values)
    found[name] = values.reshape(-1, width)
matrix = np.array(obj.matrix_world)
found["position"] = found["position"] @ matrix[:3, :3].T + matrix[:3, 3]
np.savez(sys.argv[2], **found)
"""


def add_rows(table: Table, options) -> None:  # noqa: ARG001 - all groups get them
    """All rows of the group."""
    _field(table)
    with tempfile.TemporaryDirectory() as folder:
        _speed(table, Path(folder))
        for name, compare in (
            ("gsply", _gsply),
            ("plyfile", _plyfile),
            ("splat-transform", _tool),
            ("Blender's glTF", _gltf),
        ):
            worst, skipped = _tried(compare, Path(folder))
            shown = f"skipped: {skipped}" if skipped else float(worst)
            table.add(f"splats: {name} against our reader", shown, "<= 1e-5", None if skipped else worst <= 1e-5)
        _variants(table, Path(folder))


def _field(table: Table) -> None:
    whole = 0
    files = sorted(FIELD.iterdir())
    for path in files:
        try:
            whole += len(formats.read(path).splats) == COUNTS.get(path.name, 400)
        except SplatFileError:
            continue
    table.add(
        "splats: files of the field test with all their rows", f"{whole} of {len(files)}", "all", whole == len(files)
    )


def _speed(table: Table, folder: Path) -> None:
    splats = many_splats(SPLATS, 0)
    for form in formats.FORMATS:
        path = folder / f"many{form.suffix}"
        formats.write(path, splats)
        seconds, busy = [], []
        for _ in range(3):
            began, working = time.perf_counter(), time.process_time()
            formats.read(path)
            seconds.append(time.perf_counter() - began)
            busy.append(time.process_time() - working)
        path.unlink()
        target = form.suffix in (".ply", ".spz")
        table.add(
            f"splats: a million read from {form.suffix}",
            f"{min(seconds):.2f} s, {min(busy):.2f} CPU s",
            f"<= {MOST_SECONDS} s" if target else "reported",
            min(seconds) <= MOST_SECONDS if target else None,
            **{f"read_s{form.suffix}": min(seconds)},
        )


def _tried(compare: Callable[[Path], float], folder: Path) -> tuple[float, str]:
    """The largest difference, or why there is none."""
    try:
        return compare(folder), ""
    except (ImportError, FileNotFoundError) as error:
        return 0.0, str(error)


def _apart(first: Gaussians, second: Gaussians) -> float:
    """The largest difference of places, log-scales, opacities and colours."""
    pairs = [(getattr(one, name) for one in (first, second)) for name in ("means", "log_scales", "opacities", "rgb")]
    return max(float(np.abs(was - now).max()) for was, now in pairs)


def _gsply(folder: Path) -> float:
    gsply = importlib.import_module("gsply")
    worst = 0.0
    for suffix in (".ply", ".compressed.ply", ".spz"):
        path = folder / f"some{suffix}"
        formats.write(path, some(2000, 3))
        data = gsply.read_spz(path) if suffix == ".spz" else gsply.plyread(path)
        sh = np.concatenate([data.sh0.reshape(-1, 1, 3), data.shN], 1)
        theirs = Gaussians(data.means, data.scales, data.quats, data.opacities.reshape(-1), sh)
        worst = max(worst, _apart(theirs, formats.read(path).splats))
    return worst


def _plyfile(folder: Path) -> float:
    plyfile = importlib.import_module("plyfile")
    formats.write(folder / "some.ply", some(2000, 3))
    rows = plyfile.PlyData.read(folder / "some.ply")["vertex"].data
    ours = formats.read(folder / "some.ply").splats
    names = [f"f_rest_{index}" for index in range(45)]
    rest = np.stack([rows[name] for name in names], 1).reshape(-1, 3, 15).transpose(0, 2, 1)
    places = np.stack([rows[name] for name in "xyz"], 1)
    return max(float(np.abs(rest - ours.sh[:, 1:]).max()), float(np.abs(places - ours.means).max()))


def _tool(folder: Path) -> float:
    """Files that we write, turned to PLY by splat-transform, and read again."""
    place, node = os.environ.get(TOOL), shutil.which("node")
    if not place or not node:
        raise FileNotFoundError(f"set {TOOL} to cli.mjs of npm's @playcanvas/splat-transform, with node on PATH")
    worst = 0.0
    for suffix in (".sog", ".compressed.ply", ".splat", ".spz"):
        path, back = folder / f"tool{suffix}", folder / f"back{suffix}.ply"
        formats.write(path, some(2000, 3))
        subprocess.run([node, place, "-w", str(path), str(back)], check=True, capture_output=True)
        ours, theirs = formats.read(path).splats, formats.read(back).splats
        if suffix == ".spz":  # it turns y up to y down
            ours = transformed(ours, np.diag([1.0, -1, -1, 1]))
        worst = max(worst, _apart(ours, theirs))
    return worst


def _gltf(folder: Path) -> float:
    """A GLB that we write, as Blender 5.3 imports it."""
    python = Path(os.environ.get("DREAMZOOM_ENVS", environments.ROOT / ".envs")) / "bpy53" / "bin" / "python"
    if not Path(python).is_file():
        raise FileNotFoundError("no environment bpy53: python scripts/environments.py bpy53")
    path, out = folder / "some.glb", folder / "some.npz"
    formats.write(path, some(2000, 3), formats.About(origin=(1, 2, 3)))
    run = subprocess.run([str(python), "-c", BLENDER, str(path), str(out)], check=False, capture_output=True, text=True)
    if not out.is_file():
        raise FileNotFoundError(f"Blender imported nothing: {json.dumps(run.stderr[-200:])}")
    found, read = np.load(out), formats.read(path)
    ours = read.upright()
    base = found["radiance:base"]
    return max(
        float(np.abs(found["position"] - ours.means).max()),
        float(np.abs(np.sort(found["scale"], 1) - np.sort(np.exp(ours.log_scales), 1)).max()),
        float(np.abs(base[:, :3] - ours.sh[:, 0]).max()),
        float(np.abs(base[:, 3] - ours.opacities).max()),
    )


def _variants(table: Table, folder: Path) -> None:
    from tortures.files import splat_variants

    passed, line = splat_variants.run(random.Random("benchmark"), None, folder)
    table.add("splats: 2,000 variants of headers and orders", line, "none read as another scene", passed)
