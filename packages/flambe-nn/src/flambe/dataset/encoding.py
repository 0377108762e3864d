"""What is said of a text file that is in another encoding than it was read in."""

from __future__ import annotations

import codecs
from pathlib import Path

from flambe.errors import ConfigError

_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_WINDOWS = bytes(range(0x80, 0xA0))
"""Quotes, dashes and the like in cp1252, and nothing that a text would have in latin-1."""


def wrong_encoding(file: Path, encoding: str | None) -> ConfigError:
    """Return the error for a file that is no text in ``encoding``: the first place that is not, and what it may be in."""
    data = file.read_bytes()
    encoding = encoding or "utf-8"
    where, what = str(file), ""
    try:
        data.decode(encoding)
    except UnicodeDecodeError as error:
        before, after = data[: error.start].split(b"\n"), data[error.start :].split(b"\n", 1)[0]
        where = f"{file}:{len(before)}"
        what = f": the byte 0x{data[error.start]:02x} stands between {before[-1][-20:]!r} and {after[1:21]!r}"
    marked = next((name for mark, name in _MARKS.items() if data.startswith(mark)), None)
    likely = marked or ("cp1252" if any(byte in data for byte in _WINDOWS) else "latin-1")
    return ConfigError(
        f"{where} is not in {encoding}{what}",
        hint=f"Say what it is in: `encoding: {likely}`, as its first bytes say."
        if marked
        else f"Say what it is in; many Western texts that are not in utf-8 are in `encoding: {likely}`.",
    )


__all__ = ["wrong_encoding"]
