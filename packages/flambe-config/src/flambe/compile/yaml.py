"""YAML text → a tree that knows where everything was written; nothing is imported, nothing is run.

Scalars follow YAML 1.2: ``1e-3`` is a float; ``no``, ``yes``, ``on`` and dates are text. Aliases stay visible in
the tree (``Alias``), so they cost nothing until they are followed, and a bomb of them is noticed by who follows.

``load`` and ``dump`` are the documented Python doors: text ↔ ``Schema``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any

from yaml.cyaml import CParser  # type: ignore[attr-defined]
from yaml.error import MarkedYAMLError, YAMLError
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from flambe.errors import ConfigError, Position

if TYPE_CHECKING:
    from flambe.build.schema import Schema

STANDARD = "tag:yaml.org,2002:"
DEEPEST = 100
LARGEST = 32 * 2**20


class Node:
    """A value in a YAML file. tag: as written (``!Trainer``, ``tag:yaml.org,2002:str``) or None."""

    __slots__ = ("position", "tag")

    def __init__(self, tag: str | None, position: Position) -> None:
        self.tag = tag
        self.position = position


class Scalar(Node):
    """A single value. plain: written without quotes, so that ``5`` means a number.

    inner: how many columns after ``position`` (of the tag, where it has one) the text begins.
    """

    __slots__ = ("inner", "plain", "text")

    def __init__(self, tag: str | None, position: Position, text: str, plain: bool, inner: int = 0) -> None:
        super().__init__(tag, position)
        self.text = text
        self.plain = plain
        self.inner = inner


class Sequence(Node):
    """A list."""

    __slots__ = ("items",)

    def __init__(self, tag: str | None, position: Position) -> None:
        super().__init__(tag, position)
        self.items: list[Node] = []


class Mapping(Node):
    """A mapping, in file order."""

    __slots__ = ("items",)

    def __init__(self, tag: str | None, position: Position) -> None:
        super().__init__(tag, position)
        self.items: list[tuple[Node, Node]] = []


class Alias(Node):
    """``*name``: the same value again."""

    __slots__ = ("name", "target")

    def __init__(self, position: Position, name: str, target: Node) -> None:
        super().__init__(None, position)
        self.name = name
        self.target = target


def bared(node: Node) -> Node:
    """Return what an alias names; any other node as it is."""
    return node.target if isinstance(node, Alias) else node


def text_of(node: Node) -> str | None:
    """Return the text of a single value, None of anything else."""
    bare = bared(node)
    return bare.text if isinstance(bare, Scalar) else None


def child(node: Node, name: str) -> Node | None:
    """Return the value of a mapping's key, or the item of a list whose index ``name`` is."""
    bare = bared(node)
    if isinstance(bare, Mapping):
        return next((value for key, value in bare.items if text_of(key) == name), None)
    if isinstance(bare, Sequence) and name.isdecimal() and len(name) < 10 and int(name) < len(bare.items):
        return bare.items[int(name)]
    return None


def each(tree: Node) -> Iterator[Node]:
    """Yield every value of a tree, itself first, in file order. What aliases bring again is left out."""
    todo = [tree]
    while todo:
        node = todo.pop()
        yield node
        if isinstance(node, Mapping):
            todo += [value for _, value in reversed(node.items)]
        elif isinstance(node, Sequence):
            todo += reversed(node.items)


def describe(node: Node) -> str:
    """Return what a node holds, as a message says it."""
    if isinstance(node, Sequence):
        return "a list"
    if isinstance(node, Mapping):
        return "a mapping"
    return f"{node.text!r}" if isinstance(node, Scalar) and node.text else "nothing"


def documents(text: str, file: str, *, place: type[Position] = Position) -> list[Node]:
    """Return the documents of a YAML text as trees. place: the class of its positions.

    Raises ``ConfigError`` with the position of the first thing that is no YAML, that nests more than 100 deep, or
    that names an anchor which does not stand above.
    """
    if len(text) > LARGEST:
        raise ConfigError(f"{file} has {len(text):,} characters", rule="too-large", expected=f"at most {LARGEST:,}")
    try:
        # libyaml wants encodable text; a lone surrogate would leave it as another kind of error.
        data = text.encode()
    except UnicodeEncodeError as error:
        raise ConfigError(f"{file} is not UTF-8 text: {error.reason}", rule="unreadable-file") from error
    try:
        return list(_documents(CParser(data), file, place))
    except MarkedYAMLError as error:
        from flambe.compile.syntax import syntax_error

        raise syntax_error(error, text, file, place) from error
    except YAMLError as error:
        reason = getattr(error, "reason", None) or str(error).splitlines()[0]
        position = _where(text, getattr(error, "position", 0) or 0, file, place)
        raise ConfigError(f"this is no YAML: {reason}", rule="yaml-syntax", position=position) from error


def _documents(parser: Any, file: str, place: type[Position]) -> Iterator[Node]:
    anchors: dict[str, Node] = {}
    open_nodes: list[Sequence | Mapping] = []
    keys: list[Node | None] = []  # for every open mapping the key whose value comes next
    while parser.check_event():
        event = parser.get_event()
        kind = type(event)
        node: Node
        if kind is ScalarEvent:
            mark = event.start_mark
            position = place(file, mark.line + 1, mark.column + 1)
            tag = event.tag
            inner = 0
            if tag is not None and event.end_mark.line == mark.line:
                inner = max(event.end_mark.column - len(event.value) - bool(event.style) - mark.column, 0)
            node = Scalar(None if tag == "!" else tag, position, event.value, not event.style and tag != "!", inner)
        elif kind is MappingStartEvent or kind is SequenceStartEvent:
            mark = event.start_mark
            position = place(file, mark.line + 1, mark.column + 1)
            tag = None if event.tag == "!" else event.tag
            node = Mapping(tag, position) if kind is MappingStartEvent else Sequence(tag, position)
        elif kind is AliasEvent:
            mark = event.start_mark
            position = place(file, mark.line + 1, mark.column + 1)
            if event.anchor not in anchors:
                what = f"the alias *{event.anchor} has no anchor &{event.anchor} above it"
                raise ConfigError(what, rule="unknown-anchor", position=position)
            target = anchors[event.anchor]
            if any(target is parent for parent in open_nodes):
                what = f"the alias *{event.anchor} stands inside what it names"
                raise ConfigError(what, rule="unknown-anchor", position=position)
            node = Alias(position, event.anchor, target)
        elif kind is SequenceEndEvent or kind is MappingEndEvent:
            node = open_nodes.pop()
            keys.pop()
            if not open_nodes:
                yield node
            continue
        else:
            if kind is DocumentStartEvent:
                anchors.clear()
            continue
        if kind is not AliasEvent and event.anchor is not None:
            anchors[event.anchor] = node
        if open_nodes:
            parent = open_nodes[-1]
            if type(parent) is Mapping:
                key = keys[-1]
                if key is None:
                    keys[-1] = node
                else:
                    parent.items.append((key, node))
                    keys[-1] = None
            else:
                parent.items.append(node)  # type: ignore[arg-type]
        elif kind is ScalarEvent:
            yield node
        if isinstance(node, Mapping | Sequence):
            if len(open_nodes) >= DEEPEST:
                raise ConfigError(f"this nests more than {DEEPEST} deep", rule="too-large", position=node.position)
            open_nodes.append(node)
            keys.append(None)


def _where(text: str, index: int, file: str, place: type[Position]) -> Position:
    before = text[:index]
    return place(file, before.count("\n") + 1, index - (before.rfind("\n") + 1) + 1)


_INT = re.compile(r"[-+]?[0-9]+\Z")
_OCT = re.compile(r"0o[0-7]+\Z")
_HEX = re.compile(r"0x[0-9a-fA-F]+\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_WORDS: dict[str, Any] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
    ".nan": float("nan"), ".NaN": float("nan"), ".NAN": float("nan"),
}  # fmt: skip
for _sign in ("", "+", "-"):
    for _word in ("inf", "Inf", "INF"):
        _WORDS[f"{_sign}.{_word}"] = float(f"{_sign}inf")


def plain_value(text: str) -> Any:
    """Return what an unquoted scalar means in YAML 1.2 (core schema): None, bool, int, float or text."""
    if text in _WORDS:
        return _WORDS[text]
    if not text or text[0] not in "+-.0123456789":
        return text
    if len(text) < 1000:  # longer ones are text: Python refuses to read integers of thousands of digits
        if _INT.match(text):
            return int(text)
        if _FLOAT.match(text):
            return float(text)
        if _OCT.match(text):
            return int(text[2:], 8)
        if _HEX.match(text):
            return int(text, 16)
    return text


_FILE = re.compile(r"[^\s!#\[{]+\.ya?ml\Z")


def value_of(node: Scalar) -> Any:
    """Return what a single value without a tag means: None, bool, int, float or text."""
    return plain_value(node.text) if node.plain else node.text


def load(source: str | IO[str]) -> Schema | Any:
    """Return the Schema that a YAML text or stream describes; plain data may hold Schemas.

    source: a single word that ends in ``.yaml`` or ``.yml`` is the path of a file.

    Runnables (``!Experiment``) and other ``Registrable`` classes are made at once, with Schemas below them. Tags that this
    process registered come before the installed ones. A component that is aliased is one Schema.
    Raises ``ConfigFaults`` with every fault, FileNotFoundError for a path that is none.
    """
    from flambe.build.schema_node import value_as_written
    from flambe.compile.value import read_value

    if isinstance(source, str) and _FILE.match(source):
        with open(source, encoding="utf-8") as stream:
            return load(stream)
    text = source if isinstance(source, str) else source.read()
    name = getattr(source, "name", None)
    return value_as_written(read_value(text, file=name if isinstance(name, str) else None))


def dump(obj: Any, stream: IO[str] | None = None) -> str | None:
    """Write a Schema, an object that remembers its arguments, or plain data as YAML; return the text without a stream.

    Tags, links and anchors are as in the text that it was read from, and for a Schema comments too. The header names the
    extensions that are used.
    """
    from flambe.compile.dump import object_to_yaml, with_header

    text = with_header(object_to_yaml(obj), obj)
    if stream is None:
        return text
    stream.write(text)
    return None
