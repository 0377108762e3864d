"""The comments of a YAML text, by the line that they belong to."""

from __future__ import annotations

import re

from flambe.compile.comments import lines_and_tails

_PACKAGE = re.compile(r"#\s*@package\b")
"""What Hydra reads in a comment."""


class Comments:
    """Comments above lines and beside them. Lines count from 1. below: those after the last line."""

    def __init__(self, text: str) -> None:
        lines, self._beside = lines_and_tails(text, 0, text.count("\n") + 1)
        self._above: dict[int, list[str]] = {}
        self.below: list[str] = []
        for number, comment in lines:
            if comment is None:
                self._above[number], self.below = self.below, []
            elif not _PACKAGE.match(comment):
                self.below.append(comment)

    def above(self, line: int) -> list[str]:
        """Return the full lines of comment above a line; an empty text is an empty line."""
        return self._above.get(line, [])

    def beside(self, line: int) -> str | None:
        """Return the comment at the end of a line."""
        return self._beside.get(line)
