"""Notices the death of the process that this one works for: the end of input does not tell if another one holds the
pipe.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

from core.protocol.messages import CLIENT_VARIABLE

INTERVAL = 0.25
"""Seconds between two looks."""

NOTE_PATIENCE = 0.3
"""Seconds that the note of an exit in the journal may take."""


_started, _leaving = threading.Event(), threading.Event()


def start() -> None:
    """Watch the client from a thread, and leave when it has ended. A second call does nothing.

    The client is the process that the variable CLIENT_VARIABLE names, else the parent of this process, as it is now.
    """
    if _started.is_set():
        return
    _started.set()
    client = os.environ.get(CLIENT_VARIABLE, "")
    watched = int(client) if client.isdigit() and 0 < int(client) < 2**31 else os.getppid()
    watch = _wait_for_process if os.name == "nt" else _poll
    threading.Thread(target=watch, args=(watched,), name="dreamzoom-parent", daemon=True).start()


def leave() -> None:
    """Exit at once, from any thread. The job's folder is valid at any moment.

    Not by sys.exit, which would wait for a job's thread. Standard error is not flushed: if nobody reads it, another
    thread may hold it for ever.
    """
    is_first = not _leaving.is_set()
    _leaving.set()
    if is_first:
        _note_exit()
        leads_group = os.name != "nt" and os.getpgrp() == os.getpid()
        if leads_group and signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:  # its handler does not wait either
            os.killpg(os.getpgrp(), signal.SIGTERM)  # programs that this one started
    os._exit(0)


def _note_exit() -> None:
    """Tell the journal that a running step has not crashed; in a thread, for a disk that does not answer."""
    journal = sys.modules.get("dreamzoom.pipeline.journal")
    if journal is not None:
        thread = threading.Thread(target=journal.note_exit, daemon=True)
        thread.start()
        thread.join(NOTE_PATIENCE)


def _poll(pid: int) -> None:
    """Look whether a process lives, on POSIX. A parent's death gives this process another parent at once."""
    is_parent = pid == os.getppid()
    if is_parent and pid <= 1:
        return  # started by the system itself, or the parent ended before this process looked: the end of input counts
    while os.getppid() == pid if is_parent else _lives(pid):
        time.sleep(INTERVAL)
    leave()


def _lives(pid: int) -> bool:
    """Whether a process exists and has not ended."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (OSError, IndexError):
        return True


def _wait_for_process(pid: int) -> None:
    """Wait for the end of a process on Windows, by a handle, which stays that of this process for ever."""
    import ctypes

    synchronize, forever = 0x00100000, 0xFFFFFFFF
    kernel = ctypes.WinDLL("kernel32", use_last_error=True)  # pyright: ignore[reportAttributeAccessIssue]
    kernel.OpenProcess.restype = ctypes.c_void_p
    kernel.OpenProcess.argtypes = (ctypes.c_uint32, ctypes.c_int, ctypes.c_uint32)
    kernel.WaitForSingleObject.argtypes = (ctypes.c_void_p, ctypes.c_uint32)
    handle = kernel.OpenProcess(synchronize, False, pid)
    if handle and kernel.WaitForSingleObject(handle, forever) == 0:
        leave()
