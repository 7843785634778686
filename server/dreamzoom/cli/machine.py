"""Commands about this machine: list engines, check and measure the machine, run the server."""

from __future__ import annotations

import argparse

from dreamzoom.cli.output import DONE, FAILED, print_json, print_text


def engines(options: argparse.Namespace) -> None:
    """List the engines and whether they can run here."""
    from dreamzoom.engines import registry

    rows = registry.available()
    if options.json:
        print_json(rows)
        return
    for row in rows:
        state = "ready" if row["available"] else f"not available: {row['reason']}; {row['remedy']}"
        print_text(f"{row['name']:12} {state}\n")


def check(options: argparse.Namespace) -> int:
    """Describe this machine, and measure it with --run."""
    from dreamzoom.machine.check import check as examine

    parts = (options.part or []) if options.measured or options.part else None
    found = examine(lambda line: print_text(f"{line}\n"), options.json, parts, options.size, options.minutes)
    return FAILED if any("error" in part for part in found["parts"]) else DONE


def serve(options: argparse.Namespace) -> int:
    """Answer JSON-RPC on standard input and output."""
    from dreamzoom.rpc.server import serve as answer

    return answer()
