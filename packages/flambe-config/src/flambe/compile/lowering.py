"""A YAML tree → node forms of the spec: tags become ``$new``, links ``$link``, search tags ``$grid``.

Every fault is collected, none is raised: what is wrong becomes a ``$fault`` node that later checks step over.
"""

from __future__ import annotations

import base64
import binascii
import copy
from collections.abc import Callable, Collection
from typing import Any

from flambe.compile.library import Library
from flambe.compile.reference import LINK_TAGS, file, link, variable
from flambe.compile.tags import resolve
from flambe.compile.yaml import STANDARD, Alias, Mapping, Node, Scalar, Sequence, plain_value
from flambe.errors import ConfigError, Faults, Notice, Position, did_you_mean
from flambe.spec.codec import escape
from flambe.spec.nodes import ARGS, BYTES, ENV, FILE, MAP, NEW, SEARCHES, YAML, LinkTarget, link_node

FAULT = "$fault"
GRID_TAGS = ("g", "GridSearchOptions", "choice")
SAMPLE_TAGS = ("s", "SampledUniformSearchOptions")
DISTRIBUTIONS = ("uniform", "normal", "beta", "quniform")
SEARCH_TAGS = (*GRID_TAGS, *SAMPLE_TAGS, *DISTRIBUTIONS, "seeds")
FORMS = (*LINK_TAGS, *SEARCH_TAGS, "file", "env", "cluster", "required", "$", "PickledDataLink")
OWN_TAGS = ("@", "g", "s", "link", "ref", "call", "copy", "choice", *DISTRIBUTIONS, "seeds", "file", "env", "required",
            "Experiment", "Pipeline", "Search")  # fmt: skip

# Copies that aliases make; real files make a few, a bomb makes billions.
MOST_COPIES = 100_000

Where = tuple[str | int, ...]


class Place:
    """Where a value is in the spec. at: its JSON path. config: its path as a link writes it (None: outside of stages).

    choices: the JSON paths of the search nodes around it.
    """

    __slots__ = ("at", "choices", "config")

    def __init__(self, at: Where, config: Where | None, choices: tuple[Where, ...] = ()) -> None:
        self.at = at
        self.config = config
        self.choices = choices

    def below(self, *keys: str | int, config: str | int) -> Place:
        inner = None if self.config is None else (*self.config, config)
        return Place((*self.at, *keys), inner, self.choices)


class Lowering:
    """Lowers the trees of one config.

    library, extensions: what tags may name. folder: what paths of ``!file`` are relative to. files: name → path of
    files that the config declares. seed: for ``!s``. link_root: what a link's first name means: returns the path it
    stands for, a ready ``$file`` node, or None for an undeclared name. registered: what this process adds to the tags;
    with it an aliased component is one and the same dict, without it a link to the first.
    """

    def __init__(
        self,
        library: Library,
        *,
        extensions: dict[str, str],
        folder: str,
        files: dict[str, str],
        seed: int,
        link_root: Callable[[str], Where | dict[str, Any] | None],
        registered: Callable[[str], str | None] | None = None,
    ) -> None:
        self.library = library
        self.extensions = extensions
        self.folder = folder
        self.files = files
        self.seed = seed
        self.link_root = link_root
        self.registered = registered
        self.faults: list[ConfigError] = Faults()
        self.warnings: list[Notice] = []
        self.places: dict[Where, Position] = {}
        self.keys: dict[Where, Position] = {}
        self.quiet: set[Where] = set()  # plain items of lists: their list's place says enough
        self._first: dict[int, Place] = {}
        self._made: dict[int, dict[str, Any]] = {}
        self.endless: list[Place] = []  # what has no list of values: somebody has to draw from it
        self._copies = 0
        self.drawn = 0  # values of searches
        self._inside_alias = 0

    def fault(
        self, position: Position | None, what: str, *, rule: str = "invalid-value", **more: str | None
    ) -> dict[str, Any]:
        """Note a fault and return the node that stands in its place."""
        self.faults.append(ConfigError(what, rule=rule, position=position, **more))
        return {FAULT: True}

    def unknown(self, position: Position, what: str, name: str, known: Collection[str], rule: str) -> dict[str, Any]:
        """Note that ``name`` is none of ``known``, with what was probably meant."""
        hint = did_you_mean(name, known)
        expected = None if hint else f"one of {', '.join(known)}"
        return self.fault(position, what, rule=rule, expected=expected, hint=hint)

    def note(self, error: ConfigError, position: Position) -> dict[str, Any]:
        """Note an error as a fault at ``position`` and return the node that stands in its place."""
        error.position = position
        self.faults.append(error)
        return {FAULT: True}

    def warn(self, position: Position, what: str, rule: str = "unused-value") -> None:
        """Note what is probably meant otherwise."""
        self.warnings.append(Notice(what, rule, position))

    def key_of(self, place: Place) -> str:
        """Return the key of a value as an override writes it."""
        path = place.config or place.at
        start = max((i for i, key in enumerate(path) if self.link_root(str(key)) == path[: i + 1]), default=0)
        return ".".join(map(str, path[start:]))

    # Values ------------------------------------------------------------------------------------------------------

    def value(self, node: Node, place: Place) -> Any:
        """Return the node form of a tree."""
        self.places[place.at] = node.position
        if isinstance(node, Alias):
            return self._alias(node, place)
        if self._inside_alias:
            # What a copy takes: a long text more than a number.
            self._copies += 1 + (len(node.text) >> 6 if isinstance(node, Scalar) else 0)
            if self._copies > MOST_COPIES:
                raise ConfigError("aliases make this file too large", rule="too-large", position=node.position)
        tag = node.tag
        if tag is None or tag.startswith(STANDARD):
            return self._data(node, place)
        name = tag.removeprefix("!")
        if name == FAULT:
            return {FAULT: True}  # a reference that is wrong, which is noted already
        if name in LINK_TAGS:
            return link(node, name, self)
        if name in SEARCH_TAGS:
            from flambe.compile.search_tag import search_node

            return search_node(node, name, place, self)
        if name == "file":
            return file(node, self)
        if name == "env":
            return variable(node, self)
        if name == "cluster":
            what = "!cluster stands only in the resources of an experiment"
            hint = "Name the file there, files: !cluster /path, and link to the name: !@ files."
            return self.fault(node.position, what, rule="invalid-value", hint=hint)
        if name == "required":
            what = "there is no value here yet"
            hint = f"Write one in its place, or give it on the command line: {self.key_of(place)}=VALUE."
            return self.fault(node.position, what, rule="required-value", hint=hint)
        if name in ("$", "PickledDataLink"):
            what = f"!{name} refers to pickled data, which is never read"
            return self.fault(node.position, what, rule="invalid-value")
        return self._component(node, name, place)

    def _alias(self, alias: Alias, place: Place) -> Any:
        self._inside_alias += 1
        value = self.value(alias.target, place)
        self._inside_alias -= 1
        self.places[place.at] = alias.position
        return value

    def _made_before(self, node: Node, place: Place) -> dict[str, Any] | None:
        """Return what stands for a component that an alias brought here and that was made at its first place."""
        if self.registered is not None:
            return self._made.get(id(node))
        first = self._first.get(id(node))
        if first is None or first.config is None or place.config is None:
            return None
        # A stage is an object of its own, and what is one of several choices exists in that choice only.
        if len(place.config) == 1 or place.choices[: len(first.choices)] != first.choices:
            return None
        return link_node(LinkTarget(first.config))

    def _data(self, node: Node, place: Place) -> Any:
        kind = (node.tag or "").removeprefix(STANDARD)
        if isinstance(node, Scalar):
            return self._scalar(node, kind)
        if isinstance(node, Sequence):
            if kind not in ("", "seq"):
                return self.fault(node.position, f"!!{kind} cannot hold a list", rule="invalid-scalar")
            result = []
            for index, item in enumerate(node.items):
                below = place.below(index, config=index)
                result.append(self.value(item, below))
                if isinstance(item, Scalar) and item.tag is None:
                    self.quiet.add(below.at)
            return result
        assert isinstance(node, Mapping)
        if kind.startswith("python/"):
            what = f"!!{kind} makes objects of Python, which reading a config never does"
            return self.fault(
                node.position, what, rule="invalid-scalar", hint="A component is written !Name or !module.Name."
            )
        if kind not in ("", "map", "omap"):
            return self.fault(node.position, f"!!{kind} cannot hold a mapping", rule="invalid-scalar")
        return self._mapping(node, place)

    def _scalar(self, node: Scalar, kind: str) -> Any:
        value: Any = plain_value(node.text) if node.plain or kind in ("int", "float", "bool", "null") else node.text
        if kind == "str":
            return node.text
        if kind == "binary":
            try:
                raw = base64.b64decode("".join(node.text.split()), validate=True)
            except (binascii.Error, ValueError) as error:
                return self.fault(node.position, f"this is no base64: {error}", rule="invalid-scalar")
            return {BYTES: base64.b64encode(raw).decode()}
        if kind == "float" and type(value) is int:
            try:
                value = float(value)
            except OverflowError:
                what = f"the number {node.text} is too large"
                return self.fault(node.position, what, rule="too-large", expected="at most 1.8e308")
        wanted = {"int": int, "float": float, "bool": bool, "null": type(None), "": object}.get(kind)
        if wanted is None:
            return self.fault(node.position, f"!!{kind} is no tag of plain YAML 1.2 data", rule="invalid-scalar")
        if not (type(value) is wanted or wanted is object):
            words = {"int": "an integer", "float": "a number", "bool": "true or false", "null": "null"}[kind]
            what = f"!!{kind} stands before {node.text!r}"
            return self.fault(node.position, what, rule="invalid-scalar", expected=words)
        if type(value) is int and not -(2**63) <= value < 2**64:
            what = f"the integer {node.text} is too large"
            return self.fault(node.position, what, rule="too-large", expected="at most 64 bits")
        return escape(value)

    def _mapping(self, node: Mapping, place: Place) -> Any:
        pairs = self.pairs(node)
        if all(isinstance(key, str) and not key.startswith("$") for key, _, _ in pairs):
            result: dict[str, Any] = {}
            for key, key_node, item in pairs:
                below = place.below(key, config=key)
                self.keys[below.at] = key_node.position
                result[key] = self.value(item, below)
            return result
        found: list[list[Any]] = []
        for index, (key, _, item) in enumerate(pairs):
            value = self.value(item, Place((*place.at, MAP, index, 1), None))
            if not _is_plain(value):
                return self.fault(
                    item.position,
                    "a mapping whose keys are not all plain text cannot hold tags",
                    rule="invalid-key",
                    hint="Quote its keys.",
                )
            found.append([key, value])
        return {MAP: found}

    def pairs(self, node: Mapping) -> list[tuple[Any, Node, Node]]:
        """Return (key, its tree, value tree) of a mapping; what is wrong with the keys becomes faults."""
        pairs: list[tuple[Any, Node, Node]] = []
        lines: dict[str, int] = {}
        for key_node, item in node.items:
            bare = key_node.target if isinstance(key_node, Alias) else key_node
            if not isinstance(bare, Scalar) or not (bare.tag is None or bare.tag.startswith(STANDARD)):
                what, hint = "a key is a single value", "Quote it, if it is text."
                self.fault(key_node.position, what, rule="invalid-key", hint=hint)
                continue
            key = self._scalar(bare, (bare.tag or "").removeprefix(STANDARD))
            if isinstance(key, dict) and FAULT in key:
                continue
            if key == "<<" and bare.plain:
                what, hint = "YAML 1.2 merges nothing at '<<'", "Write the keys out, or an alias as the whole value."
                self.fault(key_node.position, what, rule="invalid-key", hint=hint)
                continue
            name = repr(key)
            if name in lines:
                self.fault(
                    key_node.position,
                    f"duplicate key {bare.text!r}, first written in line {lines[name]}",
                    rule="duplicate-key",
                    hint="Remove one of them.",
                )
                continue
            lines[name] = key_node.position.line
            pairs.append((key, key_node, item))
        return pairs

    # Components --------------------------------------------------------------------------------------------------

    def _component(self, node: Node, tag: str, place: Place) -> dict[str, Any]:
        before = self._made_before(node, place) if self._inside_alias else None
        if before is not None:
            return before
        if place.config is not None:
            self._first.setdefault(id(node), place)
        result: dict[str, Any]
        try:
            known = self.registered(tag) if self.registered is not None else None
            target = known or resolve(tag, self.library, self.extensions, self.folder)
            if self.library.reads_own_yaml(target):
                return self._own_yaml(node, tag, target, place)
            result = {NEW: target}
        except ConfigError as error:
            result = self.note(error, node.position)
        self._arguments(node, tag, place, result)
        self._made[id(node)] = result
        return result

    def _own_yaml(self, node: Node, tag: str, target: str, place: Place) -> dict[str, Any]:
        """Return the node of a class with a ``from_yaml`` of its own: it gets what is below its tag as it stands."""
        value = self._data(untagged(node), Place((*place.at, "value"), None))
        if not _is_plain(value):
            what = f"!{tag} reads its own YAML, which cannot hold other tags"
            return self.fault(node.position, what, rule="own-yaml")
        return {YAML: f"!{target}", "value": value}

    def _arguments(self, node: Node, tag: str, place: Place, result: dict[str, Any]) -> None:
        if isinstance(node, Scalar):
            if node.text or not node.plain:
                bare = Scalar(None, node.position, node.text, node.plain)
                result[ARGS] = [self.value(bare, place.below(ARGS, 0, config=0))]
        elif isinstance(node, Sequence):
            if node.items:
                result[ARGS] = [
                    self.value(item, place.below(ARGS, index, config=index)) for index, item in enumerate(node.items)
                ]
        elif isinstance(node, Mapping):
            if _is_double_braces(node):
                what = f"!{tag} {{{{}}}} is an old spelling; write !{tag} without braces"
                self.warn(node.position, what, "old-spelling")
                return
            positional: list[Any] = []
            for key, key_node, item in self.pairs(node):
                if type(key) is int and key == len(positional) and len(result) == 1 + bool(positional):
                    positional.append(self.value(item, place.below(ARGS, key, config=key)))
                    result[ARGS] = positional
                elif not isinstance(key, str):
                    shown = key if isinstance(key, int) else "such a key"
                    self.fault(
                        key_node.position,
                        f"{shown} names no argument of !{tag}",
                        rule="invalid-key",
                        hint="Positional arguments come first, as 0, 1, …" if isinstance(key, int) else None,
                    )
                elif key.startswith("$"):
                    self.fault(key_node.position, f"{key!r} names no argument of !{tag}", rule="invalid-key")
                else:
                    below = place.below(key, config=key)
                    self.keys[below.at] = key_node.position
                    result[key] = self.value(item, below)

    def endless_fault(self, place: Place, remedy: str) -> None:
        """Note that nothing draws from a distribution."""
        name = ".".join(map(str, place.config or ()))
        self.fault(
            self.places[place.at],
            f"{name} has no list of values to try, and nothing draws from it",
            rule="missing-parameter",
            hint=f"{remedy}, or write !quniform [low, high, n] or !s [low, high, k].",
        )


def _is_plain(value: Any) -> bool:
    if isinstance(value, list):
        return all(_is_plain(item) for item in value)
    if isinstance(value, dict):
        first = next(iter(value), "")
        if first in (NEW, *SEARCHES, FILE, ENV, "$link", "$yaml"):
            return False
        return first in (MAP, FAULT) or all(_is_plain(item) for item in value.values())
    return True


def untagged(node: Node) -> Node:
    """Return a node as it stands, its tag left away."""
    bare = copy.copy(node)
    bare.tag = None
    return bare


def _is_double_braces(node: Mapping) -> bool:
    return (
        len(node.items) == 1
        and isinstance(node.items[0][0], Mapping)
        and not node.items[0][0].items
        and isinstance(node.items[0][1], Scalar)
        and not node.items[0][1].text
    )
