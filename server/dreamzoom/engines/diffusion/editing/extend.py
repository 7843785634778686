"""Continues a picture with a model that edits pictures by instruction, and undoes what the model changed in it.

The unknown part is marked with one flat colour and the model is told to replace it. It answers with the whole picture
anew: a few pixels aside, in slightly other colours. So the answer is brought back into register with what is known
(`registration`), freed of the change of colours (`colour_carry`), and used only where the picture was unknown. An
answer that does not show the known picture any more, or still shows the mark, is asked for once more, with other noise.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dreamzoom.engines.diffusion import canvas
from dreamzoom.engines.diffusion.editing import colour_carry, registration

ATTEMPTS = 2
"""How often a model is asked for one picture."""
TOLD = 1.0
"""Movements from this many pixels on are logged."""
SMALLEST = 64
"""The shortest side, in pixels, of a picture that all of the models take."""
LONGEST = 8
"""The largest ratio of sides that they take."""


@dataclass(frozen=True)
class Marking:
    """How the unknown part is marked, and what the model is told.

    Attributes:
        colour: sRGB of the mark.
        instruction: What the model is told where something is known; "{prompt}" stands for the level's prompt.
        from_mark: The same where nothing is known and the model can't do without a picture.
    """

    colour: tuple[float, float, float]
    instruction: str
    from_mark: str


GREY = Marking(
    (0.5, 0.5, 0.5),
    "Extend this picture: replace the flat grey area with a natural continuation of the scene. Keep everything else"
    " exactly as it is, at the same place and size, with the same light and colours. The scene: {prompt}",
    "Replace the whole grey picture with this scene: {prompt}",
)
GREEN = Marking(
    (0.0, 1.0, 0.0),
    "Fill the green spaces according to the image. {prompt}",
    "Fill the green spaces. {prompt}",
)
"""What LoRAs for outpainting are trained on."""
DETAIL = "Add fine detail to this picture. Keep its composition, light and colours. The scene: {prompt}"
"""What a model that edits is told where a coarse picture is painted again."""


@dataclass(frozen=True)
class Ways:
    """What a model asks of the pictures it edits.

    Attributes:
        side: The side of the square that it was trained on, pixels.
        multiple: Heights and widths are multiples of this.
        scales: Whether it scales every picture to `side`² pixels.
        from_nothing: Whether it paints without a picture too.
        marking: How the unknown part is marked.
    """

    side: int
    multiple: int
    scales: bool
    from_nothing: bool
    marking: Marking


Answer = Callable[[np.ndarray | None, str, tuple[int, int], int], np.ndarray]
"""The model. Takes a picture (h, w, 3) sRGB in 0..1 or None, the instruction with {prompt}, the size (h, w), and the
number of the attempt; gives a picture of that size."""


def extended(
    rgb: np.ndarray, known: np.ndarray, ways: Ways, answer: Answer, log: Callable[[str, str], None]
) -> np.ndarray | None:
    """A picture continued by a model.

    Args:
        rgb: (H, W, 3) float32 sRGB; any values where not known.
        known: (H, W) bool.
        ways: What the model asks for.
        answer: The model.
        log: Takes a line and its level, for what was noticed.

    Returns:
        (H, W, 3) float32 sRGB in 0..1, where known the given values to the bit. None if the model does not keep what is
        known, or the picture's sides are in no ratio that it takes.
    """
    size = canvas_size(known.shape, ways)
    if max(size) > LONGEST * min(size):
        return None
    small = canvas.resized(np.where(known[..., None], rgb, 0.5).astype(np.float32), size)
    inside = canvas.resized(known[..., None].astype(np.float32), size)[..., 0] > 0.99
    shown = np.where(inside[..., None], small, np.array(ways.marking.colour, np.float32))
    if not inside.any():
        picture, told = (None, "{prompt}") if ways.from_nothing else (shown, ways.marking.from_mark)
        found = canvas.resized(answer(picture, told, size, 0), known.shape)
        return np.where(known[..., None], rgb, found).astype(np.float32)
    for attempt in range(ATTEMPTS):
        found = answer(shown, ways.marking.instruction, size, attempt)
        move = registration.movement(found, small, inside)
        problem = _problem(found, inside, move, ways.marking)
        if not problem:
            return _restored(found, rgb, known, move, ways.side, log)
        again = "asked once more" if attempt + 1 < ATTEMPTS else "painted within the mask instead"
        log(f"the model {problem}; {again}", "info" if attempt + 1 < ATTEMPTS else "warning")
    return None


def canvas_size(size: tuple[int, int], ways: Ways) -> tuple[int, int]:
    """The size (h, w) at which a picture of `size` is edited: at most the native number of pixels, or exactly that."""
    height, width = size
    if not ways.scales:  # one pixel too many, and a pipeline would shrink what it is shown but not what it paints
        scale = max(min(1.0, ways.side / (height * width) ** 0.5), SMALLEST / min(size))
        height, width = (max(1, math.floor(side * scale / ways.multiple + 1e-6)) * ways.multiple for side in size)
        return height, width
    multiple = 2 * ways.multiple
    for _ in range(4):  # the pipelines compute the size from the aspect of what they are shown: until it stays
        scale = ways.side / (height * width) ** 0.5
        height, width = (max(1, round(side * scale / multiple)) * multiple for side in (height, width))
    return height, width


def _problem(found: np.ndarray, inside: np.ndarray, move: registration.Movement, marking: Marking) -> str:
    """What is wrong with an answer; empty if it can be used."""
    if not move.is_same_picture:
        return f"did not keep the known part of the picture (agreement {move.agreement:.2f})"
    outside = ~inside
    near = np.abs(found - np.array(marking.colour, np.float32)).max(-1) < 0.05
    if outside.any() and near[outside].mean() > 0.5:
        return "left the area to paint as it was"
    return ""


def _restored(found, rgb, known, move: registration.Movement, side: int, log) -> np.ndarray:
    """A model's answer moved back, in the given picture's size and colours."""
    far = move.farthest(found.shape[:2])
    if far >= TOLD:
        log(f"the model moved the picture by up to {far:.1f} pixels; it was moved back", "info")
    full = canvas.resized(registration.undone(found, move), known.shape)
    reach = max(8.0, side / 32 * max(known.shape) / max(found.shape[:2]))
    return colour_carry.carried(full, rgb, known, reach)
