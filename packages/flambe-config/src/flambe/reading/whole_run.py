"""Whether a folder is the directory of a run of ours: if and only if it holds a ``run.json`` that is not the one of a unit."""

from __future__ import annotations

import os
from typing import Any

import msgspec

from flambe.errors import ConfigError
from flambe.reading.inside import read_stamped
from flambe.record import layout


class _Head(msgspec.Struct):
    flambe_record: Any
    kind: Any = None


_decode_head = msgspec.json.Decoder(_Head).decode


def is_whole_run(path: str | os.PathLike[str]) -> bool:
    """Whether ``path`` is the directory of a whole run of ours. Raises ConfigError when its record cannot be read."""
    return record_in(path) is not None


def record_in(path: str | os.PathLike[str]) -> tuple[bytes, os.stat_result] | None:
    """Return what the ``run.json`` of a whole run of ours holds, and what the system says of it; None where a folder is none.

    Raises ConfigError when it cannot be read.
    """
    record = os.path.join(path, layout.RUN)
    try:
        read = read_stamped(record)
        try:
            return read if _decode_head(read[0]).kind != "stage" else None
        except msgspec.ValidationError:  # no mapping, or one without the key
            msgspec.json.decode(read[0])
            return None
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ConfigError(f"{record} cannot be read: it {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{record} cannot be read: {error}") from error


__all__ = ["is_whole_run", "record_in"]
