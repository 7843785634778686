"""Run all checks: lint, the server's tests, the add-on's tests in three Blenders, and the tests of the installed zip.

    python scripts/test.py [--quick] [--only NAME,NAME] [PYTEST ARGUMENTS]

Creates the environments that it needs. The add-on's tests in Blender 5.0 and those on a Ray
cluster run only if named: `--only addon-5.0,cluster`. Paths
in the arguments select the suites that contain them; all other arguments are passed to pytest (`-k words`, `-x`).
`--quick` checks style, types and the server without the tests marked slow, and takes about a minute.
Prints the counts at the end; the exit code is 0 only if nothing failed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import xml.etree.ElementTree as ElementTree
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import environments
from install import InstallError

ROOT = environments.ROOT


@dataclass(frozen=True)
class Suite:
    """Folders of tests and the environment that they run in; the linter if there are no folders."""

    name: str
    environment: str
    folders: tuple = ()
    only_named: bool = False
    """Whether it runs only if `--only` names it."""
    quick: bool = False
    """Whether `--quick` runs it, without the tests marked slow."""
    at_once: int = 2
    """Files of tests that run at the same time."""


SUITES = (
    Suite("lint", "server", quick=True),
    Suite("server", "server", ("tests/server", "tests/core"), quick=True),
    Suite("cluster", "cluster", ("tests/cluster",), only_named=True, at_once=0),
    Suite("addon-4.5", "bpy45", ("tests/addon", "tests/core")),
    Suite("addon-5.0", "bpy50", ("tests/addon", "tests/core"), only_named=True),
    Suite("addon-5.2", "bpy52", ("tests/addon",)),  # tests/core runs with the oldest and the newest Python
    Suite("addon-5.3", "bpy53", ("tests/addon", "tests/core")),
    Suite("zip-4.5", "bpy45", ("tests/end_to_end",)),
    Suite("zip-5.2", "bpy52", ("tests/end_to_end",)),
    Suite("zip-5.3", "bpy53", ("tests/end_to_end",)),
)

SLOWEST = 20
"""Number of test files whose time is printed."""

WORDS = 400
"""Characters of a failure's message that are repeated at the end."""

MEMORY, ROOM = Path("/dev/shm"), 6_000_000_000
"""A folder in memory where the system has one, and the bytes that must be free for a suite's files to be put there."""

_installing = threading.Lock()


@dataclass
class Outcome:
    """The result of a suite."""

    name: str
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0
    notes: list = field(default_factory=list)
    failures: list = field(default_factory=list)
    """Names and messages of the tests that failed."""
    durations: dict = field(default_factory=dict)
    """Seconds of each test file."""


def main() -> int:
    """Run the chosen suites and print their results."""
    only, arguments = _options(sys.argv[1:])
    started = time.monotonic()
    outcomes = []
    chosen = [suite for suite in SUITES if _is_chosen(suite, only, arguments)]
    with ThreadPoolExecutor() as beside:
        # most of it needs one core: beside the first tests it takes half its time
        linted = [beside.submit(_run, suite, arguments) for suite in chosen if not suite.folders]
        for suite in (suite for suite in chosen if suite.folders):
            print(f"\n=== {suite.name} ===", flush=True)
            outcomes.append(_run(suite, arguments))
        outcomes[:0] = [outcome.result() for outcome in linted]
    return _summary(outcomes, time.monotonic() - started)


def _options(arguments: list) -> tuple:
    """The names after --only, if any, and the arguments for pytest."""
    if any(argument in ("-h", "--help") for argument in arguments):
        print(f"{__doc__}\nSuites: {', '.join(suite.name for suite in SUITES)}")
        sys.exit(0)
    only: set = set()
    rest = []
    remaining = iter(arguments)
    for argument in remaining:
        if argument == "--quick":
            only |= {suite.name for suite in SUITES if suite.quick}
            rest += ["-m", "not slow"]
        elif argument == "--only" or argument.startswith("--only="):
            only |= set((argument.partition("=")[2] or next(remaining, "")).split(","))
        else:
            rest.append(argument)
    unknown = only - {suite.name for suite in SUITES}
    if unknown:
        names = ", ".join(s.name for s in SUITES)
        sys.exit(f"dreamzoom: unknown suite {', '.join(sorted(unknown))}; choose from {names}")
    return only, rest


def _paths(arguments: list) -> list:
    """The arguments that are files or folders of this repository, relative to its root."""
    paths = []
    for argument in arguments:
        path = Path(argument.partition("::")[0]).absolute()
        if not argument.startswith("-") and path.exists() and ROOT in path.parents:
            paths.append((path.relative_to(ROOT).as_posix(), argument))
    return paths


def _is_chosen(suite: Suite, only: set, arguments: list) -> bool:
    if suite.only_named and suite.name not in only:
        return False
    if only and (suite.name not in only or not suite.folders):
        return suite.name in only
    if not arguments:
        return True
    paths = _paths(arguments)
    return bool(suite.folders) and (not paths or any(path.startswith(suite.folders) for path, _ in paths))


def _run(suite: Suite, arguments: list) -> Outcome:
    outcome = Outcome(suite.name)
    started = time.monotonic()
    try:
        with _installing:
            python = environments.ensure(suite.environment)
    except InstallError as error:
        outcome.notes.append(f"skipped as a whole: {error}")
        # A newer Blender may be missing, but the server and Blender 4.5 are required
        (outcome.skipped, outcome.failed) = (1, 0) if suite.environment in ("bpy50", "bpy52", "bpy53") else (0, 1)
        print(outcome.notes[-1], flush=True)
        return outcome
    if suite.folders:
        _pytest(suite, python, arguments, outcome)
    else:
        _lint(python, outcome)
    outcome.seconds = time.monotonic() - started
    return outcome


def _lint(python: Path, outcome: Outcome) -> None:
    """Check formatting, lint rules and types in the folders that pyproject.toml names."""
    types = ["pyright", "--project", ".", "--pythonpath", str(python)]
    told, together = ["\n=== lint ==="], {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    for check in (["ruff", "check", "."], ["ruff", "format", "--check", "."], types):
        done = subprocess.run([str(python), "-m", *check], cwd=ROOT, check=False, encoding="utf-8", **together)
        told.append(done.stdout.strip())
        outcome.failed += done.returncode != 0
        outcome.passed += done.returncode == 0
    print("\n".join(told), flush=True)  # in one piece, for tests print meanwhile


def _pytest(suite: Suite, python: Path, arguments: list, outcome: Outcome) -> None:
    """Run one suite's tests in processes of their own and count the results."""
    chosen = _paths(arguments)
    places = [argument for path, argument in chosen if path.startswith(suite.folders)]
    places = places or [str(ROOT / folder) for folder in suite.folders]
    others = [argument for argument in arguments if argument not in {argument for _, argument in chosen}]
    with tempfile.TemporaryDirectory(prefix="dreamzoom-", dir=_memory(), ignore_cleanup_errors=True) as scratch:
        report = Path(scratch, "report.xml")
        command = [str(python), "-m", "pytest", f"--rootdir={ROOT}", "-c", str(ROOT / "pyproject.toml"), "-q"]
        command += ["-n", str(suite.at_once), "--dist", "loadfile", "--no-loadscope-reorder"]  # see tests/conftest.py
        command += [*others, f"--junitxml={report}", *places]
        code = subprocess.run(command, env=_variables(scratch), check=False).returncode
        _count(report, code, outcome)


def _memory() -> str | None:
    """The folder in memory for the tests' files, for a job waits for a disk dozens of times; None without room."""
    try:
        available = re.search(r"MemAvailable: *(\d+) kB", Path("/proc/meminfo").read_text())
        free = min(shutil.disk_usage(MEMORY).free, int(available[1]) * 1024 if available else 0)
    except OSError:  # Windows and macOS
        return None
    return str(MEMORY) if free > ROOM else None


def _variables(scratch: str) -> dict:
    """The environment variables of the tests: path of the server's Python, folder for files, number of threads."""
    variables = dict(os.environ) | dict.fromkeys(("TMPDIR", "TEMP"), scratch)
    variables["DREAMZOOM_SERVER_PYTHON"] = str(environments.need("server"))
    variables.setdefault("OMP_NUM_THREADS", "1")
    return variables


def _count(report: Path, code: int, outcome: Outcome) -> None:
    """Read pytest's report into the outcome; a process that died counts as a failure."""
    try:
        suites = list(ElementTree.parse(report).getroot().iter("testsuite"))
    except (OSError, ElementTree.ParseError):
        suites = []
    counts = {
        name: sum(int(suite.get(name, 0)) for suite in suites) for name in ("tests", "errors", "failures", "skipped")
    }
    outcome.failed = counts["errors"] + counts["failures"]
    outcome.skipped = counts["skipped"]
    outcome.passed = counts["tests"] - outcome.failed - outcome.skipped
    for case in (case for suite in suites for case in suite.iter("testcase")):
        place = case.get("classname", "").split(".Test")[0]
        outcome.durations[place] = outcome.durations.get(place, 0.0) + float(case.get("time", 0))
        outcome.failures += [
            f"{place}::{case.get('name')}: {' '.join((wrong.get('message') or '').split())[:WORDS]}"
            for wrong in (*case.iter("failure"), *case.iter("error"))
        ]
        skip = case.find("skipped")
        if skip is not None:
            outcome.notes.append(f"skipped {case.get('name')}: {skip.get('message')}")
    nothing_chosen = code == 5
    if code and not outcome.failed and not nothing_chosen:
        outcome.failed = 1
        outcome.notes.append(f"pytest ended with code {code}")


def _summary(outcomes: list, seconds: float) -> int:
    """Print the table and the totals; returns the exit code."""
    print("\nsuite        passed  failed  skipped  seconds")
    for o in outcomes:
        print(f"{o.name:<12} {o.passed:>6}  {o.failed:>6}  {o.skipped:>7}  {o.seconds:>7.1f}")
    print("\nfiles of tests that took longest:")
    found = ((took, o.name, place) for o in outcomes for place, took in o.durations.items())
    for took, name, place in sorted(found, reverse=True)[:SLOWEST]:
        print(f"{took:8.1f} s  {name:<10} {place}")
    for outcome in outcomes:
        for note in outcome.notes:
            print(f"{outcome.name}: {note}")
    for outcome in outcomes:  # at the very end, where it is seen
        for failure in outcome.failures:
            print(f"{outcome.name}: FAILED {failure}")
    passed, failed, skipped = (sum(getattr(o, name) for o in outcomes) for name in ("passed", "failed", "skipped"))
    print(f"{passed} passed, {failed} failed, {skipped} skipped in {seconds:.0f} s")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
