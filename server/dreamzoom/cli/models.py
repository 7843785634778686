"""Commands about diffusion models."""

from __future__ import annotations

import argparse
import sys

from core.protocol.licences import is_non_commercial
from core.protocol.model_offers import SETS
from dreamzoom.cli.output import BAD_REQUEST, CANCELLED, DONE, print_json, print_text


def list_models(options: argparse.Namespace) -> None:
    """List the diffusion models on this machine."""
    from dataclasses import asdict

    from dreamzoom.engines.diffusion import catalogue

    found = catalogue.entries(options.folder)
    if options.json:
        print_json([asdict(entry) for entry in found])
        return
    for entry in found:
        can = ", ".join(entry.abilities) if not entry.reason else f"can't be used: {entry.reason}"
        limit = ", not for commercial use" if is_non_commercial(entry.licence) else ""
        licence = f"{entry.licence or 'no licence stated'}{limit}"
        facts = f"{entry.bytes / 1e9:6.2f} GB  {entry.precision or '-':9} {licence:20}"
        print_text(f"{entry.name}  {entry.family or '-'}  {facts} {can}\n")
    if not found:
        least, *others = SETS
        size = f"{least.removesuffix('gb')} GB (also {', '.join(others)})"
        print_text(f"no models; `dreamzoom models get {least}` downloads a set for a card of {size}\n")


def get_models(options: argparse.Namespace) -> int:
    """Download a model or a set of them."""
    from dreamzoom.cli.terminal import Terminal
    from dreamzoom.engines.diffusion import download

    chosen = [download.listing(name) for name in download.repositories(options.name)]
    for one in chosen:
        print_text(f"{one.line()}\n")
    if not options.yes:
        if not sys.stdin.isatty():
            sys.stderr.write("nothing was downloaded: add --yes to accept size and licence\n")
            return BAD_REQUEST
        sys.stderr.write("download? [y/N] ")
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            return CANCELLED
    for one in chosen:
        with Terminal(sys.stderr) as terminal:
            folder = download.fetch(one, terminal.report("download"))
        print_text(f"{folder}\n")
    return DONE
