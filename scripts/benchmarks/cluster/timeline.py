"""A picture of which step ran when, from a job's journal."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from dreamzoom.pipeline import journal
from dreamzoom.pipeline.folder import Folder

ROW, LEFT, WIDTH = 18, 130, 900
COLOURS = ("#5b8ff9", "#5ad8a6", "#f6bd16", "#e8684a", "#6dc8ec", "#9270ca", "#ff9d4d", "#269a99")


def draw_timeline(folder: Folder, target: Path) -> None:
    """Draw one row for each step that ran, in the order in which they began; colours tell the stages apart."""
    began, spans = {}, []
    for event in journal.read(folder):
        time = datetime.fromisoformat(event["ts"]).timestamp()
        if event["event"] == "start":
            began[event["step"]] = time
        elif event["event"] == "done":
            spans.append((began[event["step"]], time, event["step"]))
    spans.sort()
    first, last = spans[0][0], max(span[1] for span in spans)
    picture = Image.new("RGB", (LEFT + WIDTH + 20, ROW * (len(spans) + 2)), "white")
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(11)
    stages = sorted({step.rpartition("/")[2] for _, _, step in spans})
    scale = WIDTH / max(last - first, 1e-6)
    for row, (start, end, step) in enumerate(spans):
        colour = COLOURS[stages.index(step.rpartition("/")[2]) % len(COLOURS)]
        top = ROW * (row + 1)
        draw.text((6, top + 2), step, "black", font)
        left, right = LEFT + (start - first) * scale, LEFT + (end - first) * scale
        draw.rectangle((left, top + 3, max(right, left + 1), top + ROW - 3), colour)
    draw.text((LEFT, 2), f"0 s to {last - first:.1f} s", "black", font)
    target.parent.mkdir(parents=True, exist_ok=True)
    picture.save(target, optimize=True)
