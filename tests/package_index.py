"""A package index of the test's own: tiny wheels behind a small HTTP server that counts, slows down and fails."""

import base64
import hashlib
import html
import http.server
import importlib.metadata
import io
import os
import random
import shutil
import ssl
import threading
import time
import urllib.parse
import zipfile

CHUNK = 16384

CERTIFICATE = """\
-----BEGIN CERTIFICATE-----
MIIBjzCCATagAwIBAgIUEjzJLAiUeilImeR7Swli9t1haIcwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyNzA2MzUxNVoYDzIxMjYxMTAz
MDYzNTE1WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAAQE5a6cXut8q+3ON4F4rn9/ag/LmLsoAE1IyZGNGKxi6WO0BnfMqLNF
smxKU9mswPVzMoSPXboIlS8nRMNFEvQ9o2QwYjAdBgNVHQ4EFgQU+tLHhpRsj8dE
OH4ssoMiTsBFESwwHwYDVR0jBBgwFoAU+tLHhpRsj8dEOH4ssoMiTsBFESwwDwYD
VR0TAQH/BAUwAwEB/zAPBgNVHREECDAGhwR/AAABMAoGCCqGSM49BAMCA0cAMEQC
IELyYKHZJa3UUMhQYIqG+zJ99U2AepsDjzNPzlfyIsDxAiBoFb+lkdsU9m8AW1Tb
PLE5V5wie8HgBnhDQtyDWTjjMg==
-----END CERTIFICATE-----
"""
KEY = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgfb+QEbYwvBf85Syz
SCimIIw+7eJivEoDU/MRu8UdIKGhRANCAAQE5a6cXut8q+3ON4F4rn9/ag/LmLso
AE1IyZGNGKxi6WO0BnfMqLNFsmxKU9mswPVzMoSPXboIlS8nRMNFEvQ9
-----END PRIVATE KEY-----
"""
"""A certificate for 127.0.0.1 that nobody has signed, and its key, which protects nothing."""


def wheel(name, version="1.0", size=1000, code=""):
    """The file name and the bytes of a wheel with one module, padded to about `size` bytes."""
    padding = random.Random(name).randbytes(size)
    files = {f"{name}/__init__.py": code.encode(), f"{name}/padding.bin": padding}
    return f"{name}-{version}-py3-none-any.whl", _packed(name, version, files)


def pinned(server, size):
    """Wheels with the names and versions of all that the server's environment asks for.

    Args:
        server: The folder `server` of the repository.
        size: Bytes of each.
    """
    pins = dict(line.split("==") for line in (server / "constraints.txt").read_text().split() if "==" in line)
    names = [line for line in (server / "requirements.txt").read_text().splitlines() if line and line[0] not in "#-"]
    return [wheel(name, pins[name], size) for name in names]


def wheel_of_installed(name, site=None):
    """The same of a package of this environment, or of the one with this folder of packages, as it is."""
    path = {} if site is None else {"path": [str(site)]}
    found = next(iter(importlib.metadata.distributions(name=name, **path)))
    files = {
        str(file): file.locate().read_bytes()
        for file in found.files or ()
        if file.parts[0].partition("-")[0] == name and file.suffix != ".pyc" and file.name != "RECORD"
    }
    return f"{name}-{found.version}-py3-none-any.whl", _packed(name, found.version, files)


def skeleton(server, folder, wheels):
    """A copy of the installer in `folder`, whose requirements are the wheels; returns its install.py.

    Args:
        server: The folder `server` of the repository.
        folder: Where the copy is made.
        wheels: The stand-ins, as `wheel` returns them.
    """
    shutil.copyfile(server / "install.py", _made(folder) / "install.py")
    shutil.copytree(server / "installer", folder / "installer", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("__init__.py", "installation.py"):
        shutil.copyfile(server / "core" / name, _made(folder / "core") / name)
    names = [file.split("-")[:2] for file, _ in wheels]
    pins = "".join(f"{name}=={version}\n" for name, version in names)
    (folder / "constraints.txt").write_text(pins)
    wanted = "".join(f"{name}\n" for name, _ in names if name != "pip")
    (folder / "requirements.txt").write_text(f"-c constraints.txt\n{wanted}")
    return folder / "install.py"


def stand_ins(size=1_500_000):
    """Wheels with the names of the packages that the server's check imports, and this environment's pip."""
    names = ("av", "msgspec", "numba", "scipy", "torch", "numpy")
    return [*(wheel(name, size=size) for name in names), wheel_of_installed("pip")]


def _made(folder):
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _packed(name, version, files):
    info = f"{name}-{version}.dist-info"
    files = dict(files)
    files.setdefault(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode())
    files[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    record = "".join(f"{path},sha256={_digest(data)},{len(data)}\n" for path, data in files.items())
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for path, data in files.items():
            archive.writestr(zipfile.ZipInfo(path, (2020, 1, 1, 0, 0, 0)), data)
    return packed.getvalue()


def _digest(data):
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


class Index:
    """A running index.

    Attributes:
        files: Name and bytes of each wheel.
        sent: Bytes of wheels that were sent.
        asked: Wheels that were asked for, in order.
        seconds_per_chunk: Pause after each 16 KB.
    """

    def __init__(self, *wheels, certificate=None):
        self.files = dict(wheels)
        self.sent, self.asked, self.seconds_per_chunk = 0, [], 0.0
        index = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.0"

            def do_HEAD(self):
                self._answer(False)

            def do_GET(self):
                self._answer(True)

            def log_message(self, *_):
                pass

            def _answer(self, body):
                parts = urllib.parse.unquote(self.path).strip("/").split("/")
                if parts[0] == "simple" and len(parts) == 2:
                    self._send(index._page(parts[1]), "text/html", body, False)
                elif parts[0] == "files" and parts[1] in index.files:
                    index.asked += [parts[1]] if body else []
                    self._send(index.files[parts[1]], "application/octet-stream", body, True)
                elif parts[0] == "files" and parts[1].removesuffix(".metadata") in index.files:
                    self._send(index._metadata(parts[1]), "text/plain", body, False)
                else:
                    self.send_error(404)

            def _send(self, data, kind, body, counts):
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(data)))
                self.send_header("Cache-Control", "max-age=100000")
                self.end_headers()
                for start in range(0, len(data) if body else 0, CHUNK):
                    try:
                        self.wfile.write(data[start : start + CHUNK])
                    except OSError:
                        return
                    if counts:
                        index.sent += len(data[start : start + CHUNK])
                        time.sleep(index.seconds_per_chunk)

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._scheme = "http"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            self._scheme = "https"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self):
        """What pip takes as its index."""
        return f"{self._scheme}://127.0.0.1:{self._server.server_port}/simple"

    def variables(self, cache):
        """Environment variables that let pip know this index alone, and keep its downloads in the folder `cache`."""
        return {
            "PIP_INDEX_URL": self.url,
            "PIP_EXTRA_INDEX_URL": "",
            "PIP_FIND_LINKS": "",
            "PIP_CONSTRAINT": "",
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_CACHE_DIR": str(cache),
            "PIP_TRUSTED_HOST": ""
            if self._scheme == "https"
            else "127.0.0.1",  # else pip keeps nothing of what it gets
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    def _page(self, project):
        links = []
        for name, data in self.files.items():
            if name.partition("-")[0].replace("_", "-").lower() == project:
                url = f"/files/{urllib.parse.quote(name)}#sha256={hashlib.sha256(data).hexdigest()}"
                metadata = hashlib.sha256(self._metadata(f"{name}.metadata")).hexdigest()
                links.append(f'<a href="{url}" data-core-metadata="sha256={metadata}">{html.escape(name)}</a>')
        return f"<!DOCTYPE html><html><body>{''.join(links)}</body></html>".encode()

    def _metadata(self, name):
        with zipfile.ZipFile(io.BytesIO(self.files[name.removesuffix(".metadata")])) as archive:
            return archive.read(next(path for path in archive.namelist() if path.endswith(".dist-info/METADATA")))
