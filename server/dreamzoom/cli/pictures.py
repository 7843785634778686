"""Commands that render and evaluate pictures."""

from __future__ import annotations

import argparse
import sys

from dreamzoom.cli.jobs import read_request
from dreamzoom.cli.output import print_json, print_text


def render(options: argparse.Namespace) -> None:
    """Render the flight along a finished job as pictures."""
    from dreamzoom.cli.terminal import Terminal
    from dreamzoom.render import flight

    with Terminal(sys.stderr) as terminal:
        report = terminal.report("render")
        count = flight.render(
            options.job, options.out, options.frames, options.size, report, with_passes=options.passes
        )
    print_text(f"{count} pictures in {options.out}\n")


def export(options: argparse.Namespace) -> None:
    """Write all levels of a finished job as one file of splats."""
    from dreamzoom.cli.terminal import Terminal, cancel_on_interrupt
    from dreamzoom.render.viewer_export import export as viewer_export

    rounds = viewer_export.ROUNDS if options.rounds is None else options.rounds
    chosen = {"kind": options.kind, "up": options.up, "rounds": rounds, "cameras": options.cameras}
    with Terminal(sys.stderr) as terminal, cancel_on_interrupt() as cancel:
        done = viewer_export.export(options.job, options.out, terminal.report("export", cancel), **chosen)
    print_text(f"{options.out}: {done.told()}\n")


def cameras(options: argparse.Namespace) -> None:
    """Write the flight's cameras for other programs."""
    from dreamzoom.cli.terminal import Terminal
    from dreamzoom.render.camera_export import write_cameras

    with Terminal(sys.stderr) as terminal:
        report = terminal.report("cameras")
        count, points = write_cameras(options.job, options.out, options.format, options.up, options.frames, report)
    print_text(f"{count} cameras{f' and {points} points' if points else ''} in {options.out}\n")


def reference(options: argparse.Namespace) -> None:
    """Write the procedural engine's ground-truth pictures and depths on the path."""
    from dreamzoom.cli.terminal import Terminal
    from dreamzoom.render import flight

    request = read_request(options.request)
    with Terminal(sys.stderr) as terminal:
        count = flight.reference(request, options.out, options.frames, terminal.report("reference"))
    print_text(f"{count} pictures and depths in {options.out}\n")


def zoomstack(options: argparse.Namespace) -> None:
    """Write the level pictures and a film that zooms through them."""
    from dreamzoom.cli.terminal import Terminal
    from dreamzoom.render.zoom_stack_film import zoomstack as write

    request = read_request(options.request)
    with Terminal(sys.stderr) as terminal:
        write(request, options.out, terminal.report("zoomstack"))
    print_text(f"{options.out}\n")


def evaluate(options: argparse.Namespace) -> None:
    """Evaluate a finished job against the procedural engine's ground truth."""
    from dreamzoom.cli.terminal import Terminal
    from dreamzoom.render import evaluate as evaluation

    with Terminal(sys.stderr) as terminal:
        found = evaluation.evaluate(options.job, terminal.report("evaluate"))
    if options.json:
        print_json(found)
    else:
        print_text(evaluation.table(found) + "\n")
