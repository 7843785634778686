"""Models with a known answer that change what they were to keep, as models that edit pictures do: the whole picture
comes back a few pixels aside, a little larger, in other colours and with a gradient across it.
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
from scipy.ndimage import affine_transform, binary_dilation, gaussian_filter

from core.colour import linear_to_srgb, srgb_to_linear
from dreamzoom.engines.diffusion import canvas

COLOURS = ("warm", "gradient", "saturated", "contrast")


def in_other_colours(rgb: np.ndarray, kind: str) -> np.ndarray:
    """A picture (H, W, 3) sRGB as a model gives it back that changes colours; "" changes none."""
    light = srgb_to_linear(rgb)
    y, x = np.indices(rgb.shape[:2]) / np.array(rgb.shape[:2])[:, None, None] - 0.5
    if kind == "warm":
        light = light * np.array([1.12, 1.0, 0.9])
    elif kind == "gradient":
        light = light * np.array([1.12, 1.0, 0.9]) * (1 + 0.2 * x + 0.1 * y)[..., None] + 0.01
    elif kind == "saturated":
        grey = light.mean(-1, keepdims=True)
        light = 0.92 * (grey + 1.25 * (light - grey))
    elif kind == "contrast":
        return np.clip(rgb, 0, 1) ** 1.12
    return linear_to_srgb(np.clip(light, 0, 1)).astype(np.float32)


def moved(rgb: np.ndarray, offset=(2.0, -3.0), scale: float = 1.01) -> np.ndarray:
    """A picture whose content is `scale` times larger about the middle and moved by `offset` pixels, down and right."""
    middle = (np.array(rgb.shape[:2]) - 1) / 2
    start = middle - (middle + np.array(offset)) / scale
    planes = [affine_transform(rgb[..., c], np.full(2, 1 / scale), start, order=3, mode="mirror") for c in range(3)]
    return np.stack(planes, -1).clip(0, 1).astype(np.float32)


class ShiftingModel:
    """Knows the whole picture and gives it back changed. Called as `editing.extend` calls a model, or as a pipeline.

    Args:
        truth: (H, W, 3) sRGB.
        colours: One of `COLOURS`, or "".
        offset, scale: As in `moved`.
    """

    def __init__(self, truth: np.ndarray, colours: str = "gradient", offset=(2.0, -3.0), scale: float = 1.01):
        self.truth, self.colours, self.offset, self.scale = truth, colours, offset, scale
        self.shown: list[np.ndarray | None] = []
        self.told: list[str] = []

    def answer(self, picture, instruction: str, size: tuple[int, int], attempt: int) -> np.ndarray:
        """The whole picture, changed, with a little noise."""
        self.shown.append(picture)
        self.told.append(instruction)
        whole = moved(in_other_colours(canvas.resized(self.truth, size), self.colours), self.offset, self.scale)
        noise = np.random.default_rng(attempt).normal(0, 0.004, whole.shape)
        return (whole + noise).clip(0, 1).astype(np.float32)

    def __call__(self, *, prompt: str, height: int, width: int, image=None, **_) -> SimpleNamespace:
        """As a pipeline of `diffusers` with `output_type="np"`."""
        shown = None if image is None else np.asarray(image, np.float32) / 255
        return SimpleNamespace(images=[self.answer(shown, prompt, (height, width), 0)])


def seam_step(found: np.ndarray, truth: np.ndarray, known: np.ndarray, width: int = 8) -> float:
    """The mean difference of colour ΔE (CIE 1976) between a continued picture and the true one, in the `width` pixels
    next to what is known; without detail, which a model may choose.
    """
    ring = binary_dilation(known, iterations=width) & ~known
    one, other = (_lab(gaussian_filter(picture, (2, 2, 0))) for picture in (found, truth))
    return float(np.linalg.norm(one - other, axis=-1)[ring].mean())


def unknown_db(found: np.ndarray, truth: np.ndarray, known: np.ndarray) -> float:
    """PSNR in dB of what was unknown."""
    return float(-10 * np.log10(max(np.mean((found - truth)[~known] ** 2), 1e-12)))


def _lab(rgb: np.ndarray) -> np.ndarray:
    """sRGB to CIE L*a*b* under D65 (IEC 61966-2-1, CIE 15)."""
    matrix = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = srgb_to_linear(np.clip(rgb, 0, 1)) @ matrix.T / np.array([0.9505, 1.0, 1.089])
    bent = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack(
        [116 * bent[..., 1] - 16, 500 * (bent[..., 0] - bent[..., 1]), 200 * (bent[..., 1] - bent[..., 2])], -1
    )
