"""Zoom: nested noise, agreement between scales, detail kept, true distribution, depth-aware warp, memory, loop, speed.

Everything is measured on models whose right answer is known in closed form. `--json` prints the same as JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import time

import torch

from . import depth, film, joint, memory, noise


def main() -> int:
    """Measure, print, and end with 0 whatever the figures are."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--json", action="store_true")
    options.add_argument("--only", nargs="*", choices=list(SECTIONS), help="measure these alone")
    options.add_argument("--memory", type=int, help=argparse.SUPPRESS)
    chosen = options.parse_args()
    torch.set_num_threads(1)
    if chosen.memory:
        print(json.dumps(memory.run_deep(chosen.memory)))
        return 0
    result: dict = {"rows": []}
    for name in chosen.only or SECTIONS:
        begun = time.perf_counter()
        figures, rows = SECTIONS[name]()
        result |= figures
        rows.append({"section": name, "seconds": round(time.perf_counter() - begun, 1)})
        result["rows"] += rows
        if not chosen.json:
            for row in rows:
                print("  ".join(f"{key} {_short(value)}" for key, value in row.items()), flush=True)
    figures = {key: value for key, value in result.items() if key != "rows"}
    print(json.dumps(result) if chosen.json else "\n" + "\n".join(f"{k:24} {_short(v)}" for k, v in figures.items()))
    return 0


def _short(value) -> str:
    if isinstance(value, list):
        return "[" + " ".join(_short(v) for v in value) + "]"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


SECTIONS = {
    "deep": memory.measure_deep,  # first: a process tells only the peak of its whole life
    "noise": noise.measure_noise,
    "consistency": joint.measure_consistency,
    "octaves": joint.measure_octaves,
    "distribution": joint.measure_distribution,
    "latent": joint.measure_latent,
    "warp": depth.measure_warp,
    "relief": depth.measure_relief,
    "loop": film.measure_loop,
    "speed": film.measure_speed,
}

if __name__ == "__main__":
    sys.exit(main())
