"""Measure one part of Dreamzoom: `python scripts/benchmark.py SECTION [--json]`. Without a section, lists them."""

from __future__ import annotations

import ast
import subprocess
import sys

import environments

SECTIONS = environments.ROOT / "scripts" / "benchmarks"


def main() -> int:
    """Run the section's program in the environment that it needs."""
    sections = {path.stem: path for path in sorted(SECTIONS.glob("[a-z]*.py"))}
    if len(sys.argv) < 2:
        for name, path in sections.items():
            summary = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
            print(f"{name:<10} {summary.partition(chr(10))[0]}")
        return 0
    name = sys.argv[1]
    if name not in sections:
        sys.stderr.write(f"dreamzoom: no section {name}; there are {', '.join(sections)}\n")
        return 2
    variables = environments.server_variables()
    variables["DREAMZOOM_SERVER_PYTHON"] = str(environments.need("server"))
    python = environments.need("server")
    command = [str(python), str(sections[name]), *sys.argv[2:]]
    return subprocess.run(command, env=variables, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
