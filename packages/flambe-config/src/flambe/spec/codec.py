"""Specs and plain values to JSON and back, losing nothing.

msgspec writes NaN as null and integer keys as text without a word, so values are put into node form first:
``escape`` turns Python data into the forms of ``flambe.spec.nodes``, ``unescape`` turns them back.
"""

from __future__ import annotations

import base64
import math
import re
from typing import Any

import msgspec

from flambe.errors import ConfigError
from flambe.spec.nodes import (
    BETA,
    BYTES,
    FLOAT,
    FUNCTION,
    GRID,
    MAP,
    NEW,
    NORMAL,
    QUNIFORM,
    UNIFORM,
    VERSION,
    Spec,
    children,
    kind_of,
)
from flambe.spec.shape import check_shape, shortened

_VERSION = re.compile(r"([0-9]{1,9})\.([0-9]{1,9})")
_NEW_IN_1_1 = frozenset({UNIFORM, NORMAL, BETA, QUNIFORM})


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
                return {unescape_key(key): unescape(item) for key, item in node[MAP]}
        except (KeyError, TypeError, ValueError):
            raise ConfigError(f"{node!r} is no {kind}") from None
        return {key: unescape(item) for key, item in node.items()}
    return node


_FLOATS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def unescape_key(node: Any) -> Any:
    """Return the Python data of a key of ``$map``. A list cannot be one: it was a tuple."""
    return tuple(map(unescape_key, node)) if isinstance(node, list) else unescape(node)


def dump_json(value: Any) -> bytes:
    """Return compact JSON of a node-form value or a msgspec struct; key order is kept."""
    return msgspec.json.encode(value)


def dump_spec(spec: Spec) -> bytes:
    """Return the spec as one line of JSON. Raises ConfigError for a path or word that is no text: JSON has no such characters."""
    try:
        return msgspec.json.encode(spec)
    except UnicodeEncodeError as error:
        what = f"{shortened(error.object)} is not UTF-8 text, and a spec cannot hold it"
        raise ConfigError(what, hint="Rename the file or folder, or write the word in UTF-8.") from error


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
    hint = "Compile YAML first: flambe-compile FILE."
    head = read_document(text, "flambe_spec", VERSION, where=where, kind="flambe spec", hint=hint)
    try:
        spec = msgspec.convert(head, Spec)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where} is no valid spec: {error}") from error
    check_shape(spec, where)
    return spec


def read_document(
    data: str | bytes, key: str, reads: str, *, where: str, kind: str, hint: str | None = None
) -> dict[str, Any]:
    """Return the JSON of a document whose ``key`` names its version. where, kind, hint: for messages.

    Raises ConfigError when it is none, of another major version than the program ``reads``, or nested too deeply.
    """
    try:
        found = msgspec.json.decode(data)
    except RecursionError:
        raise ConfigError(f"{where} is nested too deeply") from None
    except (msgspec.DecodeError, UnicodeError) as error:
        raise ConfigError(f"{where} is not JSON: {error}", hint=hint) from error
    if not isinstance(found, dict) or key not in found:
        raise ConfigError(f"{where} is no {kind} (no key {key})", hint=hint)
    check_version(found[key], what=where, reads=reads)
    return found


def needed_version(spec: Spec) -> str:
    """Return the lowest version whose tools run ``spec`` as it is meant, so that older ones read it without a warning.

    ``source.raw`` does not count: whoever ignores it runs the same.
    """
    if any(
        "settings" in stage.body
        for stage in spec.stages
        if isinstance(stage.body, dict) and stage.body.get(NEW) == FUNCTION
    ):
        return "1.2"
    return "1.1" if spec.seeds or any(_is_new(stage.body) for stage in spec.stages) else "1.0"


def _is_new(node: Any) -> bool:
    kind = kind_of(node)
    if kind in _NEW_IN_1_1 or (kind == GRID and ("names" in node or "probs" in node)):
        return True
    return any(_is_new(part) for _, part in children(node))


def check_version(found: object, *, what: str, reads: str) -> None:
    """Refuse a document of another major version than the program ``reads``, warn about a newer minor one.

    found: what the document says. Raises ConfigError where that is no version, FlambeVersionError for another major.
    """
    ours, theirs = _VERSION.fullmatch(reads), _VERSION.fullmatch(found) if isinstance(found, str) else None
    assert ours is not None
    if theirs is None:
        raise ConfigError(f"{what} has the version {shortened(found)}", expected=f"text such as {reads!r}")
    if int(theirs[1]) != int(ours[1]):
        raise FlambeVersionError(
            f"{what} is of version {found}, this program reads version {ours[1]}.x",
            hint="Use the flambe release that wrote it, or write it again with this one.",
        )
    if int(theirs[2]) > int(ours[2]):
        from flambe.cli.console import say

        say(f"warning: {what} is of version {found}, newer than {reads}: what is new in it is ignored")


class FlambeVersionError(ConfigError):
    """A document of another major version."""


__all__ = [
    "FlambeVersionError",
    "check_version",
    "dump_json",
    "dump_spec",
    "escape",
    "load_spec",
    "needed_version",
    "read_document",
    "unescape",
    "unescape_key",
]
