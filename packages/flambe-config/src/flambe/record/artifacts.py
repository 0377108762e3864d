"""``Artifacts``: values of any type as files below the folder of a unit or run, and the list of them.

Each is at ``artifacts/{type}/{name}``, written aside and renamed, with a line in ``artifacts.jsonl`` that comes after the file.
The newest line of a name counts. What is read is data: see ``flambe.record.artifact_type`` about types of somebody's own.
"""

from __future__ import annotations

import datetime
import os
import shutil
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

import msgspec

from flambe.errors import FlambeError, ProvenanceError, did_you_mean
from flambe.record.artifact_type import PICKLE, InvalidArtifactError, function_of, reader_of, type_of
from flambe.record.layout import ARTIFACT_INDEX, ARTIFACTS
from flambe.record.metrics import append_line, open_to_append
from flambe.record.run import now
from flambe.spec.digest import file_digest

_LONGEST_PART = 200


class Artifact(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One line of ``artifacts.jsonl``.

    t: when it was written. size: bytes; sha256: None for a folder. tag, step: what was logged, by ``log_image`` and the like.
    save, load: import paths of a type that is not ours.
    """

    name: str
    type: str
    t: str
    size: int
    sha256: str | None = None
    tag: str | None = None
    step: int | None = None
    save: str | None = None
    load: str | None = None
    allow_pickle: bool = False

    @property
    def path(self) -> str:
        """Where it is, from the folder of the unit or run."""
        return f"{ARTIFACTS}/{self.type}/{self.name}"


class Artifacts:
    """The artifacts of one unit or run. folder: that of the unit or run; it is made with the first artifact."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._index: int | None = None
        self._seen = 0

    def save(
        self,
        value: Any,
        name: str,
        type: str,
        *,
        allow_pickle: bool = False,
        tag: str | None = None,
        step: int | None = None,
        walltime: float | None = None,
    ) -> Path:
        """Write a value as an artifact and return its path. One of the same type and name is replaced.

        name: a relative path below the folder of its type, kept as it is. allow_pickle: for ``pickle``, and for whole objects
        as ``torch``. tag, step: kept in the list. walltime: seconds since the epoch, default now.
        Raises InvalidArtifactError for such a name, type or value, and has written nothing then.
        """
        known = type_of(type)
        place = self._place(type, name)
        if type == PICKLE and not allow_pickle:
            raise InvalidArtifactError(
                f"{name}: a pickle runs code when it is read, so both sides have to ask for it",
                hint="Pass allow_pickle=True, or use another type: checkpoint, numpy, json, table.",
            )
        options = {"allow_pickle": True} if type == "torch" and allow_pickle else {}
        write = function_of(known.save)
        place.parent.mkdir(parents=True, exist_ok=True)
        # In a folder of its own under its own name: formats go by the suffix.
        aside = Path(tempfile.mkdtemp(prefix=".", dir=place.parent))
        try:
            written = aside / place.name
            write(value, str(written), **options)
            if not written.exists():
                found = ", ".join(path.name for path in aside.iterdir()) or "nothing"
                raise InvalidArtifactError(f"{known.save} was to write {name} and has written {found}")
            entry = Artifact(
                name=name, type=type, t=_stamp(walltime), size=_size(written), tag=tag, step=step,
                sha256=None if written.is_dir() else file_digest(written), allow_pickle=bool(options),
                save=None if known.ours else known.save, load=None if known.ours else known.load,
            )  # fmt: skip
            if place.is_dir():
                shutil.rmtree(place)  # only a type of one's own writes folders
            os.replace(written, place)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        self._append(entry)
        return place

    def load(
        self,
        name: str,
        type: str | None = None,
        *,
        allow_pickle: bool = False,
        extensions: Collection[str] = (),
    ) -> Any:
        """Read an artifact. type: needed where several have the name and not the newest is meant.

        allow_pickle: let a pickle run its code. extensions: modules that may be imported to read types that are not ours.
        Raises InvalidArtifactError when there is none, ProvenanceError for what would run code that nobody vouched for.
        """
        entry = self.find(name, type)
        place = self._place(entry.type, entry.name)
        if not place.exists():
            raise InvalidArtifactError(f"{place} is gone, though {ARTIFACT_INDEX} lists it")
        needs_pickle = entry.type == PICKLE or entry.allow_pickle
        if needs_pickle and not allow_pickle:
            raise ProvenanceError(
                f"{place} is a pickle, which runs code when it is read", hint="If you trust it, pass allow_pickle=True."
            )
        options = {"allow_pickle": True} if entry.type == "torch" and allow_pickle else {}
        return reader_of(entry.type, entry.load, extensions)(str(place), **options)

    def find(self, name: str, type: str | None = None) -> Artifact:
        """Return the entry of an artifact. Raises InvalidArtifactError when there is none."""
        there = self.entries()
        for entry in reversed(there):
            if entry.name == name and type in (None, entry.type):
                return entry
        names = [entry.name for entry in there if type in (None, entry.type)]
        raise InvalidArtifactError(
            f"there is no artifact {name!r}{f' of type {type!r}' if type else ''} in {self.folder}",
            hint=did_you_mean(str(name), names) or (f"There are {', '.join(names[:10])}." if names else None),
        )

    def entries(self) -> list[Artifact]:
        """Return every artifact, in the order in which they were last written. A torn last line is left out.

        Raises FlambeError naming a line that is none.
        """
        found: dict[tuple[str, str], Artifact] = {}
        for line in self._lines().splitlines():
            entry = self._entry(line)
            found.pop((entry.type, entry.name), None)
            found[entry.type, entry.name] = entry
        return [*found.values()]

    def _lines(self, start: int = 0) -> bytes:
        try:
            with (self.folder / ARTIFACT_INDEX).open("rb") as stream:
                stream.seek(start)
                data = stream.read()
        except FileNotFoundError:
            return b""
        return data[: data.rfind(b"\n") + 1]

    def _entry(self, line: bytes) -> Artifact:
        try:
            return msgspec.json.decode(line, type=Artifact)
        except (msgspec.MsgspecError, UnicodeError) as error:
            raise FlambeError(f"{self.folder / ARTIFACT_INDEX}: {line[:80]!r} is no artifact: {error}") from error

    def fresh(self) -> list[Artifact]:
        """Return what was written since the last call, by this process or another one."""
        lines = self._lines(self._seen)
        self._seen += len(lines)
        return [self._entry(line) for line in lines.splitlines()]

    def hand_on(self, folder: Path) -> None:
        """Copy the list into another folder, which has the files already."""
        if (self.folder / ARTIFACT_INDEX).exists():
            shutil.copyfile(self.folder / ARTIFACT_INDEX, folder / ARTIFACT_INDEX)

    def take_over(self, folder: Path) -> None:
        """Begin with the list of another folder, whose files are here already; nothing in it is fresh."""
        Artifacts(folder).hand_on(self.folder)
        self.fresh()

    def _append(self, entry: Artifact) -> None:
        if self._index is None:
            self._index = open_to_append(self.folder / ARTIFACT_INDEX)
        append_line(self._index, msgspec.json.encode(entry) + b"\n")

    def close(self) -> None:
        """Let go of the list."""
        if self._index is not None:
            os.close(self._index)
            self._index = None

    def _place(self, type: str, name: str) -> Path:
        # They may come from a list that anybody has written: nothing leads out of the folder.
        if not isinstance(name, str) or not name or any(_is_no_part(part) for part in (type, *name.split("/"))):
            raise InvalidArtifactError(
                f"{name!r} is no name of an artifact",
                expected="a file name, or several with '/' between them, none of which begins with '.'",
            )
        return self.folder / ARTIFACTS / type / name


def sweep_artifacts(folder: Path) -> None:
    """Take away what a kill in the middle of a save has left below a folder."""
    for path in list((folder / ARTIFACTS).rglob(".*")):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)


def _stamp(walltime: float | None) -> str:
    if walltime is None:
        return now()
    moment = datetime.datetime.fromtimestamp(walltime, datetime.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _is_no_part(part: str) -> bool:
    unprintable = not part.isprintable() or "\\" in part
    return not part or part.startswith(".") or unprintable or len(part.encode()) > _LONGEST_PART


def _size(path: Path) -> int:
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return path.stat().st_size


__all__ = ["Artifact", "Artifacts", "InvalidArtifactError", "sweep_artifacts"]
