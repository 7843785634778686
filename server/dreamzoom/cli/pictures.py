"""Commands that render pictures and judge them."""

from __future__ import annotations

import argparse
import sys

from dreamzoom.cli.jobs import read_request
from dreamzoom.cli.output import print_json, print_text


def render(options: argparse.Namespace) -> None:
    """Write the flight along a finished job as pictures."""
    from dreamzoom import flight
    from dreamzoom.cli.terminal import Terminal

    with Terminal(sys.stderr) as terminal:
        count = flight.render(options.job, options.out, options.frames, options.size, terminal.report("render"))
    print_text(f"{count} pictures in {options.out}\n")


def reference(options: argparse.Namespace) -> None:
    """Write the procedural engine's true pictures and depths on the path."""
    from dreamzoom import flight
    from dreamzoom.cli.terminal import Terminal

    request = read_request(options.request)
    with Terminal(sys.stderr) as terminal:
        count = flight.reference(request, options.out, options.frames, terminal.report("reference"))
    print_text(f"{count} pictures and depths in {options.out}\n")


def zoomstack(options: argparse.Namespace) -> None:
    """Write the level images and the zoom through them."""
    from dreamzoom.cli.terminal import Terminal
    from dreamzoom.zoomstack import zoomstack as write

    request = read_request(options.request)
    with Terminal(sys.stderr) as terminal:
        write(request, options.out, terminal.report("zoomstack"))
    print_text(f"{options.out}\n")


def evaluate(options: argparse.Namespace) -> None:
    """Measure a finished job against the procedural engine's truth."""
    from dreamzoom import evaluate as evaluation
    from dreamzoom.cli.terminal import Terminal

    with Terminal(sys.stderr) as terminal:
        found = evaluation.evaluate(options.job, terminal.report("evaluate"))
    if options.json:
        print_json(found)
    else:
        print_text(evaluation.table(found) + "\n")
