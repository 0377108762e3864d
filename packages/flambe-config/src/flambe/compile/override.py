"""Overrides from the command line, applied to the YAML tree before anything else looks at it.

==========================  ============================================================================
``a.b=V``                   set what is there; another name is an error
``+a.b=V``  ``++a.b=V``     set it, creating it when needed
``~a.b``                    take it away
``a=V1,V2``                 try each: the same as ``a: !g [V1, V2]``; so do ``a=choice(V1, V2)`` and ``a=range(1, 10, 2)``
``a=@file.yml``             the value of that file, with its parents
``--a.b V``  ``--a.b=V``    set what is there; a comma makes a list where there is a list
==========================  ============================================================================

A first key that is no parameter of an experiment may be a stage: ``train.max_steps=3``. A value may hold references; what
it replaces has the type that its own references give it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from collections.abc import Sequence as Many
from typing import TYPE_CHECKING

from flambe.compile.document import is_marked, whole_path
from flambe.compile.yaml import (
    STANDARD,
    Alias,
    Mapping,
    Node,
    Scalar,
    Sequence,
    child,
    documents,
    text_of,
)
from flambe.errors import ConfigError, Notice, Position, did_you_mean

if TYPE_CHECKING:
    from flambe.compile.compose import Composer

_FORM = re.compile(r"(?P<sign>\+{0,2}|~|--)(?P<path>(?!-)[^=\s+~][^=\s]*?)(?:=(?P<value>.*))?\Z", re.S)

_OF_TUNE = ("workers", "runner", "address", "step-limit", "store")
"""Options of ``flambe-tune`` that people give to what compiles for it."""


class OverridePosition(Position):
    """The place of a value that was written on the command line."""

    __slots__ = ()

    def __str__(self) -> str:
        return self.file


class Override:
    """One override of the config ``root``, whose files ``composer`` reads. refers: whether there are references in it."""

    def __init__(
        self, text: str, sign: str, path: list[str], value: str | None, root: Node, composer: Composer
    ) -> None:
        self.root = root
        self.refers = not is_marked(root)
        self.composer = composer
        self.text = text
        self.sign = sign
        self.path = path
        self.value = value
        self.position = OverridePosition(f"override {text!r}", 1, 1)

    def error(self, what: str, rule: str = "override-key", **more: str | None) -> ConfigError:
        return ConfigError(what, rule=rule, position=self.position, **more)

    def tree(self, text: str) -> Node:
        """Read a value as YAML."""
        found = documents(text, self.position.file, place=OverridePosition)
        if len(found) > 1:
            raise self.error("a value is one YAML document", "malformed-override")
        return found[0] if found else Scalar(None, self.position, "", True)

    def node(self, present: Node | None) -> Node:
        """Return its value as a tree, in the type of what it replaces. Raises ``ConfigError``."""
        from flambe.compile.override_value import override_value

        return override_value(self, present)


def apply_overrides(tree: Node, overrides: Many[str], faults: list[ConfigError], composer: Composer) -> list[Notice]:
    """Change ``tree`` as the overrides say, left to right; note faults, return warnings. composer: reads files."""
    seen: dict[str, str] = {}
    warnings: list[Notice] = []
    for override in _read(overrides, faults, tree, composer):
        path = ".".join(override.path)
        if path in seen:
            what = f"{path} is set by {seen[path]!r} too; the last one counts"
            warnings.append(Notice(what, "duplicate-override", override.position))
        seen[path] = override.text
        try:
            _apply(tree, override)
        except ConfigError as error:
            faults.append(error)
    return warnings


def apply_each(tree: Node, overrides: Many[str], composer: Composer) -> Iterator[str]:
    """Change ``tree`` by one override after another and yield the text of each when it is done.

    For overrides that ``apply_overrides`` found right. Raises ``ConfigError`` otherwise.
    """
    faults: list[ConfigError] = []
    for override in _read(overrides, faults, tree, composer):
        _apply(tree, override)
        yield override.text


def _read(overrides: Many[str], faults: list[ConfigError], tree: Node, composer: Composer) -> Iterator[Override]:
    words = _joined(overrides)
    for word in words:
        match = _FORM.match(word)
        text, value = word, match["value"] if match else None
        if match and match["sign"] == "--" and value is None:
            value = next(words, None)
            text = word if value is None else f"{word} {value}"
        path = match["path"].split(".") if match else []
        if match is None or "" in path or (value is None) != (match["sign"] == "~"):
            missing = match is not None and value is None
            dashed = re.match(r"-+([^-=\s][^=\s]*=.+)", word, re.S)
            faults.append(
                ConfigError(
                    "there is no value" if missing else "this is no override",
                    rule="malformed-override",
                    position=OverridePosition(f"override {text!r}", 1, 1),
                    expected="key.key=value, +key.key=value, ~key.key or --key.key value",
                    hint="Write it without spaces." if " = " in word else f"Write {dashed[1]}" if dashed else None,
                )
            )
            continue
        yield Override(text, match["sign"], path, value, tree, composer)


def _joined(overrides: Many[str]) -> Iterator[str]:
    """Yield the words; those of ``a = 3`` as one, so that its fault is one."""
    words = iter(overrides)
    word = next(words, None)
    while word is not None:
        after = next(words, None)
        if after == "=" and (value := next(words, None)) is not None:
            word, after = f"{word} = {value}", next(words, None)
        yield word
        word = after


def _apply(tree: Node, override: Override) -> None:
    path = whole_path(tree, override.path)
    node = tree
    for depth, key in enumerate(path[:-1]):
        node = _step(node, key, override, path[: depth + 1])
    last = path[-1]
    if isinstance(node, Scalar) and node.tag and not node.text and override.sign.startswith("+"):
        raise override.error(
            f"{_shown(path[:-1])} is {node.tag} without arguments", hint=f"Write {node.tag} {{}} in the file."
        )
    if isinstance(node, Sequence):
        index = _index(node, last, override, path)
        if override.sign == "~":
            del node.items[index]
        else:
            node.items[index] = override.node(node.items[index])
        return
    if not isinstance(node, Mapping):
        raise override.error(f"{_shown(path[:-1])} holds no keys", hint=None)
    place = next((i for i, (key, _) in enumerate(node.items) if text_of(key) == last), None)
    if override.sign == "~":
        if place is None:
            raise _unknown(node, last, override, path)
        del node.items[place]
    elif place is None:
        if not override.sign.startswith("+") and path[-1] not in _parameters(tree, path[:-1]):
            raise _unknown(node, last, override, path)
        node.items.append((Scalar(None, override.position, last, False), override.node(None)))
    else:
        node.items[place] = (node.items[place][0], override.node(node.items[place][1]))


def _parameters(tree: Node, above: list[str]) -> Many[str]:
    """Return the documented parameters at a place of what is run: they are there, if only with their defaults."""
    if not above:
        from flambe.compile.experiment import EXPERIMENT, PIPELINE
        from flambe.compile.single_search import SEARCH

        return {"!Experiment": EXPERIMENT, "!Pipeline": PIPELINE, "!Search": SEARCH}.get(tree.tag or "", ())
    if above == ["__run__"]:
        from flambe.compile.run_settings import KEYS

        return KEYS
    return ()


def _shown(path: list[str]) -> str:
    """Return a path as people write it: a stage needs no ``pipeline`` in front."""
    names = path[1:] if path[:1] == ["pipeline"] and len(path) > 1 else path
    return ".".join(names) or "the config"


def _step(node: Node, key: str, override: Override, path: list[str]) -> Node:
    """Return the part of ``node`` called ``key``; an alias on the way becomes a copy: only this place changes."""
    if isinstance(node, Mapping):
        for index, (name, value) in enumerate(node.items):
            if text_of(name) == key:
                opened = _opened(value)
                if opened is not value:
                    node.items[index] = (name, opened)
                return opened
        if override.sign.startswith("+"):
            made = Mapping(None, override.position)
            node.items.append((Scalar(None, override.position, key, False), made))
            return made
        raise _unknown(node, key, override, path)
    if isinstance(node, Sequence):
        index = _index(node, key, override, path)
        item = node.items[index] = _opened(node.items[index])
        return item
    raise override.error(f"{_shown(path[:-1])} holds no keys, so no {key!r}")


def _opened(node: Node) -> Node:
    """Return a node whose inside may be changed: of an alias a copy, of a tag that has no arguments yet a mapping for them."""
    if isinstance(node, Alias):
        return _copy(node.target)
    if isinstance(node, Scalar) and node.tag and not node.text and not node.tag.startswith(STANDARD):
        return Mapping(node.tag, node.position)
    return node


def _copy(node: Node) -> Node:
    if isinstance(node, Mapping):
        mapping = Mapping(node.tag, node.position)
        mapping.items = list(node.items)
        return mapping
    if isinstance(node, Sequence):
        sequence = Sequence(node.tag, node.position)
        sequence.items = list(node.items)
        return sequence
    return node


def _index(node: Sequence, key: str, override: Override, path: list[str]) -> int:
    if re.fullmatch(r"-?\d+", key) and -len(node.items) <= int(key) < len(node.items):
        return int(key)
    raise override.error(f"{_shown(path[:-1])} is a list of {len(node.items)}, so there is no {key!r} in it")


def _unknown(node: Mapping, key: str, override: Override, path: list[str]) -> ConfigError:
    """Return the error of a key that is not in ``node``. path: where it was looked for, itself last."""
    known = [text for name, _ in node.items if (text := text_of(name)) is not None]
    stages = next((v for n, v in node.items if text_of(n) in ("pipeline", "stages") and isinstance(v, Mapping)), None)
    if isinstance(stages, Mapping):
        known += [text for name, _ in stages.items if (text := text_of(name)) is not None]
    parameters = _parameters(override.root, path[:-1])
    hint = None if key in parameters else did_you_mean(key, [*known, *parameters])
    rest = override.path[override.path.index(key) :]
    deeper = None if hint or key in parameters else next(_deeper(node, rest), None)
    if deeper is not None:
        hint = f"Did you mean {_shown([*path[:-1], *deeper])!r}?"
    if hint is None and override.sign == "--":
        hint = _option_meant(override)
    expected = None if hint or not known or key in parameters else f"one of {', '.join(known)}"
    if hint is None and override.sign == "":
        hint = f"+{override.text} would add it."
    where = f"{_shown(path[:-1])} has" if path[:-1] not in ([], ["pipeline"], ["stages"]) else "there is"
    return override.error(f"{where} no key {key!r}", expected=expected, hint=hint)


def _option_meant(override: Override) -> str | None:
    """Return the option that a word with two dashes is, or is near to: of the command, where it comes when it is none, or of flambe-tune."""
    import click  # what reads dashes has it loaded

    path, context = override.path, click.get_current_context(silent=True)
    if path[0] in _OF_TUNE and len(path) == 1:
        import shlex

        file = str(context.params.get("file") or "FILE") if context is not None else "FILE"
        words = [override.text] if "=" in override.text else override.text.split(" ", 1)
        return f"flambe-tune has this option: {shlex.join(['flambe-compile', file])} | flambe-tune {shlex.join(words)}"
    options = [name for param in context.command.params for name in param.opts] if context is not None else []
    return did_you_mean(f"--{path[0]}", [name for name in options if name.startswith("--")]) if len(path) == 1 else None


def _deeper(node: Node, rest: list[str]) -> Iterator[list[str]]:
    """Yield the paths below ``node`` that end like the override's."""
    if isinstance(node, Mapping):
        for name, value in node.items:
            key = text_of(name)
            if key is not None and not isinstance(value, Alias):
                if key == rest[0] and (len(rest) == 1 or _has(value, rest[1:])):
                    yield rest
                yield from ([key, *more] for more in _deeper(value, rest))


def _has(node: Node, path: list[str]) -> bool:
    inner = child(node, path[0]) if isinstance(node, Mapping) else None
    return inner is not None and (len(path) == 1 or _has(inner, path[1:]))
