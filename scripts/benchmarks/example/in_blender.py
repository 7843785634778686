"""Runs inside Blender's Python: presses Example Flight and measures until everything is imported."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

import bpy

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT))

LIMITS = (1, 2, 4, 8, 16, 32, 64, 100, 200, 500, 10_000)
"""Upper ends of the histogram's classes, in milliseconds."""


def main(plan: dict) -> dict:
    """Dream the example flight; see `held` and `worst` for what is measured."""
    import addon
    from addon import rig
    from addon.backend import launch, main_loop
    from addon.backend.connection import connection
    from addon.jobs import example_flight, importing

    bpy.ops.wm.read_factory_settings(use_empty=True)
    addon.register()
    scratch = tempfile.TemporaryDirectory()
    launch.user_folder = lambda: Path(scratch.name)
    imports: list[float] = []

    def measured(work):
        def call(*arguments):
            before = time.thread_time()
            result = work(*arguments)
            imports.append(1e3 * (time.thread_time() - before))
            return result

        return call

    importing._import_finished, importing._step = measured(importing._import_finished), measured(importing._step)
    if plan["size"]:
        example_flight.SIZE = plan["size"]
    recipe = bpy.context.scene.dreamzoom.flight
    recipe.prompts = "\n".join(recipe.prompts.splitlines()[: plan["levels"]])
    began, cpu = time.perf_counter(), time.thread_time()
    root = example_flight.create(bpy.context.scene, recipe)
    root.dreamzoom.quality = plan["quality"]
    from addon.jobs import generation

    job = generation.generate(root, bpy.context.scene, bpy.context.view_layer, seconds=0.05)
    held, first, told = [], 0.0, []
    while job.is_active:
        before, known = time.thread_time(), len(imports)
        main_loop.pump()
        if len(imports) == known:
            held.append(1e3 * (time.thread_time() - before))
        if not first and rig.contents(rig.level_empties(root)[0]):
            first = time.perf_counter() - began
        if job.seconds_left is not None and job.status == "running":
            told.append((time.perf_counter() - began, job.seconds_left))
        connection.wait(0.02)
    whole = time.perf_counter() - began
    steps = _steps(job.folder)
    children = os.times()
    connection.close()
    usage = os.times()
    return {
        "status": job.status,
        "error": str(job.error or ""),
        "first_level": first,
        "whole": whole,
        "server_seconds": job.seconds,
        "server_cpu": usage.children_user + usage.children_system - children.children_user - children.children_system,
        "main_cpu": time.thread_time() - cpu,
        "held": {"waiting": _held(held), "import": _held(imports)},
        "worst_estimate": _worst(told, whole),
        "estimates": told[:: max(1, len(told) // 40)],
        "steps": steps,
    }


def _steps(folder: Path) -> list[tuple[str, float, float]]:
    """The steps of a job in the order in which they ended: name, seconds since the first began, seconds it took."""
    events = [json.loads(line) for line in (folder / "journal.jsonl").read_text(encoding="utf-8").splitlines()]
    times = [(event, datetime.fromisoformat(event["ts"]).timestamp()) for event in events]
    first = min(at for event, at in times if event["event"] == "start")
    return [(event["step"], at - first, event["seconds"]) for event, at in times if event["event"] == "done"]


def _held(milliseconds: list[float]) -> dict:
    """How long the main thread was held at a time: the longest, and counts by class."""
    counts = [0] * len(LIMITS)
    for value in milliseconds:
        counts[next(index for index, limit in enumerate(LIMITS) if value <= limit)] += 1
    return {"longest": max(milliseconds, default=0.0), "histogram": list(zip(LIMITS, counts))}


def _worst(told: list[tuple[float, float]], whole: float) -> float:
    """The largest error of the estimated whole time, as a share of the true one, from a tenth of it on."""
    return max((abs(at + left - whole) / whole for at, left in told if at > 0.1 * whole), default=0.0)


if __name__ == "__main__":
    print("@" + json.dumps(main(json.loads(sys.argv[1]))), flush=True)
    os._exit(0)
