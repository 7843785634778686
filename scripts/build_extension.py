"""Build the extension's zip: the add-on at its root, the server's code in the folder `server`.

    python scripts/build_extension.py [FILE.zip]
    python scripts/build_extension.py --repository FOLDER

The second writes a repository of extensions for any web server (or file share): the zip, index.json, and index.html,
from which the extension is dragged into Blender. Blender then finds updates in it. Needs no Blender; the same tree
gives the same bytes.
"""

from __future__ import annotations

import argparse
import sys
import zipfile
from pathlib import Path

if sys.version_info < (3, 9):  # noqa: UP036 (the user chooses the Python that runs this)
    sys.exit("Dreamzoom's scripts need Python 3.9 or later; this is %d.%d" % sys.version_info[:2])  # noqa: UP031

import extension_repository

ROOT = Path(__file__).resolve().parent.parent
LEFT_OUT = (".pyc", ".pyi", ".nbi", ".nbc")
EPOCH = (1980, 1, 1, 0, 0, 0)


def version() -> str:
    """The extension's version, as its manifest states it."""
    return str(manifest()["version"])


def manifest() -> dict:
    """The extension's manifest."""
    return extension_repository.parse((ROOT / "blender_manifest.toml").read_text(encoding="utf-8"))


def build(target: Path | None = None) -> Path:
    """Build the zip and return its path.

    Args:
        target: The file to write; `out/dreamzoom-<version>.zip` if None.
    """
    target = (target or ROOT / "out" / f"dreamzoom-{version()}.zip").absolute()
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(".part")
    with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, file in sorted(contents().items()):
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            packed.writestr(entry, file.read_bytes())
    part.replace(target)
    return target


def contents() -> dict:
    """The zip's files by their names in it."""
    found = {name: ROOT / name for name in ("blender_manifest.toml", "LICENSE")}
    for folder, prefix in ((ROOT / "addon", ""), (ROOT / "server", "server/")):
        for file in folder.rglob("*"):
            parts = file.relative_to(folder).parts
            hidden = any(part.startswith(".") or part == "__pycache__" for part in parts)
            if file.is_file() and not hidden and file.suffix not in LEFT_OUT:
                found[prefix + "/".join(parts)] = file
    return found


def main() -> None:
    """Build the zip, or a repository with it, and print where it is."""
    parser = argparse.ArgumentParser(description="Build the extension's zip, or a repository with it.")
    parser.add_argument("file", type=Path, nargs="?", help="the zip to write; by default in the folder out")
    parser.add_argument("--repository", type=Path, metavar="FOLDER", help="write a repository of extensions instead")
    options = parser.parse_args()
    if options.repository is None:
        print(build(options.file))
        return
    if options.file is not None:
        parser.error("name a file or a repository, not both")
    archive = build(options.repository / f"dreamzoom-{version()}.zip")
    print(extension_repository.write(options.repository, manifest(), archive))


if __name__ == "__main__":
    main()
