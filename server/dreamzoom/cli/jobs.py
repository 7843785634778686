"""Commands that create, run and inspect jobs."""

from __future__ import annotations

import argparse
import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import BadRequest, RefusedFile
from core.safety import limits
from core.safety.regular_files import read_regular
from dreamzoom.cli.output import DONE, FAILED, print_json, print_text

if TYPE_CHECKING:
    from dreamzoom.pipeline.folder import Folder
    from dreamzoom.request.schema import Request


def example(options: argparse.Namespace) -> None:
    """Print a valid request."""
    from dreamzoom.request import validation
    from dreamzoom.request.example import example

    levels = options.levels
    if levels is None:
        levels = 6 if options.preset in (None, "straight") else 1
    if not 1 <= levels <= 64:
        raise BadRequest("levels", f"must be a list of 1 to 64 entries; got {levels}")
    request = validation.convert_request(example(levels, options.size, options.factor, options.engine, options.preset))
    print_text(validation.encode_request(request).decode())


def schema(options: argparse.Namespace) -> None:
    """Print the request's JSON Schema."""
    from dreamzoom.request import validation

    print_json(validation.request_schema())


def generate(options: argparse.Namespace) -> None:
    """Run a request's job."""
    from dreamzoom.pipeline.folder import Folder

    _run_job(read_request(options.request), Folder(options.out), options)


def resume(options: argparse.Namespace) -> None:
    """Resume a job that was stopped."""
    from dreamzoom.pipeline.folder import Folder
    from dreamzoom.pipeline.generate import read_request

    folder = Folder(options.job)
    _run_job(read_request(folder), folder, options)


def prepare(options: argparse.Namespace) -> None:
    """Create a request's job without running it, and list its steps."""
    from dreamzoom.cli.terminal import Terminal
    from dreamzoom.pipeline.folder import Folder
    from dreamzoom.pipeline.run_step import prepare as begin

    with Terminal(sys.stderr) as terminal:
        names = begin(read_request(options.request), Folder(options.out), terminal)
    print_text("".join(f"{name}\n" for name in names))


def run_step(options: argparse.Namespace) -> None:
    """Run one step of an existing job."""
    from dreamzoom.cli.terminal import Terminal, cancel_on_interrupt
    from dreamzoom.pipeline.folder import Folder
    from dreamzoom.pipeline.run_step import run_step as run

    with Terminal(sys.stderr) as terminal, cancel_on_interrupt() as cancel:
        ran = run(Folder(options.job), options.step, terminal, cancel, force=options.force)
    sys.stderr.write(f"{options.step} {'done' if ran else 'was already done'}\n")


def inspect(options: argparse.Namespace) -> None:
    """Show a job's levels, sizes and times."""
    from dreamzoom.pipeline import inspect as inspection
    from dreamzoom.pipeline.folder import Folder

    found = inspection.inspect(Folder(options.job))
    if options.json:
        print_json(found)
    else:
        print_text(inspection.table(found) + "\n")


def verify(options: argparse.Namespace) -> int:
    """Check every file of a job against its hash; with --repair, make again what is damaged."""
    from dreamzoom.cli.terminal import Terminal, cancel_on_interrupt
    from dreamzoom.pipeline.folder import Folder
    from dreamzoom.pipeline.integrity import repair, verify
    from dreamzoom.progress import Cancellation, reporting_to

    folder = Folder(options.job)
    with Terminal(sys.stderr) as terminal, cancel_on_interrupt() as cancel, reporting_to(Cancellation(cancel)):
        if options.repair:
            done = repair.repair(folder, terminal, cancel)
            found = done.after
            sys.stderr.write(f"{len(done.before.damaged)} damaged files, {len(done.summary.ran)} steps done again\n")
        else:
            found = verify.verify(folder, terminal.report("verify").progress)
    if options.json:
        print_json(verify.as_json(found))
    else:
        print_text(verify.table(found) + "\n")
    return FAILED if found.damaged else DONE


def read_request(name: str) -> Request:
    """Read the request from a file, or from standard input for "-". Paths in it are relative to the file's folder."""
    from dreamzoom.request import validation
    from dreamzoom.request.inputs import located

    if name == "-":
        data, base = sys.stdin.buffer.read(validation.MAX_REQUEST_BYTES + 1), Path.cwd()
    else:
        try:
            data, base = read_regular(Path(name), limits.REQUEST_BYTES, links=True), Path(name).parent
        except (OSError, RefusedFile) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise BadRequest("request", f"must be a file that can be read: {name}: {reason}") from None
    return located(validation.decode_request(data), base)


def _run_job(request: Request, folder: Folder, options: argparse.Namespace) -> None:
    from dreamzoom import cluster
    from dreamzoom.cli.terminal import Terminal, cancel_on_interrupt
    from dreamzoom.pipeline.generate import generate
    from dreamzoom.stages.base import layout

    with Terminal(sys.stderr) as terminal, cancel_on_interrupt() as cancel:
        executor = cluster.make(
            options.executor, options.storage, lambda message: terminal.log(message, "warning"), cancel
        )
        with contextlib.closing(executor):
            summary = generate(request, folder, terminal, cancel, executor=executor)
    done = f"{len(summary.ran)} steps done"
    kept = f", {len(summary.skipped)} were already done" if summary.skipped else ""
    sys.stderr.write(f"{done}{kept}, {summary.seconds:.1f} s\n")
    print_text(f"{folder.path(layout.RESULT.path())}\n")
