"""A decoded picture: rows in linear light with a mask of the pixels that are known."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from core.colour import srgb_to_linear

BAND = 1 << 21
"""Pixels that are converted to linear light at once, so that large photos need little more memory than their bytes."""

OPAQUE = 0.5
"""A pixel is known if it is at least this opaque."""

KNEE = 0.7
"""Linear light up to this value is kept when brighter values are compressed."""

LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
"""Shares of linear RGB in the luminance (ITU-R BT.709)."""

Rows = Callable[[int, int], tuple[np.ndarray, np.ndarray | None]]


@dataclass(frozen=True)
class Decoded:
    """A picture in the file's own size.

    Attributes:
        width, height: In pixels.
        rows: Returns the rows from `start` to `stop`: (n, W, 3) float32 linear RGB in 0..1, and (n, W) bool, the
            pixels that are known, or None if all are.
        notes: What was guessed or changed, one line each.
    """

    width: int
    height: int
    rows: Rows
    notes: Sequence[str] = ()

    def bands(self) -> Iterator[tuple[int, int]]:
        """Ranges of rows (start, stop) of at most `BAND` pixels."""
        step = max(BAND // self.width, 1)
        return ((start, min(start + step, self.height)) for start in range(0, self.height, step))


def from_bytes(rgba: np.ndarray, notes: Sequence[str] = ()) -> Decoded:
    """A picture of 8 bits.

    Args:
        rgba: (H, W, 3 or 4) uint8 sRGB, with straight alpha if there is a fourth channel.
        notes: As in `Decoded`.
    """
    table = srgb_to_linear(np.arange(256, dtype=np.float32) / 255)
    height, width, channels = rgba.shape

    def rows(start: int, stop: int) -> tuple[np.ndarray, np.ndarray | None]:
        part = rgba[start:stop]
        return table[part[..., :3]], part[..., 3] >= 255 * OPAQUE if channels == 4 else None

    return Decoded(width, height, rows, notes)


def from_grey(grey: np.ndarray, peak: int, notes: Sequence[str] = ()) -> Decoded:
    """A grey picture of more than 8 bits: (H, W) integers, sRGB-encoded, with `peak` for white."""
    height, width = grey.shape

    def rows(start: int, stop: int) -> tuple[np.ndarray, None]:
        light = srgb_to_linear(np.clip(grey[start:stop].astype(np.float32) / np.float32(peak), 0, 1))
        return np.repeat(light[..., None], 3, -1), None

    return Decoded(width, height, rows, notes)


def from_light(
    channels: Sequence[np.ndarray], alpha: np.ndarray | None = None, *, premultiplied: bool = True, notes=()
) -> Decoded:
    """A picture in linear light, of any brightness.

    Args:
        channels: One or three arrays (H, W) of numbers.
        alpha: (H, W) in 0..1; None if all pixels are known. Zero everywhere means that nobody wrote it.
        premultiplied: Whether the colours are multiplied by alpha.
        notes: As in `Decoded`.
    """
    height, width = channels[0].shape
    said = list(notes)
    if alpha is not None and not alpha.any() and any(channel.any() for channel in channels):
        said.append("its alpha is 0 everywhere and is ignored")
        alpha = None

    def plain(start: int, stop: int) -> tuple[np.ndarray, np.ndarray | None]:
        light = np.stack([np.asarray(channel[start:stop], np.float32) for channel in channels], -1)
        light = np.repeat(light, 3, -1) if len(channels) == 1 else light
        known = np.asarray(~np.isnan(light).any(-1))
        if alpha is not None:
            share = np.nan_to_num(np.asarray(alpha[start:stop], np.float32))
            known = known & (share >= OPAQUE)
            if premultiplied:
                light = light / np.clip(share, OPAQUE, 1)[..., None]
        return light, None if known.all() else known

    return from_light_rows(width, height, plain, said)


def from_light_rows(width: int, height: int, light_rows: Rows, notes: Sequence[str] = ()) -> Decoded:
    """A picture in linear light, of any brightness, whose rows a function returns.

    Values above 1 are compressed (`compressed`), and those of a picture that is too bright as a whole are multiplied
    first (`_brightness`); a note says so. Values that are not finite may occur in unknown pixels, and infinite ones
    anywhere.
    """
    said = list(notes)

    def plain(start: int, stop: int) -> tuple[np.ndarray, np.ndarray | None]:
        light, known = light_rows(start, stop)
        return np.maximum(np.nan_to_num(light, nan=0, posinf=3e38, neginf=0), 0), known

    found = Decoded(width, height, plain)
    gain, peak = _brightness(found)
    if gain == 1 and peak <= 1:
        return Decoded(width, height, plain, said)
    said.append(_brightness_note(gain, peak))

    def mapped(start: int, stop: int) -> tuple[np.ndarray, np.ndarray | None]:
        light, known = plain(start, stop)
        light = light * np.float32(gain)
        return (compressed(light, peak * gain) if peak * gain > 1 else light), known

    return Decoded(width, height, mapped, said)


def compressed(light: np.ndarray, peak: float) -> np.ndarray:
    """Compress linear light of up to `peak` to 0..1.

    The brightest channel m of a pixel is kept up to `KNEE` k. Above, t = (m − k) / (1 − k) becomes
    t (1 + t / w²) / (1 + t), where w is the t of the peak (Reinhard et al. 2002, eq. 4): slope 1 at the knee, 1 at the
    peak. All channels are scaled by the same factor, so that the hue is kept.

    Args:
        light: (..., 3) float32, not negative.
        peak: The greatest value, above 1.
    """
    most = light.max(-1, keepdims=True).astype(np.float64)
    over = np.maximum(most - KNEE, 0) / (1 - KNEE)
    white = (peak - KNEE) / (1 - KNEE)
    target = np.where(most > KNEE, KNEE + (1 - KNEE) * over * (1 + over / white / white) / (1 + over), most)
    return (light * (np.minimum(target, 1) / np.maximum(most, 1e-12))).astype(np.float32)


def _brightness(picture: Decoded) -> tuple[float, float]:
    """The factor that brings a picture to a visible brightness, and its brightest value. The factor is 1 unless the
    median luminance is above 1; then it brings the median to 0.5.
    """
    peak, luminances = 0.0, []
    for start, stop in picture.bands():
        light, known = picture.rows(start, stop)
        seen = light.reshape(-1, 3) if known is None else light[known]
        if seen.size:
            peak = max(peak, float(seen.max()))
            luminances.append(seen[:: max(len(seen) // 4096, 1)].astype(np.float64) @ LUMINANCE)
    if peak <= 1:
        return 1.0, peak
    middle = float(np.median(np.concatenate(luminances)))
    return 0.5 / min(middle, 1e30) if middle > 1 else 1.0, peak


def _brightness_note(gain: float, peak: float) -> str:
    darker = "" if gain == 1 else f"all are multiplied by {gain:.3g}"
    softer = "" if peak * gain <= 1 else f"linear light above {KNEE:g} is compressed to below 1"
    return f"it has values up to {peak:.3g}: {', then '.join(text for text in (darker, softer) if text)}"


def share_unknown(picture: Decoded) -> float:
    """The share of the pixels that are not known."""
    count = 0
    for start, stop in picture.bands():
        known = picture.rows(start, stop)[1]
        count += 0 if known is None else int((~known).sum())
    return count / (picture.width * picture.height)
