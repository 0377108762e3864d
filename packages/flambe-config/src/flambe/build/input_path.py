"""``InputPath``: the annotation of arguments that name a file or folder to read."""

from __future__ import annotations

from typing import TypeAlias

InputPath: TypeAlias = str
"""A path as plain text, relative to the current folder: for a type checker a ``str``.

Where a signature says it (``path: InputPath | None = None``, ``paths: list[InputPath]``), the compiler looks for the file before anything
runs. ``://`` and ``package:`` begin what is no file of this machine's.
"""

__all__ = ["InputPath"]
