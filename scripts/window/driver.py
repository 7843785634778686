"""Steps in a Blender window, one after the other, between which Blender draws and handles its events."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable, Generator
from pathlib import Path

import bpy

TICK = 0.15
"""Seconds between two steps: long enough that Blender draws between them."""

Steps = Generator["float | Callable[[], bool] | None", None, None]
"""Yields None to let Blender draw, seconds to wait, or a condition to wait for."""


class Driver:
    """Runs the steps of a tour by a timer, and quits Blender after the last.

    Args:
        out: Folder of the screenshots and of result.json.
        patience: Seconds that a condition may take.
        asks: Whether the program that started Blender saves the screenshots. Blender itself can't everywhere: with
            drawing by software it reads black.
    """

    def __init__(self, out: Path, patience: float, asks: bool = False):
        self.out, self.patience, self.asks = out, patience, asks
        self.box: tuple | None = None
        self.result: dict = {"steps": [], "error": ""}
        self._began = time.monotonic()

    def run(self, steps: Steps) -> None:
        """Begin; returns at once."""
        self._steps, self._wait, self._since = steps, None, time.monotonic()
        bpy.app.timers.register(self._tick, first_interval=1.0, persistent=True)

    def note(self, name: str, **findings) -> None:
        """Write down that a step was reached, and what was found."""
        self.result["steps"].append({"name": name, "seconds": round(time.monotonic() - self._began, 1), **findings})
        (self.out / "steps.json").write_text(json.dumps(self.result, indent=1), encoding="utf-8")

    def shot(self, name: str, **findings) -> Steps:
        """Save a screenshot of the window, or of its sidebar where that is all that is wanted, after it was drawn."""
        for _ in range(3):
            self.redraw()
            yield None
        path = self.out / f"{name}.png"
        if self.asks:
            asked = path.with_suffix(".asked")
            asked.with_suffix(".part").write_text(json.dumps(self.box) if self.box else "", encoding="utf-8")
            asked.with_suffix(".part").replace(asked)
            yield lambda: not asked.exists()
        else:
            window = bpy.context.window_manager.windows[0]
            with bpy.context.temp_override(window=window, screen=window.screen):
                bpy.ops.screen.screenshot(filepath=str(path), check_existing=False)
        self.note(name, **findings)
        yield None

    def redraw(self) -> None:
        """Let Blender draw everything again."""
        for window in bpy.context.window_manager.windows:
            for area in window.screen.areas:
                area.tag_redraw()

    def _tick(self) -> float | None:
        try:
            if callable(self._wait) and not self._wait():
                if time.monotonic() - self._since > self.patience:
                    raise TimeoutError(f"waited {self.patience:.0f} s in vain")
                return TICK
            wait = next(self._steps)
            self._wait, self._since = wait, time.monotonic()
            return wait if isinstance(wait, (int, float)) else TICK
        except StopIteration:
            return self._end()
        except Exception:  # whatever goes wrong in a step is the result of the tour
            self.result["error"] = traceback.format_exc()
            return self._end()

    def _end(self) -> None:
        (self.out / "result.json").write_text(json.dumps(self.result, indent=1), encoding="utf-8")
        bpy.ops.wm.quit_blender()


def viewport() -> tuple:
    """The window, and its largest 3D viewport."""
    window = bpy.context.window_manager.windows[0]
    areas = [area for area in window.screen.areas if area.type == "VIEW_3D"]
    return window, max(areas, key=lambda area: area.width * area.height)


def show_tab(name: str) -> Steps:
    """Open the sidebar of the 3D viewport at a tab, with Ctrl and the mouse wheel as an artist would."""
    window, area = viewport()
    area.spaces.active.show_region_ui = True
    yield 0.5
    for _ in range(30):
        region = next(region for region in area.regions if region.type == "UI")
        if region.active_panel_category == name:
            return
        place = {"x": region.x + region.width - 8, "y": region.y + region.height // 2}
        window.event_simulate(type="MOUSEMOVE", value="NOTHING", **place)
        yield None
        window.event_simulate(type="WHEELDOWNMOUSE", value="PRESS", ctrl=True, **place)
        yield None
    raise RuntimeError(f"there is no tab {name}")


def press(window, key: str, x: int, y: int, **more) -> Steps:
    """Move the mouse to a place of the window, or press and release a key or button there."""
    if key == "MOUSEMOVE":
        window.event_simulate(type=key, value="NOTHING", x=x, y=y)
        yield None
        return
    for value in ("PRESS", "RELEASE"):
        text = more if value == "PRESS" else {name: wanted for name, wanted in more.items() if name != "unicode"}
        window.event_simulate(type=key, value=value, x=x, y=y, **text)
        yield None


def sidebar_box() -> tuple:
    """Left, top, width and height of the 3D viewport's sidebar in the window, from its top left."""
    window, area = viewport()
    region = next(region for region in area.regions if region.type == "UI")
    return region.x, window.height - region.y - region.height, region.width, region.height


def one_area(kind: str):
    """Make the largest area one of this kind, and return it."""
    window = bpy.context.window_manager.windows[0]
    area = max(window.screen.areas, key=lambda found: found.width * found.height)
    area.type = kind
    return area
