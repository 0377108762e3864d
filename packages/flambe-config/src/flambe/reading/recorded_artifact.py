"""A file that the code of a run has left below ``artifacts/``: found by its path, loaded only when somebody asks."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

from flambe.errors import ConfigError
from flambe.reading.inside import open_file, read_file

FILE = "file"
"""The type of an artifact that lies in no folder of a type."""
_DEEPEST = 16
_TYPES = {
    ".json": "json", ".txt": "text", ".log": "text", ".md": "text", ".csv": "table", ".npy": "numpy", ".npz": "numpy",
    ".png": "image", ".wav": "audio", ".safetensors": "checkpoint", ".pt": "torch", ".pth": "torch", ".pkl": "pickle",
    ".pickle": "pickle", ".dill": "pickle",
}  # fmt: skip


class RecordedArtifact(NamedTuple):
    """One file. home: the folder that has ``artifacts/``. type: the folder below that. name: its path below the type.

    size: in bytes.
    """

    home: Path
    path: Path
    type: str
    name: str
    size: int

    @property
    def column(self) -> str:
        return f"artifact.{self.type}.{self.name}"

    def read(self) -> bytes:
        """Return its bytes. Raises ConfigError when it is no plain file any more."""
        try:
            return read_file(self.path, most=max(self.size, 1 << 20) * 2)
        except OSError as error:
            raise ConfigError(f"{self.path} {error.strerror or error}") from error

    def load(self, *, allow_pickle: bool = False, extensions: Collection[str] = ()) -> Any:
        """Return what it holds: by its type, as ``flambe.record.artifact_type`` lists them; a file without one by its suffix,
        else its bytes.

        allow_pickle: also run what a pickle says, which may be any code of whoever made it. extensions: modules that may be
        imported to read types that are not ours.
        Raises ProvenanceError for what would run code without that, ConfigError for a file that is not what its name says.
        """
        from flambe.errors import FlambeError, ProvenanceError
        from flambe.record.artifact_type import PICKLE, reader_of
        from flambe.record.artifacts import Artifacts

        try:
            os.close(open_file(self.path))
            listed = Artifacts(self.home)
            if any((entry.type, entry.name) == (self.type, self.name) for entry in listed.entries()):
                return listed.load(self.name, self.type, allow_pickle=allow_pickle, extensions=extensions)
            kind = _TYPES.get(self.path.suffix.lower()) if self.type == FILE else self.type
            if kind is None:
                return self.read()
            if kind == PICKLE and not allow_pickle:
                raise ProvenanceError(
                    f"{self.path} is a pickle, which runs code when it is read",
                    hint="If you trust whoever made it: load(allow_pickle=True).",
                )
            return reader_of(kind, None, extensions)(str(self.path))
        except FlambeError:
            raise
        except Exception as error:
            raise ConfigError(f"{self.path} cannot be loaded as {self.type}: {error}") from error


def find_artifacts(home: str, name: str) -> list[RecordedArtifact]:
    """Return the plain files at and below the folder ``name`` of ``home``, by type and name; links and hidden names stay out."""
    found: list[RecordedArtifact] = []
    todo = [(f"{home}/{name}", "")]
    while todo:
        path, below = todo.pop()
        try:
            with os.scandir(path) as entries:
                for entry in entries:
                    place = below + entry.name
                    if entry.name.startswith("."):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        if place.count("/") < _DEEPEST:
                            todo.append((entry.path, place + "/"))
                    elif entry.is_file(follow_symlinks=False):
                        kind, _, rest = place.partition("/")
                        size = entry.stat(follow_symlinks=False).st_size
                        path_of = Path(entry.path)
                        found.append(RecordedArtifact(Path(home), path_of, kind if rest else FILE, rest or kind, size))
        except OSError:
            continue  # gone, or not ours to read
    return sorted(found, key=lambda artifact: (artifact.type, artifact.name))


__all__ = ["RecordedArtifact", "find_artifacts"]
