"""The codes of JSON-RPC errors: those of the standard, and the server's own from -32000 on.

An error's `message` is one line for people. Its `data` may hold "remedy" (what to do), "field" and "message" (which
part of a request is wrong, and why) or "missing": "model".
"""

PARSE_ERROR = -32700
"""Bytes that are no frame, or a body that is no JSON."""

INVALID_REQUEST = -32600
"""JSON that is no request, or a frame that is too large."""

UNKNOWN_METHOD = -32601

BAD_REQUEST = -32602
"""Parameters that can't be: `errors.BadRequest`."""

OTHER = -32000

NOT_AVAILABLE = -32001
"""Packages, weights or hardware are missing: `errors.EngineUnavailable`."""

BUSY = -32002
"""Another job is running."""

CANCELLED = -32800
"""The request was cancelled: `errors.Cancelled`."""
