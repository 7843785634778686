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


def compile_kernels(options: argparse.Namespace) -> None:
    """Compile the code for this machine."""
    from dreamzoom.machine import compiling

    def tell(fraction: float) -> None:
        if options.progress:
            print_text(f"{fraction:.3f}\n")

    compiling.compile_kernels(tell)


def clean(options: argparse.Namespace) -> None:
    """List what Dreamzoom keeps on the disks, and remove what is named."""
    from dreamzoom.machine import leftovers
    from dreamzoom.rpc.files.home import default_home

    options.jobs = [*options.jobs, default_home()]
    if options.remove:
        for one in leftovers.remove(options.remove, options.jobs):
            print_text(f"removed {one.line()}\n")
        return
    found = leftovers.find(options.jobs)
    if options.json:
        print_json([one.facts() for one in found])
        return
    for one in found:
        print_text(f"{one.line()}\n")
    print_text("nothing was removed; name what is to go: dreamzoom clean --remove FOLDER ...\n")


def serve(options: argparse.Namespace) -> int:
    """Answer JSON-RPC on standard input and output."""
    from dreamzoom.rpc.server import serve as answer

    return answer(options.jobs)
