"""The folder of one step's checkpoint: ``state.json``, and beside it the tensors that it names, and the artifacts so far."""

from __future__ import annotations

import struct
from pathlib import Path

import msgspec

from flambe.record.artifacts import Artifacts
from flambe.record.layout import ARTIFACT_INDEX, ARTIFACTS, STATE_JSON, STATE_TENSORS
from flambe.spec.digest import file_digest

_LENGTH = struct.Struct("<Q")


def files_beside(folder: Path) -> list[list[str]]:
    """Return path and digest of what lies in the folder of a step and has no digest elsewhere: the list of artifacts, and files that
    code of the unit has written itself. It is kept with the state.
    """
    listed = {entry.path for entry in Artifacts(folder).entries()}
    there = [folder / ARTIFACT_INDEX, *sorted((folder / ARTIFACTS).rglob("*"))]
    files = (path for path in there if path.is_file() and not path.is_symlink())
    named = ((path.relative_to(folder).as_posix(), path) for path in files)
    return [[name, file_digest(path)] for name, path in named if name not in listed]


def step_is_whole(folder: Path, *, verify: bool = False) -> bool:
    """Whether a step can be continued from: its text is whole, and the file of tensors as long as its header says.

    verify: take the digests of the tensors and of what lies beside the state too, which reads gigabytes before anything begins.
    """
    try:
        state = msgspec.json.decode((folder / STATE_JSON).read_bytes())
        if verify and any(file_digest(folder / name) != digest for name, digest in state["state"].get("files", ())):
            return False
        if "tensors" not in state:
            return True
        path = folder / STATE_TENSORS
        if verify and file_digest(path) != state["tensors"]:
            return False
        with path.open("rb") as stream:
            (length,) = _LENGTH.unpack(stream.read(_LENGTH.size))
            header = msgspec.json.decode(stream.read(length))
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        return bool(path.stat().st_size == _LENGTH.size + length + max(ends, default=0))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error, MemoryError):
        return False


__all__ = ["files_beside", "step_is_whole"]
