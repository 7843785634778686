"""What to do about a failed installation, by its cause: a line, and the button that does it."""

from __future__ import annotations

from dataclasses import dataclass

import bpy

from ..core import installation
from ..core.installation import Failure

GO_ON = "Then press Go On: what was downloaded is kept"


@dataclass(frozen=True)
class Remedy:
    """What to do about a failure.

    Attributes:
        title: The cause in a few words.
        text: What to do, empty where the button says it.
        button: Label of the button that does it; empty where only going on helps.
        operator: The button's operator.
    """

    title: str
    text: str = ""
    button: str = ""
    operator: str = ""


_REMEDIES = {
    installation.NO_PYTHON: Remedy(
        "No Python 3.11 was found", "Install Python 3.11, or choose one", "Choose a Python", "dreamzoom.choose_python"
    ),
    installation.NO_ENSUREPIP: Remedy(
        "Python can't make environments",
        "Type this command into a terminal, or choose another Python",
        "Copy the Command",
        "dreamzoom.copy_command",
    ),
    installation.NO_NETWORK: Remedy("No network", "Check the network. " + GO_ON),
    installation.TLS: Remedy(
        "A certificate is not accepted",
        "Check this machine's clock. Behind a proxy that inspects encrypted traffic, choose the file with its "
        "certificate",
        "Choose a Certificate File",
        "dreamzoom.choose_certificates",
    ),
    installation.PROXY: Remedy(
        "The proxy does not answer",
        "Enter the right proxy in the preferences, as http://name:port",
        "Open Preferences",
        "dreamzoom.open_preferences",
    ),
    installation.DISK_FULL: Remedy(
        "The disk is full", GO_ON, "Choose Another Folder", "dreamzoom.choose_environment_folder"
    ),
    installation.NOT_WRITABLE: Remedy(
        "The folder can't be written to", "", "Choose Another Folder", "dreamzoom.choose_environment_folder"
    ),
    installation.DAMAGED: Remedy("A download was damaged", "Press Go On: it is downloaded again"),
    installation.NO_BUILD: Remedy(
        "There is no PyTorch for this graphics card",
        "Choose No Graphics Card under What Have You Got",
        "Open Preferences",
        "dreamzoom.open_preferences",
    ),
    installation.PACKAGE: Remedy("A package could not be installed", "The log says more. Go On tries again"),
    installation.BROKEN: Remedy("The server does not start", "Go On makes its environment anew"),
    installation.INTERRUPTED: Remedy("The installation was ended early", "Go On keeps what was downloaded"),
}

OFFLINE = Remedy(
    "Online access is off",
    "Blender may not use the network. The packages come from it",
    "Allow Online Access",
    "dreamzoom.allow_online_access",
)


def of(failure: Failure) -> Remedy:
    """The remedy for a failure, on this Blender."""
    if failure.cause == installation.NO_NETWORK and not bpy.app.online_access:
        return OFFLINE
    if failure.cause == installation.DISK_FULL and failure.bytes:
        text = f"Free {max(failure.bytes / 1e9, 0.1):.1f} GB on that disk. {GO_ON}"
        found = _REMEDIES[failure.cause]
        return Remedy(found.title, text, found.button, found.operator)
    return _REMEDIES[failure.cause]
