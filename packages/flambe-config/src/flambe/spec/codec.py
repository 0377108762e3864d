"""Specs and plain values to JSON and back, losing nothing.

msgspec writes NaN as null and integer keys as text without a word, so values are put into node form first:
``escape`` turns Python data into the forms of ``flambe.spec.nodes``, ``unescape`` turns them back.
"""

from __future__ import annotations

import base64
import math
from typing import Any

import msgspec

from flambe.errors import ConfigError
from flambe.spec.nodes import BYTES, FLOAT, MAP, VERSION, Spec, kind_of
from flambe.spec.shape import check_shape

_MAJOR, _MINOR = (int(part) for part in VERSION.split("."))


def escape(value: Any) -> Any:
    """Return ``value`` (None, bool, int, float, str, bytes, list, tuple, dict) in node form.

    Raises TypeError for anything else.
    """
    if value is None or isinstance(value, bool):
        return value
    # Subclasses (numpy's float64, an IntEnum) become what they are at heart: JSON has no other.
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if math.isfinite(value):
            return float(value)
        return {FLOAT: "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"}
    if isinstance(value, bytes):
        return {BYTES: base64.b64encode(value).decode()}
    if isinstance(value, list | tuple):
        return [escape(item) for item in value]
    if isinstance(value, dict):
        if all(isinstance(key, str) and not key.startswith("$") for key in value):
            return {key: escape(item) for key, item in value.items()}
        return {MAP: [[escape(key), escape(item)] for key, item in value.items()]}
    raise TypeError(f"{type(value).__qualname__} is not plain data")


def unescape(node: Any) -> Any:
    """Return the Python data of a node-form value; nodes that are no escapes stay as they are.

    Raises ConfigError for an escape that holds something else.
    """
    if isinstance(node, list):
        return [unescape(item) for item in node]
    if isinstance(node, dict):
        kind = kind_of(node)
        try:
            if kind == FLOAT:
                return _FLOATS[node[FLOAT]]
            if kind == BYTES:
                return base64.b64decode(node[BYTES], validate=True)
            if kind == MAP:
                return {_key(unescape(key)): unescape(item) for key, item in node[MAP]}
        except (KeyError, TypeError, ValueError):
            raise ConfigError(f"{node!r} is no {kind}") from None
        return {key: unescape(item) for key, item in node.items()}
    return node


_FLOATS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def _key(value: Any) -> Any:
    # A list cannot be a key: it was a tuple.
    return tuple(map(_key, value)) if isinstance(value, list) else value


def dump_json(value: Any) -> bytes:
    """Return compact JSON of a node-form value or a msgspec struct; key order is kept."""
    return msgspec.json.encode(value)


def dump_spec(spec: Spec) -> bytes:
    """Return the spec as one line of JSON."""
    return msgspec.json.encode(spec)


def load_spec(text: str | bytes, *, where: str = "spec") -> Spec:
    """Read one spec.

    Raises ``ConfigError`` when it is no JSON, no spec, or of another major version. A newer minor version
    is read with a warning.
    """
    try:
        return _loaded(text, where)
    except RecursionError:
        raise ConfigError(f"{where} is nested too deeply") from None


def _loaded(text: str | bytes, where: str) -> Spec:
    try:
        head = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{where} is not JSON: {error}", hint="Compile YAML first: flambe-compile FILE.") from error
    if not isinstance(head, dict) or "flambe_spec" not in head:
        raise ConfigError(f"{where} is no flambe spec (no key flambe_spec)", hint="Compile YAML: flambe-compile FILE.")
    check_version(str(head["flambe_spec"]), what=where, major=_MAJOR, minor=_MINOR)
    try:
        spec = msgspec.convert(head, Spec)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where} is no valid spec: {error}") from error
    check_shape(spec, where)
    return spec


def check_version(text: str, *, what: str, major: int, minor: int) -> None:
    """Refuse a document of another major version, warn about a newer minor one."""
    try:
        theirs = tuple(int(part) for part in text.split("."))
        their_major, their_minor = theirs[0], theirs[1]
    except (ValueError, IndexError):
        raise ConfigError(f"{what} has the version {text!r}", expected=f"{major}.{minor}") from None
    if their_major != major:
        raise FlambeVersionError(
            f"{what} is of version {text}, this program reads version {major}.x",
            hint="Use the flambe release that wrote it, or write it again with this one.",
        )
    if their_minor > minor:
        from flambe.cli.console import say

        say(f"warning: {what} is of version {text}, newer than {major}.{minor}: what is new in it is ignored")


class FlambeVersionError(ConfigError):
    """A document of another major version."""


__all__ = ["FlambeVersionError", "check_version", "dump_json", "dump_spec", "escape", "load_spec", "unescape"]
