"""A repository of Blender extensions: index.json and a page from which they are dragged into Blender.

The form is that of `blender --command extension server-generate --html`
(https://docs.blender.org/manual/en/latest/advanced/extensions/creating_repository/).
"""

from __future__ import annotations

import hashlib
import html
import json
import re
import urllib.parse
from pathlib import Path

PAGE = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>Dreamzoom for Blender</title></head>
<body>
<h1>Dreamzoom {version}</h1>
<p>Drag <a href="{link}">this link</a> into Blender's window. Blender asks whether to add this repository: then it finds
updates there too.</p>
<p>Without dragging: <em>Edit › Preferences › Get Extensions › Repositories › + › Add Remote Repository</em>, with the
address of <a href="index.json">index.json</a>; then search for Dreamzoom.</p>
<p>Blender {minimum} or later. {size:.1f} MB, SHA-256 {digest}.</p>
</body>
</html>
"""


def parse(text: str) -> dict:
    """The values of a manifest: strings, lists of strings, and tables of strings, which is all that manifests hold.

    Raises:
        ValueError: A line that is none of these.
    """
    found: dict = {}
    table = found
    for line in text.splitlines():
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        head = re.fullmatch(r"\[(\w+)\]", line)
        pair = re.fullmatch(r"(\w+)\s*=\s*(\"[^\"]*\"|\[[^\]]*\])", line)
        if head:
            table = found.setdefault(head[1], {})
        elif pair:
            table[pair[1]] = json.loads(pair[2])
        else:
            raise ValueError(f"a manifest has no such line: {line}")
    return found


def write(folder: Path, manifest: dict, archive: Path) -> Path:
    """Write index.json and index.html for one extension beside its zip; returns the index.

    Args:
        folder: The repository.
        manifest: The extension's manifest.
        archive: Its zip, which lies in the folder.
    """
    data = archive.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    entry = {key: value for key, value in manifest.items() if key != "build"}
    entry |= {
        "archive_url": f"./{urllib.parse.quote(archive.name)}",
        "archive_size": len(data),
        "archive_hash": f"sha256:{digest}",
    }
    query = {"repository": "./index.json", "blender_version_min": manifest["blender_version_min"]}
    page = PAGE.format(
        version=html.escape(manifest["version"]),
        link=html.escape(f"{entry['archive_url']}?{urllib.parse.urlencode(query)}"),
        minimum=html.escape(manifest["blender_version_min"]),
        size=len(data) / 1e6,
        digest=digest,
    )
    index = {"version": "v1", "blocklist": [], "data": [entry]}
    _replace(folder / "index.html", page)
    _replace(folder / "index.json", json.dumps(index, indent=2) + "\n")
    return folder / "index.json"


def _replace(file: Path, text: str) -> None:
    part = file.with_name(file.name + ".part")
    part.write_text(text, encoding="utf-8")
    part.replace(file)
