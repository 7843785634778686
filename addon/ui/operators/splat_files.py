"""Operators that import and export files of splats, by the File menu or by dropping files into the viewport."""

from __future__ import annotations

from math import pi
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from bpy.props import BoolProperty, CollectionProperty, EnumProperty, FloatProperty, StringProperty
from bpy.types import FileHandler, Operator, OperatorFileListElement
from bpy_extras.io_utils import ExportHelper, ImportHelper, poll_file_object_drop
from mathutils import Matrix

from ... import splats
from ...core import formats
from ...core.formats.axes import UPRIGHT
from ...results import render_settings
from ...translations import translated
from .. import labels
from ..registration import with_menus
from .common import Result, chosen_path, home_of, scene_is_own, select_only

PATTERNS = ";".join([*(f"*{suffix}" for suffix in formats.SUFFIXES), "*.gltf", "*.ply.gz", "*.zip", "*meta.json"])
"""The file name patterns of all formats, for Blender's file browser."""

ROTATIONS = {"MINUS_Y": -pi / 2, "Y": pi / 2, "Z": 0.0}
"""The rotation about X, in radians, that turns a file upright, by the axis that points up in it."""

UP_OF = {"MINUS_Y": "-Y", "Y": "Y", "Z": "Z"}
"""The axis that points up by the choice of `axes`."""

FORMATS = tuple(
    (form.suffix[1:].upper().replace(".", "_"), form.name, f"A file that ends in {form.suffix}")
    for form in formats.FORMATS
)
SUFFIX_OF = {item[0]: form.suffix for item, form in zip(FORMATS, formats.FORMATS)}

REPORTS = {
    "surfels": ", as quads",
    "flat": ", as flat Gaussians on quads",
    "gaussians": ", as Gaussians in spheres",
    "viewers": ", as viewers show them",
    "native": ", as Blender's own",
}
"""How the report names the representation."""

NOTE = "dreamzoom_import"
"""Custom property of imported objects: from which file, and what was guessed or changed."""

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
    keep_place: BoolProperty(
        name="Keep Place",
        description="Move the object to where its coordinates are; else it stays at the origin, if they are far away",
        default=True,
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
        paths = [chosen_path(self.directory) / name for name in names] or [chosen_path(self.filepath)]
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
            shown = splats.best_representation(values) if self.representation == "auto" else self.representation
            name = _object_name(path)
            objects = splats.show_splats(values, name, home_of(context), shown, read.antialiased)
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
            self._place(obj, read)
        select_only(context, *objects)
        axes = read.axes.told(read.form) if self.axes == "AUTO" else ""
        text = "; ".join(
            part
            for part in (f"{labels.counted(len(values), 'splat')}{REPORTS.get(shown, '')}", axes, *read.changes)
            if part
        )
        for obj in objects:
            obj[NOTE] = f"{path.name}: {text}"
        self.report({"WARNING" if read.dropped else "INFO"}, f"{path.name}: {text}")
        return True

    def _place(self, obj: bpy.types.Object, read: formats.SplatFile) -> None:
        """Turn an object upright, scale it, and move it to where the file's coordinates are."""
        matrix = read.axes.matrix if self.axes == "AUTO" else UPRIGHT[UP_OF[self.axes]]
        known = next((key for key, up in UP_OF.items() if np.array_equal(matrix, UPRIGHT[up])), None)
        if known:
            obj.rotation_euler.x = ROTATIONS[known]
        else:
            obj.rotation_euler = Matrix(matrix.tolist()).to_euler()
        obj.scale = (self.scale,) * 3
        if self.keep_place:
            obj.location = (self.scale * matrix @ read.origin).tolist()


class SplatTarget(ExportHelper):
    """What operators that write a file of splats have in common: its format and its axes."""

    filename_ext = ".ply"
    filter_glob: StringProperty(default=";".join(f"*{suffix}" for suffix in formats.SUFFIXES), options={"HIDDEN"})
    file_format: EnumProperty(
        name="Format",
        description="The format of the file",
        items=(("AUTO", "By Name", "The format that the file's name ends in"), *FORMATS),
        default="AUTO",
    )
    axes: EnumProperty(
        name="Axes", description="The axis that points up in a PLY; other formats have axes of their own", items=AXES
    )

    def check(self, context) -> bool:  # noqa: ARG002
        """Let the file's name end in the chosen format's suffix."""
        path = str(self.target_path()) if self.filepath else self.filepath
        changed, self.filepath = path != self.filepath, path
        return changed

    def draw(self, context) -> None:  # noqa: ARG002
        layout = self.layout
        layout.use_property_split = True
        layout.prop(self, "file_format")
        column = layout.column()
        column.active = self._keeps_axes()
        column.prop(self, "axes")

    def target_path(self) -> Path:
        """The file's path with the chosen format's suffix; a PLY's where the name tells none."""
        path = Path(self.filepath)
        suffix = SUFFIX_OF.get(self.file_format, "")
        name = path.name.lower()
        known = [form.suffix for form in formats.FORMATS if name.endswith(form.suffix)]
        if (not suffix and known) or (suffix and known[:1] == [suffix]):
            return path
        stem = path.name[: len(path.name) - len(known[0])] if known else path.name
        return path.with_name(f"{stem}{suffix or self.filename_ext}")

    def _keeps_axes(self) -> bool:
        return formats.format_of(self.target_path()).keeps_axes

    def up(self) -> str:
        """The axis that points up in the file."""
        return UP_OF[self.axes] if self._keeps_axes() else formats.format_of(self.target_path()).up


class DREAMZOOM_OT_export_splats(Operator, SplatTarget):  # pyright: ignore[reportIncompatibleMethodOverride]
    """Write the selected splats into one file for other programs, with their transforms applied"""

    bl_idname = "dreamzoom.export_splats"
    bl_label = "Export Splats"
    bl_options = {"PRESET"}

    @classmethod
    def poll(cls, context):
        if not any(splats.holds_splats(obj) for obj in context.selected_objects):
            cls.poll_message_set("Select an object that shows splats first")
            return False
        return True

    def execute(self, context) -> Result:
        objects = [obj for obj in context.selected_objects if splats.holds_splats(obj)]
        self.filepath = str(chosen_path(self.filepath))
        path, up = self.target_path(), self.up()
        after = np.eye(4)
        after[:3, :3] = UPRIGHT[up].T
        try:
            written = splats.write_splats_of(objects, path, after, up)
        except (OSError, splats.SplatFileError) as error:
            self.report({"ERROR"}, _message(error))
            return {"CANCELLED"}
        self.report({"INFO"}, f"{path.name}: " + "; ".join((labels.counted(written.count, "splat"), *written.notes)))
        return {"FINISHED"}


class DREAMZOOM_FH_splats(FileHandler):
    """Imports files of splats that are dropped into the viewport."""

    bl_idname = "DREAMZOOM_FH_splats"
    bl_label = "Gaussian Splats"
    bl_import_operator = "dreamzoom.import_splats"
    bl_export_operator = "dreamzoom.export_splats"
    bl_file_extensions = ";".join((*formats.SUFFIXES, ".gltf", ".gz"))

    @classmethod
    def poll_drop(cls, context):
        return poll_file_object_drop(context)


def _message(error: Exception) -> str:
    """An error with its remedy, in one line."""
    return f"{error}; {error.remedy}" if getattr(error, "remedy", "") else str(error)


def _object_name(path: Path) -> str:
    """What an object is called by its file: of a SOG's meta.json, by its folder."""
    if path.name.lower() == "meta.json":
        return path.parent.name or path.stem
    name = path.name
    for suffix in (".gz", ".zip", *(form.suffix for form in formats.FORMATS), ".json"):
        name = name[: -len(suffix)] if name.lower().endswith(suffix) else name
    return name or path.stem


def draw_import(menu, _context) -> None:
    """Add the entry in File > Import."""
    menu.layout.operator(
        DREAMZOOM_OT_import_splats.bl_idname, text=translated(f"Gaussian Splats ({'/'.join(formats.SUFFIXES)})")
    )


def draw_export(menu, _context) -> None:
    """Add the entry in File > Export."""
    menu.layout.operator(
        DREAMZOOM_OT_export_splats.bl_idname, text=translated(f"Gaussian Splats ({'/'.join(formats.SUFFIXES)})")
    )


CLASSES = (DREAMZOOM_OT_import_splats, DREAMZOOM_OT_export_splats, DREAMZOOM_FH_splats)

register, unregister = with_menus(
    CLASSES, [("TOPBAR_MT_file_import", draw_import), ("TOPBAR_MT_file_export", draw_export)]
)
