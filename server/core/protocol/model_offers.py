"""The diffusion models that are offered for download: the server fetches them, command line and panel name them. And
what the name of a LoRA says of it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Offer:
    """A model that can be downloaded by a short name.

    Attributes:
        repository: owner/name on the Hugging Face hub.
        use: "picture" or "depth".
        card: The smallest card, in GB of memory, that it is meant for.
        label: What artists see in a menu.
        about: A sentence on it, likewise.
        files: The weights that are wanted of a repository of several models; empty for all.
    """

    repository: str
    use: str
    card: int
    label: str
    about: str
    files: tuple[str, ...] = ()


OFFERS: dict[str, Offer] = {
    "flux2-klein": Offer(
        "black-forest-labs/FLUX.2-klein-4B", "picture", 24, "Flux 2 Klein", "A picture model for a card of 24 GB"
    ),
    "sdxl": Offer(
        "stabilityai/stable-diffusion-xl-base-1.0",
        "picture",
        12,
        "Stable Diffusion XL",
        "A picture model for a card of 12 GB",
    ),
    "sd": Offer(
        "stable-diffusion-v1-5/stable-diffusion-v1-5",
        "picture",
        8,
        "Stable Diffusion 1.5",
        "A picture model for a card of 8 GB",
    ),
    "moge": Offer(
        "Comfy-Org/MoGe",
        "depth",
        8,
        "MoGe-2",
        "A depth model that is told the camera's field of view",
        ("geometry_estimation/moge_2_vitl_normal_fp16.safetensors",),
    ),
    "da3-mono": Offer(
        "depth-anything/DA3MONO-LARGE",
        "depth",
        8,
        "Depth Anything 3 Mono",
        "A depth model for single pictures that knows the sky",
    ),
    "da3-metric": Offer(
        "depth-anything/DA3METRIC-LARGE",
        "depth",
        8,
        "Depth Anything 3 Metric",
        "The same, trained on lengths in metres",
    ),
    "da3-base": Offer("depth-anything/DA3-BASE", "depth", 8, "Depth Anything 3 Base", "A depth model of middle size"),
    "depth": Offer(
        "depth-anything/Depth-Anything-V2-Small-hf",
        "depth",
        8,
        "Depth Anything 2 Small",
        "A small depth model, the one of the sets",
    ),
    "da3-small": Offer("depth-anything/DA3-SMALL", "depth", 8, "Depth Anything 3 Small", "A small depth model"),
    "prompt-depth": Offer(
        "depth-anything/prompt-depth-anything-vitl-hf",
        "depth",
        8,
        "Prompt Depth Anything",
        "A depth model that refines the depth of the level before, from the second level on",
    ),
    "prompt-depth-small": Offer(
        "depth-anything/prompt-depth-anything-vits-hf",
        "depth",
        8,
        "Prompt Depth Anything Small",
        "The same, small",
    ),
}
"""What is listed first is taken first when a request names no model and the card can hold it."""

SETS: dict[str, tuple[str, ...]] = {"8gb": ("sd", "depth"), "12gb": ("sdxl", "depth"), "24gb": ("flux2-klein", "depth")}
"""Names of `OFFERS`, a picture model and a depth model, by the memory of the card that holds them."""


def is_for_outpainting(file: str) -> bool:
    """Whether a LoRA's file name says that it teaches a model to continue pictures."""
    return "outpaint" in file.replace("\\", "/").rpartition("/")[2].lower()
