"""A YAML tree → node forms of the spec: tags become ``$new``, links ``$link``, search tags ``$grid``.

Every fault is collected, none is raised: what is wrong becomes a ``$fault`` node that later checks step over.
"""

from __future__ import annotations

import base64
import binascii
import copy
from collections.abc import Callable
from typing import Any

from flambe.compile.library import Library
from flambe.compile.reference import LINK_TAGS, file, link, variable
from flambe.compile.tags import resolve
from flambe.compile.yaml import STANDARD, Alias, Mapping, Node, Scalar, Sequence, describe, plain_value
from flambe.errors import ConfigError, Faults, Notice, Position
from flambe.spec.codec import escape
from flambe.spec.nodes import ARGS, BYTES, CONTINUOUS, ENV, FILE, GRID, MAP, NEW, SEARCHES, YAML, LinkTarget, link_node

FAULT = "$fault"
GRID_TAGS = ("g", "GridSearchOptions", "choice")
SAMPLE_TAGS = ("s", "SampledUniformSearchOptions")
DISTRIBUTIONS = ("uniform", "normal", "beta", "quniform")
FORMS = (
    *LINK_TAGS,
    *GRID_TAGS,
    *SAMPLE_TAGS,
    *DISTRIBUTIONS,
    "seeds",
    "file",
    "env",
    "cluster",
    "required",
    "$",
    "PickledDataLink",
)
OWN_TAGS = ("@", "g", "s", "link", "ref", "call", "copy", "choice", *DISTRIBUTIONS, "seeds", "file", "env", "required",
            "Experiment", "Pipeline", "Search")  # fmt: skip

# Copies that aliases make; real files make a few, a bomb makes billions.
MOST_COPIES = 100_000
# Values that all !s of a file draw.
MOST_DRAWN = 200_000

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
        self._drawn = 0
        self._inside_alias = 0

    def fault(
        self, position: Position | None, what: str, *, rule: str = "invalid-value", **more: str | None
    ) -> dict[str, Any]:
        """Note a fault and return the node that stands in its place."""
        self.faults.append(ConfigError(what, rule=rule, position=position, **more))
        return {FAULT: True}

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
        if name in GRID_TAGS:
            return self._grid(node, name, place)
        if name in SAMPLE_TAGS:
            return self._sample(node, name, place)
        if name == "file":
            return file(node, self)
        if name == "env":
            return variable(node, self)
        if name in DISTRIBUTIONS:
            return self._distribution(node, name, place)
        if name == "seeds":
            return self._seeds(node, place)
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
        pairs = self._pairs(node)
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

    def _pairs(self, node: Mapping) -> list[tuple[Any, Node, Node]]:
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
        value = self._data(_untagged(node), Place((*place.at, "value"), None))
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
            for key, key_node, item in self._pairs(node):
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

    # Search ------------------------------------------------------------------------------------------------------

    def _grid(self, node: Node, tag: str, place: Place) -> Any:
        if tag == "choice" and isinstance(node, Mapping):
            return self._named_choice(node, place)
        if not isinstance(node, Sequence):
            hint = None
            if isinstance(node, Mapping):
                hint = "Write !choice for options with names."
            if isinstance(node, Scalar) and node.text:
                hint = f"Write !{tag} [{node.text}]."
                if node.text[0] == "-" and " " in node.text:
                    hint = "Put a space after each '-' of the list."
            what = f"!{tag} holds {describe(node)}"
            return self.fault(node.position, what, rule="malformed-search", expected="a list of values", hint=hint)
        return self._options(node, tag, place, None)

    def _named_choice(self, node: Mapping, place: Place) -> Any:
        """Return the grid of ``!choice {name: option, …}``, or of ``!choice {options: …, probs: …}``."""
        given = {key: item for key, _, item in self._pairs(node)}
        if "options" not in given or not set(given) <= {"options", "probs"}:
            return self._options(node, "choice", place, None)
        options = given["options"]
        if not isinstance(options, Sequence | Mapping) or options.tag is not None:
            return self._malformed(options, f"the options of !choice are {describe(options)}", "a list or mapping")
        probs = None
        if "probs" in given:
            probs = self.value(given["probs"], Place((*place.at, "probs"), None))
        return self._options(options, "choice", place, (probs, given["probs"]) if "probs" in given else None)

    def _options(self, node: Sequence | Mapping, tag: str, place: Place, given: tuple[Any, Node] | None) -> Any:
        """Return the grid of a list of options, or of a mapping of name to option. given: their probabilities."""
        if not node.items:
            what = f"!{tag} holds an empty {'mapping' if isinstance(node, Mapping) else 'list'}"
            return self._malformed(node, what, "one value or more")
        names: list[str] | None = None
        items: list[Node]
        if isinstance(node, Mapping):
            pairs = self._pairs(node)
            names, items = [str(key) for key, _, _ in pairs], [item for _, _, item in pairs]
        else:
            items = node.items
        probs = None
        if given is not None:
            probs = _probabilities(given[0], len(items), names)
            if probs is None:
                what = f"the probs of !{tag} are no probabilities of its {len(items)} options"
                return self._malformed(given[1], what, f"{len(items)} numbers that add up to 1")
        options: list[Any] = []
        seen: dict[str, int] = {}
        for index, item in enumerate(items):
            inner = Place((*place.at, GRID, len(options)), place.config, (*place.choices, (*place.at, len(options))))
            option = self.value(item, inner)
            written = repr(option)
            if names is None and written in seen and not (isinstance(option, dict) and FAULT in option):
                what = "this value of the search is there already; it is tried once"
                self.warn(item.position, what, "duplicate-option")
                if probs is not None:
                    probs[seen[written]] += probs.pop(len(options))
                continue
            seen[written] = index if names is not None else len(options)
            options.append(option)
        grid: dict[str, Any] = {GRID: options}
        if names is not None:
            grid["names"] = names
        if probs is not None:
            grid["probs"] = probs
        return grid

    def _distribution(self, node: Node, name: str, place: Place) -> Any:
        from flambe.compile.distribution import FIELDS, DistributionError, distribution, form_of

        kind = f"${name}"
        fields = (*FIELDS[kind], "transform")
        values: dict[str, Any] = {}
        if isinstance(node, Sequence):
            if not len(fields) - 1 <= len(node.items) <= len(fields):
                count = f"{len(node.items)} value{'s' if len(node.items) != 1 else ''}"
                return self._malformed(node, f"!{name} holds {count}", form_of(kind))
            for index, (field, item) in enumerate(zip(fields, node.items, strict=False)):
                values[field] = self.value(item, Place((*place.at, kind, index), None))
        elif isinstance(node, Mapping):
            for key, key_node, item in self._pairs(node):
                if key not in fields:
                    what = f"!{name} has no {key!r}"
                    return self._malformed(key_node, what, f"{', '.join(fields[:-1])} and perhaps transform")
                values[key] = self.value(item, Place((*place.at, kind, fields.index(key)), None))
        else:
            return self._malformed(node, f"!{name} holds {describe(node)}", form_of(kind))
        missing = [field for field in fields[:-1] if field not in values]
        if missing:
            return self._malformed(node, f"!{name} has no {missing[0]}", form_of(kind))
        if any(isinstance(value, dict) and FAULT in value for value in values.values()):
            return {FAULT: True}
        try:
            found = distribution(kind, [values[field] for field in fields[:-1]], values.get("transform"))
        except DistributionError as error:
            return self._malformed(node, f"!{name} {error.what}", error.expected)
        if kind in CONTINUOUS:
            self.endless.append(place)
        return found.node()

    def _seeds(self, node: Node, place: Place) -> Any:
        found = self.read_seeds(node, ".".join(map(str, place.config or place.at)), Place((*place.at, GRID), None))
        return {FAULT: True} if found is None else {GRID: found[1]}

    def read_seeds(self, node: Node, stream: str, place: Place) -> tuple[int, list[int]] | None:
        """Return what ``!seeds`` stands for: what its seeds are drawn from, and them. None where that is a fault.

        stream: each place draws seeds of its own; the whole experiment's is "".
        """
        from flambe.compile.sample import SampleError, derive_seeds, read_seeds

        bare = _untagged(node)
        faults = len(self.faults)
        given = self.value(bare, place)
        if len(self.faults) > faults:
            return None
        try:
            base, count, listed = read_seeds(given, self.seed)
        except SampleError as error:
            self._malformed(node, f"!seeds {error}", error.expected)
            return None
        if listed is not None:
            return listed[0], listed
        return base, derive_seeds(base, count, stream)

    def endless_fault(self, place: Place, remedy: str) -> None:
        """Note that nothing draws from a distribution."""
        name = ".".join(map(str, place.config or ()))
        self.fault(
            self.places[place.at],
            f"{name} has no list of values to try, and nothing draws from it",
            rule="missing-parameter",
            hint=f"{remedy}, or write !quniform [low, high, n] or !s [low, high, k].",
        )

    def _malformed(self, node: Node, what: str, expected: str | None) -> dict[str, Any]:
        return self.fault(node.position, what, rule="malformed-search", expected=expected)

    def _sample(self, node: Node, tag: str, place: Place) -> Any:
        from flambe.compile.sample import FORM, SampleError, draw, read_sample

        if not isinstance(node, Sequence):
            return self.fault(node.position, f"!{tag} holds {describe(node)}", rule="malformed-search", expected=FORM)

        given = [self.value(item, Place((*place.at, GRID, index), None)) for index, item in enumerate(node.items)]
        try:
            sample = read_sample(given)
        except SampleError as error:
            return self.fault(node.position, f"!{tag} {error}", rule="malformed-search", expected=error.expected)
        self._drawn += sample.size
        if self._drawn > MOST_DRAWN:
            return self.fault(
                node.position, f"the searches of this file draw more than {MOST_DRAWN:,} values", rule="too-large"
            )
        values = draw(sample, self.seed, ".".join(map(str, place.config or place.at)))
        if len(values) < sample.size:
            what = f"there are only {len(values)} different values to draw, not {sample.size}"
            self.warn(node.position, what, "duplicate-option")
        for index in range(max(len(values), len(given))):  # what was drawn is written nowhere
            self.places[*place.at, GRID, index] = node.position
        return {GRID: values}


def _is_plain(value: Any) -> bool:
    if isinstance(value, list):
        return all(_is_plain(item) for item in value)
    if isinstance(value, dict):
        first = next(iter(value), "")
        if first in (NEW, *SEARCHES, FILE, ENV, "$link", "$yaml"):
            return False
        return first in (MAP, FAULT) or all(_is_plain(item) for item in value.values())
    return True


def _probabilities(given: Any, count: int, names: list[str] | None) -> list[float] | None:
    """Return the probabilities of ``count`` options, from a list or a mapping of their names; None for what is none."""
    if isinstance(given, dict) and names is not None and set(given) == set(names):
        given = [given[name] for name in names]
    if not isinstance(given, list) or len(given) != count:
        return None
    if any(isinstance(one, bool) or not isinstance(one, int | float) or one < 0 for one in given):
        return None
    return list(given) if abs(sum(given) - 1) < 1e-6 else None


def _untagged(node: Node) -> Node:
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
