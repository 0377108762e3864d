"""Comments of a YAML text: which key or item each belongs to, so that a value can be written with them again.

No parser gives them, but the scanner tells where every token stands: what is between two tokens is blanks and comments.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import yaml

from flambe.compile.yaml import Mapping as MappingNode
from flambe.compile.yaml import Node, Scalar, Sequence
from flambe.spec.nodes import Path


class Note(NamedTuple):
    """What stands around one key or item. above: whole lines, an empty one for blank lines; below: those at the end of the text."""

    above: tuple[str, ...] = ()
    beside: str = ""
    below: tuple[str, ...] = ()


Notes = Mapping[Path, Note]
"""Path from a component, through plain maps and lists, to a key or item → what stands around it. ``()``: the component itself."""


def notes_of(text: str, tree: Node, components: Iterable[Node]) -> dict[int, dict[Path, Note]]:
    """Return id of a tree → its notes, for those ``components`` (parts of ``tree``) that have any."""
    if "#" not in text:
        return {}
    places = _Places({id(node) for node in components})
    places.visit(tree, (), id(tree))
    lines, beside = lines_and_tails(text, *_span(text, tree))
    notes: dict[int, dict[Path, Note]] = {}

    def add(owner: int, path: Path, **more: Any) -> None:
        found = notes.setdefault(owner, {})
        found[path] = found.get(path, Note())._replace(**more)

    def is_free(entry: tuple[int, int, Path]) -> bool:
        _, owner, path = entry
        return not notes.get(owner, {}).get(path, Note()).beside

    starts = iter(places.entries)
    entry = next(starts, None)
    above: list[str] = []
    last = None
    for number, comment in lines:
        if comment is not None:
            if comment or (above and above[-1]) or (not above and last is not None):
                above.append(comment)
            continue
        while entry is not None and entry[0] < number:
            last, entry = entry, next(starts, None)
        if entry is not None and entry[0] == number:
            last = entry
            if any(above):
                add(*entry[1:], above=tuple(above))
            above = []
        if number not in beside:
            continue
        if last is not None and (last[0] == number or is_free(last)):
            add(*last[1:], beside=beside[number])
        else:
            above.append(beside[number])  # of a line that begins nothing: a bare dash, the mark of a document
    while above and not above[-1]:
        above.pop()
    if above:
        add(id(tree), (), below=tuple(above))
    return notes


class _Places:
    """The first key or item that begins in each line: (line, id of the component that it belongs to, path from there)."""

    def __init__(self, components: set[int]) -> None:
        self._components = components
        self.entries: list[tuple[int, int, Path]] = []

    def visit(self, node: Node, path: Path, owner: int) -> None:
        if node.tag is not None and not self.entries:
            self._enter(node, owner, path)
        if id(node) in self._components:
            owner, path = id(node), ()
        if isinstance(node, MappingNode):
            for key, value in node.items:
                below = (*path, key.text if isinstance(key, Scalar) else "")
                self._enter(key, owner, below)
                self.visit(value, below, owner)
        elif isinstance(node, Sequence):
            for index, item in enumerate(node.items):
                self._enter(item, owner, (*path, index))
                self.visit(item, (*path, index), owner)

    def _enter(self, node: Node, owner: int, path: Path) -> None:
        line = node.position.line
        if not self.entries or self.entries[-1][0] < line:
            self.entries.append((line, owner, path))


def _span(text: str, tree: Node) -> tuple[int, int]:
    """Return the lines of a tree's document, 0-based, the second one past the end."""
    starts = [token.start_mark.line for token in yaml.scan(text, Loader=yaml.CSafeLoader) if _is_start(token)]
    before = [line for line in starts if line < tree.position.line]
    # What is above the first "---" belongs to the first document.
    return (before[-1] + 1 if len(before) > 1 or (before and _has_text(text, before[-1])) else 0), text.count("\n") + 1


def _is_start(token: object) -> bool:
    return isinstance(token, yaml.DocumentStartToken)


def _has_text(text: str, line: int) -> bool:
    above = (part.strip() for part in text.splitlines()[:line])
    return any(part and not part.startswith(("#", "%")) for part in above)


def lines_and_tails(text: str, first: int, end: int) -> tuple[list[tuple[int, str | None]], dict[int, str]]:
    """Return (line, comment) of all lines, None for a line with content, "" for a blank one; and the comments beside content.

    Lines are 1-based. What looks like a comment inside a text of several lines is content.
    """
    written = text.removeprefix("\ufeff").split("\n")
    ends: dict[int, int] = {}  # line → column where its last token ends
    inside: set[int] = set()
    for token in yaml.scan(text, Loader=yaml.CSafeLoader):
        start, stop = token.start_mark, token.end_mark
        if start.index == stop.index:
            continue  # where a block begins or ends: no characters
        if getattr(token, "style", None) in ("|", ">"):
            inside.update(_block(written, start.line))
            ends[start.line] = max(ends.get(start.line, 0), start.column + 1)
            continue
        if isinstance(token, yaml.ScalarToken):
            inside.update(range(start.line + 1, stop.line + 1))
        ends[stop.line] = max(ends.get(stop.line, 0), stop.column)
    lines: list[tuple[int, str | None]] = []
    beside: dict[int, str] = {}
    for number in range(first, min(end, len(written))):
        line = written[number].rstrip()
        bare = line.strip()
        if number not in ends and number not in inside:
            if not bare or bare.startswith("#"):
                lines.append((number + 1, bare))
            continue
        lines.append((number + 1, None))
        mark = line.find("#", ends.get(number, len(line)))
        if mark > 0 and line[mark - 1] in " \t":
            beside[number + 1] = line[mark:]
    return lines, beside


def _block(written: list[str], start: int) -> range:
    """Return the lines of the ``|`` or ``>`` text whose head is in line ``start``."""
    inner = None
    last = start
    for number in range(start + 1, len(written)):
        line = written[number]
        if not line.strip():
            continue
        if inner is None:
            inner = _column(line)
        if _column(line) < inner or inner <= _column(written[start]):
            break
        last = number
    return range(start + 1, last + 1)


def _column(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


__all__ = ["Note", "Notes", "lines_and_tails", "notes_of"]
