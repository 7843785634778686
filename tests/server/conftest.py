"""What tests of the doors share: a small good request, the bad ones, and a server process."""

import pytest
from server_process import ServerProcess

from dreamzoom.request.example import example

POSE = [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]]


def _changed(path, value):
    """A good request with the value at a path replaced (or removed, where it is `...`)."""
    request = example(levels=3, size=(64, 48))
    holder = request
    for key in path[:-1]:
        holder = holder[key]
    if value is ...:
        del holder[path[-1]]
    else:
        holder[path[-1]] = value
    return request


BAD = {
    "no levels": (_changed(["levels"], ...), "levels"),
    "no prompt": (_changed(["levels", 2, "prompt"], ...), "levels[2].prompt"),
    "no focal length": (_changed(["cameras", 1, "fy"], ...), "cameras[1].fy"),
    "NaN": (_changed(["cameras", 3, "zoom"], float("nan")), "cameras[3].zoom"),
    "infinity": (_changed(["zoom_factor"], float("inf")), "zoom_factor"),
    "NaN in a matrix": (
        _changed(["cameras", 0, "camera_to_gauge", 1, 2], float("nan")),
        "cameras[0].camera_to_gauge[1][2]",
    ),
    "0 levels": (_changed(["levels"], []), "levels"),
    "65 levels": (_changed(["levels"], [{"prompt": "x"}] * 65), "levels"),
    "0 cameras": (_changed(["cameras"], []), "cameras"),
    "matrix of 3 rows": (_changed(["cameras", 0, "camera_to_gauge"], POSE[:3]), "cameras[0].camera_to_gauge"),
    "row of 3": (_changed(["cameras", 0, "camera_to_gauge", 2], [0.0, 0.0, 1.0]), "cameras[0].camera_to_gauge[2]"),
    "mirrored": (_changed(["cameras", 0, "camera_to_gauge", 0], [-1.0, 0.0, 0.0, 0.0]), "cameras[0].camera_to_gauge"),
    "projective": (_changed(["cameras", 0, "camera_to_gauge", 3], [0.0, 0, 0, 2]), "cameras[0].camera_to_gauge[3]"),
    "negative focal length": (_changed(["cameras", 1, "fx"], -50.0), "cameras[1].fx"),
    "frame twice": (_changed(["cameras", 1, "frame"], 1), "cameras[1].frame"),
    "zoom out of reach": (_changed(["cameras", 1, "zoom"], 3.5), "cameras[1].zoom"),
    "unknown engine": (_changed(["engine", "name"], "oracle"), "engine.name"),
    "engine option unknown": (_changed(["engine", "magic"], 1), "engine.magic"),
    "prompt of 100 kB": (_changed(["levels", 1, "prompt"], "x" * 100_000), "levels[1].prompt"),
    "half a surrogate": (_changed(["levels", 1, "prompt"], "\ud83d"), "levels[1].prompt"),
    "wrong type": (_changed(["seed"], "seven"), "seed"),
    "true as a number": (_changed(["width"], True), "width"),
    "unknown field": (_changed(["colour"], "red"), "colour"),
    "unknown field below": (_changed(["levels", 0, "weight\n\x1b[31m"], 1), "levels[0].weight"),
    "unknown quality": (_changed(["quality"], "best"), "quality"),
    "other version": (_changed(["version"], 2), "version"),
    "huge picture": (_changed(["width"], 1_000_000), "width"),
    "not an object": ([1, 2], "request"),
}


@pytest.fixture(params=BAD.values(), ids=BAD.keys())
def bad_request(request):
    """(a request that must be refused, the field that must be named)."""
    return request.param


@pytest.fixture
def small_request():
    """A job of one level that takes a few seconds."""
    return example(levels=1, size=(48, 32)) | {"quality": "draft"}


@pytest.fixture
def started(tmp_path):
    """Starts a server with environment variables of the test's own."""
    running = []

    def start(variables):
        running.append(ServerProcess(tmp_path, variables))
        return running[-1]

    yield start
    for server in running:
        server.process.kill()
        server.process.wait()


@pytest.fixture
def server(tmp_path):
    """A running server."""
    running = ServerProcess(tmp_path)
    yield running
    running.process.kill()
    running.process.wait()


@pytest.fixture(scope="module")
def lasting_server(tmp_path_factory):
    """A running server for all tests of a module."""
    running = ServerProcess(tmp_path_factory.mktemp("cwd"))
    yield running
    running.process.kill()
    running.process.wait()
