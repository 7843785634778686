"""The end of all background work: when the add-on is disabled, and when Blender quits."""

from __future__ import annotations

import atexit

from ..backend import current_job, installation, main_loop, model_library
from ..backend.connection import connection


def end_all() -> None:
    """Stop the installation, the job and the server, and reset their state."""
    main_loop.stop_all()
    installation.stop()
    job = current_job.get()
    if job is not None and job.is_active:
        job.status = "cancelled"
    current_job.replace(None)
    connection.close()
    model_library.library.__init__()


def register() -> None:
    atexit.register(end_all)


def unregister() -> None:
    main_loop.stop_timer()
    end_all()
    atexit.unregister(end_all)
