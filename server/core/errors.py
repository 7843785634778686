"""The errors that users see. Each states what is wrong, where, and what to do."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from .disk import FULL, PLACES, why_not_written


class DreamzoomError(Exception):
    """A failure that stops a job and is reported to the user; base class of the others.

    Args:
        message: One line: what is wrong and where.
        remedy: One line: what the artist can do. The panel draws it under the message.
        operator: The Blender operator that applies the remedy; the panel draws it as a button
            ("dreamzoom.install_server").
    """

    def __init__(self, message: str, remedy: str = "", operator: str = ""):
        super().__init__(message)
        self.remedy = remedy
        self.operator = operator


class BadRequest(DreamzoomError):
    """The request is invalid. Exit code 2.

    Args:
        field: The invalid field, as a JSON path without the leading `$.` (`levels[2].prompt`); "request" for the whole.
        message: What the field must be.
    """

    def __init__(self, field: str, message: str):
        super().__init__(f"{field}: {message}")
        self.field = field


class Cancelled(DreamzoomError):
    """The user cancelled the job. Exit code 3. The job can be resumed from its folder."""

    def __init__(self):
        super().__init__("cancelled", "generate again to go on from where it stopped")


class EngineUnavailable(DreamzoomError):
    """The engine's packages, weights or hardware are missing. Exit code 4."""


class ModelMissing(EngineUnavailable):
    """A model is not on this machine; download it or choose another one."""


class RefusedFile(DreamzoomError, ValueError):
    """A file or file name from outside that is not used: no regular file, outside its folder, damaged, or above one of
    the limits in `safety.limits`.
    """


class NotWritten(DreamzoomError, OSError):
    """A file could not be written: the disk is full, read-only or gone (see `disk`).

    Args:
        message, remedy: As in DreamzoomError.
        code: The system's error number; 0 if unknown.
        path: The file.
        needed: The size in bytes that it was to have at least; 0 if unknown.
    """

    def __init__(self, message: str, remedy: str, code: int, path: str, needed: int = 0):
        super().__init__(message, remedy)
        self.errno, self.filename, self.needed = code or None, path, needed

    def __str__(self) -> str:
        return str(self.args[0])


class DamagedJob(DreamzoomError):
    """A file of a job is not as the job made it.

    Args:
        message, remedy: As in DreamzoomError.
        files: The damaged files, relative to the job's folder.
    """

    def __init__(self, message: str, remedy: str, files: tuple[str, ...] = ()):
        super().__init__(message, remedy, operator="dreamzoom.repair")
        self.files = files


class CameraFileError(DreamzoomError):
    """A file of cameras that can't be read."""


class SplatFileError(DreamzoomError):
    """A file of splats or points that can't be read or written."""


def explained(error: BaseException) -> tuple[str, str]:
    """Describe any exception for the user: one line with what is wrong, one with what to do (empty if unknown)."""
    remedy = error.remedy if isinstance(error, DreamzoomError) else ""
    message = str(error)
    if isinstance(error, OSError) and not isinstance(error, DreamzoomError):
        message, remedy = _of_system(error, message)
    elif isinstance(error, MemoryError):
        message, remedy = "out of memory", "choose a smaller picture size or a lower quality"
    elif not isinstance(error, DreamzoomError):
        message = f"{type(error).__name__}: {message}"
        remedy = "set the environment variable DREAMZOOM_DEBUG=1 and run it again to see where it comes from"
    return " ".join(message.split()), remedy


def _of_system(error: OSError, message: str) -> tuple[str, str]:
    """The line and the remedy for an error of the operating system."""
    if isinstance(error.filename, (str, bytes)) and error.errno in (*FULL, errno.EROFS):
        return why_not_written(Path(os.fsdecode(error.filename)), error)
    if error.filename is not None and error.errno in PLACES:
        told, remedy = PLACES[error.errno]
        return f"{os.fsdecode(error.filename)}: {told}", remedy
    message = ": ".join(str(part) for part in (error.filename, error.strerror) if part) or message
    if error.errno in FULL:
        return message, "free some space on that disk, then generate again: it goes on from where it stopped"
    return message, "choose a place that may be written and read" if isinstance(error, PermissionError) else ""
