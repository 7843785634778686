"""The end of all background work: when the add-on is disabled, and when Blender quits."""

from __future__ import annotations

import atexit

import bpy
from bpy.app.handlers import persistent

from ..backend import current_job, installation, main_loop, model_library
from ..backend.connection import connection
from . import importing


def end_all() -> None:
    """Stop the installation, the job and the server, and reset their state."""
    main_loop.stop_all()
    installation.stop()
    for job in current_job.all_jobs():
        if job.is_active:
            job.status = "cancelled"
    current_job.clear()
    connection.close()
    model_library.library.__init__()


@persistent
def _file_opened(*_) -> None:
    importing.find_rigs()


def register() -> None:
    atexit.register(end_all)
    bpy.app.handlers.load_post.append(_file_opened)


def unregister() -> None:
    bpy.app.handlers.load_post.remove(_file_opened)
    main_loop.stop_timer()
    end_all()
    atexit.unregister(end_all)
