"""JSON-RPC error codes: the standard's, and the server's own (-32000, -32001, -32002).

An error's `message` is one line to show to the user. Its `data` may hold "remedy" (what to do), "field" and "message"
(which part of the request is invalid, and why) or "missing": "model".
"""

PARSE_ERROR = -32700
"""Bytes that are not a frame, or a body that is not JSON."""

INVALID_REQUEST = -32600
"""JSON that is not a request, or a frame that is too large."""

UNKNOWN_METHOD = -32601

BAD_REQUEST = -32602
"""Invalid parameters: `errors.BadRequest`."""

OTHER = -32000

NOT_AVAILABLE = -32001
"""Packages, weights or hardware are missing: `errors.EngineUnavailable`."""

BUSY = -32002
"""Another job is running."""

CANCELLED = -32800
"""The request was cancelled: `errors.Cancelled`."""
