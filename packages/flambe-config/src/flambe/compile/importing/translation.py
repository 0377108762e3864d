"""What the configs of another tool become: texts of files, and notes on what could not be taken over."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from flambe.errors import Position


class Note(NamedTuple):
    """Something that is not the same as before. remedy: what to write. left: until that is done, the files cannot be used."""

    position: Position
    what: str
    remedy: str
    left: bool = False

    def __str__(self) -> str:
        return f"{self.position}: {self.what}. {self.remedy}"


class Written(NamedTuple):
    """A file that was made. path: below the output folder. sources: the files it was made of. did: what was done."""

    path: str
    text: str
    sources: tuple[str, ...]
    did: tuple[str, ...]


class Translation:
    """The files that an import writes, in order, and its notes."""

    def __init__(self) -> None:
        self.files: dict[str, Written] = {}
        self._notes: dict[Note, None] = {}

    def note(self, position: Position, what: str, remedy: str, *, left: bool = False) -> None:
        """Note a thing once, however often it is met."""
        self._notes.setdefault(Note(position, what, remedy, left))

    @property
    def notes(self) -> list[Note]:
        """All notes by file, line and column."""
        return sorted(self._notes)

    @property
    def is_complete(self) -> bool:
        """Whether the files can be used as they are."""
        return not any(note.left for note in self._notes)

    def add(self, path: str, text: Callable[[str], str], sources: tuple[str, ...], did: list[str]) -> str:
        """Keep a file and return its path. One that is there already with the same text is that file; one with another text
        gets a number. text: makes the text for a path, which the relative paths in it depend on.
        """
        stem, dot, suffix = path.rpartition(".")
        number = 1
        while True:
            made = text(path)
            known = self.files.get(path)
            if known is None:
                self.files[path] = Written(path, made, sources, tuple(dict.fromkeys(did)))
                return path
            if known.text == made:
                return path
            number += 1
            path = f"{stem}.{number}{dot}{suffix}"
