"""``Scratch``: the folders that attempts write into before what they made is taken into the run directory."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from pathlib import Path

from flambe.record.layout import ARTIFACTS


class Scratch:
    """Folders below ``root``, one for each attempt, named after its unit.

    The folder of an attempt that has committed serves a later one under another name: where a disk has a journal or a network
    before it, taking a folder away waits for milliseconds, which is more than a small trial takes. Whatever still writes by
    the old name finds nothing there.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._spare: list[Path] = []

    def path(self, unit: str, name: str) -> Path:
        """Return where the folder of a unit (its id) is, or would be. name: tells its folders apart."""
        return self._root / f"{hashlib.sha256(unit.encode()).hexdigest()[:16]}.{name}"

    def place(self, unit: str, name: str) -> Path:
        """Return a place where nothing is."""
        self._root.mkdir(exist_ok=True)
        place = self.path(unit, name)
        shutil.rmtree(place, ignore_errors=True)
        return place

    def make(self, unit: str, name: str) -> Path:
        """Return a folder that is empty, or has an empty ``artifacts/`` in it."""
        place = self.place(unit, name)
        if self._spare:
            os.rename(self._spare.pop(), place)
        else:
            place.mkdir()
        return place

    def give_back(self, folder: Path, *, keep: bool) -> None:
        """Empty a folder that an attempt is done with. keep: nobody works in it any more, so it may serve another."""
        if keep and folder.parent == self._root:
            with contextlib.suppress(OSError):
                _empty(folder)
                self._spare.append(folder)
                return
        shutil.rmtree(folder, ignore_errors=True)

    def end(self) -> None:
        """Take everything away."""
        self._spare.clear()
        shutil.rmtree(self._root, ignore_errors=True)


def _empty(folder: Path) -> None:
    for entry in list(os.scandir(folder)):
        if not entry.is_dir(follow_symlinks=False):
            os.unlink(entry.path)
        elif entry.name != ARTIFACTS or any(os.scandir(entry.path)):
            shutil.rmtree(entry.path)


__all__ = ["Scratch"]
