"""The command line: `python -m dreamzoom COMMAND`. Exit codes: 0 done, 2 bad request, 3 cancelled, 4 engine not
available, 1 other errors. Errors are one line on standard error; DREAMZOOM_DEBUG=1 adds the traceback.
"""

from __future__ import annotations

import io
import os
import sys
import traceback
from collections.abc import Sequence

from core.errors import BadRequest, Cancelled, EngineUnavailable, explained
from dreamzoom import numba_cache
from dreamzoom.cli.output import BAD_REQUEST, CANCELLED, DONE, FAILED, NOT_AVAILABLE, printable
from dreamzoom.cli.parser import build_parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper) and isinstance(sys.stderr, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", newline="\n", errors="surrogateescape")  # names of files may be any
        sys.stderr.reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        options = build_parser().parse_args(arguments)
        return options.run(options) or DONE
    except KeyboardInterrupt:
        return _print_error(Cancelled())
    except BrokenPipeError:  # the reader of a pipe, such as `| head`, has exited
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return FAILED
    except Exception as error:
        return _print_error(error)
    finally:
        for message in numba_cache.take_messages():  # of commands without a job's log
            sys.stderr.write(f"warning: {message}\n")


def _print_error(error: Exception) -> int:
    """Print an error in one line; returns its exit code."""
    if os.environ.get("DREAMZOOM_DEBUG"):
        traceback.print_exception(error)
    message, remedy = explained(error)
    sys.stderr.write(printable(f"{message} ({remedy})\n" if remedy else f"{message}\n"))
    match error:
        case BadRequest():
            return BAD_REQUEST
        case Cancelled():
            return CANCELLED
        case EngineUnavailable():
            return NOT_AVAILABLE
    return FAILED
