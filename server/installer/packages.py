"""Which packages an environment needs, their sizes, and their download and installation by pip, followed as they go."""

from __future__ import annotations

import concurrent.futures
import contextlib
import hashlib
import json
import os
import re
import ssl
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from core import installation
from installer import disk, processes, torch_builds
from installer.progress import Progress

Say = Callable[[str], None]

SIZE_SECONDS = 6
"""How long the server of a package may take to tell its size; without it, the total is of the others."""

PLAN_RETRIES = 2
"""How often pip asks again before it says that there is no network; at least once, or it does not say why."""

DOWNLOAD_RATE, INSTALL_RATE = 6_000_000, 8_000_000
"""Bytes of packages each second that a usual line brings, and that pip unpacks; they only divide the bar."""

WORK = {
    "torch": 88.0, "transformers": 76.0, "diffusers": 38.0, "mpmath": 29.0, "scipy": 28.0, "numba": 20.0, "sympy": 18.0,
    "numpy": 11.0, "networkx": 6.0, "llvmlite": 5.0,
}  # fmt: skip
"""How long pip takes to unpack and compile a package, against the others; measured on one machine."""

MB = 1_000_000


@dataclass(frozen=True)
class Package:
    """A package that pip will install.

    Attributes:
        name: Its name, in lower case with dashes.
        url: Where its file is.
        size: Bytes of its file, 0 where that is not known.
        sha256: The file's digest, empty where that is not known.
    """

    name: str
    url: str
    size: int = 0
    sha256: str = ""

    @property
    def file(self) -> str:
        """The file's name."""
        return urllib.parse.unquote(urllib.parse.urlsplit(self.url).path.rpartition("/")[2])

    @property
    def is_local(self) -> bool:
        """Whether the file is on this machine already."""
        return self.url.startswith("file:")


class Installation:
    """The packages of one environment.

    Args:
        python: The environment's Python.
        constraints: The constraints file for pip itself and for PyTorch.
        progress: Told where the installation stands.
        say: Called with each line that a person should read.
    """

    def __init__(self, python: Path, constraints: Path, progress: Progress, say: Say):
        self.pip = [python, "-m", "pip", "install", "--no-input", "--disable-pip-version-check"]
        self.python, self.constraints, self.progress, self.say = python, constraints, progress, say

    def install(self, requirements: Sequence[Path], device: str | None, tools: Path) -> None:
        """Install requirement files.

        Args:
            requirements: The files.
            device: What PyTorch is to be built for, None where it does not matter.
            tools: Folder for uv, should it be needed.

        Raises:
            InstallError: As the failure's cause says.
        """
        files = [item for file in requirements for item in ("-r", str(file))]
        wanted = self._plan(files)
        backend = torch_builds.requirement([package.name for package in wanted], device) if device else None
        builds: list[Package] = []
        if backend and device and any(package.name == "torch" for package in wanted):
            found = torch_builds.packages(self.python, backend, device, self.constraints, tools, self.say)
            builds = [Package(**{**entry, "name": normal(entry["name"])}) for entry in found or []]
        if builds:
            theirs = {package.name for package in builds}
            rest = [one for one in wanted if one.name not in theirs and not installation.of_torch(one.name)]
            wanted = builds + rest
        wanted = self._sized(wanted)
        total = sum(package.size for package in wanted)
        disk.need_free(self.python.parent, total * disk.UNPACKED)
        fetched = sum(package.size for package in wanted if not package.is_local)
        self.progress.expect(fetched / DOWNLOAD_RATE, total / INSTALL_RATE)
        follower = _Follower(wanted, self.python, self.progress)
        locks = [item for file in requirements if (lock := installation.lock_of(file)) for item in ("-r", str(lock))]
        if locks:
            torch = builds or [package for package in wanted if installation.of_torch(package.name)]
            self._run_pip(["--no-deps", "--require-hashes", *map(_with_hash, torch), *locks], follower)
            files = [item for file in requirements if not installation.lock_of(file) for item in ("-r", str(file))]
        elif builds:
            self._run_pip(["--no-deps", *map(_with_hash, builds)], follower)
        if files:
            self._run_pip(files, follower)

    def _plan(self, files: list[str]) -> list[Package]:
        """What pip would install now; what is installed already is not in it."""
        with tempfile.TemporaryDirectory() as scratch:
            report = Path(scratch, "report.json")
            command = [*self.pip, "--dry-run", "--progress-bar", "off", "--retries", PLAN_RETRIES]
            command += ["--report", report, *files]
            seen = 0

            def follow(line: str | None) -> None:
                nonlocal seen
                if line and line.startswith("Collecting"):
                    seen += 1
                    self.progress.at("plan", seen / (seen + 20), line.split()[1])

            self.progress.at("plan", 0.0)
            processes.run(command, "the packages could not be found", follow)
            items = json.loads(report.read_text(encoding="utf-8"))["install"]
        return [_package(item) for item in items]

    def _sized(self, wanted: list[Package]) -> list[Package]:
        """The packages with the sizes of their files, as their servers tell them."""
        self.progress.at("plan", 1.0)
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            sizes = list(pool.map(lambda one: one.size or size_of(one.url), wanted))
        return [Package(one.name, one.url, size, one.sha256) for one, size in zip(wanted, sizes)]

    def _run_pip(self, arguments: list[str], follower: _Follower) -> None:
        bar = "raw" if _tells_raw(self.python) else "off"
        processes.run(
            [*self.pip, "--progress-bar", bar, *arguments], "the packages could not be installed", follower.follow
        )


class Pace:
    """How far pip is in unpacking packages, of which it tells nothing between the first and the last.

    Args:
        weights: How long each package takes, in any unit.
    """

    def __init__(self, weights: dict[str, float]):
        self.weights = weights
        self._there: set[str] = set()
        self._began = self._last = 0.0

    def share(self, there: set[str], now: float) -> float:
        """The part that is done, 0 to 1: packages that are there, and of the next one what it has had time for.

        Args:
            there: Names of the packages that are unpacked.
            now: In seconds.
        """
        self._began = self._began or now
        if there != self._there:
            self._there, self._last = set(there), now
        done = sum(self.weights[name] for name in there)
        rest = max((weight for name, weight in self.weights.items() if name not in there), default=0.0)
        pace = (self._last - self._began) / done if done > 0 else 0.0
        begun = min((now - self._last) / pace, 0.9 * rest) if pace > 0 else 0.0
        return (done + begun) / max(sum(self.weights.values()), 1e-9)


class _Follower:
    """Reads from pip's lines how far it is, and from the environment which packages are there."""

    def __init__(self, wanted: list[Package], python: Path, progress: Progress):
        self.progress = progress
        self.by_file = {package.file: package for package in wanted}
        self.total = sum(package.size for package in wanted if not package.is_local)
        self.pace = Pace({package.name: WORK.get(package.name, 1.0) for package in wanted})
        self.site = _site_packages(python)
        self.ready: set[str] = set()
        self.at_work: Package | None = None
        self.current = 0
        self.is_installing = False

    def follow(self, line: str | None) -> None:
        """Take a line of pip's, or None when it has printed none for a while."""
        if line is None:
            self._look()
            return
        progress = re.match(r"Progress (\d+) of (\d+)", line)
        fetched = re.match(r"\s*(Downloading|Using cached|Obtaining dependency information) (\S+)", line)
        if progress:
            self.current = int(progress[1])
        elif fetched and fetched[2].rpartition("/")[2] in self.by_file:
            self._finish()
            self.at_work = self.by_file[fetched[2].rpartition("/")[2]]
            if fetched[1] == "Using cached":
                self._finish()
        elif line.startswith(("Installing collected packages", "Successfully installed")):
            self._finish()
            self.is_installing = True
        self._tell()

    def _finish(self) -> None:
        if self.at_work is not None:
            self.ready.add(self.at_work.file)
        self.at_work, self.current = None, 0

    def _look(self) -> None:
        if self.is_installing:
            self._tell()

    def _tell(self) -> None:
        if self.is_installing:
            there = _installed(self.site) & self.pace.weights.keys()
            share = self.pace.share(there, time.monotonic())
            self.progress.at("install", share, f"{len(there)}/{len(self.pace.weights)}", self.total, self.total)
            return
        done = sum(self.by_file[name].size for name in self.ready if not self.by_file[name].is_local)
        if self.at_work is not None and not self.at_work.is_local:
            done += self.current
        done = min(done, self.total) if self.total else done
        text = self.at_work.name if self.at_work else ""
        self.progress.at("download", done / self.total if self.total else 0.0, text, done, self.total)


def size_of(url: str) -> int:
    """Bytes of a file, as its server tells; 0 where it does not."""
    if url.startswith("file:"):
        with contextlib.suppress(OSError):
            return Path(urllib.request.url2pathname(urllib.parse.urlsplit(url).path)).stat().st_size
        return 0
    if not url.startswith(("http:", "https:")):
        return 0
    try:
        request = urllib.request.Request(url.partition("#")[0], method="HEAD")
        with urllib.request.urlopen(request, timeout=SIZE_SECONDS, context=_certificates()) as answer:
            return int(answer.headers.get("Content-Length") or 0)
    except (OSError, ValueError, urllib.error.URLError):
        return 0


def _with_hash(package: Package) -> str:
    """A package as pip takes it, by the place of its file and the file's hash."""
    digest = package.sha256
    if not digest and package.is_local:
        path = Path(urllib.request.url2pathname(urllib.parse.urlsplit(package.url).path))
        with path.open("rb") as file:
            digest = _sha256(file)
    return f"{package.name} @ {package.url}" + (f"#sha256={digest}" if digest else "")


def _sha256(file: BinaryIO) -> str:
    found = hashlib.sha256()
    while data := file.read(1 << 20):
        found.update(data)
    return found.hexdigest()


def normal(name: str) -> str:
    """A package's name as indexes compare it: in lower case, with dashes."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _package(item: dict) -> Package:
    """A package of pip's report."""
    download = item.get("download_info", {})
    hashes = download.get("archive_info", {}).get("hashes", {})
    return Package(normal(item["metadata"]["name"]), download.get("url", ""), 0, hashes.get("sha256", ""))


def _certificates() -> ssl.SSLContext | None:
    """The certificates that pip was told to accept, the system's by default."""
    file = os.environ.get("PIP_CERT") or os.environ.get("REQUESTS_CA_BUNDLE")
    return ssl.create_default_context(cafile=file) if file and Path(file).is_file() else None


def _tells_raw(python: Path) -> bool:
    """Whether the environment's pip tells its progress in numbers, which it does from 24.1 on."""
    told = processes.output([python, "-m", "pip", "--version"]) or ""
    found = re.match(r"pip (\d+)\.(\d+)", told)
    return found is not None and (int(found[1]), int(found[2])) >= (24, 1)


def _site_packages(python: Path) -> Path:
    """Where the environment's packages are."""
    folder = python.parent.parent
    windows = folder / "Lib" / "site-packages"
    found = [windows] if os.name == "nt" else list(folder.glob("lib/python*/site-packages"))
    return found[0] if found else windows


def _installed(site: Path) -> set[str]:
    """The names of the packages that are in the environment."""
    return {normal(path.name.partition("-")[0]) for path in site.glob("*.dist-info") if (path / "RECORD").exists()}
