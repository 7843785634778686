"""The settings of the diffusion engine, as the .blend stores them."""

from __future__ import annotations

from typing import Any

from bpy.props import BoolProperty, CollectionProperty, EnumProperty, FloatProperty, IntProperty, StringProperty
from bpy.types import PropertyGroup

from ..backend import model_library
from ..core.protocol.model_offers import is_for_outpainting

SCHEDULERS = (
    ("auto", "The Model's Own", "The scheduler that the model was made for"),
    ("ddpm", "DDPM", "Ancestral: adds some noise at every step. Needs many steps"),
    ("ddim", "DDIM", "Deterministic: nearly the same picture with few steps or many"),
    ("dpm++", "DPM-Solver++", "Second order: fine pictures in 15 to 25 steps"),
    ("euler", "Euler", "First order, robust"),
    ("lcm", "LCM", "For models distilled to 4 to 8 steps"),
)
OFFLOADS = (
    ("auto", "Automatic", "Keep on the graphics card what fits, estimated before the run"),
    ("none", "Nothing", "Keep everything on the graphics card: fastest, needs the most memory"),
    ("model", "Models in Turn", "Only the part of the model that is at work is on the graphics card"),
    ("sequential", "Layer by Layer", "Needs the least memory, and is several times slower"),
)


def _found(use: str):
    def search(settings, context, edit_text):
        return [name for name in model_library.names(use) if edit_text.lower() in name.lower()]

    return search


def _named(item, context) -> None:  # noqa: ARG001
    item.outpaint = is_for_outpainting(item.file)


class LoraSettings(PropertyGroup):
    """A LoRA: a small file that changes a model."""

    file: StringProperty(
        name="LoRA",
        description="A .safetensors file that changes the picture model: a style, a subject, fewer steps",
        subtype="FILE_PATH",
        options={"PATH_SUPPORTS_BLEND_RELATIVE"},
        update=_named,
    )
    weight: FloatProperty(name="Weight", description="Strength of the LoRA", default=1.0, min=-4.0, max=4.0, step=5)
    outpaint: BoolProperty(
        name="For Outpainting",
        description="The LoRA teaches the model to continue pictures whose unknown part is green; it is used for that "
        "alone. Set by itself if the file's name says so",
    )


def _switch(name: str, usual: float, description: str) -> Any:
    """A property that says whether another, of which 0 means the model's own value, has a value of the artist's."""

    def is_set(settings) -> bool:
        return getattr(settings, name) > 0

    def set_it(settings, on: bool) -> None:
        setattr(settings, name, usual if on else 0)

    return BoolProperty(name=f"Own {name.capitalize()}", description=description, get=is_set, set=set_it)


class DiffusionSettings(PropertyGroup):
    """Options of the diffusion engine; zero and empty mean the model's own value."""

    model: StringProperty(
        name="Model",
        description="The picture model: owner/name of one on this machine, or a folder. "
        "Empty: the best one that fits your graphics card",
        search=_found("picture"),
        search_options={"SUGGESTION"},
    )
    depth_model: StringProperty(
        name="Depth",
        description="The model that estimates depth: owner/name of one on this machine, or a folder. "
        "Empty: the best one on this machine",
        search=_found("depth"),
        search_options={"SUGGESTION"},
    )
    style: StringProperty(
        name="Style", description="Added to the end of every level's prompt: one look for the whole flight", maxlen=4000
    )
    steps: IntProperty(
        name="Steps",
        description="Denoising steps per picture. 0: as many as the model needs",
        min=0,
        max=500,
        soft_max=60,
    )
    guidance: FloatProperty(
        name="Guidance",
        description="How closely the pictures follow the prompts. 0: the model's own value",
        min=0.0,
        max=50.0,
        soft_max=15.0,
        step=50,
    )
    use_steps: _switch("steps", 25, "Choose the count of steps. Off: as many as the model needs")
    use_guidance: _switch("guidance", 5.0, "Choose the guidance. Off: the model's own value")
    scheduler: EnumProperty(
        name="Scheduler", description="How the denoising steps go from noise to a picture", items=SCHEDULERS
    )
    joint: BoolProperty(
        name="Levels Together",
        description="Sample all levels together, where the model can, so that each shows what the next shows larger. "
        "Off: each level is painted into the one before",
        default=True,
    )
    detail: FloatProperty(
        name="New Detail",
        description="How freely a region is repainted when the camera comes near, compared with its look from afar",
        default=0.55,
        min=0.05,
        max=1.0,
        subtype="FACTOR",
    )
    offload: EnumProperty(
        name="Offload",
        description="What is moved from the graphics card to main memory while it is not at work",
        items=OFFLOADS,
    )
    loras: CollectionProperty(type=LoraSettings, name="LoRAs", description="Changes to the picture model")


CLASSES = (LoraSettings, DiffusionSettings)
