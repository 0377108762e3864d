"""The layout of a config's text: indentation, blank lines and line ends, made alike. Nothing else is touched."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from yaml.cyaml import CParser  # type: ignore[attr-defined]
from yaml.events import (
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from flambe.compile.compiler import compile_text, name_of
from flambe.compile.yaml import documents
from flambe.errors import ConfigError
from flambe.spec.digest import spec_digest

_DASH = re.compile(r"-(?: +|$)")


class UnsafeLayout(ConfigError):
    """A file that cannot be laid out without a doubt; it stays as it is."""


def laid_out(text: str, file: str) -> str:
    """Return a config's text in our layout: two spaces a level, one blank line at most, no blanks at line ends.

    Comments, quotes, the order of keys and everything else stay. Raises ``ConfigFaults`` for a config that does not
    compile, ``UnsafeLayout`` where the new text would not mean the same or would lose a character.
    """
    before = _digest(text, file)
    try:
        new = _Layout(text, file).text()
    except _NotUnderstood as reason:
        raise UnsafeLayout(f"{file} is left as it is: {reason}") from reason
    if _bare(new) != _bare(text) or _events(new) != _events(text) or _digest(new, file) != before:
        raise UnsafeLayout(f"{file} is left as it is: its layout cannot be changed without changing what it says")
    return new


class _NotUnderstood(Exception):
    """A line whose indentation is not one of ours to change."""


class _Level(NamedTuple):
    old: int
    new: int


def _digest(text: str, file: str) -> str:
    return spec_digest(compile_text(text, name=name_of(file), file=file))


def _bare(text: str) -> str:
    """Return a text without blanks: none of its characters may be lost."""
    return re.sub(r"\s+", "", text.removeprefix("\ufeff"))


def _events(text: str) -> list[tuple[Any, ...]]:
    found = []
    parser = CParser(text.encode())
    while parser.check_event():
        event = parser.get_event()
        names = ("anchor", "tag", "value", "style", "implicit", "flow_style")
        found.append((type(event).__name__, *(getattr(event, name, None) for name in names)))
    return found


class _Layout:
    def __init__(self, text: str, file: str) -> None:
        documents(text, file)  # a syntax error is told with its place
        self._lines = text.removeprefix("\ufeff").replace("\r\n", "\n").split("\n")
        # Lines that begin inside a value: they move with the line where it begins. True: their blanks count.
        self._inside: dict[int, tuple[int, bool]] = {}
        self._find_inside("\n".join(self._lines))

    def text(self) -> str:
        indents = self._indents()
        result: list[str] = []
        for number, line in enumerate(self._lines):
            if number in self._inside:
                start, keep = self._inside[number]
                shift = indents[start][0] - _column(self._lines[start])
                stripped = line if keep else line.rstrip()
                result.append(_moved(stripped, shift))
            elif not line.strip():
                if result and result[-1] != "":
                    result.append("")
            else:
                indent, rest = indents[number]
                result.append(" " * indent + rest)
        while result and result[-1] == "":
            result.pop()
        return "\n".join(result) + "\n"

    def _find_inside(self, text: str) -> None:
        parser = CParser(text.encode())
        flows: list[int | None] = []
        while parser.check_event():
            event: Any = parser.get_event()
            start, end = event.start_mark, event.end_mark
            if isinstance(event, ScalarEvent):
                last = end.line if end.column > 0 else end.line - 1
                if event.style in ("|", ">"):
                    last = self._end_of_block(start.line, last)
                for number in range(start.line + 1, last + 1):
                    self._inside.setdefault(number, (self._start(start.line), event.style is not None))
            elif isinstance(event, MappingStartEvent | SequenceStartEvent):
                flows.append(start.line if event.flow_style else None)
            elif isinstance(event, MappingEndEvent | SequenceEndEvent):
                first = flows.pop()
                if first is not None:
                    for number in range(first + 1, end.line + 1):
                        self._inside.setdefault(number, (self._start(first), False))

    def _start(self, line: int) -> int:
        """Return the line that a line moves with: of one inside a value the one where that value begins."""
        return self._inside[line][0] if line in self._inside else line

    def _end_of_block(self, first: int, last: int) -> int:
        """Return the last line of a ``|`` or ``>`` text: comments after it, further left, are not its own."""
        inner = next((_column(self._lines[n]) for n in range(first + 1, last + 1) if self._lines[n].strip()), None)
        while last > first and inner is not None:
            line = self._lines[last] if last < len(self._lines) else ""
            if line.strip() and _column(line) >= inner:
                break
            last -= 1
        return last

    def _indents(self) -> dict[int, tuple[int, str]]:
        """Return line number → (new indentation, the rest of the line) for all lines that begin a key, item or comment."""
        found: dict[int, tuple[int, str]] = {}
        levels: list[_Level] = []
        comments: list[int] = []
        for number, line in enumerate(self._lines):
            if number in self._inside or not line.strip():
                continue
            bare = line.strip()
            if bare.startswith("#"):
                comments.append(number)
                continue
            if line.startswith(("---", "...", "%")):
                self._place(comments, found, levels, _Level(0, 0))
                levels = []
                found[number] = (0, line.rstrip())
                continue
            if "\t" in line[: _column(line) + 1] or bare.startswith("? ") or bare == "?":
                raise _NotUnderstood(f"line {number + 1} is written in a way that this command does not lay out")
            old_levels = list(levels)
            column = _column(line)
            while levels and levels[-1].old > column:
                levels.pop()
            if not levels or levels[-1].old < column:
                levels.append(_Level(column, levels[-1].new + 2 if levels else 0))
            here = levels[-1]
            self._place(comments, found, old_levels, here)
            found[number] = (here.new, self._items(bare, column, levels))
        self._place(comments, found, levels, _Level(-1, 0))
        return found

    def _items(self, bare: str, column: int, levels: list[_Level]) -> str:
        """Return the text of a line with one blank after each dash; what stands after a dash is a level of its own."""
        dashes = ""
        new = levels[-1].new
        while (match := _DASH.match(bare)) is not None and match.end() < len(bare):
            column += match.end()
            new += 2
            levels.append(_Level(column, new))
            dashes += "- "
            bare = bare[match.end() :]
        return dashes + bare

    def _place(
        self, comments: list[int], found: dict[int, tuple[int, str]], levels: list[_Level], below: _Level
    ) -> None:
        """Indent the comments before a line like that line, or like the level above it that they were written at."""
        for number in comments:
            column = _column(self._lines[number])
            new = below.new
            if column != below.old:
                known = [level.new for level in levels if level.old == column]
                deeper = [level.new for level in levels if level.old <= column]
                new = known[-1] if known else deeper[-1] if deeper and column > below.old else below.new
            found[number] = (new, self._lines[number].strip())
        comments.clear()


def _column(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _moved(line: str, shift: int) -> str:
    if not line.strip():
        return line.strip("\n") if shift == 0 else line[: max(len(line) + shift, 0)]
    column = _column(line)
    return " " * max(column + shift, 0) + line[column:]
