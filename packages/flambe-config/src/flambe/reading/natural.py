"""The order of names as people count."""

from __future__ import annotations

import re


def natural(text: str) -> list[tuple[int, str]]:
    """Return a sort key by which ``exp.10`` comes after ``exp.2``."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", text)]


__all__ = ["natural"]
