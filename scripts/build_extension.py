"""Build the extension's zip: the add-on at its root, the server's code in the folder `server`.

    python scripts/build_extension.py [FILE.zip]

Blender's own `blender_ext.py` builds and validates it; the same tree gives the same bytes.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import environments

ROOT = environments.ROOT
LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.pyc", "*.pyi", "*.nbi", "*.nbc", ".*")
EPOCH = (1980, 1, 1, 0, 0, 0)


def version() -> str:
    """The extension's version, as its manifest states it."""
    manifest = (ROOT / "blender_manifest.toml").read_text(encoding="utf-8")
    found = re.search(r'^version = "([^"]+)"', manifest, re.MULTILINE)
    if found is None:
        sys.exit("dreamzoom: blender_manifest.toml contains no version")
    return found[1]


def build(target: Path | None = None) -> Path:
    """Build the zip and return its path.

    Args:
        target: The file to write; `out/dreamzoom-<version>.zip` if None.
    """
    target = (target or ROOT / "out" / f"dreamzoom-{version()}.zip").absolute()
    target.parent.mkdir(parents=True, exist_ok=True)
    python = environments.need("bpy45")
    with tempfile.TemporaryDirectory() as scratch:
        stage, raw, final = Path(scratch, "stage"), Path(scratch, "raw.zip"), Path(scratch, "final.zip")
        _stage(stage)
        _blender_ext(python, "build", "--source-dir", str(stage), "--output-filepath", str(raw))
        _rewrite(raw, final)
        _blender_ext(python, "validate", str(final))
        shutil.copyfile(final, target.with_suffix(".part"))
    target.with_suffix(".part").replace(target)
    return target


def _stage(stage: Path) -> None:
    """Copy the zip's contents to a folder."""
    shutil.copytree(ROOT / "addon", stage, ignore=LEFT_OUT)
    shutil.copytree(ROOT / "server", stage / "server", ignore=LEFT_OUT)
    for name in ("blender_manifest.toml", "LICENSE"):
        shutil.copyfile(ROOT / name, stage / name)


def _blender_ext(python: Path, *arguments: str) -> None:
    """Run Blender's extension tool from its wheel; its output is shown only if it fails."""
    library = python.parent.parent
    tool = next(library.glob("[Ll]ib/**/bpy/*/scripts/addons_core/bl_pkg/cli/blender_ext.py"))
    done = subprocess.run([str(python), str(tool), *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"dreamzoom: blender_ext.py {arguments[0]} failed\n{done.stdout}{done.stderr}")


def _rewrite(source: Path, target: Path) -> None:
    """Rewrite the zip sorted by name and without timestamps, so that its bytes depend only on the tree."""
    with zipfile.ZipFile(source) as before, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as after:
        for name in sorted(before.namelist()):
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            after.writestr(entry, before.read(name))


def main() -> None:
    """Build the zip; the first argument is the file to write."""
    if any(argument.startswith("-") for argument in sys.argv[1:]) or len(sys.argv) > 2:
        sys.exit(__doc__)
    print(build(Path(sys.argv[1]) if sys.argv[1:] else None))


if __name__ == "__main__":
    main()
