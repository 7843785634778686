"""The button that tries where steps run, with the real server."""

import socket
import time

import bpy
import pytest

from addon.backend import machine_report, main_loop, preferences
from addon.backend.connection import connection


@pytest.fixture
def tried(dreamzoom, server_python, monkeypatch):
    """Presses the button for an executor, and waits for the answer."""
    monkeypatch.setenv("DREAMZOOM_SERVER_PYTHON", server_python)

    def press(executor, storage=""):
        monkeypatch.setitem(preferences.DEFAULTS, "executor", executor)
        monkeypatch.setitem(preferences.DEFAULTS, "storage", storage)
        assert bpy.ops.dreamzoom.try_steps() == {"FINISHED"}
        assert not bpy.ops.dreamzoom.try_steps.poll()
        until = time.monotonic() + 180
        while machine_report.steps.is_running:
            assert time.monotonic() < until
            main_loop.pump()
            connection.wait(0.05)
        return machine_report.steps

    yield press
    machine_report.forget()


def test_what_works_is_said_and_what_does_not_says_why(tried):
    found = tried("local:2")
    assert found.error is None
    assert found.text == f"Works: 2 steps at once, the first on {socket.gethostname()}"
    found = tried("cloud")
    assert not found.text
    assert "must be local, local:N, ray or ray://HOST:PORT" in str(found.error)
    assert "local:N or ray" in str(tried("local", "file:///tmp").error)
    bpy.ops.dreamzoom.forget_test()
    assert machine_report.steps.error is None
