"""PNG files from arrays and back, with zlib alone.

Written: 8 bits a channel, grey, grey and alpha, RGB or RGBA, each row as it is (filter 0; https://www.w3.org/TR/png/).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from flambe.errors import FlambeError

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_KIND = {1: 0, 2: 4, 3: 2, 4: 6}
_CHANNELS = {kind: channels for channels, kind in _KIND.items()}
_LARGEST = 1 << 28


def encode(pixels: np.ndarray[Any, Any]) -> bytes:
    """Return pixels [H, W, C] (uint8, C from 1 to 4) as a PNG file."""
    height, width, channels = pixels.shape
    rows = np.zeros((height, 1 + width * channels), np.uint8)  # each row begins with its filter
    rows[:, 1:] = pixels.reshape(height, width * channels)
    header = struct.pack(">IIBBBBB", width, height, 8, _KIND[channels], 0, 0, 0)
    # Level 1: a loop waits for it, and photographs hardly shrink further.
    data = zlib.compress(rows.tobytes(), 1)
    return _SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def decode(data: bytes) -> np.ndarray[Any, Any]:
    """Return the pixels [H, W, C] of a PNG file. Raises FlambeError for one that is damaged, or of a form not written here."""
    try:
        chunks = list(_chunks(data))
        width, height, depth, kind, _, _, interlaced = struct.unpack(">IIBBBBB", dict(chunks)[b"IHDR"])
        size = height * (1 + width * _CHANNELS.get(kind, 1))
        if depth != 8 or interlaced or kind not in _CHANNELS or size > _LARGEST:
            raise _other_form("its pixels are stored in another way")
        packed = b"".join(body for name, body in chunks if name == b"IDAT")
        raw = zlib.decompressobj().decompress(packed, size)
        rows = np.frombuffer(raw, np.uint8).reshape(height, 1 + width * _CHANNELS[kind])
    except (struct.error, zlib.error, ValueError, KeyError) as error:
        raise FlambeError(f"this is no whole PNG file: {error}") from error
    if rows[:, 0].any():
        raise _other_form("its rows are filtered")
    return rows[:, 1:].reshape(height, width, _CHANNELS[kind])


def _other_form(why: str) -> FlambeError:
    return FlambeError(f"this PNG file was written by another program, and {why}", hint="Open it with Pillow.")


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    if not data.startswith(_SIGNATURE):
        raise ValueError("it begins otherwise")
    at = len(_SIGNATURE)
    while at < len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        body = data[at + 8 : at + 8 + length]
        if zlib.crc32(name + body) != struct.unpack_from(">I", data, at + 8 + length)[0]:
            raise ValueError(f"its part {name!r} is damaged")
        yield name, body
        at += 12 + length
