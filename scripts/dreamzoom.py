"""Run the server's command line from a clone: `python scripts/dreamzoom.py example > request.json`."""

from __future__ import annotations

import os
import subprocess
import sys

import environments


def main() -> None:
    """Pass the arguments to `python -m dreamzoom` in the server's environment."""
    python = environments.need("server")
    command = [str(python), "-m", "dreamzoom", *sys.argv[1:]]
    variables = environments.server_variables()
    if os.name == "nt":
        sys.exit(subprocess.run(command, env=variables, check=False).returncode)
    os.execve(command[0], command, variables)  # the same process, so signals and exit codes are passed on


if __name__ == "__main__":
    main()
