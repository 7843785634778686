"""The errors that users see. Each states what is wrong, where, and what to do."""

from __future__ import annotations

import errno


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


class CameraFileError(DreamzoomError):
    """A file of cameras that can't be read."""


class SplatFileError(DreamzoomError):
    """A file of splats or points that can't be read or written."""


def explained(error: BaseException) -> tuple[str, str]:
    """Describe any exception for the user: one line with what is wrong, one with what to do (empty if unknown)."""
    remedy = error.remedy if isinstance(error, DreamzoomError) else ""
    message = str(error)
    if isinstance(error, OSError):
        message = ": ".join(str(part) for part in (error.filename, error.strerror) if part) or message
        if error.errno == errno.ENOSPC:
            remedy = "free some space on that disk, then generate again: it goes on from where it stopped"
        elif isinstance(error, PermissionError):
            remedy = "choose a place that may be written and read"
    elif isinstance(error, MemoryError):
        message, remedy = "out of memory", "choose a smaller picture size or a lower quality"
    elif not isinstance(error, DreamzoomError):
        message = f"{type(error).__name__}: {message}"
        remedy = "set the environment variable DREAMZOOM_DEBUG=1 and run it again to see where it comes from"
    return " ".join(message.split()), remedy
