"""Operators that import and export files of splats, by the File menu or by dropping files into the viewport."""

from __future__ import annotations

from math import pi
from pathlib import Path
from typing import Any

import bpy
from bpy.props import BoolProperty, CollectionProperty, EnumProperty, FloatProperty, StringProperty
from bpy.types import FileHandler, Operator, OperatorFileListElement
from bpy_extras.io_utils import ExportHelper, ImportHelper, poll_file_object_drop
from mathutils import Matrix

from ... import splats
from ...core import formats
from ...results import render_settings
from ...translations import translated
from .common import Result, home_of, scene_is_own, select_only

PATTERNS = ";".join(f"*{suffix}" for suffix in formats.SUFFIXES)
"""The file name patterns of all formats, for Blender's file browser."""

ROTATIONS = {"MINUS_Y": -pi / 2, "Y": pi / 2, "Z": 0.0}
"""The rotation about X, in radians, that turns a file upright, by the axis that points up in it."""

AXIS_OF = {"-Y": "MINUS_Y", "Y": "Y", "Z": "Z"}
"""The choice of `axes` by the axis that points up according to the file or its format."""

REPORTS = {
    "surfels": ", as quads",
    "flat": ", as flat Gaussians on quads",
    "gaussians": ", as Gaussians in spheres",
    "viewers": ", as viewers show them",
    "native": ", as Blender's own",
}
"""How the report names the representation."""

NATIVE = (
    (
        "native",
        "Blender's Own",
        "A point cloud that Blender itself shows as splats: fast in the viewport; needs more samples in Cycles",
    ),
) * splats.native.available()
"""A further choice if this Blender has its own splats, from 5.3 on."""

AXES = (
    ("MINUS_Y", "−Y Up", "As in most captures: x right, y down, z forward"),
    ("Y", "Y Up", "As in SPZ and glTF: x right, y up, z back"),
    ("Z", "Z Up", "As in Blender, and in Dreamzoom's own files"),
)


class DREAMZOOM_OT_import_splats(Operator, ImportHelper):
    """Import Gaussian splats that render in Cycles and EEVEE"""

    bl_idname = "dreamzoom.import_splats"
    bl_label = "Import Splats"
    bl_options = {"UNDO", "PRESET"}

    filter_glob: StringProperty(default=PATTERNS, options={"HIDDEN"})
    files: CollectionProperty(type=OperatorFileListElement, options={"HIDDEN", "SKIP_SAVE"})
    directory: StringProperty(subtype="DIR_PATH", options={"HIDDEN", "SKIP_SAVE"})
    representation: EnumProperty(
        name="Show As",
        description="How the splats are represented in Blender",
        items=(
            ("auto", "Automatic", "The fastest of quads, flat Gaussians and Gaussians that shows the splats well"),
            ("surfels", "Quads", "The fastest, and the best in EEVEE; shows splats as if they had no thickness"),
            (
                "flat",
                "Flat Gaussians",
                "Quads whose material evaluates each splat along the ray; twice as fast as Gaussians, and exact for "
                "splats that are at most an eighth as thick as they are wide",
            ),
            (
                "gaussians",
                "Gaussians",
                "Points whose material evaluates each splat along the ray; exact for all splats in Cycles",
            ),
            (
                "viewers",
                "As Viewers Do",
                "Quads that face the camera and blend in sRGB, as web viewers show splats; sets the view transform Raw",
            ),
            *NATIVE,
        ),
        default="auto",
    )
    axes: EnumProperty(
        name="Axes",
        description="The axis that points up in the file",
        items=(("AUTO", "Automatic", "As the file says, or as usual for its format"), *AXES),
        default="AUTO",
    )
    scale: FloatProperty(name="Scale", description="Size of the object", default=1.0, min=1e-6, soft_max=100.0)

    set_up_render: BoolProperty(
        name="Set Up Render",
        description="Let rays pass all splats in Cycles, and keep their colours unchanged: view transform Standard",
        default=True,
    )

    @classmethod
    def poll(cls, context):
        return scene_is_own(cls, context)

    def invoke(self, context, event) -> Any:
        return self.invoke_popup(context) if self.directory else ImportHelper.invoke(self, context, event)

    def execute(self, context) -> Result:
        names = [element.name for element in self.files if element.name]
        paths = [Path(self.directory) / name for name in names] or [Path(self.filepath)]
        if paths[0].is_dir():
            self.report({"ERROR"}, f"Choose a file of splats: {', '.join(formats.SUFFIXES)}")
            return {"CANCELLED"}
        done = [path for path in paths if self._import(context, path)]
        return {"FINISHED"} if done else {"CANCELLED"}

    def _import(self, context, path: Path) -> bool:
        try:
            read = formats.read(path)
            values = read.splats
            if not len(values):
                why = f": none of its {read.dropped:,} rows holds usable numbers" if read.dropped else ""
                raise splats.SplatFileError(f"{path.name} holds no splats{why}")
            axes = AXIS_OF[read.up] if self.axes == "AUTO" else self.axes
            shown = splats.best_representation(values) if self.representation == "auto" else self.representation
            objects = splats.show_splats(values, path.stem.removesuffix(".compressed"), home_of(context), shown)
        except (OSError, splats.SplatFileError) as error:
            self.report({"ERROR"}, _message(error))
            return False
        except MemoryError:
            self.report({"ERROR"}, f"{path.name} needs more memory than is available")
            return False
        if self.set_up_render:
            render_settings.show_splats(context.scene)
        if self.representation == "viewers":
            context.scene.view_settings.view_transform = "Raw"
        for obj in objects:
            obj.rotation_euler.x = ROTATIONS[axes]
            obj.scale = (self.scale,) * 3
        select_only(context, *objects)
        label = REPORTS.get(shown, "")
        if read.warning:
            self.report({"WARNING"}, f"{path.name}: {read.warning}")
        else:
            self.report({"INFO"}, f"{path.name}: {len(values):,} splats{label}")
        return True


class DREAMZOOM_OT_export_splats(Operator, ExportHelper):  # pyright: ignore[reportIncompatibleMethodOverride]
    """Write the selected splats into one PLY file for other programs, with their transforms applied"""

    bl_idname = "dreamzoom.export_splats"
    bl_label = "Export Splats"
    bl_options = {"PRESET"}

    filename_ext = ".ply"
    filter_glob: StringProperty(default="*.ply", options={"HIDDEN"})
    axes: EnumProperty(name="Axes", description="The axis that points up in the file", items=AXES)

    @classmethod
    def poll(cls, context):
        if not any(splats.holds_splats(obj) for obj in context.selected_objects):
            cls.poll_message_set("Select an object that shows splats first")
            return False
        return True

    def execute(self, context) -> Result:
        objects = [obj for obj in context.selected_objects if splats.holds_splats(obj)]
        path = Path(self.filepath)
        try:
            count = splats.export_splats(objects, path, Matrix.Rotation(-ROTATIONS[self.axes], 4, "X"))
        except (OSError, splats.SplatFileError) as error:
            self.report({"ERROR"}, _message(error))
            return {"CANCELLED"}
        self.report({"INFO"}, f"{path.name}: {count:,} splats")
        return {"FINISHED"}


class DREAMZOOM_FH_splats(FileHandler):
    """Imports files of splats that are dropped into the viewport."""

    bl_idname = "DREAMZOOM_FH_splats"
    bl_label = "Gaussian Splats"
    bl_import_operator = "dreamzoom.import_splats"
    bl_export_operator = "dreamzoom.export_splats"
    bl_file_extensions = ";".join(formats.SUFFIXES)

    @classmethod
    def poll_drop(cls, context):
        return poll_file_object_drop(context)


def _message(error: Exception) -> str:
    """An error with its remedy, in one line."""
    return f"{error}; {error.remedy}" if getattr(error, "remedy", "") else str(error)


def draw_import(menu, _context) -> None:
    """Add the entry in File > Import."""
    menu.layout.operator(
        DREAMZOOM_OT_import_splats.bl_idname, text=translated(f"Gaussian Splats ({'/'.join(formats.SUFFIXES)})")
    )


def draw_export(menu, _context) -> None:
    """Add the entry in File > Export."""
    menu.layout.operator(DREAMZOOM_OT_export_splats.bl_idname, text="Gaussian Splats (.ply)")


CLASSES = (DREAMZOOM_OT_import_splats, DREAMZOOM_OT_export_splats, DREAMZOOM_FH_splats)


def register() -> None:
    for cls in CLASSES:
        bpy.utils.register_class(cls)
    bpy.types.TOPBAR_MT_file_import.append(draw_import)
    bpy.types.TOPBAR_MT_file_export.append(draw_export)


def unregister() -> None:
    bpy.types.TOPBAR_MT_file_export.remove(draw_export)
    bpy.types.TOPBAR_MT_file_import.remove(draw_import)
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
