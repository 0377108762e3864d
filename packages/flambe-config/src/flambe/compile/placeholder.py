"""What may be put into a text of a config: references and environment variables.

=========================  ==========================================================================================
``{training.lr}``          the value of another key, from the root of the config; alone it keeps its type
``$NAME`` ``${NAME}``      an environment variable; alone it becomes a number or boolean where it reads like one
``${NAME:-text}``          the same, and ``text`` where the variable is not set, or empty
``{{a.b}}`` ``$$NAME``     the texts ``{a.b}`` and ``$NAME``
``!P text`` ``"!P text"``  the text as it stands
=========================  ==========================================================================================

Whatever else has braces or dollars (``\\d{2}``, ``^a$``, JSON) is text. Keys, links and ``!env`` are never touched, and what was
put in is not read again.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from flambe.errors import ConfigError, Position
from flambe.spec.nodes import BYTES, ENV, FLOAT, LINK, MAP, kind_of

_KEY = r"[^\W\d][\w-]*"
PATH = rf"{_KEY}(?:\.(?:{_KEY}|\d+))*"
_TOKEN = re.compile(
    # A run is looked at from its beginning only: from each of a thousand braces would be a million steps.
    rf"(?P<open>(?<!\{{)\{{++)(?P<path>{PATH})(?P<close>\}}+)"
    r"|(?P<dollars>(?<!\$)\$++)(?:(?P<bare>[A-Za-z_][A-Za-z0-9_]*)|\{(?P<body>[A-Za-z_.](?:[^{}]|\{[^{}]*\})*)\})"
)
_VARIABLE = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>.*))?\Z", re.S)
OFF = re.compile(r"!P(?:\s|\Z)")
_SECRET = re.compile(r"TOKEN|SECRET|PASSWORD|KEY", re.I)


def protected(text: str) -> str:
    """Return how a text is written so that it is read as it stands."""
    return f"!P {text}" if OFF.match(text) or _TOKEN.search(text) else text


def doubled(text: str) -> str:
    """Return how a text is written beside references so that it is read as it stands."""
    return _TOKEN.sub(_doubled, text)


def _doubled(match: re.Match[str]) -> str:
    if match["path"]:
        size = min(len(match["open"]), len(match["close"]))
        return "{" * size + match.group() + "}" * size
    return match["dollars"] + match.group()


def protected_node(node: Any) -> Any:
    """Return a node of a spec whose texts are read as they stand, when they are written as YAML."""
    if isinstance(node, str):
        return protected(node)
    if isinstance(node, list):
        return [protected_node(item) for item in node]
    if not isinstance(node, dict) or kind_of(node) in (LINK, ENV, FLOAT, BYTES):
        return node
    if kind_of(node) == MAP:
        return {MAP: [[key, protected_node(value)] for key, value in node[MAP]]}
    return {key: value if key == "names" and kind_of(node) else protected_node(value) for key, value in node.items()}


def is_reference(text: str) -> bool:
    """Whether something in a text would be replaced."""
    return ("{" in text or "$" in text) and not OFF.match(text) and _TOKEN.search(text) is not None


def expand_variables(text: str, position: Position) -> str:
    """Return a text with its environment variables put in; references stay. Raises ``ConfigError``."""
    return "".join(
        piece if isinstance(piece, str) else str(piece) if piece.variable is None else inside(piece, position)
        for piece in pieces(text, position)
    )


HERE = ("FLAMBE_CWD", "EXPYRUN_CWD")
"""The variables that are the working directory, in a config and for the code that runs (``flambe.runnable.environment``)."""


class Variable(NamedTuple):
    """``${name:-default}``."""

    name: str
    default: str | None

    @property
    def is_secret(self) -> bool:
        """Whether its name says that nobody should read its value."""
        return _SECRET.search(self.name) is not None

    def value(self, position: Position) -> str:
        """Return its text. Raises ``ConfigError`` when there is none."""
        found = os.getcwd() if self.name in HERE else os.environ.get(self.name)
        if found is None and self.default is None:
            raise ConfigError(
                f"the environment has no variable {self.name}",
                rule="unset-variable",
                position=position,
                hint=f"Set it, or write ${{{self.name}:-text}}; for the text itself write $${self.name}, or !P before it.",
            )
        if not found and self.default is not None:
            return expand_variables(self.default, position)
        if found and not found.isascii() and any("\ud800" <= character <= "\udfff" for character in found):
            what = f"the environment variable {self.name} is no UTF-8 text"
            raise ConfigError(what, rule="unset-variable", position=position)
        return found or ""


class Piece(NamedTuple):
    """A reference (variable is None, name is its path) or a variable in a text."""

    name: str
    variable: Variable | None

    def __str__(self) -> str:
        return f"{{{self.name}}}" if self.variable is None else f"${self.name}"


def pieces(text: str, position: Position) -> Iterator[str | Piece]:
    """Yield the parts of a text: literal ones, references and variables. Raises ``ConfigError``."""
    literal: list[str] = []
    last = 0
    for match in _TOKEN.finditer(text):
        literal.append(text[last : match.start()])
        last = match.end()
        piece: Piece | None = None
        after = ""
        if match["path"]:
            left, right = len(match["open"]), len(match["close"])
            doubled, is_one = divmod(min(left, right), 2)
            literal.append("{" * (left - doubled - is_one))
            after = "}" * (right - doubled - is_one)
            if is_one:
                piece = Piece(match["path"], None)
            else:
                literal.append(match["path"])
        else:
            doubled, is_one = divmod(len(match["dollars"]), 2)
            literal.append("$" * doubled)
            if is_one:
                piece = _variable(match["bare"] or match["body"], position)
            else:
                literal.append(match.group()[len(match["dollars"]) :])
        if piece is not None:
            if before := "".join(literal):
                yield before
            literal = []
            yield piece
        literal.append(after)
    literal.append(text[last:])
    if rest := "".join(literal):
        yield rest


def _variable(body: str, position: Position) -> Piece:
    found = _VARIABLE.match(body)
    if found is not None:
        return Piece(found["name"], Variable(found["name"], found["default"]))
    asked = re.fullmatch(r"oc\.env:\s*([A-Za-z_]\w*)\s*(?:,\s*(.*?)\s*)?", body)
    if asked is not None:
        right = f"${{{asked[1]}}}" if asked[2] is None else f"${{{asked[1]}:-{asked[2]}}}"
    else:
        right = f"{{{body}}}" if "." in body and re.fullmatch(PATH, body) else None  # type: ignore[assignment]
    raise ConfigError(
        f"${{{body}}} is no variable",
        rule="malformed-reference",
        position=position,
        expected=None if right else "$NAME, ${NAME}, ${NAME:-text}, or {a.b} for a key of this config",
        hint=f"Write {right}" if right else f"For the text itself write $${{{body}}}, or !P before it.",
    )


def inside(piece: Piece, position: Position) -> str:
    """Return the text of a variable inside of longer text. Raises ``ConfigError`` for a secret."""
    variable = piece.variable
    assert variable is not None
    if variable.is_secret:
        raise secret_inside(variable.name)
    return variable.value(position)


def secret_inside(name: str) -> ConfigError:
    """Return the error of a secret inside of longer text."""
    return ConfigError(
        f"${name} looks like a secret, and would be readable in every spec and log inside of this text",
        rule="secret-in-text",
        hint=f"Let ${name} stand alone as a value: it is read when the object is built, and stored nowhere.",
    )
