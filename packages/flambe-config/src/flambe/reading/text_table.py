"""Rows of texts as lines whose columns stand below each other."""

from __future__ import annotations

from collections.abc import Sequence


def text_table(rows: Sequence[Sequence[str]], columns: Sequence[str]) -> str:
    """Return a line of names and one for each row, without characters that would steer a terminal."""
    whole = [list(columns), *([_printable(cell) for cell in row] for row in rows)]
    widths = [max(len(row[place]) for row in whole) for place in range(len(columns))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in whole)
    return "\n".join(lines)


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)


__all__ = ["text_table"]
