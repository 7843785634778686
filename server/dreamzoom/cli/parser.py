"""The argument parser: all commands, their options, and the types of these."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from core import camera_files, formats
from core.protocol.model_offers import OFFERS, SETS
from dreamzoom import __version__
from dreamzoom.cli import cluster, jobs, machine, models, pictures
from dreamzoom.cli.output import BAD_REQUEST

Run = Callable[[argparse.Namespace], int | None]
"""What a command does; it may return an exit code."""

Add = Callable[[str, Run, str], argparse.ArgumentParser]
"""Adds a command by its name, what it does, and one line about it."""


def build_parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    top = _Parser(prog="dreamzoom", description="Endless zooms: turns prompts and a camera path into Gaussian splats.")
    top.add_argument("--version", action="version", version=__version__)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, run: Run, text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(run=run)
        return command

    _add_jobs(add)
    _add_clusters(add)
    _add_pictures(add)
    _add_machine(add)
    _add_models(add)
    command = add("serve", machine.serve, "answer JSON-RPC on standard input and output, for Blender")
    command.add_argument(
        "--jobs",
        type=Path,
        metavar="FOLDER",
        help="for jobs of a Blender whose folders this machine does not see",
    )
    return top


def _add_jobs(add: Add) -> None:
    """Commands that create, run and check jobs."""
    command = add("example", jobs.example, "print a valid request")
    command.add_argument("--levels", type=_whole, metavar="N", help="default 6, or 1 with a preset that does not zoom")
    command.add_argument("--size", type=_size, default=(512, 512), metavar="WxH")
    command.add_argument("--factor", type=_number, default=2.0, metavar="P", help="the zoom factor of one level")
    command.add_argument("--engine", default="procedural", metavar="NAME")
    command.add_argument("--preset", metavar="NAME", help="a preset path instead of cameras: rotate360, llff, ...")

    add("schema", jobs.schema, "print the request's JSON Schema")

    command = add("generate", jobs.generate, "run a request's job, or resume it")
    command.add_argument("request", help="a JSON file, or - for standard input")
    command.add_argument("--out", type=Path, required=True, metavar="JOB", help="the job's folder")
    _add_executor(command)

    command = add("resume", jobs.resume, "resume a job that was stopped")
    command.add_argument("job", type=Path)
    _add_executor(command)

    command = add("prepare", jobs.prepare, "create a request's job without running it, and list its steps")
    command.add_argument("request", help="a JSON file, or - for standard input")
    command.add_argument("--out", type=Path, required=True, metavar="JOB", help="the job's folder")

    command = add("run-step", jobs.run_step, "run one step of an existing job")
    command.add_argument("job", type=Path)
    command.add_argument("step", help="name of the step, for example levels/000/dream")
    command.add_argument("--force", action="store_true", help="run it even if it is done")

    command = add("inspect", jobs.inspect, "show a job's levels, sizes and times")
    command.add_argument("job", type=Path)
    command.add_argument("--json", action="store_true")

    command = add("verify", jobs.verify, "check every file of a job against its hash")
    command.add_argument("job", type=Path)
    command.add_argument("--repair", action="store_true", help="make again what is damaged, and nothing else")
    command.add_argument("--json", action="store_true")


def _add_clusters(add: Add) -> None:
    """Commands for several jobs and several machines."""
    command = add("batch", cluster.batch, "run the requests of a list, side by side, with fair shares")
    command.add_argument("list", type=Path, help="a request's path on each line, or a JSON array")
    command.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="folder of the jobs' folders")
    command.add_argument("--at-once", type=_whole, default=0, metavar="N", help="default: as many as steps run at once")
    command.add_argument("--json", action="store_true", help="print the outcome of each job as JSON")
    _add_executor(command)

    command = add("farm", cluster.farm, "render an animation's frames on several workers, and encode them")
    command.add_argument("scene", type=Path, help="the .blend file")
    command.add_argument("--frames", type=_frames, required=True, metavar="A-B")
    command.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the frames")
    command.add_argument("--blender", default="blender", metavar="FILE", help="Blender, or a Python with bpy")
    command.add_argument("--samples", type=_whole, default=0, metavar="N", help="for Cycles; default: the scene's")
    command.add_argument("--film", type=Path, metavar="FILE", help="encode the frames to this .mp4")
    command.add_argument("--fps", type=_number, default=24.0, metavar="N")
    command.add_argument("--executor", default="local:2", metavar="NAME", help="local:N, ray or ray://HOST:PORT")


def _add_pictures(add: Add) -> None:
    """Commands that make pictures of a request or of a finished job."""
    command = add("render", pictures.render, "render the flight along a finished job as pictures")
    command.add_argument("job", type=Path)
    _add_frames(command)
    command.add_argument("--size", type=_size, metavar="WxH")
    command.add_argument("--passes", action="store_true", help="also write depth, normal and mask as OpenEXR")

    command = add("export", pictures.export, "write all levels of a finished job as one file of splats")
    command.add_argument("job", type=Path)
    command.add_argument("out", type=Path, help=f"the file: {', '.join(form.suffix for form in formats.FORMATS)}")
    told = "viewers: refitted to what SuperSplat and browsers show; blender: as they are"
    command.add_argument("--for", dest="kind", choices=("viewers", "blender"), default="viewers", help=told)
    command.add_argument("--up", choices=("-Y", "Y", "Z"), default="", help="the axis that points up in the file")
    command.add_argument("--rounds", type=_whole, metavar="N", help="steps of the refit on each view; default: 30")
    command.add_argument("--cameras", type=Path, metavar="FILE", help="also write the flight's cameras (cameras.json)")

    command = add("cameras", pictures.cameras, "write the flight's cameras for other programs")
    command.add_argument("job", type=Path)
    command.add_argument("--out", type=Path, required=True, metavar="PATH", help="a folder for colmap, else a file")
    command.add_argument("--format", choices=camera_files.KINDS, default="colmap")
    command.add_argument("--up", choices=("-Y", "Y", "Z"), default="-Y", help="the axis that points up in the file")
    command.add_argument("--frames", type=_frames, metavar="A-B")

    command = add("reference", pictures.reference, "render the path's ground-truth pictures and depths (procedural)")
    command.add_argument("request", help="a JSON file, or - for standard input")
    _add_frames(command)

    command = add("zoomstack", pictures.zoomstack, "write the level pictures and a film of the zoom, without 3D")
    command.add_argument("request", help="a JSON file, or - for standard input")
    command.add_argument("--out", type=Path, required=True, metavar="DIR")

    command = add("evaluate", pictures.evaluate, "evaluate a finished job against the procedural engine's ground truth")
    command.add_argument("job", type=Path)
    command.add_argument("--json", action="store_true")


def _add_machine(add: Add) -> None:
    """Commands about this machine."""
    command = add("engines", machine.engines, "list the engines and whether they can run here")
    command.add_argument("--json", action="store_true")

    command = add("check", machine.check, "describe this machine; with --run, measure its speed")
    command.add_argument("--run", dest="measured", action="store_true", help="measure, in at most 8 minutes")
    command.add_argument("--part", action="append", metavar="NAME", help="measure only this part; can be repeated")
    command.add_argument("--size", default="auto", metavar="NAME", help="size of the networks: auto, sdxl, small")
    command.add_argument("--minutes", type=_number, default=8.0, metavar="N", help="start no measurement after this")
    command.add_argument("--json", type=Path, metavar="FILE", help="write the report to this file, for an issue")

    command = add("compile", machine.compile_kernels, "compile the code for this machine now, not in the first job")
    command.add_argument("--progress", action="store_true", help="print how much is done, 0 to 1, on lines")

    command = add("clean", machine.clean, "list compiled code, downloaded models, environments and jobs; remove some")
    command.add_argument("--jobs", type=Path, nargs="+", default=[], metavar="DIR", help="folders with jobs in them")
    command.add_argument("--remove", type=Path, nargs="+", default=[], metavar="DIR", help="what is to be removed")
    command.add_argument("--json", action="store_true")


def _add_models(add: Add) -> None:
    """Commands about diffusion models."""
    command = add("models", models.list_models, "list the diffusion models on this machine, or download some")
    command.add_argument("--folder", type=Path, metavar="DIR", help="list this folder, not the Hugging Face cache")
    command.add_argument("--json", action="store_true")
    actions = command.add_subparsers(dest="action", metavar="get")
    get = actions.add_parser("get", help=f"download a model, or the set for a card: {', '.join(SETS)}")
    get.add_argument("name", metavar="NAME", help=f"{', '.join([*SETS, *OFFERS])}, or owner/name")
    get.add_argument("--yes", action="store_true", help="agree to size and licence beforehand")
    get.set_defaults(run=models.get_models)


class _Parser(argparse.ArgumentParser):
    """Prints errors in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(BAD_REQUEST, f"{' '.join(message.split())} (see {self.prog} --help)\n")


def _add_frames(command: argparse.ArgumentParser) -> None:
    command.add_argument("--out", type=Path, required=True, metavar="DIR")
    command.add_argument("--frames", type=_frames, metavar="A-B")


def _add_executor(command: argparse.ArgumentParser) -> None:
    where = "where steps run: local, local:N (N processes), ray (this machine's cluster), ray://HOST:PORT"
    command.add_argument("--executor", default="local", metavar="NAME", help=where)
    command.add_argument("--storage", default="", metavar="URL", help="for workers that do not see the job's folder")


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
