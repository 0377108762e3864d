"""``seal``: what an index or a list keeps, with a checksum of it and of what it is about, so that what a disk has torn is no answer."""

from __future__ import annotations

from typing import Any
from zlib import crc32

_WIDTH = 4


class Torn(ValueError):
    """Something is not what was written there, or is about something else."""


def seal(data: bytes, about: str) -> bytes:
    """Return ``data`` as it is kept. about: what it belongs to, and the state that this had."""
    return crc32(data, crc32(about.encode())).to_bytes(_WIDTH, "little") + data


def unseal(kept: Any, about: str) -> bytes:
    """Return what was sealed. Raises Torn when that is not what ``kept`` is, whatever it is."""
    if not isinstance(kept, bytes) or len(kept) < _WIDTH:
        raise Torn(f"nothing is kept about {about!r}")
    data = kept[_WIDTH:]
    if crc32(data, crc32(about.encode())) != int.from_bytes(kept[:_WIDTH], "little"):
        raise Torn(f"what is kept about {about!r} is torn")
    return data


__all__ = ["Torn", "seal", "unseal"]
