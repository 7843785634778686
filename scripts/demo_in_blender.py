"""The part of the demo that runs inside Blender: calls the operators in the order an artist does. Run by `demo.py`.

    python demo_in_blender.py PLAN

PLAN is a JSON object. Progress is written to standard output, one line `@{...}` per report.
"""

from __future__ import annotations

import importlib
import json
import math
import os
import sys
from pathlib import Path

ADDON = "bl_ext.user_default.dreamzoom"
FPS = 20


class Stopped(Exception):
    """The demo can't continue; the message gives the reason and a remedy."""


def tell(**words: object) -> None:
    """Report to `demo.py`; starts with a line break, because Blender may have written an unfinished line."""
    sys.stdout.write(f"\n@{json.dumps(words)}\n")
    sys.stdout.flush()


def main(plan: dict) -> None:
    """Install, create, write, generate, import, render."""
    os.environ["BLENDER_USER_RESOURCES"] = plan["user"]  # read by Blender when it starts
    import bpy

    tell(stage="generate", fraction=0.0, message="installing the extension")
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.extensions.package_install_files(filepath=plan["zip"], repo="user_default", enable_on_install=True)
    bpy.context.preferences.filepaths.save_version = 0  # no scene.blend1
    bpy.context.preferences.addons[ADDON].preferences.server_python = plan["server_python"]
    out = Path(plan["out"])
    scene = bpy.context.scene
    scene.render.resolution_x, scene.render.resolution_y = plan["width"], plan["height"]
    scene.render.fps = FPS
    root = create_rig(bpy, plan)
    bpy.ops.wm.save_as_mainfile(filepath=str(out / "scene.blend"))  # the job's folder is stored relative to it
    root.dreamzoom.job_folder = "//job"
    press(bpy, "generate")
    press(bpy, "import")
    bpy.ops.dreamzoom.render_settings(engine="CYCLES", samples=plan["samples"])
    render(bpy, root, out, plan["prompts"])


def create_rig(bpy, plan: dict):
    """Create the rig and fill its list of prompts; returns its root object."""
    levels = len(plan["prompts"])
    speed = plan["frames_per_level"]
    bpy.ops.dreamzoom.create_rig(levels=levels, zoom_factor=plan["factor"], frames_per_level=speed)
    root = bpy.context.view_layer.objects.active
    settings = root.dreamzoom
    for level, prompt in zip(settings.levels, plan["prompts"]):
        level.prompt = prompt
    settings.quality, settings.seed = plan["quality"], plan["seed"]
    settings.size = max(plan["width"], plan["height"])
    settings.import_when_done = False
    return root


def press(bpy, stage: str) -> None:
    """Run Generate or Import and wait until the job ends. Raises Stopped."""
    current_job = importlib.import_module(f"{ADDON}.backend.current_job")
    main_loop = importlib.import_module(f"{ADDON}.backend.main_loop")
    connection = importlib.import_module(f"{ADDON}.backend.connection").connection
    if stage == "generate":
        bpy.ops.dreamzoom.generate()
    else:
        bpy.ops.dreamzoom.import_job()
    while current_job.is_busy():
        main_loop.pump()
        now = current_job.get()
        level = "" if now.level is None else f", level {now.level + 1} of {now.levels}"
        words = f"{now.stage}{level}" if now.stage else "starting the server"
        tell(stage=stage, fraction=now.fraction, message=words, left=now.seconds_left)
        connection.wait(0.25)
    ended = current_job.get()
    if ended.status != "done":
        raise Stopped(f"{ended.error}. {ended.error.remedy}" if ended.error else f"the job was {ended.status}")


def render(bpy, root, out: Path, prompts: list) -> None:
    """Render the animation to `frames/`, save scene.blend, and write zoom and prompt of each frame to flight.json."""
    scene = bpy.context.scene
    frames = out / "frames"
    frames.mkdir(exist_ok=True)
    for old in frames.glob("*.png"):
        old.unlink()
    scene.render.image_settings.file_format = "PNG"
    scene.render.filepath = "//frames/"
    scene.frame_set(scene.frame_start)
    bpy.ops.wm.save_mainfile(compress=True)
    shown: list = []
    curve = importlib.import_module(f"{ADDON}.rig").zoom_curve(root)
    count = scene.frame_end - scene.frame_start + 1

    def note(*_: object) -> None:
        zoom = curve.evaluate(scene.frame_current)
        prompt = prompts[min(max(math.floor(zoom), 0), len(prompts) - 1)]
        shown.append({"path": scene.render.frame_path(frame=scene.frame_current), "zoom": zoom, "prompt": prompt})
        tell(stage="render", fraction=len(shown) / count, message=f"frame {len(shown)} of {count}")

    bpy.app.handlers.render_write.append(note)
    tell(stage="render", fraction=0.0, message=f"frame 1 of {count}")
    bpy.ops.render.render(animation=True)
    (out / "flight.json").write_text(json.dumps({"fps": FPS, "frames": shown}), encoding="utf-8")


if __name__ == "__main__":
    try:
        main(json.loads(sys.argv[1]))
    except (Stopped, RuntimeError) as error:
        tell(error=str(error).strip())
        sys.exit(1)
