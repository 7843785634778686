"""The add-on in a real Blender window, as an artist goes through it; a screenshot of each state is saved.

Blender is named by the variable DREAMZOOM_BLENDER, or found on PATH; on Linux without a desktop a virtual screen (Xvfb)
is used. DREAMZOOM_SCREENSHOTS names the folder for the screenshots, which is a temporary one by default.
"""

import os
import shutil
import struct
import sys
import zipfile
import zlib
from pathlib import Path

import bpy
import package_index
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

import environments  # noqa: E402
from window import launch  # noqa: E402

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bpy.app.version[:2] != (5, 2), reason="once is enough: with the suite of Blender 5.2"),
]

INSTALL = [
    "install_1_not_set_up",
    "install_2_preferences",
    "install_3_no_network",
    "install_4_downloading",
    "install_5_stopped",
    "install_6_ready",
    "install_7_wrong_python",
    "install_8_wrong_python_preferences",
]
STATES = ["not_set_up", None, "broken", "installing", "broken", "ready", "wrong_python", None]


@pytest.fixture(scope="module")
def blender():
    """Blender's program; skipped where there is none, or no screen."""
    try:
        program = launch.blender()
    except launch.NoWindow as missing:
        pytest.skip(str(missing))
    has_screen = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") or shutil.which("Xvfb")
    if sys.platform.startswith("linux") and not has_screen:
        pytest.skip("no screen: start this on a desktop, or install Xvfb")
    return program


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    named = os.environ.get("DREAMZOOM_SCREENSHOTS")
    return Path(named) if named else tmp_path_factory.mktemp("screenshots")


@pytest.fixture(scope="module")
def install_tour(blender, folder, zip_file, tmp_path_factory):
    """The steps of an installation from an index of the test's own, in Chinese: its texts are the widest."""
    python = environments.need("server")
    site = next(
        (python.parent.parent / "lib").glob("python*/site-packages"), python.parent.parent / "Lib/site-packages"
    )
    wheels = [*package_index.pinned(ROOT / "server", 900_000), package_index.wheel_of_installed("pip", site)]
    index, closed = package_index.Index(*wheels), package_index.Index()
    index.seconds_per_chunk = 0.05
    closed.close()
    cache = tmp_path_factory.mktemp("cache")
    plan = {
        "zip": str(without_hashes(zip_file, cache / "dreamzoom.zip")),
        "out": str(folder / "install"),
        "parts": ["install"],
        "language": "zh_HANS",
        "base": str(python.resolve()),
        "index": {"reachable": index.variables(cache), "unreachable": closed.variables(cache)},
        "patience": 300,
    }
    yield launch.run(blender, plan, 900)
    index.close()


@pytest.fixture(scope="module")
def flight_tour(blender, folder, zip_file):
    """The steps of a first flight, from prompts to a rendered frame, and of the tools that change it."""
    plan = {
        "zip": str(zip_file),
        "out": str(folder / "flight"),
        "parts": ["flight", "tools"],
        "server": str(environments.need("server")),
        "patience": 600,
    }
    return launch.run(blender, plan, 1500)


@pytest.fixture(scope="module")
def stranger_tour(blender, folder, zip_file):
    """What a new user presses: Example Flight, Generate after another prompt, Set Up Render, Render Animation."""
    plan = {
        "zip": str(zip_file),
        "out": str(folder / "stranger"),
        "parts": ["stranger"],
        "server": str(environments.need("server")),
        "patience": 900,
        "frames": 3,
        "samples": 2,
        "percent": 10,
    }
    return launch.run(blender, plan, 2400, {"HOME": str(folder)})


def without_hashes(zip_file, target):
    """A copy of the zip that takes the stand-ins of the test's index: it asks for versions, and not for hashes."""
    with zipfile.ZipFile(zip_file) as whole, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as copy:
        for item in whole.infolist():
            if not item.filename.endswith(".lock.txt"):
                copy.writestr(item, whole.read(item))
    return target


def steps_of(tour):
    assert not tour["error"], tour["error"]
    return {step["name"]: step for step in tour["steps"]}


def size_and_variety(file):
    """Width and height of a PNG, and how many bytes its pixels need when they are packed."""
    data = file.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">2I", data[16:24]), len(zlib.compress(data, 1))


class TestInstall:
    def test_every_state_is_reached_in_turn(self, install_tour):
        steps = steps_of(install_tour)
        assert [steps[name].get("state") for name in INSTALL] == STATES
        assert steps["install_3_no_network"]["cause"] == "no_network"

    @pytest.mark.parametrize("name", INSTALL)
    def test_its_screenshot_shows_something(self, install_tour, folder, name):
        size, packed = size_and_variety(folder / "install" / f"{name}.png")
        assert size == launch.SIZE and packed > 50_000


class TestFlight:
    def test_ends_with_a_rendered_frame(self, flight_tour, folder):
        steps = steps_of(flight_tour)
        assert steps["rendered"]["size"] > 5_000
        assert steps["flight_3_imported"]["status"] == steps["flight_7_imported_again"]["status"] == "done"

    def test_the_test_button_says_what_was_found(self, flight_tour):
        found = dict(steps_of(flight_tour)["flight_0_test"]["found"])
        assert {"Device", "Processor", "Memory", "Engine", "Model"} <= found.keys()

    def test_undo_while_levels_arrive_takes_them_and_the_end_brings_all(self, flight_tour):
        undone = steps_of(flight_tour)["undone while levels arrive"]
        assert undone["before"] >= 4 and undone["after"] == 0
        assert steps_of(flight_tour)["flight_3_imported"]["status"] == "done"

    def test_each_tool_does_what_it_says_and_can_be_undone(self, flight_tour):
        steps = steps_of(flight_tour)
        assert steps["tools_1_guide"]["shown"]
        chosen = steps["tools_3_zoomed_here"]
        assert chosen["focus"] != chosen["before"] == steps["undone Zoom Here"]["focus"]
        assert "leave what was dreamed" in steps["tools_4_outside"]["told"]
        assert steps["tools_6_dreamed_what_is_missing"]["status"] == "done"
        assert steps["tools_7_branch"]["rig"] != steps["undone Branch Here"]["rig"]
        assert steps["tools_9_earlier_version"]["locked"] and not steps["undone Use Version"]["locked"]

    def test_every_screenshot_shows_something(self, flight_tour, folder):
        for name in steps_of(flight_tour):
            if name.startswith(("flight_", "tools_")):
                size, packed = size_and_variety(folder / "flight" / f"{name}.png")
                assert size == launch.SIZE and packed > 50_000, name


class TestStranger:
    def test_ends_with_a_film(self, stranger_tour):
        steps = steps_of(stranger_tour)
        for name in ("stranger_5_flight", "stranger_9_imported_again"):
            assert steps[name]["status"] == "done"
        assert steps["film"]["size"] > 2_000

    def test_every_screenshot_shows_something(self, stranger_tour, folder):
        for name in steps_of(stranger_tour):
            if name.startswith("stranger_"):
                size, packed = size_and_variety(folder / "stranger" / f"{name}.png")
                assert size == launch.SIZE and packed > 50_000, name
