"""Annotations as data: what a written value must be, as far as the source of a signature tells.

=============================  =====================================================
form                           meaning
=============================  =====================================================
None                           anything
``"int"`` … ``"none"``         one of int, float, bool, str, bytes, none
``["union", a, b, …]``         one of these
``["list", a]``                a list of a
``["tuple", a, b]``            a list of exactly these
``["dict", k, v]``             a mapping
``["literal", 1, "a"]``        one of these values
=============================  =====================================================
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

from flambe.errors import did_you_mean
from flambe.spec.nodes import BYTES, FILE, FLOAT, GRID, MAP, NEW, kind_of

Type = Any

_SIMPLE = {"int", "float", "bool", "str", "bytes"}
_LISTS = {
    "list", "List", "Sequence", "Iterable", "Collection", "MutableSequence", "set", "Set", "frozenset", "FrozenSet",
    "AbstractSet", "Container", "deque", "Deque",
}  # fmt: skip
_DICTS = {"dict", "Dict", "Mapping", "MutableMapping", "OrderedDict", "DefaultDict", "defaultdict"}


def read_annotation(node: ast.expr) -> Type:
    """Return the form of an annotation; None for all that it cannot tell about written values (classes, callables)."""
    if isinstance(node, ast.Constant):
        if node.value is None:
            return "none"
        if isinstance(node.value, str):
            try:
                return read_annotation(ast.parse(node.value, mode="eval").body)
            except (SyntaxError, ValueError, RecursionError):
                return None
        return None
    if isinstance(node, ast.Name | ast.Attribute):
        name = node.id if isinstance(node, ast.Name) else node.attr
        if name in _SIMPLE:
            return name
        if name in _LISTS:
            return ["list", None]
        if name in ("tuple", "Tuple"):
            return ["list", None]
        return ["dict", None, None] if name in _DICTS else None
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return _union([read_annotation(node.left), read_annotation(node.right)])
    if isinstance(node, ast.Subscript):
        return _subscript(node)
    return None


def _subscript(node: ast.Subscript) -> Type:
    head = node.value
    name = head.id if isinstance(head, ast.Name) else head.attr if isinstance(head, ast.Attribute) else ""
    inner = list(node.slice.elts) if isinstance(node.slice, ast.Tuple) else [node.slice]
    if name == "Optional":
        return _union([read_annotation(inner[0]), "none"])
    if name == "Union":
        return _union([read_annotation(part) for part in inner])
    if name == "Literal":
        values = [part.value for part in inner if isinstance(part, ast.Constant)]
        plain = all(isinstance(value, str | int | bool | None) for value in values)
        return ["literal", *values] if plain and len(values) == len(inner) else None
    if name == "Annotated":
        return read_annotation(inner[0])
    if name in _LISTS:
        return ["list", read_annotation(inner[0])]
    if name in ("tuple", "Tuple"):
        if len(inner) == 2 and isinstance(inner[1], ast.Constant) and inner[1].value is Ellipsis:
            return ["list", read_annotation(inner[0])]
        return ["tuple", *(read_annotation(part) for part in inner)]
    if name in _DICTS:
        types = [read_annotation(part) for part in inner]
        return ["dict", *types] if len(types) == 2 else ["dict", None, None]
    return None


def _union(types: list[Type]) -> Type:
    if any(one is None for one in types):
        return None
    flat: list[Type] = []
    for one in types:
        for part in one[1:] if isinstance(one, list) and one[0] == "union" else [one]:
            if part not in flat:
                flat.append(part)
    return flat[0] if len(flat) == 1 else ["union", *flat]


def or_none(type_: Type) -> Type:
    """Return the form of ``type_ | None``, which a default of None means."""
    return _union([type_, "none"])


def fits(node: Any, type_: Type) -> bool:
    """Whether a written value may be what the annotation asks for. Links and objects made by a tag may be anything."""
    if type_ is None:
        return True
    kind = kind_of(node)
    if kind == GRID:
        return all(fits(item, type_) for item in node[GRID])
    if kind == NEW:
        # A factory or a function may give a number; an object of a class is none.
        name = node[NEW].rpartition(":")[2]
        return not _only_plain(type_) or "." in name or not name[:1].isupper()
    if kind == FILE:
        return fits("text", type_)
    if kind not in (None, FLOAT, BYTES, MAP):
        return True
    head = type_[0] if isinstance(type_, list) else type_
    if head == "union":
        return any(fits(node, one) for one in type_[1:])
    if head == "literal":
        return any(node == value and type(node) is type(value) for value in type_[1:])
    if head == "list":
        return isinstance(node, list) and all(fits(item, type_[1]) for item in node)
    if head == "tuple":
        return isinstance(node, list) and len(node) == len(type_) - 1 and all(map(fits, node, type_[1:]))
    if head == "dict":
        if kind == MAP:
            return True
        return isinstance(node, dict) and kind is None and all(fits(item, type_[2]) for item in node.values())
    return _fits_simple(node, head, kind)


def _fits_simple(node: Any, name: str, kind: str | None) -> bool:
    if name == "none":
        return node is None
    if name == "bool":
        return isinstance(node, bool)
    if name == "int":
        return isinstance(node, int) and not isinstance(node, bool)
    if name == "float":
        return kind == FLOAT or (isinstance(node, int | float) and not isinstance(node, bool))
    if name == "bytes":
        return kind == BYTES
    return isinstance(node, str)


def _only_plain(type_: Type) -> bool:
    if isinstance(type_, list):
        return type_[0] == "literal" or (type_[0] == "union" and all(_only_plain(one) for one in type_[1:]))
    return isinstance(type_, str)


def misfits(
    node: Any, type_: Type, path: tuple[str | int, ...] = ()
) -> Iterator[tuple[tuple[str | int, ...], Any, Type]]:
    """Yield (path below the value, the part that does not fit, what it should be), as deep as can be told."""
    if fits(node, type_):
        return
    kind = kind_of(node)
    head = type_[0] if isinstance(type_, list) else type_
    if kind == GRID:
        for index, item in enumerate(node[GRID]):
            yield from misfits(item, type_, (*path, GRID, index))
    elif head == "list" and isinstance(node, list):
        for index, item in enumerate(node):
            yield from misfits(item, type_[1], (*path, index))
    elif head == "tuple" and isinstance(node, list) and len(node) == len(type_) - 1:
        for index, item in enumerate(node):
            yield from misfits(item, type_[1 + index], (*path, index))
    elif head == "dict" and isinstance(node, dict) and kind is None:
        for key, item in node.items():
            yield from misfits(item, type_[2], (*path, key))
    else:
        yield path, node, type_


def describe(type_: Type) -> str:
    """Return how a person says it: ``int or null``, ``list of text``, ``'lstm', 'gru' or 'sru'``."""
    if not isinstance(type_, list):
        return {"none": "null", "str": "text", "bool": "true or false", "float": "a number", "int": "an integer"}.get(
            type_, str(type_) if type_ else "anything"
        )
    head = type_[0]
    if head == "union":
        return _or([describe(one) for one in type_[1:]])
    if head == "literal":
        return _or([repr(value) if isinstance(value, str) else written(value) for value in type_[1:]])
    if head == "list":
        return "a list" if type_[1] is None else f"a list of {_plural(describe(type_[1]))}"
    if head == "tuple":
        return f"a list of {len(type_) - 1} values ({', '.join(describe(one) for one in type_[1:])})"
    return "a mapping"


def _plural(text: str) -> str:
    return {"an integer": "integers", "a number": "numbers"}.get(text, text)


def _or(words: list[str]) -> str:
    unique = list(dict.fromkeys(words))
    return unique[0] if len(unique) == 1 else f"{', '.join(unique[:-1])} or {unique[-1]}"


def written(node: Any) -> str:
    """Return a value as a message shows it: with what it is, where its look does not tell."""
    kind = kind_of(node)
    if kind == NEW:
        return f"an object of {str(node[NEW]).rpartition(':')[2]}"
    if isinstance(node, bool) or node is None:
        return {True: "true", False: "false", None: "null"}[node]
    if isinstance(node, str):
        return f"the text {node!r}"
    if isinstance(node, list):
        return "a list" if node else "an empty list"
    if kind == FLOAT:
        return str(node[FLOAT])
    if isinstance(node, dict):
        return "a mapping"
    return repr(node)


def advice(node: Any, type_: Type) -> str | None:
    """Return what to do about a value that does not fit, where that is clear."""
    options = type_[1:] if isinstance(type_, list) and type_[0] == "union" else [type_]
    if isinstance(node, str):
        literals = [v for one in options if isinstance(one, list) and one[0] == "literal" for v in one[1:]]
        if literals:
            return did_you_mean(node, [value for value in literals if isinstance(value, str)])
        if node.lower() in ("yes", "no", "on", "off", "y", "n") and "bool" in options:
            return f"Write {'true' if node.lower() in ('yes', 'on', 'y') else 'false'}."
        if node.lower() in ("none", "nil") and "none" in options:
            return "Write null."
        bare = node.replace("_", "")
        if ("int" in options or "float" in options) and bare.lstrip("+-").isdigit():
            return f"Write {int(bare)}." if bare != node else "Remove the quotes."
    elif isinstance(node, float) and node.is_integer() and "int" in options:
        return f"Write {int(node)}."
    elif isinstance(node, int | float) and "str" in options:
        return "Put it in quotes."
    return None
