"""Texts with references and variables, in the spelling of our language (``flambe.compile.placeholder``)."""

from __future__ import annotations

import re

from flambe.compile.placeholder import OFF, Piece, Variable, doubled, pieces, protected
from flambe.compile.yaml import Scalar, plain_value
from flambe.errors import ConfigError, Position

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_KEY = re.compile(r"[^\W\d][\w-]*\Z")
_NOWHERE = Position("", 0, 0)


class NoSpelling(Exception):
    """Something that our language has no words for."""


def reference(path: tuple[str, ...]) -> Piece:
    """Return the piece that stands for the value at a path. Raises NoSpelling for keys that no reference can name."""
    if not (_KEY.match(path[0]) and all(_KEY.match(key) or key.isdecimal() for key in path[1:])):
        raise NoSpelling(f"a reference cannot name the key {'.'.join(path)!r}")
    return Piece(".".join(path), None)


def variable(name: str, default: str | None = None) -> Piece:
    """Return the piece that stands for an environment variable. Raises NoSpelling."""
    if not _VARIABLE.match(name):
        raise NoSpelling(f"{name!r} is no name of a variable")
    if default is not None and re.search(r"[{}$]", default):
        raise NoSpelling(f"its default {default!r} has braces or dollars")
    return Piece(name, Variable(name, default))


def spelled(parts: list[str | Piece]) -> str:
    """Return the text that means these parts. Raises NoSpelling where there is none."""
    text = ""
    for index, part in enumerate(parts):
        if isinstance(part, str):
            text += doubled(part)
        elif part.variable is not None:
            default = part.variable.default
            text += "${" + part.name + (f":-{default}" if default is not None else "") + "}"
        else:
            # Braces around a reference are text only when they are doubled.
            before, after = (parts[at] if 0 <= at < len(parts) else "" for at in (index - 1, index + 1))
            left = len(before) - len(before.rstrip("{")) if isinstance(before, str) else 0
            right = len(after) - len(after.lstrip("}")) if isinstance(after, str) else 0
            more = min(left, right)
            text += "{" * more + str(part) + "}" * more
    if OFF.match(text):
        raise NoSpelling("a text that begins with !P has no references")
    if _read(text) != _joined(parts):
        raise NoSpelling("a '$' or a brace right before a reference would be read as a part of it")
    return text


def same(one: str, other: str) -> bool:
    """Whether two texts mean the same."""
    return _read(one) == _read(other) is not None


def literal(text: str, position: Position, *, plain: bool = False) -> Scalar:
    """Return a scalar that means ``text`` and nothing else. plain: whether it was written without quotes."""
    if protected(text) != text:
        return Scalar("!P", position, text, False)
    return Scalar(None, position, text, plain and isinstance(plain_value(text), str))


def required(text: str, position: Position) -> Scalar:
    """Return a value that the compiler refuses until somebody writes another. text: says what is missing."""
    return Scalar("!required", position, text, False)


def _read(text: str) -> list[str | Piece] | None:
    try:
        return _joined(list(pieces(text, _NOWHERE)))
    except ConfigError:
        return None


def _joined(parts: list[str | Piece]) -> list[str | Piece]:
    """Return parts with neighbouring texts made one."""
    joined: list[str | Piece] = []
    for part in parts:
        last = joined[-1] if joined else None
        if isinstance(part, str) and isinstance(last, str):
            joined[-1] = last + part
        elif part != "":
            joined.append(part)
    return joined
