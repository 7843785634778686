"""How the server is started on this machine: its Python, code, folders and environment variables."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import bpy

from .. import __package__ as base_package
from ..core import fading, installation
from ..core.errors import DreamzoomError
from . import preferences

PYTHON_VARIABLE = "DREAMZOOM_SERVER_PYTHON"


def code_folder() -> Path:
    """The server's code: the folder that `core` lies in, inside the extension or beside the add-on in a checkout."""
    return Path(str(fading.__file__)).resolve().parents[1]


def user_folder() -> Path:
    """The add-on's own folder for files that belong to this machine."""
    if str(base_package).startswith("bl_ext."):
        return Path(bpy.utils.extension_path_user(str(base_package), create=True))
    return Path(bpy.utils.user_resource("DATAFILES", path="dreamzoom", create=True))


def environment_folder() -> Path:
    """The folder into which the install operator puts the server's environment."""
    return (preferences.folder("environment_folder") or user_folder()) / "environment"


def chosen_python() -> Path | None:
    """The Python that the artist chose, by the variable DREAMZOOM_SERVER_PYTHON or the preferences."""
    chosen = os.environ.get(PYTHON_VARIABLE) or preferences.get("server_python")
    return Path(bpy.path.abspath(chosen)) if chosen else None


def server_python() -> Path | None:
    """The server's Python: the chosen one, or that of the installed environment if it is whole."""
    chosen = chosen_python()
    if chosen is not None:
        return chosen
    folder = environment_folder()
    return installation.environment_python(folder) if installation.read_stamp(folder) else None


def command() -> list[str]:
    """The server's command line.

    Raises:
        DreamzoomError: The server is not installed.
    """
    chosen = preferences.get("server_command")
    if chosen:
        return shlex.split(chosen, posix=os.name != "nt")
    python = server_python()
    if python is None:
        raise DreamzoomError(
            "Dreamzoom is not set up on this machine yet",
            "Install the server's packages, once",
            operator="dreamzoom.install_server",
        )
    return [str(python), "-m", "dreamzoom", "serve"]


def environment() -> dict[str, str]:
    """The server's environment variables: its code on PYTHONPATH, nothing of Blender's own Python."""
    variables = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    return (
        variables
        | network_variables()
        | {
            "PYTHONPATH": str(code_folder()),
            "PYTHONUTF8": "1",
            "PYTHONNOUSERSITE": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
    )


def network_variables() -> dict[str, str]:
    """Environment variables for the preferences' proxy and certificates, for pip, uv and the server."""
    certificates, proxy = preferences.path("certificates"), preferences.get("proxy").strip()
    variables = {}
    if certificates:
        names = ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
        variables |= dict.fromkeys(names, certificates)
    if proxy:
        variables |= dict.fromkeys(("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"), proxy)
    return variables


def log_file() -> Path:
    """The server's log; one per Blender, so that two do not share it."""
    return user_folder() / "logs" / f"server-{os.getpid()}.log"
