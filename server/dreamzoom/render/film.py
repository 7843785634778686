"""Encoding pictures as a film that all players show."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from core.atomic_files import beside


def write_film(target: Path, frames: Iterable[np.ndarray], fps: float, quality: int = 16) -> None:
    """Encode pictures as H.264 with BT.709 colours. Appears under its name when it is whole.

    Args:
        target: The file, .mp4.
        frames: (H, W, 3) uint8 sRGB, all of one size; of odd sizes the last row or column is dropped.
        fps: Frames per second.
        quality: The encoder's constant rate factor; smaller is better and larger.

    Raises:
        ValueError: There are no frames, or one has another size.
    """
    with beside(target) as temporary, av.open(str(temporary), "w", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream(
            "libx264", rate=Fraction(fps).limit_denominator(1001), options={"crf": str(quality), "preset": "fast"}
        )
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.color_primaries = context.colorspace = context.color_trc = context.color_range = 1
        size: tuple[int, int] | None = None
        for pixels in frames:
            height, width = (side // 2 * 2 for side in pixels.shape[:2])
            if size is None:
                size = stream.height, stream.width = height, width
            if size != (height, width):
                raise ValueError(f"a frame has {width}×{height} pixels, the first {size[1]}×{size[0]}")
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels[:height, :width]), format="rgb24")
            frame = frame.reformat(format="yuv420p", src_color_range=2, dst_color_range=1, dst_colorspace="ITU709")
            container.mux(stream.encode(frame))
        if size is None:
            raise ValueError("a film needs at least one frame")
        container.mux(stream.encode(None))
