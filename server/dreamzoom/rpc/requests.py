"""What a frame's body asks for. Only the outer object is decoded here, in time and memory that the body's size bounds;
parameters stay text until the method that they belong to decodes them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import msgspec

from core.errors import BadRequest
from core.protocol.error_codes import INVALID_REQUEST, PARSE_ERROR
from core.safety import limits
from core.safety.bounded_json import decode_json

Identity = int | str | None

MOST_LOOSE = 4 << 20
"""Bytes of a body that is not JSON by the standard, but by Python's (NaN, half a surrogate pair), and is decoded so that
the error can name the field."""

_LONGEST = 200
_Number = msgspec.json.Decoder(int)
_Text = msgspec.json.Decoder(str)
_Parameters = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Refused(Exception):
    """A body that is not a request.

    Args:
        code: JSON-RPC error code.
        message: One line.
        identity: The request's id, as far as it could be told.
    """

    def __init__(self, code: int, message: str, identity: Identity = None):
        super().__init__(message)
        self.code, self.identity = code, identity


@dataclass(frozen=True)
class Call:
    """A request, or a notification.

    Attributes:
        identity: The request's id; None for a notification and for an id of null.
        is_notification: Whether no answer is expected.
        method: Its name.
        params: Its parameters as JSON text, an object.
    """

    identity: Identity
    is_notification: bool
    method: str
    params: msgspec.Raw | bytes

    def parameters(self) -> dict[str, msgspec.Raw]:
        """The parameters by name, each still JSON text.

        Raises:
            BadRequest: They hold more values than are read.
        """
        text = bytes(self.params)
        if sum(map(text.count, (b",", b"[", b"{"))) > limits.JSON_VALUES:  # an upper bound, found without decoding
            raise BadRequest("params", f"must hold at most {limits.JSON_VALUES:,} values")
        return _Parameters.decode(text)


class _Envelope(msgspec.Struct):
    jsonrpc: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    id: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    method: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    params: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_decoder = msgspec.json.Decoder(_Envelope)


def parse(body: bytes) -> Call:
    """Read a frame's body.

    Raises:
        Refused: It is not a JSON-RPC request.
    """
    if body[:64].lstrip()[:1] == b"[":
        raise Refused(INVALID_REQUEST, "not a JSON-RPC request: batches are not supported; send one request a frame")
    envelope = _envelope(body)
    identity = _identity(envelope.id)
    if envelope.jsonrpc is msgspec.UNSET or _text(envelope.jsonrpc) != "2.0":
        raise Refused(INVALID_REQUEST, 'not a JSON-RPC request: needs "jsonrpc": "2.0"', identity)
    method = _text(envelope.method)
    if method is None:
        raise Refused(INVALID_REQUEST, 'not a JSON-RPC request: needs a "method", which is text', identity)
    params = b"{}" if envelope.params is msgspec.UNSET else bytes(envelope.params)
    if not params.lstrip().startswith(b"{"):
        raise Refused(INVALID_REQUEST, "not a JSON-RPC request: params must be an object", identity)
    return Call(identity, envelope.id is msgspec.UNSET, method, params)


def decoded(text: msgspec.Raw | bytes) -> Any:
    """A parameter's value; None for one that is no JSON."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return None


def _envelope(body: bytes) -> _Envelope:
    try:
        return _decoder.decode(body)
    except msgspec.ValidationError:
        raise Refused(INVALID_REQUEST, "not a JSON-RPC request: must be an object") from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        return _loose(body, error)


def _loose(body: bytes, reason: Exception) -> _Envelope:
    """Decode what only Python takes for JSON. Raises Refused for what it does not take either."""
    refused = Refused(PARSE_ERROR, f"not JSON: {reason}"[:200])
    try:
        message = decode_json(body, "a message", MOST_LOOSE, finite=False)
    except Exception:
        raise refused from None
    if not isinstance(message, dict):
        raise Refused(INVALID_REQUEST, "not a JSON-RPC request: must be an object")
    parts = {name: json.dumps(message[name]).encode() for name in _Envelope.__struct_fields__ if name in message}
    return _Envelope(**{name: msgspec.Raw(text) for name, text in parts.items()})


def _identity(text: msgspec.Raw | msgspec.UnsetType) -> Identity:
    """A request's id. Raises Refused for what can't be one."""
    if text is msgspec.UNSET or bytes(text).strip() == b"null":
        return None
    number, name = _number(text), _text(text)
    if number is not None and -(2**63) <= number < 2**63:
        return number
    if name is not None and len(name) <= _LONGEST:
        return name
    raise Refused(
        INVALID_REQUEST,
        f"not a JSON-RPC request: id must be a whole number of at most 64 bits, or text of at most {_LONGEST} characters",
    )


def _number(text: msgspec.Raw | bytes) -> int | None:
    try:
        return _Number.decode(text)
    except (msgspec.DecodeError, ValueError):
        return None


def _text(text: msgspec.Raw | msgspec.UnsetType) -> str | None:
    try:
        return None if text is msgspec.UNSET else _Text.decode(text)
    except (msgspec.DecodeError, ValueError):
        return None
