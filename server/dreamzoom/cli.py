"""The command line: `python -m dreamzoom COMMAND`. Exit codes: 0 done, 2 bad request, 3 cancelled, 4 engine not
available, 1 anything else. Errors are one line on standard error; DREAMZOOM_DEBUG=1 adds where they come from.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from core.errors import BadRequest, Cancelled, EngineUnavailable, explained
from dreamzoom import __version__

DONE, FAILED, BAD_REQUEST, CANCELLED, NOT_AVAILABLE = 0, 1, 2, 3, 4


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper) and isinstance(sys.stderr, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", newline="\n")
        sys.stderr.reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        options = parser().parse_args(arguments)
        return options.run(options) or DONE
    except KeyboardInterrupt:
        return _refuse(Cancelled())
    except BrokenPipeError:  # of `| head`: what was wanted was read
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return FAILED
    except Exception as error:
        return _refuse(error)


def parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    top = _Parser(prog="dreamzoom", description="Dream a zoom without end: prompts and a camera path in, splats out.")
    top.add_argument("--version", action="version", version=__version__)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, run, text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(run=run)
        return command

    command = add("example", _example, "print a valid request")
    command.add_argument("--levels", type=_whole, metavar="N", help="6; with a preset that does not zoom, 1")
    command.add_argument("--size", type=_size, default=(512, 512), metavar="WxH")
    command.add_argument("--factor", type=_number, default=2.0, metavar="P", help="the zoom of one level")
    command.add_argument("--engine", default="procedural", metavar="NAME")
    command.add_argument("--preset", metavar="NAME", help="a ready path in place of cameras: rotate360, llff, ...")

    add("schema", _schema, "print the request's JSON Schema")

    command = add("generate", _generate, "run a request's job, or go on with it")
    command.add_argument("request", help="a JSON file, or - for standard input")
    command.add_argument("--out", type=Path, required=True, metavar="JOB", help="the job's folder")

    command = add("resume", _resume, "go on with a job that was stopped")
    command.add_argument("job", type=Path)

    command = add("inspect", _inspect, "show a job's levels, sizes and times")
    command.add_argument("job", type=Path)
    command.add_argument("--json", action="store_true")

    command = add("render", _render, "write the flight along a finished job as pictures")
    command.add_argument("job", type=Path)
    _add_frames(command)
    command.add_argument("--size", type=_size, metavar="WxH")

    command = add("reference", _reference, "write the procedural engine's true pictures and depths on the path")
    command.add_argument("request", help="a JSON file, or - for standard input")
    _add_frames(command)

    command = add("zoomstack", _zoomstack, "write the level images and the zoom through them, without 3D")
    command.add_argument("request", help="a JSON file, or - for standard input")
    command.add_argument("--out", type=Path, required=True, metavar="DIR")

    command = add("evaluate", _evaluate, "measure a finished job against the procedural engine's truth")
    command.add_argument("job", type=Path)
    command.add_argument("--json", action="store_true")

    command = add("engines", _engines, "list the engines and whether they can run here")
    command.add_argument("--json", action="store_true")

    command = add("check", _check, "look at this machine; with --run, measure what it can")
    command.add_argument("--run", dest="measured", action="store_true", help="measure, in at most 8 minutes")
    command.add_argument("--part", action="append", metavar="NAME", help="measure this alone; may be given again")
    command.add_argument("--size", default="auto", metavar="NAME", help="of the networks: auto, sdxl, small")
    command.add_argument("--minutes", type=_number, default=8.0, metavar="N", help="begin nothing new after so many")
    command.add_argument("--json", type=Path, metavar="FILE", help="keep the report there, to attach to an issue")

    command = add("models", _models, "list the diffusion models on this machine, or download some")
    command.add_argument("--folder", type=Path, metavar="DIR", help="look there, not in the Hugging Face cache")
    command.add_argument("--json", action="store_true")
    actions = command.add_subparsers(dest="action", metavar="get")
    get = actions.add_parser("get", help="download a model, or the set for a card: 8gb, 12gb, 24gb")
    get.add_argument("name", metavar="NAME", help="8gb, 12gb, 24gb, flux2-klein, sdxl, sd, depth, or owner/name")
    get.add_argument("--yes", action="store_true", help="agree to size and licence beforehand")
    get.set_defaults(run=_models_get)

    add("serve", _serve, "answer JSON-RPC on standard input and output, for Blender")
    return top


class _Parser(argparse.ArgumentParser):
    """Says in one line what is wrong."""

    def error(self, message: str) -> NoReturn:
        self.exit(BAD_REQUEST, f"{' '.join(message.split())} (see {self.prog} --help)\n")


def _add_frames(command: argparse.ArgumentParser) -> None:
    command.add_argument("--out", type=Path, required=True, metavar="DIR")
    command.add_argument("--frames", type=_frames, metavar="A-B")


def _whole(text: str) -> int:
    if not re.fullmatch(r"-?\d{1,9}", text):
        raise argparse.ArgumentTypeError(f"must be a whole number, got {text!r}")
    return int(text)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number, got {text!r}") from None


def _size(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d{1,4})[xX×](\d{1,4})", text)
    if not found or not 0 < int(found[1]) <= 8192 or not 0 < int(found[2]) <= 8192:
        raise argparse.ArgumentTypeError(f"must be width and height up to 8192, as in 640x360, got {text!r}")
    return int(found[1]), int(found[2])


def _frames(text: str) -> range:
    found = re.fullmatch(r"(-?\d{1,7})(?:-(-?\d{1,7}))?", text)
    if not found or int(found[2] or found[1]) < int(found[1]):
        raise argparse.ArgumentTypeError(f"must be one frame or the first and the last, as in 1-24, got {text!r}")
    return range(int(found[1]), int(found[2] or found[1]) + 1)


def _example(options: argparse.Namespace) -> None:
    from dreamzoom import wire
    from dreamzoom.example import example

    levels = options.levels
    if levels is None:
        levels = 6 if options.preset in (None, "straight") else 1
    if not 1 <= levels <= 64:
        raise BadRequest("levels", f"must be a list of 1 to 64 entries; got {levels}")
    request = wire.convert_request(example(levels, options.size, options.factor, options.engine, options.preset))
    _print(wire.encode_request(request).decode())


def _schema(options: argparse.Namespace) -> None:
    from dreamzoom import wire

    _print_json(wire.request_schema())


def _generate(options: argparse.Namespace) -> None:
    from dreamzoom.job.folder import Folder

    _run_job(_read_request(options.request), Folder(options.out))


def _resume(options: argparse.Namespace) -> None:
    from dreamzoom.job.folder import Folder
    from dreamzoom.job.generate import read_request

    folder = Folder(options.job)
    _run_job(read_request(folder), folder)


def _run_job(request, folder) -> None:
    from dreamzoom.job.generate import generate
    from dreamzoom.terminal import Terminal, cancel_on_interrupt

    with Terminal(sys.stderr) as terminal, cancel_on_interrupt() as cancel:
        summary = generate(request, folder, terminal, cancel)
    done = f"{len(summary.ran)} steps done"
    kept = f", {len(summary.skipped)} were done before" if summary.skipped else ""
    sys.stderr.write(f"{done}{kept}, {summary.seconds:.1f} s\n")
    _print(f"{folder.path('result.json')}\n")


def _inspect(options: argparse.Namespace) -> None:
    from dreamzoom.job import inspect
    from dreamzoom.job.folder import Folder

    found = inspect.inspect(Folder(options.job))
    if options.json:
        _print_json(found)
    else:
        _print(inspect.table(found) + "\n")


def _render(options: argparse.Namespace) -> None:
    from dreamzoom import flight
    from dreamzoom.terminal import Terminal

    with Terminal(sys.stderr) as terminal:
        count = flight.render(options.job, options.out, options.frames, options.size, terminal.report("render"))
    _print(f"{count} pictures in {options.out}\n")


def _reference(options: argparse.Namespace) -> None:
    from dreamzoom import flight
    from dreamzoom.terminal import Terminal

    request = _read_request(options.request)
    with Terminal(sys.stderr) as terminal:
        count = flight.reference(request, options.out, options.frames, terminal.report("reference"))
    _print(f"{count} pictures and depths in {options.out}\n")


def _zoomstack(options: argparse.Namespace) -> None:
    from dreamzoom.terminal import Terminal
    from dreamzoom.zoomstack import zoomstack

    request = _read_request(options.request)
    with Terminal(sys.stderr) as terminal:
        zoomstack(request, options.out, terminal.report("zoomstack"))
    _print(f"{options.out}\n")


def _evaluate(options: argparse.Namespace) -> None:
    from dreamzoom import evaluate
    from dreamzoom.terminal import Terminal

    with Terminal(sys.stderr) as terminal:
        found = evaluate.evaluate(options.job, terminal.report("evaluate"))
    if options.json:
        _print_json(found)
    else:
        _print(evaluate.table(found) + "\n")


def _engines(options: argparse.Namespace) -> None:
    from dreamzoom import engines

    rows = engines.available()
    if options.json:
        _print_json(rows)
        return
    for row in rows:
        state = "ready" if row["available"] else f"not available: {row['reason']}; {row['remedy']}"
        _print(f"{row['name']:12} {state}\n")


def _check(options: argparse.Namespace) -> int:
    from dreamzoom.machine.check import check

    parts = (options.part or []) if options.measured or options.part else None
    found = check(lambda line: _print(f"{line}\n"), options.json, parts, options.size, options.minutes)
    return FAILED if any("error" in part for part in found["parts"]) else DONE


def _models(options: argparse.Namespace) -> None:
    from dataclasses import asdict

    from dreamzoom.engines.diffusion import catalogue

    found = catalogue.entries(options.folder)
    if options.json:
        _print_json([asdict(entry) for entry in found])
        return
    for entry in found:
        can = ", ".join(entry.abilities) if not entry.reason else f"can't be used: {entry.reason}"
        facts = f"{entry.bytes / 1e9:6.2f} GB  {entry.precision or '-':9} {entry.licence or 'no licence stated':20}"
        _print(f"{entry.name}  {entry.family or '-'}  {facts} {can}\n")
    if not found:
        _print("no models; `dreamzoom models get 8gb` downloads a set for a card of 8 GB (also 12gb, 24gb)\n")


def _models_get(options: argparse.Namespace) -> int:
    from dreamzoom.engines.diffusion import download
    from dreamzoom.terminal import Terminal

    chosen = [download.listing(name) for name in download.repositories(options.name)]
    for one in chosen:
        _print(f"{one.line()}\n")
    if not options.yes:
        if not sys.stdin.isatty():
            sys.stderr.write("nothing was downloaded: add --yes to agree to size and licence\n")
            return BAD_REQUEST
        sys.stderr.write("download? [y/N] ")
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            return CANCELLED
    for one in chosen:
        with Terminal(sys.stderr) as terminal:
            folder = download.fetch(one, terminal.report("download"))
        _print(f"{folder}\n")
    return DONE


def _serve(options: argparse.Namespace) -> int:
    from dreamzoom.serve import serve

    return serve()


def _read_request(name: str):
    """The request in a file, or on standard input for "-". Paths of pictures in it count from where it lies."""
    from dreamzoom import wire
    from dreamzoom.job.generate import located

    if name == "-":
        data, base = sys.stdin.buffer.read(wire.MAX_REQUEST_BYTES + 1), Path.cwd()
    else:
        try:
            with Path(name).open("rb") as file:
                data, base = file.read(wire.MAX_REQUEST_BYTES + 1), Path(name).parent
        except OSError as error:
            raise BadRequest("request", f"must be a file that can be read: {name}: {error.strerror}") from None
    return located(wire.decode_request(data), base)


def _print(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _print_json(value: Any) -> None:
    _print(json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def _refuse(error: Exception) -> int:
    """Tell an error in one line; returns its exit code."""
    if os.environ.get("DREAMZOOM_DEBUG"):
        traceback.print_exception(error)
    message, remedy = explained(error)
    sys.stderr.write(f"{message} ({remedy})\n" if remedy else f"{message}\n")
    match error:
        case BadRequest():
            return BAD_REQUEST
        case Cancelled():
            return CANCELLED
        case EngineUnavailable():
            return NOT_AVAILABLE
    return FAILED
