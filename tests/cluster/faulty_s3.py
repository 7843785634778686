"""A proxy before an S3 server that makes the faults which real storages have."""

import contextlib
import http.client
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEPT = {"connection", "transfer-encoding", "content-length", "keep-alive"}
ERROR = '<?xml version="1.0"?><Error><Code>{}</Code><Message>{}</Message></Error>'


class _Handler(BaseHTTPRequestHandler):
    """One connection; its server has `proxy`, the FaultyS3 that it works for."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do(self):
        body = self.body()
        fault = self.server.proxy.take(self.command, self.path)
        if fault in ("reset", "slow"):
            time.sleep(1.0 if fault == "slow" else 0)
            self.close_connection = True
            return
        refusals = {"503": "SlowDown", "404": "NoSuchKey", "403": "RequestTimeTooSkewed"}
        if fault in refusals:
            text = ERROR.format(refusals[fault], "The difference between the times is too large").encode()
            self.answer(int(fault), {"Content-Type": "application/xml"}, text)
            return
        connection = http.client.HTTPConnection(*self.server.proxy.behind, timeout=30)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in KEPT}
        connection.request(self.command, self.path, body or None, headers | {"Content-Length": str(len(body))})
        found = connection.getresponse()
        data = found.read()
        told = {name: value for name, value in found.getheaders() if name.lower() not in KEPT}
        if self.command == "HEAD":
            told["Content-Length"] = found.getheader("Content-Length", "0")
        connection.close()
        self.spoil(fault, body)
        if fault == "etag":
            told["ETag"] = '"00000000000000000000000000000000"'
        if fault == "500":
            self.answer(500, {"Content-Type": "application/xml"}, ERROR.format("InternalError", "x").encode())
            return
        self.answer(found.status, told, data, len(data) // 2 if fault == "half" else None)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = do  # noqa: N815

    def body(self):
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def spoil(self, fault, body):
        host, port = self.server.proxy.behind
        place = f"http://{host}:{port}{self.path.partition('?')[0]}"
        if fault == "torn":
            urllib.request.urlopen(urllib.request.Request(place, body[: len(body) // 2], method="PUT"))
        if fault == "lost":
            urllib.request.urlopen(urllib.request.Request(place, method="DELETE"))

    def answer(self, status, headers, data, end=None):
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "Content-Length" not in headers:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(data[:end])
        if end is not None:
            self.close_connection = True


class FaultyS3:
    """Forwards requests to a server; `faults` are made first, each once.

    A fault is (method, part of the path, what): "503" throttled; "reset" the connection ends without an answer; "slow"
    no answer for a second, then none; "404" as if the key were not there yet; "403" the clocks differ; "half" the
    answer ends half way; "etag" another ETag; "torn" half of what was sent is stored; "lost" what was sent is removed
    again; "500" after the request was carried out.
    """

    def __init__(self, host, port):
        self.behind = host, port
        self.faults, self.met, self.lock = [], [], threading.Lock()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self.server.proxy = self
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def take(self, method, path):
        with self.lock:
            for fault in self.faults:
                if fault[0] == method and fault[1] in path:
                    self.faults.remove(fault)
                    self.met.append(fault)
                    return fault[2]
        return None

    def close(self):
        self.server.shutdown()
        self.server.server_close()
