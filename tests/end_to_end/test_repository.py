"""The zip and the repository that are built without Blender are those that Blender itself would build."""

import json
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import bpy
import pytest

TOOL = Path(bpy.utils.resource_path("LOCAL")) / "scripts/addons_core/bl_pkg/cli/blender_ext.py"


def tool(*arguments):
    """Run Blender's own program for extensions."""
    command = [sys.executable, str(TOOL), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def repository(zip_file, tmp_path_factory):
    """A repository with the zip, and its index."""
    import build_extension
    import extension_repository

    folder = tmp_path_factory.mktemp("repository")
    archive = folder / f"dreamzoom-{build_extension.version()}.zip"
    archive.write_bytes(zip_file.read_bytes())
    extension_repository.write(folder, build_extension.manifest(), archive)
    return folder


def test_blender_finds_the_zip_valid(zip_file):
    tool("validate", zip_file)


def test_the_index_is_that_of_blender(repository, tmp_path):
    ours = json.loads((repository / "index.json").read_text(encoding="utf-8"))
    for file in repository.glob("*.zip"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    tool("server-generate", "--repo-dir", tmp_path, "--html")
    theirs = json.loads((tmp_path / "index.json").read_text(encoding="utf-8"))
    assert ours["version"] == theirs["version"] and ours["blocklist"] == theirs["blocklist"]
    assert [{key: entry[key] for key in entry} for entry in theirs["data"]] == [
        {key: entry[key] for key in theirs["data"][0]} for entry in ours["data"]
    ]
    link = "?repository=.%2Findex.json&amp;blender_version_min=4.5.0"
    page = (repository / "index.html").read_text(encoding="utf-8")
    assert link in page
    assert link.replace("&amp;", "&") in (tmp_path / "index.html").read_text(encoding="utf-8").replace("&amp;", "&")


def test_blender_lists_the_extension_over_http(repository, tmp_path):
    handler = partial(SimpleHTTPRequestHandler, directory=str(repository))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        listed = tool(
            "list", "--remote-url", f"http://127.0.0.1:{server.server_port}/index.json", "--local-dir", tmp_path
        )
    finally:
        server.shutdown()
        server.server_close()
    assert "dreamzoom" in listed


@pytest.mark.parametrize("line", ["id = 3", 'id = "a', "wheels = [", "[a.b]", "x"])
def test_a_manifest_that_is_no_manifest_is_refused(zip_file, line):
    import extension_repository

    with pytest.raises(ValueError, match="no such line"):
        extension_repository.parse(f'schema_version = "1.0.0"\n{line}\n')
