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
    """

    repository: str
    use: str
    card: int


OFFERS: dict[str, Offer] = {
    "flux2-klein": Offer("black-forest-labs/FLUX.2-klein-4B", "picture", 24),
    "sdxl": Offer("stabilityai/stable-diffusion-xl-base-1.0", "picture", 12),
    "sd": Offer("stable-diffusion-v1-5/stable-diffusion-v1-5", "picture", 8),
    "depth": Offer("depth-anything/Depth-Anything-V2-Small-hf", "depth", 8),
}
"""What is listed first is taken first when a request names no model and the card can hold it."""

SETS: dict[str, tuple[str, ...]] = {"8gb": ("sd", "depth"), "12gb": ("sdxl", "depth"), "24gb": ("flux2-klein", "depth")}
"""Names of `OFFERS`, a picture model and a depth model, by the memory of the card that holds them."""


def is_for_outpainting(file: str) -> bool:
    """Whether a LoRA's file name says that it teaches a model to continue pictures."""
    return "outpaint" in file.replace("\\", "/").rpartition("/")[2].lower()
