"""People's files: pictures, depth maps and splats as they are, and how exactly the flight shows them.

`--only NAME ...` chooses among the groups; `--quality draft` (or preview, final) and `--engine NAME` choose the jobs of
the group `photo`, which take minutes each; `--json` prints one object.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3] / "tests"))

from benchmarks.shared.table import Table

GROUPS = sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py"))
"""Modules of this folder, each with a function `add_rows(table, options)`."""


def main() -> None:
    """Measure the chosen groups and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=GROUPS, default=GROUPS)
    parser.add_argument("--quality", nargs="+", choices=("draft", "preview", "final"), default=("preview", "final"))
    parser.add_argument("--engine", nargs="+", default=("procedural", "spectral", "diffusion"))
    parser.add_argument("--size", default="96x64", help="of the photo's frames")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    table = Table()
    for name in options.only:
        importlib.import_module(f"{__package__}.{name}").add_rows(table, options)
    sys.stdout.write((table.json() if options.json else table.text()) + "\n")


if __name__ == "__main__":
    main()
