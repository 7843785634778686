"""Make the film and the contact sheet from rendered frames. Run by `demo.py` in the server's environment.

    python demo_film.py FLIGHT.json OUT

FLIGHT.json contains `fps` and `frames`, a list of {`path`, `zoom`, `prompt`}. Writes `flythrough.mp4` and
`contact_sheet.png` (one frame per half level) to the folder OUT.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from dreamzoom.render.film import write_film

MARGIN = 12
CAPTION = 30


def pixels_of(paths: list[Path]) -> Iterator[np.ndarray]:
    """The pictures' pixels (H, W, 3) uint8, one after the other."""
    for path in paths:
        with Image.open(path) as picture:
            yield np.asarray(picture.convert("RGB"))


def write_contact_sheet(frames: list[dict], target: Path, columns: int = 4) -> None:
    """Arrange the frames nearest to each half level on one picture, with zoom and prompt."""
    zooms = np.array([frame["zoom"] for frame in frames])
    halves = np.arange(np.ceil(zooms.min() * 2), np.floor(zooms.max() * 2 + 1e-6) + 1) / 2
    chosen = [frames[int(np.abs(zooms - half).argmin())] for half in halves]
    with Image.open(chosen[0]["path"]) as first:
        width = 400
        height = round(width * first.height / first.width)
    rows = -(-len(chosen) // columns)
    size = (MARGIN + columns * (width + MARGIN), MARGIN + rows * (height + CAPTION + MARGIN))
    sheet = Image.new("RGB", size, (16, 16, 18))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for index, (half, frame) in enumerate(zip(halves, chosen)):
        left = MARGIN + index % columns * (width + MARGIN)
        top = MARGIN + index // columns * (height + CAPTION + MARGIN)
        with Image.open(frame["path"]) as picture:
            sheet.paste(picture.convert("RGB").resize((width, height), Image.Resampling.LANCZOS), (left, top))
        text = f"{half:.1f}   {frame['prompt']}"
        while draw.textlength(text, font) > width:
            text = text.rstrip("…").rsplit(" ", 1)[0] + "…"
        draw.text((left, top + height + 6), text, (200, 200, 205), font)
    sheet.save(target, optimize=True)


def main(flight: str, out: str) -> None:
    """Read FLIGHT.json and write the film and the contact sheet."""
    told = json.loads(Path(flight).read_text(encoding="utf-8"))
    frames = told["frames"]
    write_contact_sheet(frames, Path(out, "contact_sheet.png"))
    pictures = pixels_of([Path(frame["path"]) for frame in frames])
    write_film(Path(out, "flythrough.mp4"), pictures, told["fps"])


if __name__ == "__main__":
    main(*sys.argv[1:])
