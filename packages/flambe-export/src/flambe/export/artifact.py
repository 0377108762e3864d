"""An artifact: a saved component with one digest over all of its files, written beside them as ``artifact.json``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import msgspec

from flambe.errors import ConfigError, ProvenanceError
from flambe.record.layout import MANIFEST
from flambe.record.run import replace_file
from flambe.spec.codec import check_version
from flambe.spec.digest import digest_of, file_digest

VERSION = "1.0"
ARTIFACT = "artifact.json"


class Artifact(msgspec.Struct, kw_only=True):
    """``artifact.json``: what was built.

    component: class of the root, ``module:Class``. digest: SHA-256 over ``files``, sorted by path; equal files
    give an equal digest, whenever and wherever they were built. files: path relative to the artifact, with ``/``
    → SHA-256. bytes: sum of the files' sizes.
    """

    flambe_artifact: str = VERSION
    component: str
    digest: str
    files: dict[str, str]
    bytes: int = 0


class Difference(msgspec.Struct, omit_defaults=True, kw_only=True):
    """How the files of a folder differ from those of an artifact (or of another folder), as sorted paths."""

    changed: list[str] = []
    missing: list[str] = []
    added: list[str] = []

    def __bool__(self) -> bool:
        return bool(self.changed or self.missing or self.added)

    def __str__(self) -> str:
        parts = [
            *(f"{path} is changed" for path in self.changed),
            *(f"{path} is missing" for path in self.missing),
            *(f"{path} is no part of it" for path in self.added),
        ]
        shown = "; ".join(parts[:10])
        return shown + (f"; and {len(parts) - 10} more" if len(parts) > 10 else "")


def digests_of(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file below ``folder`` but its ``artifact.json``, sorted by path.

    Raises ``ProvenanceError`` for a link: it could lead anywhere, so no digest could stand for it.
    """
    return {str(path.relative_to(folder).as_posix()): file_digest(path) for path in _files(folder)}


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*"), key=lambda path: path.relative_to(folder).as_posix()):
        if path.is_symlink():
            raise ProvenanceError(f"{path} is a link, and an artifact holds files only")
        if path.is_file() and path != folder / ARTIFACT:
            yield path


def digest_of_files(files: dict[str, str]) -> str:
    """Return the digest of an artifact: over path and SHA-256 of each file, sorted by path."""
    return digest_of(sorted(files.items()))


def describe(folder: Path) -> Artifact:
    """Describe the saved component in ``folder`` as an artifact, reading every file. Nothing is written."""
    files = digests_of(folder)
    return Artifact(
        component=component_of(folder),
        digest=digest_of_files(files),
        files=files,
        bytes=sum(path.stat().st_size for path in _files(folder)),
    )


def component_of(folder: Path) -> str:
    """Return the class that the saved component in ``folder`` is of. Raises ConfigError when there is none."""
    path = folder / MANIFEST
    try:
        return str(json.loads(path.read_bytes())["class"])
    except FileNotFoundError:
        raise ConfigError(f"{folder} holds no saved component (no {MANIFEST})") from None
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path} is no manifest of a saved component: {error}") from error


def seal(folder: Path) -> Artifact:
    """Write ``artifact.json`` for the saved component in ``folder``, and return what it says."""
    artifact = describe(folder)
    replace_file(folder / ARTIFACT, encode(artifact))
    return artifact


def encode(artifact: Artifact) -> bytes:
    """Return the bytes of ``artifact.json``."""
    return msgspec.json.format(msgspec.json.encode(artifact), indent=1) + b"\n"


def decode(data: bytes, *, where: str) -> Artifact:
    """Read an ``artifact.json``. Raises ConfigError when it is none, or of another major version."""
    try:
        head = msgspec.json.decode(data)
        check_version(head["flambe_artifact"], what=where, reads=VERSION)
        return msgspec.convert(head, Artifact)
    except (msgspec.MsgspecError, KeyError, TypeError) as error:
        raise ConfigError(f"{where} does not describe an artifact: {error}") from error


def read_artifact(folder: Path) -> Artifact | None:
    """Return what ``artifact.json`` of ``folder`` says, or None when there is none."""
    path = folder / ARTIFACT
    return decode(path.read_bytes(), where=str(path)) if path.is_file() else None


def compare(old: dict[str, str], new: dict[str, str]) -> Difference:
    """Return how the files ``new`` differ from the files ``old`` (path → SHA-256)."""
    return Difference(
        changed=sorted(path for path in old.keys() & new.keys() if old[path] != new[path]),
        missing=sorted(old.keys() - new.keys()),
        added=sorted(new.keys() - old.keys()),
    )


def verify(folder: Path) -> Artifact:
    """Check every file of the artifact in ``folder`` against its digest.

    Raises ``ProvenanceError`` that names the files which are changed, missing or added, and for an
    ``artifact.json`` whose digest is not that of its own list; ``ConfigError`` when there is no artifact.
    """
    artifact = read_artifact(folder)
    if artifact is None:
        raise ConfigError(f"{folder} holds no artifact (no {ARTIFACT})", hint="flambe-build writes one.")
    difference = compare(artifact.files, digests_of(folder))
    if difference:
        raise ProvenanceError(f"{folder} is not what was built: {difference}")
    if digest_of_files(artifact.files) != artifact.digest:
        raise ProvenanceError(f"{folder / ARTIFACT} is not what was built: its digest does not match its list of files")
    return artifact
