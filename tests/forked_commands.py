"""The command line in processes of their own that begin with all modules imported, where the system can fork."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

SERVER = Path(__file__).parents[1] / "server"

FORKED = """
import os, sys
import torch
from dreamzoom import cli
from dreamzoom.engines import registry, spectral
from dreamzoom.engines.procedural import engine
from dreamzoom.pipeline import generate, steps
from dreamzoom.stages import all_stages
all_stages()
said = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
while line := sys.stdin.readline():
    child = os.fork()
    if not child:
        os.dup2(said, 1), os.dup2(said, 2)
        os._exit(cli.main(eval(line)))
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
"""Runs commands, each in a process of its own, which has no modules to import any more."""


class Command:
    """A command that runs."""

    def __init__(self, pid, wait):
        self.pid, self.wait = pid, wait

    def kill(self):
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM if os.name == "nt" else signal.SIGKILL)
        self.wait()


@contextlib.contextmanager
def commands(said):
    """A function that starts the command line with arguments; what it says is appended to a file."""
    environment = os.environ | {"PYTHONPATH": str(SERVER)}
    if not hasattr(os, "fork"):

        def start(arguments):
            with said.open("ab") as file:
                command = [sys.executable, "-m", "dreamzoom", *arguments]
                process = subprocess.Popen(command, stdout=file, stderr=file, env=environment)
            return Command(process.pid, process.wait)

        yield start
        return
    forking = subprocess.Popen(
        [sys.executable, "-c", FORKED, str(said)], stdin=-1, stdout=-1, env=environment, text=True
    )

    def start(arguments):
        forking.stdin.write(f"{arguments!r}\n")
        forking.stdin.flush()
        return Command(int(forking.stdout.readline()), lambda: int(forking.stdout.readline()))

    yield start
    forking.communicate()
