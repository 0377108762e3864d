"""The folder of one step's checkpoint: ``state.json``, and beside it the tensors that it names."""

from __future__ import annotations

import struct
from pathlib import Path

import msgspec

from flambe.record.layout import STATE_JSON, STATE_TENSORS
from flambe.spec.digest import file_digest

_LENGTH = struct.Struct("<Q")


def step_is_whole(folder: Path, *, verify: bool = False) -> bool:
    """Whether a step can be continued from: its text is whole, and the file of tensors as long as its header says.

    verify: take the digest of the tensors too, which reads gigabytes before anything begins.
    """
    try:
        state = msgspec.json.decode((folder / STATE_JSON).read_bytes())
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
