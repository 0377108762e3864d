"""A config and its parents → one tree: ``__default__`` names files whose keys a mapping begins with.

====================================  ====================================================================================
``__default__: ./base.yml``           begin with what that file holds; what stands here beats it
``__default__: [base.yml, new.yml]``  of several the later one beats the earlier
``__new_key_policy__: raise``         what is done with a key that no parent has: ``raise``, ``warn`` (default) or ``pass``
====================================  ====================================================================================

``./`` and ``../`` start at the file that says so, other relative paths at the working directory. Mappings are merged
to any depth, lists and single values replaced whole. A mapping without a tag gets the tag of its parent; where both
have one, they are merged only if it is the same, so that another class begins without the arguments of the first.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from flambe.compile.document import RESOLVED, Document, is_resolved, split
from flambe.compile.yaml import (
    DEEPEST,
    LARGEST,
    STANDARD,
    Alias,
    Mapping,
    Node,
    Scalar,
    Sequence,
    bared,
    child,
    describe,
    documents,
    each,
    text_of,
    value_of,
)
from flambe.errors import ConfigError, Notice, Position, did_you_mean, near_file

DEFAULT = "__default__"
POLICY = "__new_key_policy__"
POLICIES = ("raise", "warn", "pass")
MOST_FILES = 250
_KINDS = {type(None): "null", bool: "true or false", int: "an integer", float: "a number", str: "text"}


def misspelt(tree: Mapping) -> str | None:
    """Return what is meant where a key only looks like one of the language."""
    words = (DEFAULT, POLICY, RESOLVED, "__run__")
    odd = [text for key, _ in tree.items if (text := text_of(key)) and text.startswith("__") and text not in words]
    return next((hint for text in odd if (hint := did_you_mean(text, words))), None)


class _File(NamedTuple):
    """The file that a mapping stands in, and the files that led to it. real: its path without links."""

    path: str
    real: str
    asked_by: tuple[str, ...] = ()


class Composer:
    """Reads the files of one config and puts each together with its parents.

    Attributes
    ----------
    files: path as messages show it → text, in the order of reading: the config itself, then its parents.
    faults, warnings: what was wrong or odd. replaced: id of a value → (the value, that of a parent which it beat).
    """

    def __init__(self, faults: list[ConfigError]) -> None:
        self.files: dict[str, str] = {}
        self.faults = faults
        self.warnings: list[Notice] = []
        self.replaced: dict[int, tuple[Node, Node]] = {}
        self._headers: list[Node] = []
        self._composed: dict[int, tuple[Node, Node]] = {}  # id of what an alias may name → (it, it composed)
        self._opened = 0
        self._characters = 0

    def config(self, text: str, file: str) -> Document:
        """Return the config itself, composed. Raises ``ConfigError`` for a text that cannot be read."""
        self.files[file] = text
        header, tree = split(text, file)
        if DEFAULT in text or POLICY in text:
            tree = self._root(tree, _File(file, os.path.realpath(file)))
            header = self._merged_header(header)
        return Document(header, tree)

    def value(self, path: str, position: Position) -> Node:
        """Return what the file of an override holds, composed. Raises ``ConfigError``."""
        file, text = self._text(path, position, None)
        found = documents(text, file.path)
        if len(found) != 1:
            what = f"{path} holds {len(found)} documents"
            raise ConfigError(what, rule="too-many-documents", position=position, expected="one")
        return _as_data(self._root(found[0], file) if DEFAULT in text or POLICY in text else found[0])

    # Files -----------------------------------------------------------------------------------------------------------

    def _text(self, path: str, position: Position, child: _File | None) -> tuple[_File, str]:
        """Read a file that is named at ``position`` of the file ``child``, or on the command line."""
        whole = os.path.expanduser(path)
        if child is not None and whole.startswith(("./", "../")):
            whole = os.path.join(os.path.dirname(child.path), whole)
        whole = os.path.normpath(whole)
        try:
            real = os.path.realpath(whole)
            # A pipe that nobody writes to would be waited for, a device read until memory ends: only a person may name one.
            is_file = child is None or os.path.isfile(real) or not os.path.exists(real)
        except ValueError:  # characters that no path has
            is_file = False
        if not is_file:
            raise ConfigError(f"{path} is no file", rule="unreadable-file", position=position)
        chain = (*child.asked_by, child.real) if child is not None else ()
        if real in chain:
            names = [os.path.relpath(one) for one in (*chain[chain.index(real) :], real)]
            raise ConfigError(
                f"{path} is a parent of itself: {' → '.join(names)}", rule="invalid-parent", position=position
            )
        self._opened += 1
        if self._opened > MOST_FILES or len(chain) >= DEEPEST:
            what = f"this config has more than {MOST_FILES if self._opened > MOST_FILES else DEEPEST} parents"
            raise ConfigError(what, rule="too-large", position=position)
        if whole not in self.files:
            self.files[whole] = _read(whole, path, position)
        text = self.files[whole]
        self._characters += len(text)
        if self._characters > LARGEST:
            what = f"the parents of this config have more than {LARGEST:,} characters"
            raise ConfigError(what, rule="too-large", position=position)
        return _File(whole, real, chain), text

    def _parent(self, scalar: Scalar, child: _File, depth: int) -> Node:
        path = _path(scalar)
        file, text = self._text(path, scalar.position, child)
        header, tree = split(text, file.path)
        tree = self._root(tree, file, depth)
        if header is not None:  # after those of its own parents, which it beats
            self._headers.append(header)
        return _as_data(tree)

    def _merged_header(self, own: Node | None) -> Node | None:
        """Return the header of the config, merged over those of its parents: of two lines for one name its own counts."""
        from flambe.compile.anchor import anchor_header

        headers = [*self._headers, *([own] if own is not None else [])]
        for header in headers:
            anchor_header(header)
        if any(header.tag == "!Environment" for header in headers):
            headers = [_as_environment(header) for header in headers]
        merged: Node | None = None
        for header in headers:
            merged = header if merged is None else self._merge(merged, header)
        return merged

    # Mappings --------------------------------------------------------------------------------------------------------

    def _root(self, tree: Node, file: _File, depth: int = 0) -> Node:
        policy = self._policy(tree) if isinstance(tree, Mapping) else None
        return self._node(tree, file, policy or "warn", depth)

    def _node(self, node: Node, file: _File, policy: str, depth: int) -> Node:
        """Return a part of a file with the parents of all mappings in it. depth: how deep it stands in the config."""
        if depth > DEEPEST:
            what = f"this nests more than {DEEPEST} deep"
            raise ConfigError(what, rule="too-large", position=node.position)
        if isinstance(node, Alias):
            # What it names stands above it, so it is composed already.
            _, target = self._composed.get(id(node.target), (None, node.target))
            return Alias(node.position, node.name, target)
        result = node
        if isinstance(node, Sequence):
            result = Sequence(node.tag, node.position)
            result.items = [self._node(item, file, policy, depth + 1) for item in node.items]
        elif isinstance(node, Mapping):
            result = self._mapping(node, file, policy, depth)
        self._composed[id(node)] = node, result
        return result

    def _mapping(self, node: Mapping, file: _File, policy: str, depth: int) -> Node:
        own = Mapping(node.tag, node.position)
        policy = self._policy(node) or policy
        asked: Node | None = None
        for key, value in node.items:
            text = text_of(key)
            if text == DEFAULT:
                if asked is not None:
                    what = f"duplicate key '{DEFAULT}', first written in line {asked.position.line}"
                    hint = "Write one list of both."
                    self.faults.append(ConfigError(what, rule="duplicate-key", position=key.position, hint=hint))
                asked = value
            elif text != POLICY:
                own.items.append((key, self._node(value, file, policy, depth + 1)))
        base: Node | None = None
        for scalar in self._asked(asked) if asked is not None else ():
            try:
                parent = self._parent(scalar, file, depth)
                if not _holds_keys(parent):
                    what = f"{_path(scalar)} holds {describe(parent)}"
                    raise ConfigError(what, rule="invalid-parent", position=scalar.position, expected="a mapping")
                self._same_tag(own, parent, scalar)
                base = parent if base is None else self._merge(base, parent)
            except ConfigError as error:
                self.faults.append(error)
        return own if base is None else self._merge(base, own, _Check(policy, file.path))

    def _asked(self, node: Node) -> list[Scalar]:
        """Return the paths that ``__default__`` names."""
        bare = bared(node)
        found: list[Scalar] = []
        for item in bare.items if isinstance(bare, Sequence) else [bare]:
            one = bared(item)
            if isinstance(one, Scalar) and one.tag is None and isinstance(value_of(one), str) and one.text.strip():
                found.append(one)
            else:
                what = f"{DEFAULT} {'has' if item is not bare else 'is'} {describe(one)}"
                expected = "the path of a file, or a list of paths"
                self.faults.append(ConfigError(what, rule="invalid-parent", position=item.position, expected=expected))
        return found

    def _same_tag(self, own: Mapping, parent: Node, scalar: Scalar) -> None:
        if None not in (own.tag, parent.tag) and own.tag != parent.tag:
            raise ConfigError(
                f"{_path(scalar)} is a {parent.tag}, and this mapping a {own.tag}",
                rule="invalid-parent",
                position=scalar.position,
                hint="Leave one of the two tags away.",
            )

    def _policy(self, node: Mapping) -> str | None:
        found = child(node, POLICY)
        if found is None:
            return None
        text = text_of(found)
        if text in POLICIES:
            return text
        hint = did_you_mean(text or "", POLICIES)
        what = f"{POLICY} is {describe(bared(found))}"
        if not any(fault.position == found.position for fault in self.faults):
            expected = ", ".join(POLICIES[:-1]) + f" or {POLICIES[-1]}"
            self.faults.append(
                ConfigError(what, rule="invalid-value", position=found.position, expected=expected, hint=hint)
            )
        return None

    def _merge(self, base: Node, over: Node, check: _Check | None = None, path: str = "") -> Node:
        """Return ``over`` on top of ``base``. Neither is changed. check: what to say of keys that ``base`` has not."""
        old, new = bared(base), bared(over)
        if not (_holds_keys(old) and _holds_keys(new) and (new.tag in (None, old.tag) or old.tag is None)):
            self.replaced[id(new)] = (new, old)
            self._type_change(old, new, path)
            return over
        merged = Mapping(new.tag or old.tag, new.position)
        places: dict[str, int] = {}
        for key, value in _pairs(old):
            places[text_of(key) or f"{id(key)}"] = len(merged.items)
            merged.items.append((key, value))
        for key, value in _pairs(new):
            name = text_of(key)
            place = places.get(name) if name is not None else None
            inner = f"{path}.{name}" if path else f"{name}"
            if place is not None:
                merged.items[place] = (key, self._merge(merged.items[place][1], value, check, inner))
                continue
            if check is not None and name is not None:
                self._new_key(check, key, name, inner, list(places), is_odd=_holds_data(merged, path))
            merged.items.append((key, value))
        self.replaced[id(merged)] = (merged, old)
        return merged

    def _new_key(self, check: _Check, key: Node, name: str, path: str, known: list[str], *, is_odd: bool) -> None:
        if name.startswith("__") or check.policy == "pass" or key.position.file != check.file:
            return
        from flambe.compile.experiment import EXPERIMENT

        hint = None if path in EXPERIMENT else did_you_mean(name, known)
        what = f"no parent has the key {path!r}"
        if check.policy == "raise":
            self.faults.append(ConfigError(what, rule="new-key", position=key.position, hint=hint))
        elif is_odd or hint is not None:
            more = f"{hint} " if hint else ""
            self._warn(Notice(f"{what}. {more}'{POLICY}: pass' allows it", "new-key", key.position))

    def _type_change(self, old: Node, new: Node, path: str) -> None:
        before, after = _kind(old), _kind(new)
        fine = {before, after} & {"", "null"} or (before, after) == ("an integer", "a number")
        if before != after and not fine:
            what = f"{path or 'this'} was {before}, and is {after} now"
            self._warn(Notice(what, "changed-type", new.position))

    def _warn(self, notice: Notice) -> None:
        if notice not in self.warnings:  # a file may be the parent of several
            self.warnings.append(notice)


def _holds_data(section: Node, path: str) -> bool:
    """Whether a new key is odd in a section that a parent has."""
    # A new section or stage is what a child is for, and of the arguments of a component its class knows all.
    is_component = section.tag is not None and not section.tag.startswith(STANDARD)
    return not is_component and path not in ("", "pipeline", "stages")


class _Check(NamedTuple):
    """What is said of new keys that are written in ``file``."""

    policy: str
    file: str


def _read(whole: str, path: str, position: Position) -> str:
    try:
        with open(whole, encoding="utf-8") as stream:
            return stream.read(LARGEST + 1)
    except (OSError, ValueError) as error:
        hint = near_file(whole) if isinstance(error, FileNotFoundError) else None
        if isinstance(error, FileNotFoundError):
            what = f"there is no file {whole}"
        else:
            what = f"cannot read {path}: {error.strerror if isinstance(error, OSError) else 'not UTF-8 text, or not a path'}"
        raise ConfigError(what, rule="unreadable-file", position=position, hint=hint) from error


def _path(scalar: Scalar) -> str:
    """Return the path that a ``__default__`` names, with its environment variables put in."""
    if "$" not in scalar.text:
        return scalar.text.strip()
    from flambe.compile.placeholder import expand_variables

    return expand_variables(scalar.text, scalar.position).strip()


# Trees ---------------------------------------------------------------------------------------------------------------


def _holds_keys(node: Node) -> bool:
    """Whether a node is a mapping, or a tag without arguments."""
    return isinstance(node, Mapping) or (_is_object(node) and isinstance(node, Scalar) and not node.text)


def _pairs(node: Node) -> list[tuple[Node, Node]]:
    return node.items if isinstance(node, Mapping) else []


def _is_object(node: Node) -> bool:
    return node.tag is not None and not node.tag.startswith(STANDARD)


def _kind(node: Node) -> str:
    """Return what a message calls the type of a value; "" where it is not known yet."""
    if _is_object(node):
        return ""
    if not isinstance(node, Scalar):
        return describe(node)
    value = value_of(node)
    return "" if isinstance(value, str) and ("{" in value or "$" in value) else _KINDS[type(value)]


def _as_environment(header: Node) -> Node:
    """Return a header in the long form."""
    if header.tag == "!Environment" or not isinstance(header, Mapping):
        return header
    whole = Mapping("!Environment", header.position)
    whole.items = [(Scalar(None, header.position, "extensions", True), header)]
    return whole


def _as_data(tree: Node) -> Node:
    """Let no text of a resolved config be read as a reference by the config that it becomes a part of."""
    from flambe.compile.placeholder import protected

    for inner in each(tree) if is_resolved(tree) else ():
        if isinstance(inner, Scalar):
            text = protected(inner.text)
            if text != inner.text:
                inner.text, inner.plain = text, False
    return tree
