"""Operators that import and export cameras: COLMAP models, transforms.json and cameras.json."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
import numpy as np
from bpy.props import BoolProperty, EnumProperty, FloatProperty, StringProperty
from bpy.types import Operator
from bpy_extras.io_utils import ExportHelper, ImportHelper

from ... import rig, splats
from ...core import camera_files
from ...core.errors import DreamzoomError
from ...rig import camera_sampling
from ...rig.camera_paths import files as rig_files
from ...rig.camera_paths import markers as camera_markers
from ...scene import assets
from ...splats.export import parts_of
from .. import labels
from ..registration import with_menus
from .common import Result, chosen_path, home_of, in_object_mode, select_only
from .splat_files import AXES, UP_OF

MOST_POINTS = 100_000
"""Points that are written beside COLMAP's cameras."""

KINDS = (
    (camera_files.COLMAP, "COLMAP", "A folder with cameras.txt, images.txt and points3D.txt, for trainers of splats"),
    (camera_files.TRANSFORMS, "transforms.json", "A 4×4 matrix for each frame, as nerfstudio and video models take it"),
    (camera_files.CAMERAS, "cameras.json", "Position and rotation for each frame, as SuperSplat and 3DGS take it"),
)


class DREAMZOOM_OT_import_cameras(Operator, ImportHelper):  # pyright: ignore[reportIncompatibleMethodOverride]
    """Import cameras of COLMAP, transforms.json or cameras.json as one camera with keys"""

    bl_idname = "dreamzoom.import_cameras"
    bl_label = "Import Cameras"
    bl_description = (
        "Import the cameras of a COLMAP model, of transforms.json or cameras.json as one camera with a key for each. "
        "From Camera makes a flight of it"
    )
    bl_options = {"REGISTER", "UNDO", "PRESET"}

    filter_glob: StringProperty(default="*.json;*.txt;*.bin", options={"HIDDEN"})
    axes: EnumProperty(
        name="Axes",
        description="The axis that points up in the file",
        items=(("AUTO", "Automatic", "As usual for its format"), *AXES),
        default="AUTO",
    )
    scale: FloatProperty(name="Scale", description="Size of the file's world", default=1.0, min=1e-6, soft_max=100.0)
    set_render: BoolProperty(
        name="Set Resolution and Frames",
        description="Give the scene the resolution, pixel aspect and frame range of the file",
        default=True,
    )

    @classmethod
    def poll(cls, context):
        return in_object_mode(cls, context)

    def execute(self, context) -> Result:
        path = chosen_path(self.filepath)
        found = camera_files.read(path)
        up = camera_files.USUAL_UP[found.kind] if self.axes == "AUTO" else UP_OF[self.axes]
        name = path.stem if path.suffix == ".json" else (path if path.is_dir() else path.parent).name
        camera, notes = rig_files.import_cameras(
            context.scene,
            home_of(context),
            found,
            name or "Cameras",
            up=up,
            scale=self.scale,
            set_render=self.set_render,
        )
        if self.set_render:
            camera_markers.show(context.scene, camera, context.scene.frame_start, context.scene.frame_end)
        select_only(context, camera)
        text = f"{path.name}: {labels.counted(len(found.cameras), 'camera')} as keys of “{camera.name}”, {up} up"
        self.report({"WARNING"} if notes else {"INFO"}, "; ".join([text, *notes]))
        return {"FINISHED"}


class DREAMZOOM_OT_export_cameras(Operator, ExportHelper):  # pyright: ignore[reportIncompatibleMethodOverride]
    """Write the camera of every frame for other programs; a rig's as it flies through its world at zoom 0"""

    bl_idname = "dreamzoom.export_cameras"
    bl_label = "Export Cameras"
    bl_description = (
        "Write the camera of every frame for other programs. A rig's camera is written as it flies through its world "
        "at zoom 0. For COLMAP, points of the selected splats go along"
    )
    bl_options = {"PRESET"}

    filename_ext = ""
    check_extension = None
    filter_glob: StringProperty(default="*.json;*.txt", options={"HIDDEN"})
    kind: EnumProperty(name="Format", description="What is written", items=KINDS)
    axes: EnumProperty(name="Axes", description="The axis that points up in the file", items=AXES)
    step: bpy.props.IntProperty(name="Step", description="Write every N-th frame", default=1, min=1, soft_max=100)

    @classmethod
    def poll(cls, context):
        if _camera(context) is None:
            cls.poll_message_set("Choose a camera: select it, or set it in the scene")
            return False
        return True

    def invoke(self, context, event) -> Any:
        if not self.filepath:
            self.filepath = "cameras"
        return ExportHelper.invoke(self, context, event)

    def execute(self, context) -> Result:
        scene, camera = context.scene, _camera(context)
        root = rig.rig_of(camera)
        shown = camera_markers.cameras_of(scene, scene.frame_start, scene.frame_end)
        follows = root is None and camera in shown and len(shown) > 1
        if follows and any(rig.rig_of(other) is not None for other in shown):
            raise DreamzoomError("A marker binds the camera of a rig", "Select the one camera that is to be written")
        frames = range(scene.frame_start, scene.frame_end + 1, self.step)
        samples = list(
            camera_sampling.sample_camera(scene, context.view_layer, camera, frames, root, follow_markers=follows)
        )
        positions, rgb = _points(context, root) if self.kind == camera_files.COLMAP else (None, None)
        path = _target(chosen_path(self.filepath), self.kind)
        up = UP_OF[self.axes]
        rig_files.export_cameras(path, self.kind, samples, root, up=up, positions=positions, rgb=rgb)
        where = " in its world at zoom 0" if root is not None else ""
        points = "" if positions is None else f", {labels.counted(len(positions), 'point')}"
        self.report(
            {"INFO"},
            f"{path.name}: {labels.counted(len(samples), 'camera')} of “{camera.name}”{where}, {up} up{points}",
        )
        return {"FINISHED"}


def _camera(context: bpy.types.Context) -> bpy.types.Object | None:
    """The camera to write: the active object, else that of the active rig, else the scene's."""
    active, root = context.view_layer.objects.active, rig.active_rig(context)
    own = root.dreamzoom.camera if root is not None else None
    return next((obj for obj in (active, own, context.scene.camera) if obj is not None and obj.type == "CAMERA"), None)


def _target(path: Path, kind: str) -> Path:
    """The folder for COLMAP's files, else the file with its suffix."""
    if kind == camera_files.COLMAP:
        return path.parent if path.suffix.lower() in (".txt", ".bin") else path
    if path.is_dir():
        return path / f"{kind}.json"
    return path if path.suffix.lower() == ".json" else path.with_name(f"{path.name}.json")


def _points(context: bpy.types.Context, root: bpy.types.Object | None) -> tuple:
    """Positions (N, 3) in the world, that of zoom 0 for a rig, and sRGB colours of points of the selected splats."""
    chosen = [obj for obj in context.selected_objects if splats.holds_splats(obj)]
    if not chosen:
        return None, None
    if root is None:
        parts = parts_of(chosen, context.view_layer)
    else:
        with assets.zoom_override(root, context.view_layer) as set_zoom:
            set_zoom(0.0)
            parts = parts_of(chosen, context.view_layer)
    positions, rgb = (np.concatenate([getattr(part, name) for part in parts]) for name in ("means", "rgb"))
    rows = np.linspace(0, len(positions) - 1, min(len(positions), MOST_POINTS)).astype(int)
    return positions[rows].astype(np.float64), np.clip(rgb[rows], 0, 1)


def draw_import(menu, _context) -> None:
    """Add the entry in File > Import."""
    menu.layout.operator(DREAMZOOM_OT_import_cameras.bl_idname, text="Cameras (COLMAP/transforms.json/cameras.json)")


def draw_export(menu, _context) -> None:
    """Add the entry in File > Export."""
    menu.layout.operator(DREAMZOOM_OT_export_cameras.bl_idname, text="Cameras (COLMAP/transforms.json/cameras.json)")


CLASSES = (DREAMZOOM_OT_import_cameras, DREAMZOOM_OT_export_cameras)

register, unregister = with_menus(
    CLASSES, [("TOPBAR_MT_file_import", draw_import), ("TOPBAR_MT_file_export", draw_export)]
)
