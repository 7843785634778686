"""What is drawn: the Dreamzoom tab of the 3D viewport's sidebar, from top to bottom in the order of the work."""

from __future__ import annotations

import bpy
from bpy.types import Panel, UILayout, UIList

from . import assets, changes, clearing, launch, preview, rig, words
from .backend import current_job, installation
from .backend.current_job import Job

CATEGORY = "Dreamzoom"
LETTER = 6.4
"""Mean width of a letter in pixels, at the interface's usual scale."""


class DREAMZOOM_UL_levels(UIList):
    """The levels, from far to near; the dot marks where the camera is."""

    bl_idname = "DREAMZOOM_UL_levels"

    def draw_item(self, context, layout, data, item, icon, active_data, active_propname, index=0):
        root = item.id_data
        here = min(max(round(root.get("zoom", 0.0)), 0), len(data.levels) - 1) == index
        row = layout.row(align=True)
        number = row.row(align=True)
        number.ui_units_x = 2.2
        number.label(text=str(index), icon="RADIOBUT_ON" if here else "RADIOBUT_OFF")
        row.prop(item, "prompt", text="", emboss=False, placeholder="What is to be seen here?")
        if item.image:
            row.label(text="", icon="IMAGE_DATA")

    def draw_filter(self, context, layout):
        pass  # levels have an order: no sorting, no filter


class SidebarPanel:
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = CATEGORY


class RigPanel(SidebarPanel):
    """A panel that is of use only where there is a rig."""

    @classmethod
    def poll(cls, context):
        return rig.active_rig(context) is not None


class DREAMZOOM_PT_rig(SidebarPanel, Panel):
    bl_label = "Zoom Rig"

    def draw(self, context):
        layout = self.layout
        root = rig.active_rig(context)
        if root is None:
            paragraph(layout, "Start with a rig: a camera that zooms through levels of prompts.", icon="INFO")
            draw_new_rig(context.scene.dreamzoom, layout)
            return
        row = layout.row(align=True)
        row.label(text=root.name, icon="EMPTY_AXIS")
        row.operator("dreamzoom.duplicate_rig", text="", icon="DUPLICATE", emboss=False)
        row.operator("dreamzoom.delete_rig", text="", icon="TRASH", emboss=False)
        locked = rig.why_locked(root)
        if locked:
            paragraph(layout, locked, icon="LINKED")
        column = split(layout)
        column.prop(root, rig.ZOOM, text="Zoom", slider=True)
        draw_in_the_way(layout, root, context.scene)


class DREAMZOOM_PT_flight(RigPanel, Panel):
    bl_label = "Flight"
    bl_parent_id = "DREAMZOOM_PT_rig"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context):
        layout = self.layout
        root = rig.active_rig(context)
        settings = root.dreamzoom
        column = split(layout)
        column.prop(settings, "camera")
        column.prop(root, rig.ORBIT, text="Orbit per Level")
        column.separator()
        column.prop(settings, "zoom_factor")
        column.prop(settings, "frames_per_level", text="Frames / Level")
        row = column.row()
        row.active = len(settings.levels) > 1
        row.prop(settings, "loop")
        column = layout.column(align=True)
        column.operator("dreamzoom.key_flight", icon="KEYFRAME")
        column.operator("dreamzoom.to_camera", icon="OUTLINER_DATA_CAMERA")


class DREAMZOOM_PT_new_rig(RigPanel, Panel):
    bl_label = "Another Rig"
    bl_parent_id = "DREAMZOOM_PT_rig"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context):
        draw_new_rig(context.scene.dreamzoom, self.layout)


class DREAMZOOM_PT_levels(RigPanel, Panel):
    bl_label = "Levels"

    def draw(self, context):
        layout = self.layout
        settings = rig.active_rig(context).dreamzoom
        row = layout.row()
        row.template_list("DREAMZOOM_UL_levels", "", settings, "levels", settings, "active_level", rows=6)
        side = row.column(align=True)
        side.operator("dreamzoom.level_add", icon="ADD", text="")
        side.operator("dreamzoom.level_remove", icon="REMOVE", text="")
        side.separator()
        side.operator("dreamzoom.level_move", icon="TRIA_UP", text="").direction = "UP"
        side.operator("dreamzoom.level_move", icon="TRIA_DOWN", text="").direction = "DOWN"


class DREAMZOOM_PT_level(RigPanel, Panel):
    bl_label = ""
    bl_parent_id = "DREAMZOOM_PT_levels"
    bl_options = {"DEFAULT_CLOSED"}

    def draw_header(self, context):
        settings = rig.active_rig(context).dreamzoom
        self.layout.label(text=f"Level {min(settings.active_level, len(settings.levels) - 1)} in Detail")

    def draw(self, context):
        settings = rig.active_rig(context).dreamzoom
        item = settings.levels[min(settings.active_level, len(settings.levels) - 1)]
        column = self.layout.column(align=True)
        column.prop(item, "prompt", text="", placeholder="What is to be seen here?")
        column.prop(item, "negative_prompt", text="", placeholder="What is not to be seen?")
        column = split(self.layout)
        column.prop(item, "image")
        column.separator()
        row = column.row(heading="Own Seed", align=True)
        row.prop(item, "use_seed", text="")
        seed = row.row()
        seed.active = item.use_seed
        seed.prop(item, "seed", text="")
        if item.id_data.dreamzoom.engine == "diffusion":
            column.prop(item, "guidance")
        column.separator()
        column.prop(item, "focus")
        root = item.id_data
        own = assets.of_level(root, min(settings.active_level, len(settings.levels) - 1))
        row = self.layout.row(align=True)
        row.label(text=f"My Objects: {len(own)}", icon="OBJECT_DATA")
        row.operator("dreamzoom.level_place", text="Add Selected")


class DREAMZOOM_PT_dream(RigPanel, Panel):
    bl_label = "Dream"

    def draw(self, context):
        layout = self.layout
        settings = rig.active_rig(context).dreamzoom
        column = split(layout)
        column.enabled = not current_job.is_busy()
        column.prop(settings, "engine")
        column.prop(settings, "quality")
        column.prop(settings, "size")
        column.prop(settings, "seed")
        column.prop(settings, "see_assets")
        if settings.engine in ("spectral", "diffusion"):
            column.prop(settings, "second_pass")
        if launch.is_set_up():
            draw_job(layout, settings)
        else:
            draw_set_up(layout)


class DREAMZOOM_PT_result(RigPanel, Panel):
    bl_label = "Result"

    def draw(self, context):
        layout = self.layout
        settings = rig.active_rig(context).dreamzoom
        if settings.splats_collection or settings.points_collection:
            column = layout.column(align=True)
            _draw_kind(column, settings.splats_collection, "Splats", "OUTLINER_OB_LIGHTPROBE")
            _draw_kind(column, settings.points_collection, "Points", "OUTLINER_OB_POINTCLOUD")
            shading = getattr(context.space_data, "shading", None)
            if shading and shading.type in ("SOLID", "WIREFRAME"):
                column.prop_enum(shading, "type", "MATERIAL", text="Show Colours")
            row = layout.row()
            row.prop(settings, "cast_shadows")
            row.prop(settings, "holdout")
            layout.separator()
        row = layout.row(align=True)
        row.operator("dreamzoom.import_job", icon="IMPORT")
        row.operator("dreamzoom.open_job_folder", icon="FILE_FOLDER", text="Open Folder")
        layout.operator("dreamzoom.import_stack", icon="IMAGE_DATA")
        column = split(layout)
        column.prop(settings, "job_folder", text="Folder")


class DREAMZOOM_PT_render(RigPanel, Panel):
    bl_label = "Render"

    def draw(self, context):
        layout = self.layout
        choice = context.scene.dreamzoom
        column = split(layout)
        column.row().prop(choice, "render_engine", expand=True)
        column.prop(choice, "render_samples", text="Samples")
        column.prop(choice, "render_output")
        column.prop(choice, "render_transparent")
        row = layout.row()
        row.scale_y = 1.3
        button = row.operator("dreamzoom.render_settings", icon="SHADING_RENDERED")
        button.engine, button.samples = choice.render_engine, choice.render_samples
        button.output, button.transparent = choice.render_output, choice.render_transparent
        column = layout.column(align=True)
        column.active = False
        column.label(text="Then F12, or Ctrl F12 for the flight.")


def draw_new_rig(new, layout: UILayout) -> None:
    """What a new rig is to be, and the button that makes it."""
    column = split(layout)
    column.prop(new, "target", text="Focus", placeholder="3D Cursor")
    column.prop(new, "levels")
    column.prop(new, "zoom_factor")
    column.prop(new, "frames_per_level", text="Frames / Level")
    row = layout.row()
    row.scale_y = 1.4
    button = row.operator("dreamzoom.create_rig", icon="ADD")
    button.target = new.target.name if new.target else ""
    button.levels, button.zoom_factor, button.frames_per_level = new.levels, new.zoom_factor, new.frames_per_level
    button = layout.operator("dreamzoom.from_camera", icon="OUTLINER_OB_CAMERA")
    button.camera = ""
    button.target, button.zoom_factor = new.target.name if new.target else "", new.zoom_factor


def draw_in_the_way(layout: UILayout, root: bpy.types.Object, scene: bpy.types.Scene) -> None:
    """What hides the dream, as the cube of a new file does, and the button that hides it."""
    found = [obj.name for obj in clearing.in_the_way(root, scene)]
    if not found:
        return
    names = ", ".join(found[:3]) + (f" and {len(found) - 3} more" if len(found) > 3 else "")
    box = layout.box()
    verb = "stands" if len(found) == 1 else "stand"
    paragraph(
        box,
        f"{names} {verb} in the middle of the flight, in front of the dream. Hide it, or add it to a level.",
        icon="INFO",
    )
    row = box.row(align=True)
    row.operator("dreamzoom.hide_in_the_way", icon="HIDE_ON")
    row.prop(root.dreamzoom, "let_stand", text="Let Stand", toggle=True)


def draw_job(layout: UILayout, settings) -> None:
    """The Generate button or the job that is under way, and how the last one ended."""
    current = current_job.get()
    if current is not None and current.is_active:
        _draw_progress(layout, current)
        return
    again = changes.told(settings)
    if again:
        paragraph(layout, again, icon="FILE_REFRESH")
    row = layout.row()
    row.scale_y = 1.5
    row.operator("dreamzoom.generate", icon="PLAY")
    column = layout.column()
    column.use_property_split, column.use_property_decorate = False, False
    column.prop(settings, "import_when_done")
    if current is None:
        return
    if current.status == "failed":
        draw_error(layout, str(current.error), current.error.remedy, current.error.operator)
    elif current.status == "cancelled":
        _draw_note(layout, "CANCEL", "Cancelled. Generate goes on from there.")
    elif current.seconds:
        took = (
            f"Done in {words.of_seconds(current.seconds)}." if current.seconds >= 1 else "Done: all was there already."
        )
        _draw_note(layout, "CHECKMARK", took)
    _draw_warning(layout, current)


def draw_set_up(layout: UILayout) -> None:
    """What to do on a machine where the server has no environment yet, and how its installation goes."""
    running = installation.state.running
    box = layout.box()
    if running is not None:
        paragraph(box, "Installing. Blender stays usable.", icon="TIME")
        paragraph(box, running.line)
        return
    paragraph(box, "Dreaming needs a few packages first.", icon="INFO")
    paragraph(box, "They go into a folder of their own, once: some minutes, some gigabytes.")
    row = box.row()
    row.scale_y = 1.3
    row.operator("dreamzoom.install_server", icon="IMPORT")
    if not bpy.app.online_access:
        paragraph(box, "Allow Online Access first: Preferences, System, Network.")
    box.operator("dreamzoom.open_preferences", text="Use a Python of My Own", icon="PREFERENCES")
    if installation.state.error:
        draw_error(layout, installation.state.error, "Check the network and press Install again")


def draw_error(
    layout: UILayout, message: str, remedy: str, operator: str = "", dismiss: str = "dreamzoom.dismiss"
) -> None:
    """A box that says what went wrong and what to do; the remedy is a button where there is one."""
    box = layout.box()
    head = box.row(align=True)
    warning = head.row()
    warning.alert = True
    warning.label(text="That did not work", icon="ERROR")
    head.operator(dismiss, text="", icon="X", emboss=False)
    paragraph(box, message)
    if operator:
        box.operator(operator, text=remedy or None)
    elif remedy:
        paragraph(box, remedy, icon="LIGHT")


def _draw_progress(layout: UILayout, current: Job) -> None:
    column = layout.column(align=True)
    row = column.row(align=True)
    row.scale_y = 1.5
    row.progress(factor=current.fraction, text=f"{current.fraction * 100:.0f} %")
    row.operator("dreamzoom.cancel", text="", icon="CANCEL")
    lines = layout.column(align=True)
    lines.label(text=_doing(current))
    if current.seconds_left is not None and current.status == "running":
        lines.label(text=f"About {words.of_seconds(current.seconds_left)} left")
    if current.note:
        paragraph(layout, words.sentence(current.note), icon="INFO")
    _draw_warning(layout, current)
    icon = preview.icon(current.preview)
    if icon:
        layout.template_icon(icon_value=icon, scale=8.0)


def _draw_warning(layout: UILayout, current: Job) -> None:
    if current.warning:
        paragraph(layout, words.sentence(current.warning), icon="ERROR")


def _doing(current: Job) -> str:
    if current.status == "capturing":
        return f"Looking at the scene, {current.fraction * 100:.0f} %"
    if current.status == "starting":
        return "Starting"
    if current.status == "cancelling":
        return "Stopping"
    doing = words.of_stage(current.stage) or "Working"
    return doing if current.level is None else f"{doing}, level {current.level} of {current.levels - 1}"


def _draw_kind(layout: UILayout, collection: bpy.types.Collection | None, name: str, icon: str) -> None:
    if collection is None:
        return
    row = layout.row(align=True)
    row.label(text=name, icon=icon)
    row.prop(collection, "hide_viewport", text="", emboss=False)
    row.prop(collection, "hide_render", text="", emboss=False)


def _draw_note(layout: UILayout, icon: str, text: str) -> None:
    row = layout.row()
    row.label(text=text, icon=icon)
    row.operator("dreamzoom.dismiss", text="", icon="X", emboss=False)


def split(layout: UILayout) -> UILayout:
    """A column of properties with their names on the left."""
    column = layout.column()
    column.use_property_split = True
    column.use_property_decorate = False
    return column


def _letters() -> int:
    """How many letters fit on a line of the region that is being drawn."""
    region = bpy.context.region
    scale = bpy.context.preferences.system.ui_scale
    return max(20, int((region.width / scale - 40) / LETTER)) if region else 36


def paragraph(layout: UILayout, text: str, icon: str = "NONE") -> None:
    """Text over as many lines as it needs."""
    column = layout.column(align=True)
    column.scale_y = 0.8
    room = _letters() - (0 if icon == "NONE" else 4)
    line = ""
    lines = []
    for word in text.replace("\n", " ").split():
        if line and len(line) + len(word) >= room:
            lines.append(line)
            line = ""
        line = f"{line} {word}".strip()
    for index, shown in enumerate([*lines, line]):
        column.label(text=shown, icon=icon if index == 0 else ("NONE" if icon == "NONE" else "BLANK1"))


CLASSES = (
    DREAMZOOM_UL_levels,
    DREAMZOOM_PT_rig,
    DREAMZOOM_PT_flight,
    DREAMZOOM_PT_new_rig,
    DREAMZOOM_PT_levels,
    DREAMZOOM_PT_level,
    DREAMZOOM_PT_dream,
    DREAMZOOM_PT_result,
    DREAMZOOM_PT_render,
)

register, _unregister_classes = bpy.utils.register_classes_factory(CLASSES)


def unregister() -> None:
    _unregister_classes()
    preview.clear()
