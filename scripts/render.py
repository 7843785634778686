"""Render the frames of a .blend without the add-on, locally or on a farm: `python scripts/render.py scene.blend`.

Existing frames are skipped, so a stopped run can be resumed. A frame appears under its final name only when it is
complete. If no Blender is given, Blender 5.2 as a Python module is used.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import environments

WORKER = Path(__file__).resolve().parent / "render_in_blender.py"


def main() -> int:
    """Render; returns 0 if all frames exist, 130 if it was stopped, else 1."""
    plan, blender = _options()
    started, done, failure = time.monotonic(), 0, ""
    child = subprocess.Popen(
        _command(blender, plan),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    assert child.stdout is not None
    last: list = []
    try:
        for line in child.stdout:
            if not line.startswith("@"):
                last = [*last[-14:], line]
                continue
            told = json.loads(line[1:])
            failure = told.get("error", failure)
            if "skipped" in told and told["skipped"]:
                _say(f"{told['skipped']} of {told['count']} frames already exist")
            if "file" in told:
                done += 1
                passed = time.monotonic() - started
                left = passed / done * (told["left"])
                _say(f"frame {told['frame']}: {told['file']}, {told['seconds']:.1f} s; about {_clock(left)} left")
            if told.get("finished"):
                _say(f"{done} frames rendered in {_clock(time.monotonic() - started)}; they are in {told['finished']}")
    except KeyboardInterrupt:
        child.terminate()
        child.wait()
        _say(f"stopped after {done} frames; start again to continue")
        return 130
    code = child.wait()
    if failure:
        _say(failure)
    elif code:
        sys.stderr.writelines(last)
        _say(f"Blender exited with code {code}; start again to continue")
    return 1 if code or failure else 0


def _options() -> tuple:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("scene", type=Path, help="the .blend file")
    parser.add_argument("--frames", default="", help="A-B or one frame; default: the scene's range")
    parser.add_argument("--step", type=int, help="render every N-th frame; default: the scene's frame step")
    parser.add_argument("--engine", choices=("cycles", "eevee"), help="default: the scene's engine")
    parser.add_argument("--samples", type=int, help="samples per pixel; default: the scene's")
    parser.add_argument("--out", type=Path, help="folder of the frames; default: the scene's")
    parser.add_argument("--blender", help="a Blender executable, or a Python with bpy")
    options = parser.parse_args()
    if not options.scene.is_file():
        parser.error(f"there is no file {options.scene}")
    frames = re.fullmatch(r"(-?\d+)(?:-(-?\d+))?", options.frames) if options.frames else None
    if options.frames and not frames:
        parser.error("--frames must be A-B or one frame")
    if options.samples is not None and options.samples < 1:
        parser.error("--samples must be at least 1")
    if options.step is not None and options.step < 1:
        parser.error("--step must be at least 1")
    plan = {
        "scene": str(options.scene.absolute()),
        "frames": [int(frames[1]), int(frames[2] or frames[1])] if frames else None,
        "step": options.step,
        "engine": options.engine,
        "samples": options.samples,
        "out": str(options.out.absolute()) if options.out else None,
    }
    return plan, options.blender or str(environments.need("bpy52"))


def _command(blender: str, plan: dict) -> list:
    """The command that starts the worker: a Python with bpy, or Blender in the background with scripts disabled."""
    if Path(blender).name.startswith("python"):
        return [blender, str(WORKER), json.dumps(plan)]
    quiet = ["--background", "--disable-autoexec", "--python-exit-code", "1"]
    return [blender, *quiet, "--python", str(WORKER), "--", json.dumps(plan)]


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def _say(line: str) -> None:
    sys.stderr.write(f"dreamzoom: {line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
