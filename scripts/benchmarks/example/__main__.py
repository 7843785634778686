"""The example flight from the button to the last level: seconds, how long Blender's main thread is held, estimates.

python scripts/benchmark.py example [--json] [--quality Q] [--size PIXELS] [--levels N]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve()
ROOT = HERE.parents[3]
sys.path.insert(0, str(ROOT / "scripts"))

import environments  # noqa: E402


def main() -> int:
    """Run the measurement and print it; 1 if the flight failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--quality", choices=("draft", "preview", "final"), default="draft")
    parser.add_argument("--size", type=int, default=0, help="longer side of the pictures; by default the example's")
    parser.add_argument("--levels", type=int, default=6)
    options = parser.parse_args()
    plan = json.dumps({"quality": options.quality, "size": options.size, "levels": options.levels})
    command = [str(environments.need("bpy52")), str(HERE.with_name("in_blender.py")), plan]
    done = subprocess.run(command, env=dict(os.environ), capture_output=True, text=True, check=False)
    line = next((line for line in done.stdout.splitlines() if line.startswith("@")), "")
    if not line:
        sys.stderr.write(done.stdout + done.stderr)
        return 1
    print(line[1:] if options.json else _told(json.loads(line[1:])))
    return 0


def _told(found: dict) -> str:
    lines = [
        f"first level shown after {found['first_level']:.1f} s, the whole flight after {found['whole']:.1f} s",
        f"CPU time of the server {found['server_cpu']:.1f} s, of Blender's main thread {found['main_cpu']:.1f} s",
        f"worst estimate from a tenth on: {100 * found['worst_estimate']:.0f} % off the true time",
        "main thread held for, by CPU time:",
    ]
    for kind in ("waiting", "import"):
        rows = found["held"][kind]
        told = ", ".join(f"{count} up to {limit} ms" for limit, count in rows["histogram"] if count)
        lines.append(f"  {kind:<8} longest {rows['longest']:.1f} ms: {told}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
