"""A program with all programs that it starts, so that none of them is left when it has to be ended."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any


class ProcessGroup:
    """A program of which this process holds standard input, output and error.

    It runs in a group of its own, so that Ctrl-C in Blender's terminal does not reach it. On Windows a job object holds
    it: the system ends the job's processes when this process ends, however it ends.

    Args:
        command: Program and arguments.
        environment: All environment variables of the process.

    Raises:
        OSError: It can't be started.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]):
        options: dict[str, Any] = {"start_new_session": True}
        if os.name == "nt":
            options = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
        options |= {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": False}
        started: Any = subprocess.Popen(list(command), env=dict(environment), **options)
        self.process: subprocess.Popen[bytes] = started
        self._job = _job_of(started) if os.name == "nt" else None

    def kill(self) -> None:
        """End the program and what it has started, at once, even if it is stopped or hung."""
        if os.name != "nt":
            with contextlib.suppress(OSError):
                os.killpg(self.process.pid, signal.SIGKILL)
        elif self._job is not None:
            _kernel().TerminateJobObject(self._job, 1)
        if self.process.poll() is None:
            self.process.kill()


def _kernel() -> Any:
    """Windows' functions for jobs."""
    import ctypes

    kernel = ctypes.WinDLL("kernel32", use_last_error=True)  # pyright: ignore[reportAttributeAccessIssue]
    handle, number = ctypes.c_void_p, ctypes.c_uint32
    kernel.CreateJobObjectW.restype, kernel.CreateJobObjectW.argtypes = handle, (handle, ctypes.c_wchar_p)
    kernel.SetInformationJobObject.argtypes = (handle, ctypes.c_int, handle, number)
    kernel.AssignProcessToJobObject.argtypes = (handle, handle)
    kernel.TerminateJobObject.argtypes = (handle, ctypes.c_uint)
    return kernel


def _job_of(process: Any) -> int | None:
    """A new job object that holds a process and what it starts from now on; None if Windows does not allow it.

    The handle is never closed: with the last handle the job's processes end.
    """
    import ctypes

    class Limits(ctypes.Structure):  # JOBOBJECT_EXTENDED_LIMIT_INFORMATION of winnt.h
        _fields_ = (
            ("times", ctypes.c_int64 * 2),
            ("flags", ctypes.c_uint32),
            ("working_set", ctypes.c_size_t * 2),
            ("processes", ctypes.c_uint32),
            ("affinity", ctypes.c_size_t),
            ("classes", ctypes.c_uint32 * 2),
            ("counters", ctypes.c_uint64 * 6),
            ("memory", ctypes.c_size_t * 4),
        )

    extended_limits, kill_on_close = 9, 0x2000
    kernel, limits = _kernel(), Limits(flags=kill_on_close)
    job = kernel.CreateJobObjectW(None, None)
    if not job:
        return None
    kernel.SetInformationJobObject(job, extended_limits, ctypes.byref(limits), ctypes.sizeof(limits))
    return job if kernel.AssignProcessToJobObject(job, int(process._handle)) else None
