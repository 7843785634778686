"""Runs in Blender's Python, or in a Blender by `--background --python`; measures one thing: `in_blender.py PLAN.json`.

PLAN names the `action`; every path in it is relative to the plan's own folder. What was measured is written to
`answer`, pictures as (frames, H, W, 3) float32, linear light over black, to `pictures`.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import bpy
import numpy as np

ROOT = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT), str(ROOT / "server"), str(ROOT / "scripts")]


def main(plan_file: Path) -> None:
    """Do what the plan says."""
    plan = json.loads(plan_file.read_text(encoding="utf-8"))
    bpy.ops.wm.read_factory_settings(use_empty=True)
    answer = ACTIONS[plan["action"]](plan, plan_file.parent)
    (plan_file.parent / plan["answer"]).write_text(json.dumps(answer), encoding="utf-8")


def request(plan: dict, folder: Path) -> dict:
    """The request of a new rig, as the panel's Generate would send it."""
    from addon.scene import request as requests

    root = _rig(plan)
    scene = bpy.context.scene
    return requests.build_request(root, scene, bpy.context.view_layer)


def flight(plan: dict, folder: Path) -> dict:
    """Import a job under the rig and render some frames of its flight."""
    from addon.results import importer, render_settings

    root = _rig(plan)
    scene = bpy.context.scene
    importer.import_job(root, folder / plan["job"])
    render_settings.set_up(scene, plan["engine"], plan["samples"])
    _box_filter(scene)
    seconds, pictures = [], []
    for frame in plan["frames"]:
        scene.frame_set(frame)
        start = time.perf_counter()
        pictures.append(_rendered(scene, folder))
        seconds.append(time.perf_counter() - start)
    np.savez(folder / plan["pictures"], pictures=np.stack(pictures))
    return {"seconds": seconds, "blender": bpy.app.version_string}


def file(plan: dict, folder: Path) -> dict:
    """Import a file of splats: seconds on the main thread and the process's largest memory, megabytes.

    As the representation "stock" Blender imports it by itself.
    """
    from addon import splats

    scene = bpy.context.scene
    before = _peak()
    path, representation = folder / plan["file"], plan.get("representation", "auto")
    start = time.perf_counter()
    if representation == "stock":
        bpy.ops.wm.ply_import(filepath=str(path), forward_axis="Y", up_axis="Z")
    else:
        splats.import_splats(path, "splats", scene.collection, representation)
    found = {"seconds": time.perf_counter() - start, "before": before, "peak": _peak()}
    if plan.get("frames"):
        cpu = time.process_time()
        found["frames"] = _timed_frames(plan, folder)
        found["cpu"] = time.process_time() - cpu
        found["peak_rendered"] = _peak()
    if plan.get("pictures"):
        _look(scene, plan)
        if plan.get("representation") == "viewers":
            scene.cycles.pixel_filter_type, scene.cycles.filter_width = "GAUSSIAN", 0.01  # rays through the centres
        np.savez(folder / plan["pictures"], pictures=_rendered(scene, folder)[None])
    return found


def deep(plan: dict, folder: Path) -> dict:
    """Where a flight at zoom 40 places known points, against its path in double precision."""
    import addon
    from benchmarks.blender import deep as zoomed

    addon.register()
    return zoomed.measure()


def _timed_frames(plan: dict, folder: Path) -> list[float]:
    """Seconds of renders in a row, with persistent data, the camera moved a little before each.

    Nothing is loaded in between: images that come and go let Blender build its scene anew.
    """
    scene = bpy.context.scene
    camera = _look(scene, plan)
    seconds = []
    for frame in range(plan["frames"]):
        camera.location.x += 0.01 * frame
        start = time.perf_counter()
        _render(scene, folder).unlink()
        seconds.append(time.perf_counter() - start)
    return seconds


def _rig(plan: dict) -> bpy.types.Object:
    """A rig as `Create Rig` makes it, with the plan's prompts."""
    import addon

    addon.register()
    scene = bpy.context.scene
    scene.render.resolution_x, scene.render.resolution_y = plan["size"]
    prompts = plan["prompts"]
    bpy.ops.dreamzoom.create_rig(levels=len(prompts), frames_per_level=plan["frames_per_level"])
    root = bpy.context.view_layer.objects.active
    for level, prompt in zip(root.dreamzoom.levels, prompts):
        level.prompt = prompt
    root.dreamzoom.size, root.dreamzoom.seed, root.dreamzoom.quality = max(plan["size"]), 2, "draft"
    scene.camera = root.dreamzoom.camera
    return root


def _look(scene: bpy.types.Scene, plan: dict) -> bpy.types.Object:
    """The plan's camera, in the server's axes and pixels, and the add-on's own render settings."""
    from addon.results import render_settings
    from addon.rig import cameras

    view = plan["camera"]
    camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    camera.data.clip_start = 0.01
    scene.collection.objects.link(camera)
    scene.camera = camera
    cameras.set_intrinsics(camera.data, scene.render, cameras.Intrinsics(**view["intrinsics"]))
    camera.matrix_world = cameras.camera_world(np.array(view["pose"]), np.eye(4)).T
    render_settings.set_up(scene, plan.get("engine", "CYCLES"), plan["samples"])
    _box_filter(scene)
    return camera


def _box_filter(scene: bpy.types.Scene) -> None:
    """Pixels that are means over their own square, as the server's are. EEVEE has no such filter: it keeps its own."""
    scene.cycles.pixel_filter_type = "BOX"


def _rendered(scene: bpy.types.Scene, folder: Path) -> np.ndarray:
    """The current frame, (H, W, 3) float32 linear light."""
    path = _render(scene, folder)
    image = bpy.data.images.load(str(path))
    pixels = np.empty(len(image.pixels), np.float32)
    image.pixels.foreach_get(pixels)
    width, height = image.size
    bpy.data.images.remove(image)
    path.unlink()
    return pixels.reshape(height, width, -1)[::-1, :, :3]


def _render(scene: bpy.types.Scene, folder: Path) -> Path:
    """Render the current frame into a file."""
    settings = scene.render.image_settings
    settings.file_format, settings.color_depth, settings.color_mode = "OPEN_EXR", "32", "RGB"
    scene.render.filepath = str(folder / f"frame-{os.getpid()}.exr")
    bpy.ops.render.render(write_still=True)
    return Path(scene.render.filepath)


def _peak() -> float:
    """The largest memory that this process has had, in megabytes."""
    status = Path("/proc/self/status")
    if status.is_file():  # `getrusage` counts the process that started this one
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e6
    try:
        import resource
    except ImportError:  # Windows
        return float("nan")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


ACTIONS = {"request": request, "flight": flight, "file": file, "deep": deep}

if __name__ == "__main__":
    main(Path(sys.argv[-1]).resolve())
    sys.stdout.flush()
    os._exit(0)  # Blender 4.5 as a module can hang for ever in its own clean-up
