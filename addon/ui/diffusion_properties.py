"""The settings of the diffusion engine, as the .blend stores them."""

from __future__ import annotations

from bpy.props import BoolProperty, CollectionProperty, EnumProperty, FloatProperty, IntProperty, StringProperty
from bpy.types import PropertyGroup

from ..backend import model_library

SCHEDULERS = (
    ("auto", "The Model's Own", "What the model was made for"),
    ("ddpm", "DDPM", "Ancestral: some noise at every step. Takes many steps"),
    ("ddim", "DDIM", "Straight to the picture, the same one with few steps or many"),
    ("dpm++", "DPM-Solver++", "Second order: fine pictures in 15 to 25 steps"),
    ("euler", "Euler", "First order, robust"),
    ("lcm", "LCM", "For models distilled to 4 to 8 steps"),
)
OFFLOADS = (
    ("auto", "Automatic", "Keep on the card what fits, judged before the run"),
    ("none", "Nothing", "Keep all on the card: quickest, needs most memory"),
    ("model", "Models in Turn", "Only the part of the model that works is on the card"),
    ("sequential", "Layer by Layer", "Smallest, and several times slower"),
)


def _found(use: str):
    def search(settings, context, edit_text):
        return [name for name in model_library.names(use) if edit_text.lower() in name.lower()]

    return search


class LoraSettings(PropertyGroup):
    """A LoRA: a small file that changes a model."""

    file: StringProperty(
        name="LoRA",
        description="A .safetensors file that changes the picture model: a style, a subject, fewer steps",
        subtype="FILE_PATH",
        options={"PATH_SUPPORTS_BLEND_RELATIVE"},
    )
    weight: FloatProperty(name="Weight", description="How much of it", default=1.0, min=-4.0, max=4.0, step=5)


class DiffusionSettings(PropertyGroup):
    """What the diffusion engine is told; zero and empty mean the model's own."""

    model: StringProperty(
        name="Model",
        description="The picture model: owner/name of one on this machine, or a folder. "
        "Empty: the best one that your card holds",
        search=_found("picture"),
        search_options={"SUGGESTION"},
    )
    depth_model: StringProperty(
        name="Depth",
        description="The model that tells how far things are: owner/name of one on this machine, or a folder. "
        "Empty: the one there is",
        search=_found("depth"),
        search_options={"SUGGESTION"},
    )
    style: StringProperty(
        name="Style", description="Put behind the prompt of every level: one look for the whole flight", maxlen=4000
    )
    steps: IntProperty(
        name="Steps", description="Denoising steps of a picture. 0: what the model needs", min=0, max=500, soft_max=60
    )
    guidance: FloatProperty(
        name="Guidance",
        description="How closely the pictures follow the prompts. 0: what suits the model",
        min=0.0,
        max=50.0,
        soft_max=15.0,
        step=50,
    )
    scheduler: EnumProperty(name="Scheduler", description="How noise becomes a picture", items=SCHEDULERS)
    joint: BoolProperty(
        name="Levels Together",
        description="Let all levels agree while they come into being, where the model can: then each shows what the "
        "next one shows larger. Off: each is painted into the one before",
        default=True,
    )
    detail: FloatProperty(
        name="New Detail",
        description="How freely what was seen from afar is painted anew from near",
        default=0.55,
        min=0.05,
        max=1.0,
        subtype="FACTOR",
    )
    offload: EnumProperty(name="Offload", description="What leaves the card while it does not work", items=OFFLOADS)
    loras: CollectionProperty(type=LoraSettings, name="LoRAs", description="Changes to the picture model")


CLASSES = (LoraSettings, DiffusionSettings)
