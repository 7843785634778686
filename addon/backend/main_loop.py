"""Background work on the main thread: tasks, each of which does a little at a time while the artist uses Blender.

Where there is a window a timer of Blender runs the tasks; scripts call `pump` in a loop.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable

import bpy

Task = Callable[[], "float | None"]
"""Does some work within milliseconds, without waiting. Returns the seconds until the next call, None at the end."""

TICK = 0.1
"""Seconds between two calls of a task that waits for something."""

BREATH = 0.01
"""Seconds between two calls of a task that has work to do, for Blender to draw."""

_tasks: list[Task] = []


def start(task: Task) -> None:
    """Call a task repeatedly until it ends; if it is running already, nothing changes."""
    if task not in _tasks:
        _tasks.append(task)
    if not bpy.app.timers.is_registered(_run):
        bpy.app.timers.register(_run, first_interval=TICK, persistent=True)


def stop_all() -> None:
    """Drop all tasks."""
    _tasks.clear()


def stop_timer() -> None:
    """Remove Blender's timer."""
    if bpy.app.timers.is_registered(_run):
        bpy.app.timers.unregister(_run)


def runs_only(task: Task) -> bool:
    """Whether this is the only running task."""
    return _tasks == [task]


def pump() -> bool:
    """Call every task once; whether any task is left. Takes milliseconds.

    Importing a level and evaluating a frame of the scene take as long as Blender needs.
    """
    return _run() is not None


def redraw(preferences_too: bool = False) -> None:
    """Let Blender draw the panels and headers again, and not the scene, which large splats make slow."""
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "VIEW_3D":
                for region in area.regions:
                    if region.type != "WINDOW":
                        region.tag_redraw()
            elif preferences_too and area.type == "PREFERENCES":
                area.tag_redraw()


def redraw_status_bar() -> None:
    """Let Blender draw the status bar again, which it otherwise does when the mouse moves: at the end of what it
    shows. The only call that does so also removes the text of a running tool, which the tool then sets again.
    """
    for window in bpy.context.window_manager.windows:
        with bpy.context.temp_override(window=window):
            window.workspace.status_text_set_internal(None)


def _run() -> float | None:
    """Call every task once; the seconds until the next call, None where no task is left."""
    delays = {}
    for task in list(_tasks):
        delay = _call(task) if task in _tasks else None
        if delay is not None:
            delays[task] = delay
        elif task in _tasks:
            _tasks.remove(task)
    return min((delays.get(task, TICK) for task in _tasks), default=None)


def _call(task: Task) -> float | None:
    """Call a task. One that fails ends, and the others go on: an exception would end Blender's timer."""
    try:
        return task()
    except Exception:
        traceback.print_exc()
        return None
