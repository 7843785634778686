"""Jobs that start from a photo, and how well their frames show it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from core.camera import look_at
from dreamzoom.render.flight import Flight
from dreamzoom.request.example import example


def photograph(path: Path, size=(96, 64), seed: int = 0) -> Path:
    """Write a picture with the statistics of a photo: texture at all scales, two things with sharp outlines."""
    rng = np.random.default_rng(seed)
    width, height = size
    fy, fx = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
    power = (fy**2 + fx**2 + (1 / max(size)) ** 2) ** -0.6

    def field() -> np.ndarray:
        waves = power * (rng.normal(size=power.shape) + 1j * rng.normal(size=power.shape))
        found = np.fft.irfft2(waves, s=(height, width))
        return found / found.std()

    common = field()
    rgb = np.stack([0.5 + 0.15 * (common + 0.5 * field()) for _ in range(3)], -1)
    y, x = np.mgrid[:height, :width] / np.array([height, width])[:, None, None]
    rgb[(x - 0.3) ** 2 + (y - 0.6) ** 2 < 0.03] = (0.85, 0.3, 0.15)
    rgb[(np.abs(x - 0.7) < 0.1) & (np.abs(y - 0.4) < 0.25)] *= 0.4
    Image.fromarray((np.clip(rgb, 0, 1) * 255).round().astype(np.uint8)).save(path, quality=95)
    return path


def photo_request(
    photo: Path | str, level: int = 0, levels: int = 2, size=(48, 32), *, engine=None, still=True, **changes
):
    """A request whose `level` has the photo. With a still camera, which faces the focus, the zoom is an exact crop."""
    request: dict[str, Any] = example(levels=levels, size=size) | {"quality": "draft"} | changes
    if engine is not None:
        request["engine"] = engine
    request["levels"][level]["image"] = str(photo)
    if still:
        camera = request["cameras"][0]
        camera["camera_to_gauge"] = look_at((0, 0, 3), (0, 0, 0), up=(0, 1, 0)).tolist()
        request["cameras"] = [camera | {"frame": 1 + n, "zoom": n * (levels - 1) / 12} for n in range(13)]
    return request


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    """PSNR in dB of two pictures (H, W, 3), over the pixels that both know."""
    known = np.isfinite(one).all(-1) & np.isfinite(other).all(-1)
    return float(-10 * np.log10(max(np.mean((one[known] - other[known]) ** 2), 1e-12)))


def shown_db(flight: Flight, photo: np.ndarray, level: int, zoom: float) -> float:
    """How well the frame at a zoom shows a photo, in dB; for a still camera that faces the focus.

    Args:
        flight: The finished job.
        photo: (H, W, 3) sRGB, the photo at the camera's size.
        level: The level that has it.
        zoom: u. Where the photo is magnified, the frame is reduced to the photo's pixels; where it is small, the photo
            is reduced to the frame's.
    """
    frame = flight.view(flight.path.key_at(zoom)).rgb
    scale = flight.path.factor ** (zoom - level)
    height, width = photo.shape[:2]
    if scale >= 1:
        box = _middle(width, height, 1 / scale)
        inside = [int(np.ceil(box[0])), int(np.ceil(box[1])), int(np.floor(box[2])), int(np.floor(box[3]))]
        source = [(at - origin) * scale for at, origin in zip(inside, (box[0], box[1]) * 2)]
        shown = _reduced(frame, source, (inside[2] - inside[0], inside[3] - inside[1]))
        return psnr(shown[1:-1, 1:-1], photo[inside[1] + 1 : inside[3] - 1, inside[0] + 1 : inside[2] - 1])
    box = _middle(width, height, scale)
    inside = [int(np.ceil(box[0])), int(np.ceil(box[1])), int(np.floor(box[2])), int(np.floor(box[3]))]
    source = [(at - origin) / scale for at, origin in zip(inside, (box[0], box[1]) * 2)]
    wanted = _reduced(photo, source, (inside[2] - inside[0], inside[3] - inside[1]))
    return psnr(frame[inside[1] + 1 : inside[3] - 1, inside[0] + 1 : inside[2] - 1], wanted[1:-1, 1:-1])


def _middle(width: int, height: int, share: float) -> tuple[float, float, float, float]:
    return (1 - share) * width / 2, (1 - share) * height / 2, (1 + share) * width / 2, (1 + share) * height / 2


def _reduced(rgb: np.ndarray, box, size) -> np.ndarray:
    planes = [Image.fromarray(np.ascontiguousarray(rgb[..., c], np.float32)) for c in range(3)]
    return np.stack([np.asarray(plane.resize(size, Image.Resampling.BOX, box=tuple(box))) for plane in planes], -1)
