"""Commands for several jobs and several machines."""

from __future__ import annotations

import argparse
import contextlib
import shutil
import sys
from pathlib import Path

from core.errors import BadRequest, Cancelled, DreamzoomError
from dreamzoom.cli.output import DONE, FAILED, print_json, print_text


def batch(options: argparse.Namespace) -> int:
    """Run the requests of a list, with a table of all of them."""
    from dreamzoom import cluster
    from dreamzoom.cli.batch_table import BatchTable
    from dreamzoom.cli.terminal import cancel_on_interrupt
    from dreamzoom.cluster import batch as batches

    jobs = batches.read_list(options.list, options.out)
    table = BatchTable(sys.stderr, jobs)
    with cancel_on_interrupt() as cancel:
        executor = cluster.make(options.executor, options.storage, table.log, cancel)
        at_once = options.at_once or max(1, executor.slots)
        with contextlib.closing(executor):
            batches.run_batch(
                jobs,
                executor,
                at_once,
                cancel,
                table.show,
                lambda job, message: table.log(f"{job.out.name}: {message}"),
            )
    table.show(last=True)
    if options.json:
        print_json(batches.as_rows(jobs))
    if cancel.is_set():
        raise Cancelled
    return DONE if all(job.state == "done" for job in jobs) else FAILED


def farm(options: argparse.Namespace) -> None:
    """Render an animation on several workers."""
    from dreamzoom import cluster
    from dreamzoom.cli.terminal import Terminal, cancel_on_interrupt
    from dreamzoom.cluster import farm as farms
    from dreamzoom.cluster.pool import WorkerPool

    if not options.scene.is_file():
        raise BadRequest("scene", f"must be a .blend file; there is none at {options.scene}")
    blender = shutil.which(options.blender) or options.blender
    if options.executor.startswith("local") and shutil.which(blender) is None:
        raise BadRequest("--blender", f"must be Blender's executable, or a Python with bpy; got {options.blender}")
    film = farms.Film(options.scene.absolute(), options.frames, options.out.absolute(), blender, options.samples)
    with Terminal(sys.stderr) as terminal, cancel_on_interrupt() as cancel:
        executor = cluster.make(options.executor, "", lambda message: terminal.log(message, "warning"), cancel)
        with contextlib.closing(executor):
            if not isinstance(executor, WorkerPool):
                raise BadRequest("executor", "must be local:N or ray for a farm")
            farms.render(film, executor, terminal.report("render", cancel))
    print_text(f"{film.out}\n")
    if options.film:
        _encode(film, options.film, options.fps)
        print_text(f"{options.film}\n")


def _encode(film, target: Path, fps: float) -> None:
    import numpy as np
    from PIL import Image

    from dreamzoom.render.film import write_film

    def pictures():
        for frame in film.frames:
            with Image.open(film.picture(frame), formats=["PNG"]) as picture:
                yield np.asarray(picture.convert("RGB"))

    try:
        write_film(target, pictures(), fps)
    except ValueError as error:
        raise DreamzoomError(f"no film could be made of {film.out}: {error}") from None
