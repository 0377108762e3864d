"""Kinds of objects in the words of a message: what came, and what was expected."""

from __future__ import annotations

from typing import Any

from flambe.build.link import create_link_str
from flambe.compile.annotations import Type, choices, describe
from flambe.compile.kinds import Kinds, head
from flambe.compile.library import Library
from flambe.spec.nodes import LINK, NEW, kind_of, link_target


def came(node: Any, kinds: Kinds) -> str:
    """Return what a ``$new`` or ``$link`` node gives, as a message says it."""
    if kind_of(node) == LINK:
        target = link_target(node)
        return f"the link {create_link_str(target.path, target.attr)!r} gives {_said(kinds.yields(node))}"
    given = kinds.yields(node)
    name = str(node[NEW]).rpartition(":")[2]
    return (
        f"{_with_article(name)} came" if head(given) == "exact" and "." not in name else f"{name} gives {_said(given)}"
    )


def _said(type_: Type) -> str:
    words = describe(type_) if type_ is not None else "something else"
    first = type_[1] if head(type_) == "union" else type_
    return _with_article(words) if head(first) in ("class", "exact") else words


def wanted_name(type_: Type, library: Library, kinds: Kinds) -> str:
    """Return how a message says what was expected: with the module of a library's class, with what a protocol asks for."""
    parts = _either(type_, kinds)
    parts = [one for one in parts if not (one == "int" and "float" in parts)]
    words = [
        word
        for one in parts
        for word in choices(one)
        or [_protocol(one, kinds) or _public(str(one[1]), library) if head(one) == "class" else describe(one)]
    ]
    unique = list(dict.fromkeys(words))
    return unique[0] if len(unique) == 1 else f"{', '.join(unique[:-1])} or {unique[-1]}"


def _either(type_: Type, kinds: Kinds) -> list[Type]:
    """Return the types of a union; what is called by one name is taken apart if a protocol is among them."""
    if head(type_) == "union":
        return [part for one in type_[1:] for part in _either(one, kinds)]
    if head(type_) == "class" and head(meaning := kinds.meaning(type_)) == "union":
        parts = _either(meaning, kinds)
        if any(head(one) == "class" and _protocol(one, kinds) for one in parts):
            return parts
    return [type_]


def _protocol(type_: Type, kinds: Kinds) -> str:
    """Return what an object of a protocol has, in words; nothing for a class that is none."""
    names = kinds.asked_by(type_[1])
    if not names:
        return ""
    if names == ["__call__"]:
        return "something to call"
    return "an object with " + (f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0])


def _public(name: str, library: Library) -> str:
    """Return the dotted name by which the source imported a class; of our own and the user's own the last part."""
    module, _, rest = name.partition(":")
    info = library.module(module)
    head, _, tail = rest.partition(".")
    if info is not None and head in info.imports:
        origin, _, attribute = info.imports[head].partition(":")
        dotted = ".".join(part for part in (origin, attribute, tail) if part)
    else:
        dotted = f"{module}.{rest}"
    return dotted.rpartition(".")[2] if dotted.startswith("flambe.") else dotted


def _with_article(name: str) -> str:
    vowels = "AEFHILMNORSX" if name[1:2].isupper() else "AEIOU"  # an SSTDataset
    return f"{'an' if name[:1] in vowels else 'a'} {name}"
