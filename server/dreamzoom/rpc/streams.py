"""The server's side of the protocol: sends answers and notifications from any thread, and parses requests."""

from __future__ import annotations

import json
import os
import threading
from typing import Any

from core.protocol.error_codes import INVALID_REQUEST, PARSE_ERROR
from core.protocol.framing import FrameError, encode


class Writer:
    """Writes messages to a descriptor, from any thread."""

    def __init__(self, descriptor: int):
        self._descriptor = descriptor
        self._lock = threading.Lock()

    def result(self, identity: Any, value: Any) -> None:
        """Answer a request."""
        self._send({"id": identity, "result": value})

    def error(self, identity: Any, code: int, message: str, data: dict[str, Any] | None = None) -> None:
        """Answer a request with an error; `identity` is None if it is unknown."""
        error = {"code": code, "message": message} | ({"data": data} if data else {})
        self._send({"id": identity, "error": error})

    def notify(self, method: str, params: dict[str, Any]) -> None:
        """Send a notification."""
        self._send({"method": method, "params": params})

    def _send(self, message: dict[str, Any]) -> None:
        data = memoryview(encode(message))
        with self._lock:
            while data:
                data = data[os.write(self._descriptor, data) :]


def parse(body: bytes) -> tuple[Any, str, dict[str, Any]]:
    """A frame's body as (id, method, params); the id is None for a notification.

    Raises:
        FrameError: The body is not a JSON-RPC request.
    """
    try:
        message = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise FrameError(PARSE_ERROR, f"not JSON: {error}") from None
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0" or not isinstance(message.get("method"), str):
        raise FrameError(INVALID_REQUEST, 'not a JSON-RPC request: needs "jsonrpc": "2.0" and a "method"')
    identity, params = message.get("id"), message.get("params", {})
    if not isinstance(identity, (int, str, type(None))) or isinstance(identity, bool):
        raise FrameError(INVALID_REQUEST, "not a JSON-RPC request: id must be a number or text")
    if not isinstance(params, dict):
        raise FrameError(INVALID_REQUEST, "not a JSON-RPC request: params must be an object")
    return identity, message["method"], params
