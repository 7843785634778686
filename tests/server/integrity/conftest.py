"""A finished job, and a cache of the tests' own."""

import os
import shutil

import pytest
from whole_job import make


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory):
    """A user's cache of this module's own; compiled kernels stay where they are."""
    before = {name: os.environ.get(name) for name in ("XDG_CACHE_HOME", "LOCALAPPDATA", "HOME")}
    folder = tmp_path_factory.mktemp("cache")
    os.environ |= dict.fromkeys(before, str(folder))
    yield folder
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    make(folder, folder / "job")
    return folder / "job"


@pytest.fixture
def job(whole, tmp_path):
    """A copy of it, with the times of its files."""
    shutil.copytree(whole, tmp_path / "job")
    return tmp_path / "job"
