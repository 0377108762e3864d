"""The parts of an object: which objects below it are saved on their own, and which tensors belong to whom.

A *part* is a ``Component``, or a module (of an installed codec) that a tag built. Parts are found in attributes, in lists,
tuples and maps that are attributes, and among the children of modules. A module that no tag built is no part: its
tensors belong to the part it was found in.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Container, Iterator
from typing import Any, NamedTuple

import numpy as np

from flambe.build.component import ATTRS, Component
from flambe.build.made import MADE, arguments_of, made_of
from flambe.spec.hooks import Codec, codecs_in_use

_ATOMS = frozenset({type(None), bool, int, float, str, bytes, np.ndarray})
_MODULE_TABLES = frozenset({"_modules", "_parameters", "_buffers", MADE, ATTRS})
ARGUMENT = "arg-"


class Inner(NamedTuple):
    """A module whose tensors belong to a part. prefix: ``""`` for the part itself, else its place in it, with a dot."""

    prefix: str
    codec: Codec
    module: Any


class Part(NamedTuple):
    """One part. place: names from the root down to it (``("model", "layers.0")``); children: its own direct parts."""

    place: tuple[str, ...]
    value: Any
    inner: list[Inner]
    children: list[str]

    @property
    def folder(self) -> str:
        """Its folder, relative to that of the root; empty for the root."""
        return "/".join(self.place)

    @property
    def key(self) -> str:
        """What its keys in a flat state begin with."""
        return "".join(f"{name}." for name in self.place)


def parts_of(root: Any, *, stop: Container[int] = (), arguments: bool = False) -> list[Part]:
    """Return the parts of ``root``, itself first, each once, in the order of their attributes.

    stop: ids of objects to leave out with all that is below them. arguments: also look into the recorded arguments, for
    parts that a constructor took and did not keep.
    """
    return _Search(stop, arguments).run(root)


class _Search:
    def __init__(self, stop: Container[int], arguments: bool) -> None:
        self._stop = stop
        self._arguments = arguments
        self._codecs = tuple(codecs_in_use().values())
        # Values, not ids alone: nothing seen may be freed, or its id could come again.
        self._seen: dict[int, Any] = {}
        self._parts: list[Part] = []

    def run(self, root: Any) -> list[Part]:
        self._add(root, ())
        return self._parts

    def _codec(self, value: Any) -> Codec | None:
        return next((codec for codec in self._codecs if codec.is_module(value)), None)

    def _add(self, value: Any, place: tuple[str, ...]) -> None:
        part = Part(place, value, [], [])
        self._seen[id(value)] = value
        self._parts.append(part)
        self._look_into(value, "", part)
        if self._arguments:
            for name, argument in (arguments_of(value) or {}).items():
                self._handle(argument, name if name not in part.children else ARGUMENT + name, part)

    def _look_into(self, owner: Any, prefix: str, part: Part) -> None:
        codec = self._codec(owner)
        if codec is not None:
            part.inner.append(Inner(prefix, codec, owner))
        for name, value in _attributes(owner):
            self._handle(value, prefix + name, part)
        if codec is not None:
            for name, child in codec.children(owner):
                self._handle(child, prefix + name, part)

    def _handle(self, value: Any, name: str, part: Part) -> None:
        if type(value) in _ATOMS or id(value) in self._seen or id(value) in self._stop:
            return
        if isinstance(value, dict):
            self._seen[id(value)] = value
            for key, item in value.items():
                self._handle(item, f"{name}.{quote(key)}", part)
        elif isinstance(value, list | tuple):
            self._seen[id(value)] = value
            for index, item in enumerate(value):
                if type(item) not in _ATOMS:
                    self._handle(item, f"{name}.{index}", part)
        elif isinstance(value, Component) or (made_of(value) is not None and self._codec(value) is not None):
            part.children.append(name)
            self._add(value, (*part.place, name))
        elif self._codec(value) is not None:
            self._seen[id(value)] = value
            self._look_into(value, f"{name}.", part)


def is_part(value: Any) -> bool:
    """Whether ``value`` would be saved on its own."""
    if isinstance(value, Component):
        return True
    return made_of(value) is not None and any(codec.is_module(value) for codec in codecs_in_use().values())


def quote(key: Any) -> str:
    """Return a key as it stands in the name of a part: neither ``.`` nor what a folder name cannot hold."""
    return urllib.parse.quote(str(key), safe=" ").replace(".", "%2E")


def child_at(value: Any, name: str) -> Any:
    """Return the part called ``name`` below ``value``, None when it is not there."""
    for step in name.split("."):
        if isinstance(value, dict):
            key = urllib.parse.unquote(step)
            value = next((item for known, item in value.items() if str(known) == key), None)
        elif isinstance(value, list | tuple):
            value = value[int(step)] if step.isdecimal() and int(step) < len(value) else None
        else:
            value = getattr(value, urllib.parse.unquote(step), None)
    return value


def _attributes(owner: Any) -> Iterator[tuple[str, Any]]:
    for name, value in list(getattr(owner, "__dict__", {}).items()):
        if name not in _MODULE_TABLES:
            yield name, value


__all__ = ["Inner", "Part", "child_at", "is_part", "parts_of", "quote"]
