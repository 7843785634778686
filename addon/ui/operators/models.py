"""Operators that list and download diffusion models, and that edit the list of LoRAs."""

from __future__ import annotations

import bpy
from bpy.props import EnumProperty, IntProperty, StringProperty
from bpy.types import Operator

from ... import rig
from ...backend import current_job, model_library
from ...core.errors import DreamzoomError
from ...core.protocol.model_offers import OFFERS
from .common import Result, can_change, can_use_server, offered_if, report

ANOTHER = "another"
CHOICES = (
    *((name, label, f"A picture model and a depth model. {label}") for name, label in model_library.SETS.items()),
    *((name, offer.label, offer.about) for name, offer in OFFERS.items() if offer.use == "depth"),
    (ANOTHER, "Another Model", "Any model of the Hugging Face hub, by its name"),
)


def _can_ask(cls) -> bool:
    if not can_use_server(cls):
        return False
    if model_library.is_busy():
        cls.poll_message_set("The server is busy with models already")
    elif current_job.is_busy():
        cls.poll_message_set("A job is running")
    else:
        return True
    return False


def _can_download(cls) -> bool:
    if not bpy.app.online_access:
        cls.poll_message_set("Allow Online Access in the preferences, under System, first")
        return False
    return _can_ask(cls)


class DREAMZOOM_OT_refresh_models(Operator):
    """List the models on this machine again"""

    bl_idname = "dreamzoom.refresh_models"
    bl_label = "Look for Models"

    @classmethod
    def poll(cls, context):
        return _can_ask(cls)

    def execute(self, context) -> Result:
        model_library.refresh()
        return {"FINISHED"}


class DREAMZOOM_OT_get_models(Operator):
    """See which models can be downloaded, with size and licence. Nothing is downloaded before you agree"""

    bl_idname = "dreamzoom.get_models"
    bl_label = "Get Models"

    choice: EnumProperty(name="Models", description="What to download", items=CHOICES)
    repository: StringProperty(
        name="Name", description=f"owner/name on the Hugging Face hub, or one of {', '.join(OFFERS)}"
    )

    @classmethod
    def poll(cls, context):
        return _can_download(cls)

    def invoke(self, context, event) -> Result:
        return context.window_manager.invoke_props_dialog(self, width=340, confirm_text="Ask for Size and Licence")

    def draw(self, context):
        column = self.layout.column()
        column.props_enum(self, "choice")
        row = column.row()
        row.active = self.choice == ANOTHER
        row.prop(self, "repository", placeholder="owner/name")

    def execute(self, context) -> Result:
        name = self.repository.strip() if self.choice == ANOTHER else self.choice
        if not name:
            self.report({"WARNING"}, "Write the name of the model, as owner/name")
            return {"CANCELLED"}
        return _done(self, lambda: model_library.request_offer(name))


class DREAMZOOM_OT_download_models(Operator):
    """Download these models under their licences. Blender stays usable; an interrupted download can be continued"""

    bl_idname = "dreamzoom.download_models"
    bl_label = "Download"

    @classmethod
    def poll(cls, context):
        if not model_library.library.offers:
            cls.poll_message_set("Ask for size and licence first: press Get Models")
            return False
        return _can_download(cls)

    def execute(self, context) -> Result:
        return _done(self, model_library.download)


class DREAMZOOM_OT_cancel_models(Operator):
    """Stop. The downloaded part is kept, and the next download continues from there"""

    bl_idname = "dreamzoom.cancel_models"
    bl_label = "Cancel"

    poll = offered_if(model_library.can_stop, "No download is running")

    def execute(self, context) -> Result:
        model_library.cancel()
        return {"FINISHED"}


class DREAMZOOM_OT_lora_add(Operator):
    """Add a LoRA: a small file that changes the picture model"""

    bl_idname = "dreamzoom.lora_add"
    bl_label = "Add LoRA"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context):
        if not can_change(cls, context):
            return False
        if rig.active_rig(context).dreamzoom.engine != "diffusion":
            cls.poll_message_set("Only the Diffusion engine has LoRAs: choose it first")
            return False
        if len(rig.active_rig(context).dreamzoom.diffusion.loras) >= 8:
            cls.poll_message_set("There can be 8 LoRAs at most")
            return False
        return True

    def execute(self, context) -> Result:
        rig.active_rig(context).dreamzoom.diffusion.loras.add()
        return {"FINISHED"}


class DREAMZOOM_OT_lora_remove(Operator):
    """Remove this LoRA from the list"""

    bl_idname = "dreamzoom.lora_remove"
    bl_label = "Remove LoRA"
    bl_options = {"REGISTER", "UNDO"}

    index: IntProperty(name="Index", description="Position in the list", min=0)

    @classmethod
    def poll(cls, context):
        return can_change(cls, context)

    def execute(self, context) -> Result:
        loras = rig.active_rig(context).dreamzoom.diffusion.loras
        if self.index >= len(loras):
            return {"CANCELLED"}
        loras.remove(self.index)
        return {"FINISHED"}


def _done(operator: Operator, work) -> Result:
    try:
        work()
    except DreamzoomError as error:
        return report(operator, error, "WARNING")
    return {"FINISHED"}


CLASSES = (
    DREAMZOOM_OT_refresh_models,
    DREAMZOOM_OT_get_models,
    DREAMZOOM_OT_download_models,
    DREAMZOOM_OT_cancel_models,
    DREAMZOOM_OT_lora_add,
    DREAMZOOM_OT_lora_remove,
)

register, unregister = bpy.utils.register_classes_factory(CLASSES)
