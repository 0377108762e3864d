"""The comments of a YAML text, by the line that they belong to."""

from __future__ import annotations

import re
from typing import Any

import yaml

_PACKAGE = re.compile(r"#\s*@package\b")
"""What Hydra reads in a comment."""


class Comments:
    """Comments above lines and beside them. Lines count from 1."""

    def __init__(self, text: str) -> None:
        lines = text.splitlines()
        ends: dict[int, int] = {}  # line → where its last token ends
        inside: set[int] = set()  # lines of texts that go over several
        for token in yaml.scan(text, Loader=yaml.CSafeLoader):
            start, end = token.start_mark, token.end_mark
            if (start.line, start.column) == (end.line, end.column):
                continue  # such as the end of a block: it has no text of its own
            last = end.line + 1
            if isinstance(token, yaml.ScalarToken) and getattr(token, "style", None) in ("|", ">"):
                last = _end_of_block(lines, start.line, end.line)
                inside.update(range(start.line + 2, last + 1))
                ends[start.line + 1] = len(lines[start.line])
                continue
            if last > start.line + 1:
                inside.update(range(start.line + 2, last))
            ends[last] = max(ends.get(last, 0), end.column)
        self._beside: dict[int, str] = {}
        self._above: dict[int, list[str]] = {}
        waiting: list[str] = []
        for number, line in enumerate(lines, start=1):
            if number in inside:
                continue
            bare = line.strip()
            if number in ends:
                self._above[number], waiting = waiting, []
                rest = line[ends[number] :].strip()
                if rest.startswith("#"):
                    self._beside[number] = rest
            elif (not bare or bare.startswith("#")) and not _PACKAGE.match(bare):
                waiting.append(bare)
        self.below = waiting

    def above(self, line: int) -> list[str]:
        """Return the full lines of comment above a line; an empty text is an empty line."""
        return self._above.get(line, [])

    def beside(self, line: int) -> str | None:
        """Return the comment at the end of a line."""
        return self._beside.get(line)


def _end_of_block(lines: list[str], first: int, last: int) -> int:
    """Return the last line (from 1) of a ``|`` or ``>`` text that begins below line ``first`` (from 0)."""
    indent: int | None = None
    end = first + 1
    for index in range(first + 1, min(last + 1, len(lines))):
        line: Any = lines[index]
        if not line.strip():
            continue
        column = len(line) - len(line.lstrip(" "))
        if indent is None:
            indent = column
        if column < indent:
            break
        end = index + 1
    return end
