"""The end of all background work: when the add-on is disabled, and when Blender quits."""

from __future__ import annotations

import atexit

import bpy
from bpy.app.handlers import persistent

from ..backend import current_job, installation, main_loop, model_library
from ..backend.connection import connection
from ..scene import relative_paths
from . import generation, importing


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
    generation.take_up()


@persistent
def _undone(*_) -> None:
    generation.take_up()


@persistent
def _saving(file: str, *_) -> None:
    relative_paths.before_saving(file)


@persistent
def _saved(file: str, *_) -> None:
    relative_paths.after_saving(file)
    importing.note_names()


@persistent
def _appended(context, *_) -> None:
    relative_paths.after_appending(context)


HANDLERS = (
    ("load_post", _file_opened),
    ("undo_post", _undone),
    ("redo_post", _undone),
    ("save_pre", _saving),
    ("save_post", _saved),
    ("save_post_fail", _saved),
    ("blend_import_post", _appended),
)


def register() -> None:
    atexit.register(end_all)
    for name, handler in HANDLERS:
        getattr(bpy.app.handlers, name).append(handler)


def unregister() -> None:
    for name, handler in HANDLERS:
        getattr(bpy.app.handlers, name).remove(handler)
    main_loop.stop_timer()
    end_all()
    atexit.unregister(end_all)
