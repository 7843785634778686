"""Why a command of the installation failed, by what it printed."""

from __future__ import annotations

import os
import re
import urllib.parse
from collections.abc import Sequence

from core import installation
from core.installation import Failure

PATTERNS = (
    (
        installation.DISK_FULL,
        r"No space left on device|Errno 28\b|not enough space on the disk|WinError 112|[Dd]isk quota exceeded|"
        r"Errno 122\b",
    ),
    (installation.PROXY, r"ProxyError|[Cc]annot connect to proxy|407 Proxy|Tunnel connection failed"),
    (
        installation.TLS,
        r"CERTIFICATE_VERIFY_FAILED|SSLCertVerificationError|SSLError|\[SSL|SSL module is not available|"
        r"invalid peer certificate|UnknownIssuer",
    ),
    (
        installation.NO_NETWORK,
        r"NameResolutionError|name resolution|getaddrinfo failed|nodename nor servname|Name or service not known|"
        r"Network is unreachable|No route to host|Connection refused|NewConnectionError|ConnectTimeout|"
        r"[Rr]ead timed out|ReadTimeout|[Cc]onnection reset|ConnectionResetError|Connection aborted|"
        r"RemoteDisconnected|IncompleteRead|incomplete-download|Failed to establish a new connection|"
        r"dns error|WinError 10060|WinError 10061|timed out|50[234] (?:Server Error|Bad Gateway|Service)|"
        r"error sending request",
    ),
    (installation.DAMAGED, r"DO NOT MATCH THE HASHES|HashMismatch|hash mismatch|BadZipFile|is not a valid wheel"),
    (installation.NOT_WRITABLE, r"Permission denied|Read-only file system|Errno 13\b|Errno 30\b|WinError 5\b"),
    (installation.NO_ENSUREPIP, r"ensurepip is not|No module named '?ensurepip"),
)
"""What the output of pip, venv and uv says, by cause; the first that fits counts."""

WRAPPED = re.compile(r"after connection broken by '(.*)': \S*$")
"""How pip words what it tries again: the error is in the quotes."""

PROXIES = ("PIP_PROXY", "HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")

LONGEST = 300


class InstallError(Exception):
    """The environment can't be made; the message says why, what was printed, and what to do.

    Args:
        message: What went wrong, in one line.
        failure: The same with its cause; by default of the cause "package".
        output: The lines that the command printed.
    """

    def __init__(self, message: str, failure: Failure | None = None, output: Sequence[str] = ()):
        self.failure = failure or Failure(installation.PACKAGE, message)
        shown = [line for line in output if not line.startswith(("WARNING", "[notice]"))][-12:]
        super().__init__(message + "".join(f"\n    {line}" for line in shown))


def failed(message: str, output: Sequence[str]) -> InstallError:
    """The error for a command that failed with this output.

    Args:
        message: What the command was to do, and could not.
        output: All lines that it printed.
    """
    cause, line = _cause(output)
    return InstallError(message, Failure(cause, message, _short(line)), output)


def _cause(output: Sequence[str]) -> tuple[str, str]:
    """The cause, and the line that tells it."""
    for cause, pattern in PATTERNS:
        for line in reversed(output):
            if re.search(pattern, line):
                return (installation.PROXY if _names_proxy(line) else cause), line
    told = [line for line in output if line.strip() and not line.startswith(("WARNING", "[notice]"))]
    errors = [line for line in told if line.startswith("ERROR")]
    return installation.PACKAGE, (errors or told or [""])[-1]


def _names_proxy(line: str) -> bool:
    """Whether what did not answer is the proxy; pip words it as any other server."""
    for variable in PROXIES:
        proxy = urllib.parse.urlsplit(os.environ.get(variable, ""))
        if proxy.hostname and f"host='{proxy.hostname}', port={proxy.port}" in line:
            return True
    return False


def _short(line: str) -> str:
    """The line without what pip puts around an error, of a length that a panel can show."""
    wrapped = WRAPPED.search(line.strip())
    text = wrapped[1] if wrapped else re.sub(r"^(?:ERROR|WARNING):\s*", "", line.strip())
    text = re.sub(r"<[^<>]* object at 0x[0-9a-fA-F]+>:?\s*", "", text)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
