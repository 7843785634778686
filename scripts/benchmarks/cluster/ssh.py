"""100 MB to and from a server behind a connection of 50 ms and 10 MB/s that sees none of this machine's folders."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import environments

from benchmarks.cluster import distant
from benchmarks.shared.table import Table

IDEAL = 10.0
"""Seconds that 100 MB take at 10 MB/s."""

FITS = 1.25
"""How much longer a transfer may take."""


def measure_ssh(table: Table, scratch: Path) -> None:
    """What `ssh_in_blender.py` finds."""
    if not distant.can_change_root():
        table.add("ssh", "skipped: no process can have a root of its own here", "", None)
        return
    script = Path(__file__).with_name("ssh_in_blender.py")
    words = [str(environments.need("bpy53")), str(script), str(scratch)]
    done = subprocess.run(words, env=dict(os.environ), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    found = json.loads(done.stdout.splitlines()[-1])
    table.add("ssh: files are the same on both sides", "yes" if found["same"] else "no", "yes", found["same"])
    most = FITS * IDEAL
    whole = {
        "down": ("that can't be packed, fetched", found["down"]["seconds"]),
        "splats": ("of splats, fetched", found["splats"]["seconds"]),
        "up": ("that can't be packed, sent", found["up"]),
    }
    for name, (told, seconds) in whole.items():
        figures = {f"ssh_{name}_seconds": seconds}
        table.add(f"  100 MB {told}, s", seconds, f"<= {most} (the line: {IDEAL})", seconds <= most, **figures)
    first = found["splats"]["first"]
    table.add("  the first of four levels of splats is here after, s", first, "", None, ssh_first_level_seconds=first)
    median, longest = found["pings"]
    table.add("  an answer meanwhile takes (median, longest), s", f"{median:.2f}, {longest:.2f}", "<= 2", longest <= 2)
    cut = found["cut"]
    met = cut["was_cut"] and cut["again"] <= 2_000_000
    table.add("  cut after 50 MB: MB sent again", cut["again"] / 1e6, "<= 2", met, ssh_sent_again=cut["again"])
    table.add("  reconnecting, s; the rest, s", f"{found['reconnect']:.1f}; {cut['seconds']:.1f}")
