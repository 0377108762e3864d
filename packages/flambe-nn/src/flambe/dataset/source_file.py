"""Where the files of public datasets come from: ``FLAMBE_DATA``, then the user's cache, then the web."""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from pathlib import Path

import msgspec
import platformdirs

from flambe.cli.console import progress, say
from flambe.errors import FlambeError
from flambe.runner.environment import note_input
from flambe.spec.digest import file_digest

CHUNK = 1 << 16


class SourceFile(msgspec.Struct, frozen=True):
    """A file of a public dataset.

    Parameters
    ----------
    dataset: name of its folder (``sst2``).
    name: name of the file.
    url: where it is published.
    sha256: of its content; None where it was never recorded, and then it cannot be checked.
    """

    dataset: str
    name: str
    url: str
    sha256: str | None = None

    def fetch(self) -> Path:
        """Return the file on this machine, downloading it if it is not here yet.

        A file in ``FLAMBE_DATA`` is taken as it is: it may be the user's own version. A download is resumed where an
        earlier one broke off, checked, and only then given its name.

        Raises
        ------
        FlambeError: it is nowhere, and cannot be downloaded; or what came has another checksum.
        """
        here = self.find()
        if here is None:
            here = self.cache_path()
            self._download(here)
        note_input(here)
        return here

    def find(self) -> Path | None:
        """Return the file in ``FLAMBE_DATA`` or in the cache, if it is there."""
        folder = os.environ.get("FLAMBE_DATA")
        places = [Path(folder).expanduser() / self.dataset / self.name] if folder else []
        return next((place for place in (*places, self.cache_path()) if place.is_file()), None)

    def cache_path(self) -> Path:
        """Where a download is kept."""
        return Path(platformdirs.user_cache_dir("flambe", appauthor=False)) / "data" / self.dataset / self.name

    def _download(self, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        # One name for all processes, so that a broken download goes on; two at once would only write the same bytes
        # at the same places, and the checksum has the last word.
        part = target.with_name(target.name + ".part")
        say(f"downloading {self.url}")
        try:
            try:
                self._receive(part)
            except urllib.error.HTTPError as error:
                if error.code != 416:  # the part is whole already, or not of this file: the checksum will tell
                    raise
        except (OSError, TimeoutError) as error:
            raise FlambeError(
                f"{self.dataset}/{self.name} is not on this machine and cannot be downloaded from {self.url} ({error})",
                hint=f"Place the file as {self.dataset}/{self.name} below the folder that FLAMBE_DATA names, "
                f"or as {target}",
            ) from error
        digest = file_digest(part)
        if self.sha256 is not None and digest != self.sha256:
            part.unlink()
            raise FlambeError(
                f"{self.url} gave a file with sha256 {digest}, not {self.sha256}",
                hint=f"Try again; or place a copy that you trust as {self.dataset}/{self.name} below FLAMBE_DATA",
            )
        os.replace(part, target)

    def _receive(self, part: Path) -> None:
        have = part.stat().st_size if part.exists() else 0
        request = urllib.request.Request(self.url)
        if have:
            request.add_header("Range", f"bytes={have}-")
        with urllib.request.urlopen(request, timeout=30) as answer:
            resumed = answer.status == 206
            size = answer.headers.get("Content-Length")
            expected = None if size is None else int(size) + (have if resumed else 0)
            with part.open("ab" if resumed else "wb") as out, progress() as bar:
                task = bar.add_task(self.name, total=expected, completed=have if resumed else 0)
                while chunk := answer.read(CHUNK):
                    out.write(chunk)
                    bar.advance(task, len(chunk))
        if expected is not None and part.stat().st_size < expected:
            raise OSError(f"the connection broke after {part.stat().st_size} of {expected} bytes")
