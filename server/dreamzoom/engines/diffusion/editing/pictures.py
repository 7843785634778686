"""Texts with pictures as Qwen2.5-VL reads them: the part of its processor that editing needs.

The library's own processor also prepares films, for which further packages must be installed.
"""

from __future__ import annotations

from typing import Any

IMAGE_MARK = "<|image_pad|>"
"""Stands in a text for a picture; becomes as many tokens as the picture has cells."""


class PictureTokens:
    """Called as the library's `Qwen2VLProcessor` is by the pipelines.

    Pictures are scaled and normalised as the model's authors do; the sizes of its patches are those of the network.

    Args:
        tokenizer: The model's tokenizer.
        vision: The `vision_config` of its text encoder.
    """

    def __init__(self, tokenizer: Any, vision: Any):
        from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

        self.tokenizer = tokenizer
        self.cells = vision.spatial_merge_size**2
        self.image_processor = Qwen2VLImageProcessorPil(
            patch_size=vision.patch_size,
            temporal_patch_size=vision.temporal_patch_size,
            merge_size=vision.spatial_merge_size,
        )

    def __call__(self, text: list[str], images: Any = None, padding: bool = True, return_tensors: str = "pt") -> Any:
        """Tokens of texts and patches of the pictures, in the order of their marks; a `BatchFeature` of tensors."""
        from transformers import BatchFeature

        seen: dict[str, Any] = {}
        if images is not None:
            seen = dict(self.image_processor(images=images, return_tensors=return_tensors))
            counts = iter((seen["image_grid_thw"].prod(1) // self.cells).tolist())
            text = [_spread(one, counts) for one in text]
        read = self.tokenizer(text, padding=padding, return_tensors=return_tensors)
        return BatchFeature({"input_ids": read["input_ids"], "attention_mask": read["attention_mask"]} | seen)


def _spread(text: str, counts) -> str:
    """A text with every mark repeated as often as the next picture has cells."""
    first, *rest = text.split(IMAGE_MARK)
    return first + "".join(IMAGE_MARK * next(counts) + part for part in rest)
