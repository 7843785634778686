"""Measure one part of Dreamzoom: `python scripts/benchmark.py SECTION [--json]`. Without a section, lists them."""

from __future__ import annotations

import ast
import os
import subprocess
import sys

import environments

SECTIONS = environments.ROOT / "scripts" / "benchmarks"


def main() -> int:
    """Run the section's program in the environment that it needs."""
    sections = {path.stem: path for path in sorted(SECTIONS.glob("[a-z]*.py"))}
    sections |= {path.parent.name: path for path in sorted(SECTIONS.glob("[a-z]*/__main__.py"))}
    if len(sys.argv) < 2:
        for name, path in sorted(sections.items()):
            summary = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
            print(f"{name:<12}{summary.partition(chr(10))[0]}")
        return 0
    name = sys.argv[1]
    if name not in sections:
        sys.stderr.write(f"dreamzoom: unknown section {name}; choose one of {', '.join(sorted(sections))}\n")
        return 2
    variables = environments.server_variables()
    python = str(environments.need("cluster" if name == "cluster" else "server"))
    variables["DREAMZOOM_SERVER_PYTHON"] = str(environments.need("server"))
    # after the server's folder, because scripts/dreamzoom.py is not the server's package
    variables["PYTHONPATH"] = os.pathsep.join([variables["PYTHONPATH"], str(SECTIONS.parent)])
    command = [python, "-m", f"{SECTIONS.name}.{name}", *sys.argv[2:]]
    return subprocess.run(command, env=variables, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
