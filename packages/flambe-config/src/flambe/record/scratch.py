"""``Scratch``: the folders that attempts write into before what they made is taken into the run directory."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from pathlib import Path

from flambe.record.layout import ARTIFACTS
from flambe.record.ledger import Event


class Scratch:
    """Folders below ``root``, one for each attempt, named after its unit.

    The folder of an attempt that has committed serves a later one under another name: where a disk has a journal or a network
    before it, taking a folder away waits for milliseconds, which is more than a small trial takes. Whatever still writes by
    the old name finds nothing there.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._spare: list[Path] = []

    def of_attempt(self, start: Event) -> Path:
        """Return where the folder of an attempt is, or would be, from its ``start`` event."""
        return self._path(start["unit"], f"{start['attempt']}.{start['from_step']}")

    def place(self, unit: str, name: str) -> Path:
        """Return a place where nothing is. unit: an id. name: tells its places apart."""
        return self._cleared(self._path(unit, name))

    def make(self, start: Event) -> Path:
        """Return a folder for an attempt that is empty, or has an empty ``artifacts/`` in it."""
        place = self._cleared(self.of_attempt(start))
        if self._spare:
            os.rename(self._spare.pop(), place)
        else:
            place.mkdir()
        return place

    def give_back(self, folder: Path, *, keep: bool) -> None:
        """Empty a folder that an attempt is done with. keep: nobody works in it any more, so it may serve another."""
        if keep and folder.parent == self._root:
            with contextlib.suppress(OSError):
                _empty(folder, but=ARTIFACTS)
                self._spare.append(folder)
                return
        shutil.rmtree(folder, ignore_errors=True)

    def hand_on(self, folder: Path, place: Path) -> None:
        """Take away what is in a folder, and let it be another one, which is written next."""
        try:
            _empty(folder)
            os.rename(folder, place)
        except OSError:  # the worker is on another disk
            shutil.rmtree(folder, ignore_errors=True)

    def _path(self, unit: str, name: str) -> Path:
        return self._root / f"{hashlib.sha256(unit.encode()).hexdigest()[:16]}.{name}"

    def _cleared(self, place: Path) -> Path:
        self._root.mkdir(exist_ok=True)
        shutil.rmtree(place, ignore_errors=True)
        return place

    def end(self) -> None:
        """Take everything away."""
        self._spare.clear()
        shutil.rmtree(self._root, ignore_errors=True)


def _empty(folder: Path, *, but: str | None = None) -> None:
    """Take away what is in a folder, but for an empty folder of that name."""
    for entry in list(os.scandir(folder)):
        if not entry.is_dir(follow_symlinks=False):
            os.unlink(entry.path)
        elif entry.name != but or any(os.scandir(entry.path)):
            shutil.rmtree(entry.path)


__all__ = ["Scratch"]
