"""``Ignore``: what the ``.gitignore`` files of a project leave out, without git."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple


class _Rule(NamedTuple):
    pattern: re.Pattern[str]
    keeps: bool
    folders_only: bool


class Ignore:
    """The ``.gitignore`` files at and below the root of a project. The root is the nearest folder above with ``.git``, else ``folder``."""

    def __init__(self, folder: Path) -> None:
        here = folder.resolve()
        self._root = next((above for above in (here, *here.parents) if (above / ".git").exists()), here)
        self._rules: dict[Path, tuple[_Rule, ...]] = {}

    def matches(self, path: Path, *, is_folder: bool) -> bool:
        """Whether a file or folder is ignored by itself; what is below an ignored folder is ignored with it."""
        real = path.parent.resolve() / path.name
        if not real.is_relative_to(self._root):
            return False
        found = False
        # The file nearest to the path is asked last: its word counts.
        for above in reversed([one for one in real.parents if one.is_relative_to(self._root)]):
            name = real.relative_to(above).as_posix()
            if above not in self._rules:
                self._rules[above] = _read(above / ".gitignore")
            for rule in self._rules[above]:
                if (is_folder or not rule.folders_only) and rule.pattern.fullmatch(name):
                    found = not rule.keeps
        return found


def _read(file: Path) -> tuple[_Rule, ...]:
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ()
    return tuple(_rule(line.rstrip()) for line in lines if line.strip() and not line.startswith("#"))


def _rule(line: str) -> _Rule:
    keeps, line = line.startswith("!"), line.removeprefix("!")
    folders_only, line = line.endswith("/"), line.rstrip("/")
    # A slash within ties the pattern to the folder of its file; without one it counts at any depth.
    text = line.removeprefix("/") if "/" in line else f"**/{line}"
    return _Rule(re.compile(_regex(text)), keeps, folders_only)


def _regex(text: str) -> str:
    found, at = "", 0
    while at < len(text):
        if text.startswith("**/", at):
            found, at = found + "(?:.*/)?", at + 3
        elif text.startswith("**", at):
            found, at = found + ".*", at + 2
        elif text[at] == "*":
            found, at = found + "[^/]*", at + 1
        elif text[at] == "?":
            found, at = found + "[^/]", at + 1
        elif text[at] == "[" and "]" in text[at + 2 :]:
            end = text.index("]", at + 2)
            inside = text[at + 1 : end].replace("\\", "\\\\")
            found, at = found + f"[{'^' + inside[1:] if inside[0] == '!' else inside}]", end + 1
        else:
            at += text[at] == "\\" and at + 1 < len(text)
            found, at = found + re.escape(text[at]), at + 1
    return found
