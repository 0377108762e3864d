"""References and environment variables in the texts of a config → what they stand for (see ``placeholder`` for how they are written).

Keys, links and ``!env`` are never touched, and what was put in is not read again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice

from flambe.compile.document import whole_path
from flambe.compile.extent import VALUES, Extents
from flambe.compile.lowering import FAULT, SEARCH_TAGS
from flambe.compile.placeholder import OFF, Piece, Variable, inside, is_reference, pieces, secret_inside
from flambe.compile.reference import LINK_TAGS
from flambe.compile.yaml import (
    DEEPEST,
    Alias,
    Mapping,
    Node,
    Scalar,
    Sequence,
    bared,
    child,
    describe,
    plain_value,
    text_of,
    value_of,
)
from flambe.errors import ConfigError, Position, did_you_mean

MOST_CHARACTERS = 16 * 2**20
"""Of all that references put in: real configs stay far below, ``a: "{b}{b}", b: "{c}{c}", …`` does not."""
MOST_COPIES = 100_000
MOST_STEPS = 50
"""From one reference to the next."""

SEARCHES = frozenset(f"!{tag}" for tag in SEARCH_TAGS)
_CLOSED = frozenset(f"!{tag}" for tag in (*LINK_TAGS, "env", "required", FAULT))


class Searched(ConfigError):
    """A reference to what a search decides: only a variant knows its value."""


class Interpolation:
    """Replaces the references of one config. tree: its root. name: the value whose parts become folder names.

    faults: what is wrong. follows: references to what a search decides, which only a variant can have.
    """

    def __init__(self, tree: Node, faults: list[ConfigError], *, name: Node | None = None) -> None:
        self._tree = tree
        self._name = name
        self.faults = faults
        self.follows: list[Searched] = []
        self._done: dict[int, Node] = {}
        self._active: dict[int, str] = {}  # the texts that are being read, and the reference that led to each
        self._last = ""  # reference that is followed
        self._extents = Extents()
        self._keys: dict[int, dict[str | None, Node]] = {}
        self._characters = MOST_CHARACTERS
        self._copies = MOST_COPIES

    def resolved(self, tree: Node) -> Node:
        """Return a tree without references; what holds none is shared with ``tree``, which stays as it is.

        What is wrong becomes a fault, and a value with the tag ``!$fault`` in its place.
        """
        try:
            result = self._node(tree)
            if self._copies < MOST_COPIES and self._extents.of(result).depth > DEEPEST:
                what = f"references make this nest more than {DEEPEST} deep"
                raise ConfigError(what, rule="too-large", position=tree.position)
        except RecursionError:
            self.faults.append(ConfigError("references make this nest too deep", rule="too-large"))
            return _faulty(tree.position)
        return result

    def peek(self, node: Node) -> Node | None:
        """Return a value without references, None where it has a fault; notes nothing."""
        return None if (found := Interpolation(self._tree, []).resolved(node)).tag == f"!{FAULT}" else found

    def trace(self, node: Node, depth: int = 0) -> Iterator[tuple[Position, str]]:
        """Yield where the value of a text comes from: the references and variables in it, and in what these name."""
        from flambe.compile.dump import tree_to_yaml

        if not (isinstance(node, Scalar) and _is_open(node)) or depth > MOST_STEPS:
            return
        for piece in pieces(node.text, node.position):
            if isinstance(piece, str):
                continue
            if piece.variable is not None:
                yield node.position, _traced(piece.variable)
                continue
            target = self._target(piece.name, node.position)
            first, *more = tree_to_yaml(None, target).splitlines()
            yield target.position, f"{piece.name} is {first}{' …' if more else ''}"
            yield from self.trace(target, depth + 1)

    # Nodes -----------------------------------------------------------------------------------------------------------

    def _node(self, node: Node) -> Node:
        if isinstance(node, Scalar):
            return self._scalar(node) if _is_open(node) else node
        if id(node) in self._done:
            return self._done[id(node)]
        result: Node = node
        if isinstance(node, Alias):
            target = self._node(node.target)
            if target is not node.target:
                result = Alias(node.position, node.name, target)
        elif isinstance(node, Mapping) and (name := self._unquoted(node)) is not None:
            what = f"{{{name}}} without quotes is a mapping with the key {name!r}"
            hint = f'Write "{{{name}}}" for the value of that key.'
            self.faults.append(ConfigError(what, rule="malformed-reference", position=node.position, hint=hint))
            result = _faulty(node.position)
        elif isinstance(node, Mapping):
            pairs = [(key, self._node(value)) for key, value in node.items]
            if any(new is not old for (_, new), (_, old) in zip(pairs, node.items, strict=True)):
                result = Mapping(node.tag, node.position)
                result.items = pairs
        elif isinstance(node, Sequence):
            items = [self._node(item) for item in node.items]
            if any(new is not old for new, old in zip(items, node.items, strict=True)):
                result = Sequence(node.tag, node.position)
                result.items = items
        if node.tag == "!P":
            what = f"!P holds {describe(node)}"
            self.faults.append(
                ConfigError(what, rule="malformed-reference", position=node.position, expected="text", hint="Quote it.")
            )
            result = _faulty(node.position)
        self._done[id(node)] = result
        return result

    def _unquoted(self, node: Mapping) -> str | None:
        """Return the path of ``{a.b}`` where it was meant as a reference: it names something, and no value stands there."""
        if node.tag is not None or len(node.items) != 1:
            return None
        key, value = node.items[0]
        # A mapping in lines begins where its first key does.
        if not isinstance(key, Scalar) or not isinstance(value, Scalar) or key.position == node.position:
            return None
        if value.text or not value.plain or value.tag or not is_reference(f"{{{key.text}}}"):
            return None
        target: Node | None = self._tree
        for part in whole_path(self._tree, key.text.split(".")):
            target = None if target is None else child(target, part)
        return None if target is None else key.text

    def _scalar(self, node: Scalar) -> Node:
        """Return what a text stands for."""
        if id(node) in self._done:
            return self._done[id(node)]
        if id(node) in self._active:
            steps = [*self._active]
            chain = (self._last, *(self._active[step] for step in steps[steps.index(id(node)) + 1 :]), self._last)
            raise ConfigError(
                f"a reference leads back to itself: {' → '.join(chain)}", rule="reference-cycle", position=node.position
            )
        if len(self._active) >= MOST_STEPS:
            what = f"more than {MOST_STEPS} references follow one another"
            raise ConfigError(what, rule="too-large", position=node.position)
        self._active[id(node)] = self._last
        result: Node
        try:
            result = self._value(node)
        except Searched as error:
            error.position = error.position or node.position
            self.follows.append(error)
            result = _faulty(node.position)
        except _Broken:
            result = _faulty(node.position)
        except ConfigError as error:
            error.position = error.position or node.position
            self.faults.append(error)
            result = _faulty(node.position)
        del self._active[id(node)]
        self._done[id(node)] = result
        return result

    def _value(self, node: Scalar) -> Node:
        tag, text = node.tag, node.text
        if tag == "!P":
            return Scalar(None, node.position, text, False)
        if OFF.match(text):
            return Scalar(tag, node.position, text[3:], False)
        found_pieces = list(pieces(text, node.position))
        if found_pieces == [text]:
            return node
        only = found_pieces[0] if len(found_pieces) == 1 else ""
        if not isinstance(only, str) and node is not self._name:
            found = self._alone(only, node)
            if tag is None:
                return found
            if not isinstance(found, Scalar) or found.tag is not None:
                came = found.tag or describe(found)
                raise ConfigError(
                    f"{only} stands for {came}", rule="malformed-reference", expected=f"text, after {tag}"
                )
            return Scalar(tag, node.position, found.text, found.plain)
        parts = [piece if isinstance(piece, str) else self._part(piece, node) for piece in found_pieces]
        result = Scalar(tag, node.position, "".join(parts), False)
        self._spend(node.position, len(result.text))
        return result

    def _part(self, piece: Piece, node: Scalar) -> str:
        """Return what a reference or variable puts into a longer text."""
        if piece.variable is not None:
            text = inside(piece, node.position)
        else:
            try:
                text = self._text(self._found(piece, node), piece)
            except Searched as error:
                if node is not self._name:
                    if self._tree.tag is not None:
                        error.hint = "Nothing can stand for it inside of longer text: take it out. Variants have names of their own."
                    raise
                text = piece.name.rpartition(".")[2]  # of the whole search; each variant has a name of its own
        return text.replace("/", "_") if node is self._name else text

    def _alone(self, piece: Piece, node: Scalar) -> Node:
        """Return what a reference or variable that is the whole value stands for, at the place of ``node``."""
        if piece.variable is not None:
            variable = piece.variable
            if variable.is_secret and (variable.default is None or os.environ.get(variable.name)):
                return Scalar("!env", node.position, variable.name, False)
            text = variable.value(node.position)
            is_typed = isinstance(plain_value(text), bool | int | float)
            return Scalar(None, node.position, text, is_typed)
        found = self._found(piece, node)
        size = self._extents.of(found)
        self._copies -= size.nodes
        self._spend(node.position, size.characters)
        copy: Node
        if isinstance(found, Scalar):
            return Scalar(found.tag, node.position, found.text, found.plain)
        if isinstance(found, Mapping):
            copy = Mapping(None, node.position)
            copy.items = found.items
            return copy
        assert isinstance(found, Sequence)
        copy = Sequence(None, node.position)
        copy.items = found.items
        return copy

    def _spend(self, position: Position, characters: int) -> None:
        self._characters -= characters
        if self._characters < 0 or self._copies < 0:
            most = f"{MOST_CHARACTERS:,} characters" if self._characters < 0 else f"{MOST_COPIES:,} values"
            what = f"references make this config too large: more than {most}"
            raise ConfigError(what, rule="too-large", position=position)

    # Targets ---------------------------------------------------------------------------------------------------------

    def _found(self, piece: Piece, node: Scalar) -> Node:
        """Return the data that a reference names, itself without references. Raises ``ConfigError``."""
        target = self._target(piece.name, node.position)
        self._last = str(piece)
        result = bared(self._node(target))
        odd = self._extents.of(result).odd
        if odd is None:
            return result
        tag = str(odd.tag)
        if tag in (f"!{FAULT}", "!required"):
            raise _Broken("")
        if tag in SEARCHES:
            raise self._searched(piece.name, tag)
        what = f"{piece} {'is' if odd is result else 'holds'} {tag}, which is an object and no data"
        raise ConfigError(what, rule="reference-to-object", hint=f"Write a link: !@ {_link(piece.name)}")

    def _target(self, path: str, position: Position) -> Node:
        """Return the value at a path of the config as it stands there. Raises ``ConfigError``."""
        parts = path.split(".")
        if self._child(self._tree, parts[0]) is None:
            parts = whole_path(self._tree, parts)
        node = bared(self._tree)
        for depth, part in enumerate(parts):
            inner = self._child(node, part)
            if inner is None and isinstance(node, Scalar) and _is_open(node):
                self._last = f"{{{'.'.join(parts[:depth])}}}"
                node = bared(self._scalar(node))
                if node.tag == f"!{FAULT}":
                    raise _Broken("")
                inner = self._child(node, part)
            if inner is None:
                if node.tag in SEARCHES:
                    raise self._searched(path, str(node.tag))
                raise self._unknown(path, position)
            node = bared(inner)
        return node

    def _child(self, node: Node, name: str) -> Node | None:
        """Return what ``child`` does; a mapping is gone through once, however many references lead into it."""
        if not isinstance(node, Mapping):
            return child(node, name)
        if id(node) not in self._keys:
            self._keys[id(node)] = {text_of(key): value for key, value in reversed(node.items)}
        return self._keys[id(node)].get(name)

    def _unknown(self, path: str, position: Position) -> ConfigError:
        known = list(islice(paths(self._tree), 5000))
        last = path.rpartition(".")[2]
        same = [one for one in known if one.rpartition(".")[2] == last]
        hint = f"Did you mean '{{{same[0]}}}'?" if len(same) == 1 else did_you_mean(path, known)
        if path == "seed" and self._tree.tag is not None:
            from flambe.compile.advice import SEED

            hint = SEED
        elif hint is None:
            hint = f"For the text itself write {{{{{path}}}}}, or !P before it."
        elif len(same) != 1:
            hint = hint.replace("mean '", "mean '{").replace("'?", "}'?")
        what = f"{{{path}}} names nothing in this config"
        return ConfigError(what, rule="unknown-reference", position=position, hint=hint)

    def _searched(self, path: str, tag: str) -> Searched:
        if self._tree.tag is None:  # the config of a function
            hint = "Write out the variants: flambe-compile FILE [OVERRIDE]... --expand | flambe exec"
        elif path == "seed":
            from flambe.compile.advice import SEED

            hint = SEED
        else:
            hint = f"Write a link: !@ {_link(path)}"
        what = f"{{{path}}} names a search ({tag}), whose value only a variant knows"
        return Searched(what, rule="reference-to-object", hint=hint)

    def _text(self, node: Node, piece: Piece) -> str:
        """Return the text of a value inside of longer text."""
        if isinstance(node, Sequence):
            return f"[{','.join(self._text(bared(item), piece) for item in node.items)}]"
        if isinstance(node, Scalar) and node.tag == "!env":
            raise secret_inside(node.text)
        if not isinstance(node, Scalar) or node.tag in VALUES:
            came = node.tag or describe(node)
            what = f"{piece} stands for {came}, which has no text"
            raise ConfigError(
                what, rule="malformed-reference", hint="Name a value in it, or let the reference stand alone."
            )
        value = value_of(node) if node.tag is None else node.text
        if value is None or isinstance(value, bool):
            return {None: "null", True: "true", False: "false"}[value]
        return repr(value) if isinstance(value, float) else str(value)


class _Broken(ConfigError):
    """What a reference names has a fault, which is noted already."""


def _link(path: str) -> str:
    """Return the text of the link that leads where a reference does."""
    first, *rest = path.removeprefix("pipeline.").removeprefix("stages.").split(".")
    return first + "".join(f"[{part}]" for part in rest)


def _traced(variable: Variable) -> str:
    if variable.is_secret:
        return f"${variable.name} is read when it is needed"
    found = os.environ.get(variable.name)
    if found is None and variable.default is None:
        return f"${variable.name} is not set"
    return f"${variable.name} is {found!r}" if found else f"${variable.name} is not set, so {variable.default!r}"


def _is_open(node: Scalar) -> bool:
    """Whether the text of a value may refer to something."""
    text = node.text
    if not ("{" in text or "$" in text or node.tag == "!P" or text.startswith("!P")):
        return False
    return node.tag not in _CLOSED


def _faulty(position: Position) -> Scalar:
    return Scalar(f"!{FAULT}", position, "", False)


def paths(node: Node, start: str = "") -> Iterator[str]:
    """Yield the dotted path of every value of a config; that of a stage without ``pipeline``."""
    bare = bared(node) if not start else node
    pairs: list[tuple[str | None, Node]] = []
    if isinstance(bare, Mapping):
        pairs = [(text_of(key), value) for key, value in bare.items]
    elif isinstance(bare, Sequence):
        pairs = [(str(index), value) for index, value in enumerate(bare.items)]
    for name, value in pairs:
        if name is None:
            continue
        whole = f"{start}.{name}" if start and start not in ("pipeline", "stages") else name
        yield whole
        yield from paths(value, whole)
