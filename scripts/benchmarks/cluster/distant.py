"""Stands in for `ssh host command`: a command with its own root of the file system, behind a slow connection.

    python distant.py [--root FOLDER [--see PATH ...]] [--latency S] [--rate BYTES] [--cut-down BYTES] [--cut-up BYTES]
        -- COMMAND ...

As with ssh, the command gets input and output and none of this process's environment, it lives in a session of its own,
and when the connection is cut, its input ends. With `--root` it sees that folder as the root of its file system, with
the system's own folders and those of `--see` in it: nothing of the user's folders here is there. That needs Linux and
the program `unshare`; `can_change_root` says whether it works here.
"""

from __future__ import annotations

import argparse
import collections
import ctypes
import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from functools import cache
from pathlib import Path

SYSTEM = ("bin", "sbin", "usr", "lib", "lib32", "lib64", "libx32", "etc", "opt", "nix", "dev", "proc", "sys", "run")
HOME = "/home/artist"
JOBS = Path(HOME[1:], ".local/share/dreamzoom/jobs")
"""Where a server there keeps jobs, below its root."""
CLONE = Path(__file__).resolve().parents[3]
PIECE = 16 << 10
MOST = 4 << 20
"""Bytes that may be on their way: a connection's own buffers."""

BIND, RECURSIVE = 0x1000, 0x4000


def can_change_root() -> bool:
    """Whether a process may have a root of its own here."""
    command = ["unshare", "--user", "--map-root-user", "--mount", "true"]
    try:
        return subprocess.run(command, capture_output=True, check=False, timeout=20).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def command_line(*options: object, command: list[str]) -> list[str]:
    """The argument list that runs a command behind a connection with these options."""
    return [sys.executable, str(Path(__file__).resolve()), *map(str, options), "--", *command]


@cache
def server(python: str) -> tuple[list[str], list[str]]:
    """The command that starts a clone's server with a Python, and what of this machine it has to see for that."""
    code = "import dreamzoom, os, sys; print(os.environ['NUMBA_CACHE_DIR'], sys.base_prefix, sys.prefix, sep='\\n')"
    variables = {**os.environ, "PYTHONPATH": str(CLONE / "server")}
    done = subprocess.run([python, "-c", code], env=variables, capture_output=True, text=True, check=True)
    kernels, base, prefix = done.stdout.splitlines()
    words = ["env", f"PYTHONPATH={CLONE / 'server'}", f"NUMBA_CACHE_DIR={kernels}", "OMP_NUM_THREADS=1"]
    seen = [str(CLONE / "server"), str(CLONE / "blender_manifest.toml"), prefix, base, kernels]
    return [*words, python, "-m", "dreamzoom", "serve"], seen


def server_command(python: str, root: Path, *options: object) -> list[str]:
    """The command, for the add-on, of a distant server with this Python and this root."""
    words, seen = server(python)
    return command_line("--root", root, "--see", *seen, *options, command=words)


def finish(job: Path, files: dict[str, bytes], step: str = "levels/000/export", at: float = 1.0) -> None:
    """Write files into a job's folder as a step that has just been finished there would: without its work."""
    from core.safety.seal import sealed

    outputs = {}
    for name, data in files.items():
        (job / name).parent.mkdir(parents=True, exist_ok=True)
        (job / name).write_bytes(data)
        changed = (job / name).stat().st_mtime_ns
        outputs[name] = {"bytes": len(data), "mtime_ns": changed, "sha256": hashlib.sha256(data).hexdigest()}
    digest = hashlib.sha256(f"{step} {at}".encode()).hexdigest()
    record = {"step": step, "stage": "export", "level": 0, "version": 1, "digest": digest, "outputs": outputs}
    (job / "stages").mkdir(exist_ok=True)
    path = job / "stages" / f"{digest}.json"
    path.write_text(json.dumps(sealed(record | {"seconds": 1.0, "finished": at})) + "\n", encoding="utf-8")


def enter(root: Path, seen: list[Path]) -> None:
    """Make a folder the root of this process, which has mounts of its own."""
    libc = ctypes.CDLL(None, use_errno=True)

    def bind(source: Path) -> None:
        target = root / source.relative_to("/")
        (target if source.is_dir() else target.parent).mkdir(parents=True, exist_ok=True)
        if not source.is_dir():
            target.touch()
        if libc.mount(os.fsencode(source), os.fsencode(target), None, BIND | RECURSIVE, None):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(source))

    for name in SYSTEM:
        path = Path("/", name)
        if path.is_symlink():
            if not (root / name).is_symlink():
                (root / name).symlink_to(path.readlink())
        elif path.is_dir():
            bind(path)
    memory = root / "dev/shm"  # this machine's files may lie in it
    if memory.is_dir() and libc.mount(b"tmpfs", os.fsencode(memory), b"tmpfs", 0, None):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(memory))
    for path in seen:
        bind(path.resolve())
        named = root / path.absolute().relative_to("/")
        if path.absolute() != path.resolve() and not named.exists():  # the name by which the command knows it
            named.parent.mkdir(parents=True, exist_ok=True)
            named.symlink_to(path.resolve())
    for name in ("tmp", HOME[1:]):
        (root / name).mkdir(parents=True, exist_ok=True)
    os.chroot(root)
    os.chdir(HOME)


class Line:
    """One direction of the connection: bytes arrive in order, delayed, at a limited rate.

    Args:
        source, target: Descriptors.
        latency: Seconds.
        rate: Bytes per second.
        cut: Bytes of which no more arrive before the connection is cut; 0 for never.
    """

    def __init__(self, source: int, target: int, latency: float, rate: float, cut: int):
        self._source, self._target, self._latency, self._rate, self._cut = source, target, latency, rate, cut
        self._pieces: collections.deque[tuple[float, bytes]] = collections.deque()
        self._bytes = 0
        self._changed = threading.Condition()
        for work in (self._take, self._deliver):
            threading.Thread(target=work, daemon=True).start()

    def _take(self) -> None:
        leaves, piece = 0.0, b"x"
        while piece:
            with self._changed:
                self._changed.wait_for(lambda: self._bytes < MOST)
            piece = os.read(self._source, PIECE)
            leaves = max(time.monotonic(), leaves) + len(piece) / self._rate
            with self._changed:
                self._pieces.append((leaves + self._latency, piece))
                self._bytes += len(piece)
                self._changed.notify_all()

    def _deliver(self) -> None:
        piece, count = b"x", 0
        while piece:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._pieces))
                arrives, piece = self._pieces.popleft()
                self._bytes -= len(piece)
                self._changed.notify_all()
            time.sleep(max(arrives - time.monotonic(), 0.0))
            count += len(piece)
            if self._cut and count > self._cut:
                os.write(2, b"client_loop: send disconnect: Broken pipe\n")
                os._exit(255)
            view = memoryview(piece)
            while view:
                try:
                    view = view[os.write(self._target, view) :]
                except OSError:
                    return
        os.close(self._target)


def main() -> int:
    """Run the command behind the connection; its exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--root", type=Path)
    parser.add_argument("--see", type=Path, nargs="+", default=[])
    parser.add_argument("--latency", type=float, default=0.05)
    parser.add_argument("--rate", type=float, default=10e6)
    parser.add_argument("--cut-down", type=int, default=0)
    parser.add_argument("--cut-up", type=int, default=0)
    parser.add_argument("--enter", action="store_true", help=argparse.SUPPRESS)
    options, command = parser.parse_known_args()
    command = command[1:] if command[:1] == ["--"] else command
    if options.enter:
        enter(options.root, options.see)
        os.execvp(command[0], command)
    variables = {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8", "HOME": str(Path.home())}
    if options.root is not None:
        variables |= {"HOME": HOME}
        inner = [sys.executable, __file__, "--enter", "--root", str(options.root)]
        inner += ["--see", *map(str, options.see)] if options.see else []
        command = ["unshare", "--user", "--map-root-user", "--mount", "--", *inner, "--", *command]
    child = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=variables, start_new_session=True, bufsize=0
    )
    assert child.stdin is not None and child.stdout is not None
    Line(0, os.dup(child.stdin.fileno()), options.latency, options.rate, options.cut_up)
    Line(child.stdout.fileno(), 1, options.latency, options.rate, options.cut_down)
    child.stdin.close()
    code = child.wait()
    time.sleep(2 * options.latency + 0.1)  # what it said last is still on its way
    return code


if __name__ == "__main__":
    sys.exit(main())
