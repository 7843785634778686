"""Jobs that anyone may have made are imported in Blender: a forged result, forged splats, or something else in a file's
place. Each import fails in one line that names it, at once, and leaves nothing behind; or shows what is right.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tortures.attacks import results, splat_files
from tortures.support import finished

ENVIRONMENT = "bpy53"
SHORT = 12
SECONDS, MEGABYTES = 1.0, 500
"""Of processor time, which other programs do not change; and of memory above what the process had before."""

HARMLESS = ("a byte order mark",)
"""Nothing that has to be refused."""

Attack = Callable[[Path, dict[str, Any]], str]
"""Spoils a finished job in a folder; returns a word that the error must hold."""


def run(rng: random.Random, rounds: int | None, folder: Path) -> tuple[bool, str]:
    """Import as many jobs as `rounds` says, or one of each."""
    import bpy

    sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
    import addon

    bpy.ops.wm.read_factory_settings(use_empty=True)
    addon.register()
    whole = folder / "whole"
    found = finished.write_job(whole, np.random.default_rng(rng.randrange(2**32)), 2, 50)
    attacks = _attacks(found)
    names = list(attacks) if rounds is None else rng.sample(list(attacks), rounds)
    victim = _Importer(folder)
    faults = victim.faults_of(whole, None, "")
    (folder / "outside").mkdir()
    for name in names:
        root = folder / "job"
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(whole, root)
        word = attacks[name](root, found)
        outside = _all_of(folder / "outside")
        faults += [f"{name}: {fault}" for fault in victim.faults_of(root, name, word)]
        if _all_of(folder / "outside") != outside:
            faults.append(f"{name}: something outside was changed")
    addon.unregister()
    for fault in faults:
        print(f"  {fault}")
    told = f"{faults[0]}; {len(faults)} faults" if faults else "each refused in one line, nothing imported"
    return not faults, f"{len(names)} hostile jobs: {told}; at most {victim.slowest:.2f} s and {victim.most:.0f} MB"


class _Importer:
    """Imports jobs with the operator, one after the other.

    Attributes:
        slowest, most: Seconds and megabytes that an import took.
    """

    def __init__(self, folder: Path):
        self.slowest = self.most = 0.0
        self._folder = folder

    def faults_of(self, root: Path, name: str | None, word: str) -> list[str]:
        """Import a job; what is wrong with what happened. `name` is None for a job that must be imported."""
        import bpy

        from addon import rig
        from addon.backend import current_job, main_loop
        from addon.jobs import importing, lifecycle

        bpy.ops.wm.read_factory_settings(use_empty=True)
        bpy.ops.dreamzoom.create_rig(levels=2)
        obj = bpy.context.view_layer.objects.active
        obj.dreamzoom.job_folder = str(root)
        before, began = _peak(), time.process_time()
        importing.start_import(obj)  # as the operator does, also where its button is not active
        until = time.monotonic() + 120
        while current_job.is_busy() and time.monotonic() < until:
            main_loop.pump()
            time.sleep(0.001)
        seconds, grown = time.process_time() - began, _peak() - before
        self.slowest, self.most = max(self.slowest, seconds), max(self.most, grown)
        job, faults = current_job.get(), []
        imported = sum(len(rig.contents(empty)) for empty in rig.level_empties(obj))
        lifecycle.end_all()
        if seconds > SECONDS or grown > MEGABYTES:
            faults.append(f"{seconds:.1f} s, {grown:.0f} MB")
        if job is None or job.is_active:
            return [*faults, "the import never ended"]
        if job.status == "done" and imported == 4:
            return faults if name is None or name in HARMLESS else [*faults, "was imported"]
        if job.status != "failed" or job.error is None or imported % 2:
            return [*faults, f"{job.status}, {imported} objects, {job.error}"]
        said = f"{job.error} {job.error.remedy}"
        if name is None or "\n" in said or "Error:" in said or word not in said or not job.error.remedy:
            faults.append(said[:300])
        return faults

    def faults_of_files(self, rng: random.Random, rounds: int | None) -> list[str]:
        """Open hostile files of splats by the menu."""
        import bpy

        groups = (splat_files.plys, splat_files.spzs, splat_files.glbs, splat_files.sogs, splat_files.no_files)
        cases, faults = [case for group in groups for case in group().items()], []
        for name, make in cases if rounds is None else rng.sample(cases, rounds):
            place = self._folder / "files"
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
            path, count = make(place), len(bpy.data.objects)
            before, began = _peak(), time.process_time()
            try:
                bpy.ops.dreamzoom.import_splats(filepath=str(path))
                faults.append(f"{name}: was imported")
            except RuntimeError as error:
                said = str(error).strip()
                if path.name not in said or "Traceback" in said:
                    faults.append(f"{name}: {said[:300]}")
            seconds, grown = time.process_time() - began, _peak() - before
            self.slowest, self.most = max(self.slowest, seconds), max(self.most, grown)
            if seconds > SECONDS or grown > MEGABYTES or len(bpy.data.objects) != count:
                faults.append(f"{name}: {seconds:.1f} s, {grown:.0f} MB, {len(bpy.data.objects) - count} objects")
        return faults


def _attacks(found: dict[str, Any]) -> dict[str, Attack]:
    attacks: dict[str, Attack] = {}
    for name, content in results.forged(found).items():
        attacks[name] = _with_result(content)
    for name, make in splat_files.plys().items():
        attacks[f"splats: {name}"] = _with_splats(make)
    for place in ("result.json", "levels", "levels/000", "levels/000/splats.ply", "levels/001/cloud.ply"):
        for kind in ("link", "device", "pipe", "socket", "nothing") if hasattr(os, "mkfifo") else ("nothing",):
            attacks[f"{kind} at {place}"] = _with_other(place, kind)
    return attacks


def _with_result(content: Callable[[], bytes]) -> Attack:
    def attack(root: Path, found: dict[str, Any]) -> str:
        (root / "result.json").write_bytes(content())
        return "result"

    return attack


def _with_splats(make: splat_files.Maker) -> Attack:
    """The splats of the first level, whose hash is right."""

    def attack(root: Path, found: dict[str, Any]) -> str:
        folder, place = root / "levels/000", root / "levels/000/splats.ply"
        place.write_bytes(make(folder).read_bytes())
        files = found["files"] | {"levels/000/splats.ply": hashlib.sha256(place.read_bytes()).hexdigest()}
        finished.write_result(root, found | {"files": files})
        return "Level 0"

    return attack


def _with_other(place: str, kind: str) -> Attack:
    def attack(root: Path, found: dict[str, Any]) -> str:
        path, outside = root / place, root.parent / "outside" / place.replace("/", "-")
        if outside.is_dir():
            shutil.rmtree(outside)
        else:
            outside.unlink(missing_ok=True)
        path.rename(outside)
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "socket":
            os.mknod(path, stat.S_IFSOCK | 0o600)
        elif kind != "nothing":
            path.symlink_to(outside if kind == "link" else "/dev/zero")
        return str(root)

    return attack


def _all_of(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _peak() -> float:
    """The most memory that this process has had, in MB; 0 where it can't be known."""
    if sys.platform == "win32":
        return 0.0
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
