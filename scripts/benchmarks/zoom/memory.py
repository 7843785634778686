"""Memory and time of many levels, in processes of their own."""

from __future__ import annotations

import json
import subprocess
import sys
import time

from dreamzoom.engines.spectral import SpectralEngine
from dreamzoom.report import Report
from dreamzoom.zoom.sampler import JointSampler, Plan


def run_deep(levels: int) -> dict:
    """Sample many levels, keeping none: bytes at the peak beyond the start, and seconds."""
    import resource

    denoiser = SpectralEngine().denoiser(Report())
    warm = Plan([(("rock", 1.0),)] * 2, range(2), 2.0, (192, 192), steps=2)
    list(JointSampler(denoiser, warm).run())
    before, begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    plan = Plan([(("rock", 1.0),)] * levels, range(levels), 2.0, (192, 192), steps=20, window=8)
    sampler = JointSampler(denoiser, plan)
    for _ in sampler.run():
        pass
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"start": before, "peak": peak, "seconds": time.perf_counter() - begun, "levels": sampler.cost.peak_levels}


def measure_deep():
    """Peak memory and time of 8 and 64 levels, each in a process of its own."""
    rows = []
    for levels in (8, 64):
        command = [sys.executable, "-m", "benchmarks.zoom", "--memory", str(levels)]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        own = (found["peak"] - found["start"]) / 1024
        rows.append({"deep, levels": levels, "peak MB": found["peak"] / 1024, "of it sampling MB": own,
                     "seconds": found["seconds"], "levels at once": found["levels"]})  # fmt: skip
    own = rows[1]["of it sampling MB"] / max(rows[0]["of it sampling MB"], 1)
    slope = rows[1]["seconds"] / rows[0]["seconds"] / 8
    return {"memory_ratio_64_8": rows[1]["peak MB"] / rows[0]["peak MB"], "memory_ratio_sampling_alone": own,
            "seconds_per_level_64_over_8": slope}, rows  # fmt: skip
