"""What a frame's body asks for. Only the outer object is decoded here, in time and memory that the body's size bounds;
parameters stay text until the method that they belong to decodes them.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from core.errors import BadRequest
from core.protocol.error_codes import INVALID_REQUEST, PARSE_ERROR
from core.safety import limits
from core.safety.bounded_json import decode_json

Identity = int | str | None
Text = msgspec.Raw | msgspec.UnsetType
"""A value as JSON text; unset where the object has none of that name."""
T = TypeVar("T")

MOST_LOOSE = 4 << 20
"""Bytes of a body that is JSON for Python but not by the standard (NaN, half a surrogate pair). It is decoded, so that
the error can name the field.
"""

_LONGEST = 200
_MEMBER = re.compile(rb'[\s{]{0,20}"(\w{1,20})"\s{0,20}:\s{0,20}("[^"\\]{0,200}"|[-\w.+]{1,30})\s{0,20},')
"""A member of the outer object, with a short value."""
_Number = msgspec.json.Decoder(int)
_Text = msgspec.json.Decoder(str)


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
        params: Its parameters as JSON text, which begins as an object does.
        attachment: Bytes that came with it.
    """

    identity: Identity
    is_notification: bool
    method: str
    params: msgspec.Raw | bytes
    attachment: bytes = b""


class _Envelope(msgspec.Struct):
    jsonrpc: Text = msgspec.UNSET
    id: Text = msgspec.UNSET
    method: Text = msgspec.UNSET
    params: Text = msgspec.UNSET


def parse(body: bytes) -> Call:
    """Read a frame's body, a `framing.Body` where something may be attached to it.

    Raises:
        Refused: It is not a JSON-RPC request.
    """
    if sum(map(body.count, (b",", b"[", b"{"))) > limits.JSON_VALUES:  # no fewer than there are values
        told = f"a request of more than {limits.JSON_VALUES:,} values"
        raise Refused(INVALID_REQUEST, told, _identity_before_parameters(body))
    try:
        envelope = _decode(body, _Envelope)
    except msgspec.ValidationError:
        _check_json(body)
        told = "not a JSON-RPC request: must be an object; batches are not supported, send one request a frame"
        raise Refused(INVALID_REQUEST, told) from None
    identity = _identity(envelope.id)
    if envelope.jsonrpc is msgspec.UNSET or _text(envelope.jsonrpc) != "2.0":
        raise Refused(INVALID_REQUEST, 'not a JSON-RPC request: needs "jsonrpc": "2.0"', identity)
    method = _text(envelope.method)
    if method is None:
        raise Refused(INVALID_REQUEST, 'not a JSON-RPC request: needs a "method", which is text', identity)
    params = b"{}" if envelope.params is msgspec.UNSET else bytes(envelope.params)
    if not params.lstrip().startswith(b"{"):
        raise Refused(INVALID_REQUEST, "not a JSON-RPC request: params must be an object", identity)
    return Call(identity, envelope.id is msgspec.UNSET, method, params, getattr(body, "attachment", b""))


def parameters(call: Call, kind: type[T]) -> T:
    """A request's parameters as a struct, whose fields are JSON text that is not decoded yet.

    Args:
        call: The request.
        kind: A struct with the names of the parameters; for one that forbids others, another one is an error.

    Raises:
        BadRequest: There is a parameter with another name.
    """
    try:
        return _decode(call.params, kind)
    except msgspec.ValidationError as error:
        found = re.search(r"unknown field `(.*)`", str(error), re.DOTALL)
        name = found[1][:60] if found else "params"
        raise BadRequest(name, f"is not a parameter of {call.method}; remove it") from None


def _check_json(body: bytes) -> None:
    """Raise Refused if this is not JSON."""
    try:
        msgspec.json.decode(body, type=msgspec.Raw)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Refused(PARSE_ERROR, f"not JSON: {error}"[:200]) from None


def identity_in(text: Text) -> Identity:
    """A request's id that stands in parameters; None for what can't be one."""
    try:
        return _identity(text)
    except Refused:
        return None


def _identity_before_parameters(body: bytes) -> Identity:
    """The id, if it stands before any list or object of a body that is too large to be decoded as a whole."""
    place = 0
    while member := _MEMBER.match(body, place):
        if member[1] == b"id":
            return identity_in(msgspec.Raw(member[2]))
        place = member.end()
    return None


def _decode(text: msgspec.Raw | bytes, kind: type[T]) -> T:
    """Decode an object into a struct with fields of type Raw.

    Raises:
        msgspec.ValidationError: It is no object, or has a field that the struct forbids.
        Refused: It is not JSON, not even for Python.
    """
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        refused = Refused(PARSE_ERROR, f"not JSON: {error}"[:200])
    try:
        found = decode_json(bytes(text), "a message", MOST_LOOSE, finite=False)
    except Exception:
        raise refused from None
    if isinstance(found, dict):
        found = {name: msgspec.Raw(json.dumps(value).encode()) for name, value in found.items()}
    return msgspec.convert(found, kind)


def _identity(text: Text) -> Identity:
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
        f"not a JSON-RPC request: id must be a whole number of 64 bits or text of at most {_LONGEST} characters",
    )


def _number(text: msgspec.Raw | bytes) -> int | None:
    try:
        return _Number.decode(text)
    except (msgspec.DecodeError, ValueError):
        return None


def _text(text: Text) -> str | None:
    try:
        return None if text is msgspec.UNSET else _Text.decode(text)
    except (msgspec.DecodeError, ValueError):
        return None
