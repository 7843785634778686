"""The panels of the diffusion engine, below Dream: its models and its options."""

from __future__ import annotations

import bpy
from bpy.types import Panel, UILayout

from ... import rig
from ...backend import current_job, model_library, readiness
from ...core.protocol import licences
from ...translations import translated
from .. import labels
from .dream import draw_hung
from .layout import RigPanel, draw_error, optional, paragraph, split

EDITS = "This model is told to continue each picture. What is known stays; what it moves or recolours is corrected."


class DREAMZOOM_PT_diffusion(RigPanel, Panel):
    bl_label = "Diffusion"
    bl_parent_id = "DREAMZOOM_PT_dream"

    @classmethod
    def poll(cls, context):
        root = rig.active_rig(context)
        return root is not None and root.dreamzoom.engine == "diffusion"

    def draw(self, context):
        layout = self.layout
        settings = rig.active_rig(context).dreamzoom.diffusion
        column = split(layout)
        column.enabled = not current_job.is_busy(rig.active_rig(context).session_uid)
        column.prop(settings, "model", placeholder="The best one that fits", icon="IMAGE_DATA")
        column.prop(settings, "depth_model", placeholder="The best on this machine", icon="IMAGE_ZDEPTH")
        for name in (settings.model, settings.depth_model):
            if model_library.is_non_commercial(name):
                paragraph(layout, f"{name} is not for commercial use.", icon="INFO")
        if readiness.is_ready():
            model_library.list_soon()
            _draw_library(layout)
            if model_library.can(settings.model.strip(), "edit"):
                paragraph(layout, EDITS, icon="INFO")
        column = split(layout)
        column.enabled = not current_job.is_busy(rig.active_rig(context).session_uid)
        column.prop(settings, "style", placeholder="Added to every prompt")
        optional(column, settings, "steps", "use_steps")
        optional(column, settings, "guidance", "use_guidance")


class DREAMZOOM_PT_diffusion_more(RigPanel, Panel):
    bl_label = "More"
    bl_parent_id = "DREAMZOOM_PT_diffusion"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context):
        layout = self.layout
        settings = rig.active_rig(context).dreamzoom.diffusion
        column = split(layout)
        column.enabled = not current_job.is_busy(rig.active_rig(context).session_uid)
        column.prop(settings, "scheduler")
        column.prop(settings, "detail")
        column.prop(settings, "joint")
        column.prop(settings, "offload")
        for index, item in enumerate(settings.loras):
            row = layout.row(align=True)
            row.prop(item, "file", text="", placeholder="LoRA")
            weight = row.row(align=True)
            weight.ui_units_x = 3.5
            weight.prop(item, "weight", text="")
            row.prop(item, "outpaint", text="", icon="FULLSCREEN_ENTER")
            row.operator("dreamzoom.lora_remove", text="", icon="REMOVE").index = index
        layout.operator("dreamzoom.lora_add", icon="ADD")


def _draw_library(layout: UILayout) -> None:
    """The state of the models on this machine and the buttons to list and download them."""
    library = model_library.library
    if library.error is not None:
        draw_error(layout, str(library.error), library.error.remedy, library.error.operator, "dreamzoom.cancel_models")
    if library.activity and not current_job.is_server_busy():
        draw_hung(layout)
    if library.activity == "downloading":
        _draw_download(layout)
        return
    if library.offers:
        _draw_offer(layout)
        return
    if library.entries is not None and not model_library.names("picture"):
        paragraph(layout, "There is no picture model on this machine yet.", icon="INFO")
    elif library.entries is not None and not model_library.names("depth"):
        paragraph(layout, "There is no depth model on this machine yet.", icon="INFO")
    for name, reason in model_library.unusable():
        paragraph(layout, f"{name} can't be used: {reason}", icon="ERROR")
    row = layout.row(align=True)
    running = {"offering": "Asking for Size and Licence", "listing": "Looking for Models"}
    row.operator("dreamzoom.get_models", icon="IMPORT", text=running.get(library.activity))
    row.operator("dreamzoom.refresh_models", icon="FILE_REFRESH", text="")
    if not bpy.app.online_access:
        paragraph(layout, "To get models, allow Online Access: Preferences, System, Network.")


def _draw_offer(layout: UILayout) -> None:
    box = layout.box()
    for offer in model_library.library.offers:
        box.label(text=offer["repository"], icon="IMPORT" if offer["missing"] else "CHECKMARK")
        size = f"{offer['missing'] / 1e9:.2f} GB" if offer["missing"] else "On this machine already"
        paragraph(box, f"{size}. Licence: {offer['licence'] or 'not stated'}.")
        if licences.is_non_commercial(offer["licence"]):
            paragraph(box, "Not for commercial use.", icon="ERROR")
    column = box.column(align=True)
    total = sum(offer["missing"] for offer in model_library.library.offers)
    column.operator(
        "dreamzoom.download_models", icon="IMPORT", text=translated(f"Download {total / 1e9:.1f} GB") if total else None
    )
    column.operator("dreamzoom.cancel_models", text="Not Now")


def _draw_download(layout: UILayout) -> None:
    library = model_library.library
    row = layout.row(align=True)
    row.progress(factor=library.fraction, text=f"{library.fraction * 100:.0f} %")
    row.operator("dreamzoom.cancel_models", text="", icon="CANCEL")
    column = layout.column(align=True)
    column.label(text=library.message or "Starting")
    if library.seconds_left is not None:
        column.label(text=translated(f"About {labels.of_seconds(library.seconds_left)} left"), translate=False)


CLASSES = (DREAMZOOM_PT_diffusion, DREAMZOOM_PT_diffusion_more)

register, unregister = bpy.utils.register_classes_factory(CLASSES)
