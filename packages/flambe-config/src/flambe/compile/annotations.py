"""Annotations as data: what a written value must be, as far as the source of a signature tells.

=============================  =====================================================
form                           meaning
=============================  =====================================================
None                           anything
``"int"`` … ``"none"``         one of int, float, bool, str, bytes, none
``"callable"``                 what can be called: an object or a class, and no data
``["union", a, b, …]``         one of these
``["list", a]``                a list of a
``["tuple", a, b]``            a list of exactly these
``["dict", k, v]``             a mapping
``["literal", 1, "a"]``        one of these values
``["class", "module:Name"]``   an object of the class that ``module`` calls so; a name that is no class means anything;
                               what stands in its brackets follows
``["typevar"]``                what a TypeVar without bounds stands for: anything
``["exact", "module:Name"]``   the same of a class that was found, and of none below it: what a tag makes
``["type", a]``                the class itself
=============================  =====================================================
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from flambe.spec.nodes import BYTES, CONTINUOUS, FILE, FLOAT, GRID, LINK, MAP, NEW, QUNIFORM, kind_of, link_target

Type = Any
_SHORT = 40


class Kinds(Protocol):
    """What is known of objects that are made by tags and reached by links."""

    def fits(self, node: Any, type_: Type) -> bool:
        """Whether what a ``$new`` or ``$link`` node gives may be what ``type_`` asks for."""

    def takes_data(self, type_: Type, *, text: bool = False) -> bool:
        """Whether a number, text, list or mapping may stand where ``["class", …]`` is asked for. text: whether it is a text."""

    def meaning(self, type_: Type) -> Type:
        """What ``["class", …]`` stands for where the name is no class: an alias, a NewType, the bound of a TypeVar."""


def fits(node: Any, type_: Type, kinds: Kinds | None = None) -> bool:
    """Whether a written value may be what the annotation asks for.

    Without ``kinds`` links, and objects that a tag makes, may be nearly anything.
    """
    if type_ is None:
        return True
    kind = kind_of(node)
    if kind == GRID:
        return all(fits(item, type_, kinds) for item in node[GRID])
    if kind in CONTINUOUS:
        return fits(0.5, type_, kinds)
    if kind == QUNIFORM:
        return all(fits(item, type_, kinds) for item in _values(node))
    if kind == NEW:
        # A factory or a function may give a number; an object of a class is none.
        name = node[NEW].rpartition(":")[2]
        if _only_plain(type_) and "." not in name and name[:1].isupper():
            return False
    if kind in (NEW, LINK):
        return kinds is None or kinds.fits(node, type_)
    if kind == FILE:
        return fits("text", type_, kinds)
    if kind not in (None, FLOAT, BYTES, MAP):
        return True
    head = type_[0] if isinstance(type_, list) else type_
    if head == "union":
        return any(fits(node, one, kinds) for one in type_[1:])
    if head == "literal":
        return any(node == value and type(node) is type(value) for value in type_[1:])
    if head == "list":
        return isinstance(node, list) and all(fits(item, type_[1], kinds) for item in node)
    if head == "tuple":
        if not isinstance(node, list) or len(node) != len(type_) - 1:
            return False
        return all(fits(item, one, kinds) for item, one in zip(node, type_[1:], strict=True))
    if head == "class":
        meaning = type_ if kinds is None else kinds.meaning(type_)
        if meaning is not type_:
            return fits(node, meaning, kinds)
        if node is None:
            # What is annotated without "| None" takes null more often than not, but for our own packages, where mypy looks.
            return kinds is None or not str(type_[1]).startswith("flambe.")
        return kinds is None or kinds.takes_data(type_, text=isinstance(node, str))
    if head == "typevar":
        return True
    if head in ("exact", "type"):
        return head == "type" and (node is None or isinstance(node, str))
    if head == "dict":
        if kind == MAP:
            return True
        return isinstance(node, dict) and kind is None and all(fits(item, type_[2], kinds) for item in node.values())
    return _fits_simple(node, head, kind)


def _fits_simple(node: Any, name: str, kind: str | None) -> bool:
    if name in ("none", "callable"):  # what is annotated as callable takes null more often than not
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


def _values(node: dict[str, Any]) -> list[int | float]:
    from flambe.compile.distribution import distribution_of

    return distribution_of(node).values()


def _only_plain(type_: Type) -> bool:
    if isinstance(type_, list):
        return type_[0] == "literal" or (type_[0] == "union" and all(_only_plain(one) for one in type_[1:]))
    return isinstance(type_, str) and type_ != "callable"


def misfits(
    node: Any, type_: Type, path: tuple[str | int, ...] = (), kinds: Kinds | None = None
) -> Iterator[tuple[tuple[str | int, ...], Any, Type]]:
    """Yield (path below the value, the part that does not fit, what it should be), as deep as can be told."""
    if fits(node, type_, kinds):
        return
    type_ = type_ if kinds is None else in_full(type_, kinds)
    kind = kind_of(node)
    head = type_[0] if isinstance(type_, list) else type_
    if kind == GRID:
        for index, item in enumerate(node[GRID]):
            yield from misfits(item, type_, (*path, GRID, index), kinds)
    elif head == "union" and (inner := _only_shape(node, type_)) is not None:
        yield from misfits(node, inner, path, kinds)
    elif head == "list" and isinstance(node, list):
        for index, item in enumerate(node):
            yield from misfits(item, type_[1], (*path, index), kinds)
    elif head == "tuple" and isinstance(node, list) and len(node) == len(type_) - 1:
        for index, item in enumerate(node):
            yield from misfits(item, type_[1 + index], (*path, index), kinds)
    elif head == "dict" and isinstance(node, dict) and kind is None:
        for key, item in node.items():
            yield from misfits(item, type_[2], (*path, key), kinds)
    else:
        yield path, node, type_


def in_full(type_: Type, kinds: Kinds) -> Type:
    """Return a type with what its names stand for: an alias, a NewType, the bound of a TypeVar."""
    if not isinstance(type_, list):
        return type_
    if type_[0] == "class":
        meaning = kinds.meaning(type_)
        return type_ if meaning is type_ else in_full(meaning, kinds)
    if type_[0] == "union":
        flat = []
        for one in type_[1:]:
            full = in_full(one, kinds)
            flat += full[1:] if isinstance(full, list) and full[0] == "union" else [full]
        return ["union", *flat]
    return type_


def _only_shape(node: Any, type_: Type) -> Type:
    """Return the one member of a union that a list or mapping can be meant for, so that its fault is named in detail."""
    found = [
        one
        for one in type_[1:]
        if isinstance(one, list)
        and (
            (isinstance(node, list) and (one[0] == "list" or (one[0] == "tuple" and len(one) == len(node) + 1)))
            or (isinstance(node, dict) and kind_of(node) is None and one[0] == "dict")
        )
    ]
    return found[0] if len(found) == 1 else None


def names_class(type_: Type) -> bool:
    """Whether a class of objects is among what is asked for."""
    return type_ == "callable" or (
        isinstance(type_, list)
        and (type_[0] in ("class", "type") or (type_[0] == "union" and any(map(names_class, type_[1:]))))
    )


def describe(type_: Type) -> str:
    """Return how a person says it: ``int or null``, ``list of text``, ``'lstm', 'gru' or 'sru'``."""
    if not isinstance(type_, list):
        return {
            "none": "null",
            "str": "text",
            "bool": "true or false",
            "float": "a number",
            "int": "an integer",
            "callable": "something to call",
        }.get(type_, str(type_) if type_ else "anything")
    head = type_[0]
    if head == "union":
        options = [one for one in type_[1:] if not (one == "int" and "float" in type_)]
        return _or([words for one in options for words in (choices(one) or [describe(one)])])
    if head == "literal":
        return _or(choices(type_))
    if head == "list":
        return "a list" if type_[1] is None else f"a list of {_plural(describe(type_[1]))}"
    if head == "dict" and type_[2] is not None:
        return f"a mapping to {_plural(describe(type_[2]))}"
    if head == "tuple":
        return f"a list of {len(type_) - 1} values ({', '.join(describe(one) for one in type_[1:])})"
    if head in ("class", "exact"):
        return str(type_[1]).rpartition(":")[2]
    return "a class" if head == "type" else "a mapping"


def choices(type_: Type) -> list[str]:
    """Return each value of a literal type as a message shows it; of other types none."""
    values = type_[1:] if isinstance(type_, list) and type_[0] == "literal" else []
    return [repr(value) if isinstance(value, str) else written(value) for value in values]


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
    if kind == FLOAT:
        return str(node[FLOAT])
    if kind == LINK:
        return f"the link {str(link_target(node))!r}"
    if kind == GRID:
        return "a search"
    if kind is None and isinstance(node, list | dict) and node:
        shown = _flow(node)
        return (
            shown
            if len(shown) <= _SHORT and "$" not in shown
            else f"a {'list' if isinstance(node, list) else 'mapping'}"
        )
    if isinstance(node, list):
        return "an empty list"
    if kind in CONTINUOUS:
        return f"a fraction that !{str(kind)[1:]} draws"
    if kind == QUNIFORM:
        values = _values(node)
        return f"!quniform with the value {next((one for one in values if not isinstance(one, int)), values[0])}"
    if isinstance(node, dict):
        return "a mapping"
    return repr(node)


def _flow(node: Any) -> str:
    """Return plain data as it is written in one line of YAML."""
    if isinstance(node, list):
        return f"[{', '.join(map(_flow, node))}]"
    if isinstance(node, dict):
        return f"{{{', '.join(f'{key}: {_flow(value)}' for key, value in node.items())}}}"
    return node if isinstance(node, str) else written(node)
