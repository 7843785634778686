"""Error messages for values that don't fit a JSON Schema: field, expected and actual value, in one line."""

from __future__ import annotations

import json
import re
from typing import Any

from core.errors import BadRequest

MAX_SHOWN = 60  # characters of a wrong value in a message


def refusal(message: str, raw: Any, schema: dict[str, Any]) -> BadRequest:
    """Convert msgspec's message about `raw` to an error that names the field and what it must be.

    Args:
        message: Message of a `msgspec.ValidationError`, "... - at `$.levels[0].prompt`".
        raw: The value that was checked.
        schema: The JSON Schema it was checked against, with its `$defs`.
    """
    text, _, place = message.partition(" - at `$")
    keys = [key or int(index) for key, index in re.findall(r"\.([^.\[\]`]+)|\[(\d+)\]", place)]
    found = re.search(r"(missing required|unknown) field `(.*)`", text, re.DOTALL)
    if found and found[1] == "unknown":
        return BadRequest(spoken([*keys, found[2]]), "is not a field that is known here; remove it")
    if found:
        keys.append(found[2])
        return BadRequest(spoken(keys), f"is required and must be {must_be(_along(keys, schema), schema)}")
    wanted, value = must_be(_along(keys, schema), schema), _value(keys, raw)
    return BadRequest(spoken(keys), f"must be {wanted or 'something else'}; got {got(value)}")


def spoken(keys: list[str | int]) -> str:
    """Format a path for messages: `levels[2].prompt`, or "request" for the whole request."""
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{_short(key)}" for key in keys)
    return text.lstrip(".") or "request"


def must_be(schemas: list[dict[str, Any]], root: dict[str, Any]) -> str:
    """Describe what a value must be to fit one of the schemas."""
    wanted: list[str] = []
    choices: list[str] = []
    for schema in (part for item in schemas for part in _parts(item, root)):
        if "enum" in schema or "const" in schema:
            choices += [str(choice) for choice in schema.get("enum", [schema.get("const")])]
        else:
            wanted.append(_kind(schema))
    if choices:
        wanted.insert(0, choices[0] if len(choices) == 1 else f"one of {', '.join(choices)}")
    return " or ".join(dict.fromkeys(wanted))


def got(value: Any) -> str:
    """Describe a wrong value in a few words."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, str) and len(value) > MAX_SHOWN:
        return f"text of {len(value)} characters"
    if isinstance(value, str):
        return f"'{_short(value)}'"
    return _short(json.dumps(value))


def _kind(schema: dict[str, Any]) -> str:
    match schema.get("type"):
        case "integer":
            return "a whole number" + _bounds(schema)
        case "number":
            return "a number" + _bounds(schema)
        case "string":
            return "text" + _lengths(schema.get("minLength"), schema.get("maxLength"), "characters")
        case "array":
            numbers = schema.get("items", {}).get("type") == "number"
            unit = "numbers" if numbers else "entries"
            return "a list" + _lengths(schema.get("minItems"), schema.get("maxItems"), unit)
        case "boolean":
            return "true or false"
        case "object":
            return "an object"
        case other:
            return str(other)


def _bounds(schema: dict[str, Any]) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if high is None and "exclusiveMaximum" in schema:
        high = schema["exclusiveMaximum"] - 1
    if low is not None and high is not None:
        return f" from {low:g} to {high:.12g}"
    return f" of at least {low}" if low is not None else f" of at most {high}" if high is not None else ""


def _lengths(low: int | None, high: int | None, unit: str) -> str:
    if high is None:
        return f" of at least {low} {unit}" if low else ""
    if not low:
        return f" of at most {high} {unit}"
    return f" of {low} {unit}" if low == high else f" of {low} to {high} {unit}"


def _along(keys: list[str | int], root: dict[str, Any]) -> list[dict[str, Any]]:
    """The schemas that may apply to the value at a path."""
    here = list(_parts(root, root))
    for key in keys:
        if isinstance(key, int):
            found = [part["items"] for part in here if "items" in part]
        else:
            found = [part["properties"][key] for part in here if key in part.get("properties", {})]
        here = [part for item in found for part in _parts(item, root)]
    return here


def _parts(schema: dict[str, Any], root: dict[str, Any]):
    """Yield a schema's alternatives with references resolved; `null` only if it is the only alternative."""
    if "$ref" in schema:
        yield from _parts(root["$defs"][schema["$ref"].rpartition("/")[2]], root)
    elif "anyOf" in schema:
        for part in schema["anyOf"]:
            yield from _parts(part, root)
    elif schema.get("type") != "null":
        yield schema


def _value(keys: list[str | int], raw: Any) -> Any:
    for key in keys:
        raw = raw[key]
    return raw


def _short(text: str) -> str:
    """Shorten a text to `MAX_SHOWN` printable characters on one line."""
    text = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 1] + "…"
