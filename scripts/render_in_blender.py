"""The part of `render.py` that runs inside Blender. Writes reports to standard output, one line `@{...}` each.

    python render_in_blender.py PLAN          blender --background --python render_in_blender.py -- PLAN

PLAN is a JSON object: scene, frames ([first, last] or null), step, engine, samples, out (each may be null). Whatever
is null is as the scene says; so are its frame step, resolution percentage, border and the cameras of its markers.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import bpy


class Refused(Exception):
    """The scene can't be rendered; the message gives the reason and a remedy."""


def tell(**words: object) -> None:
    """Report to `render.py`; starts with a line break, because Blender may have written an unfinished line."""
    sys.stdout.write(f"\n@{json.dumps(words)}\n")
    sys.stdout.flush()


def main(plan: dict) -> None:
    """Render the frames that don't exist yet."""
    try:
        bpy.ops.wm.open_mainfile(filepath=plan["scene"], load_ui=False, use_scripts=False)
    except RuntimeError as error:
        raise Refused(f"{plan['scene']} can't be opened: {str(error).strip()}") from None
    scene = bpy.context.scene
    bound = any(marker.camera is not None for marker in scene.timeline_markers)
    if scene.camera is None and not bound:
        raise Refused("the scene has no camera: choose one in Blender's scene settings, and save")
    set_up(scene, plan)
    first, last = plan["frames"] or (scene.frame_start, scene.frame_end)
    step = plan.get("step") or scene.frame_step
    targets = {frame: target(scene, plan["out"], frame) for frame in range(first, last + 1, step)}
    if not targets:
        raise Refused(f"there are no frames from {first} to {last}")
    missing = [frame for frame, path in targets.items() if not is_done(path)]
    tell(count=len(targets), skipped=len(targets) - len(missing))
    for index, frame in enumerate(missing):
        if is_done(targets[frame]):  # rendered by another machine in the meantime
            continue
        started = time.monotonic()
        render(scene, frame, targets[frame])
        seconds, left = time.monotonic() - started, len(missing) - index - 1
        tell(frame=frame, file=targets[frame].name, seconds=seconds, left=left)
    tell(finished=str(targets[first].parent))


def set_up(scene, plan: dict) -> None:
    """Apply the plan's settings to the scene; a video output format is replaced by a sequence of pictures."""
    settings = scene.render.image_settings
    if scene.render.is_movie_format:
        if hasattr(settings, "media_type"):
            settings.media_type = "IMAGE"
        settings.file_format = "PNG"
        scene.render.filepath = str(Path(scene.render.filepath).with_suffix("")) + "_"
    scene.render.use_file_extension = True
    scene.render.use_overwrite, scene.render.use_placeholder = True, False
    eevee = "BLENDER_EEVEE" if bpy.app.version >= (5, 0) else "BLENDER_EEVEE_NEXT"
    if plan["engine"]:
        scene.render.engine = {"cycles": "CYCLES", "eevee": eevee}[plan["engine"]]
    if plan["samples"] and scene.render.engine == "CYCLES":
        scene.cycles.samples = plan["samples"]
    elif plan["samples"]:
        scene.eevee.taa_render_samples = plan["samples"]


def target(scene, out: str | None, frame: int) -> Path:
    """The path of a frame."""
    path = Path(bpy.path.abspath(scene.render.frame_path(frame=frame)))
    return Path(out) / path.name if out else path


def is_done(path: Path) -> bool:
    """Whether a frame exists."""
    return path.is_file() and path.stat().st_size > 0


def render(scene, frame: int, path: Path) -> None:
    """Render a frame to a temporary file and rename it, so that no partial file appears under the final name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    scene.frame_set(frame)
    before, scene.render.filepath = scene.render.filepath, str(partial)
    try:
        bpy.ops.render.render(write_still=True)
        if not is_done(partial):
            raise Refused(f"frame {frame} was not written: is there enough space in {path.parent}?")
        partial.replace(path)
    finally:
        scene.render.filepath = before
        partial.unlink(missing_ok=True)


if __name__ == "__main__":
    code = 0
    try:
        main(json.loads(sys.argv[-1]))
    except (Refused, RuntimeError, OSError) as error:
        tell(error=str(error).strip())
        code = 1
    sys.stdout.flush()
    os._exit(code)  # Blender 4.5 as a module can hang for ever in its own clean-up
