"""CRC-32C (Castagnoli, RFC 3720 B.4), by which event files are checked; by numpy, many bytes at a time."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

Words = np.ndarray[Any, np.dtype[np.uint32]]

_ONES = 0xFFFFFFFF
_POLYNOMIAL = np.uint32(0x82F63B78)
_ROWS = 256
_LONG = 16 * _ROWS
"""Bytes from which a message is cut into rows, and messages from which they are taken together: where that is faster."""
_MANY = 48


def _step(crc: Words, byte: Any) -> Words:
    return _TABLE[(crc ^ byte) & 0xFF] ^ (crc >> np.uint32(8))


def _table() -> Words:
    found = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        found = np.where(found & 1, (found >> np.uint32(1)) ^ _POLYNOMIAL, found >> np.uint32(1))
    return found


_TABLE = _table()
_ENTRIES = _TABLE.tolist()


def checksums(messages: Sequence[bytes]) -> list[int]:
    """Return the checksum of each message. Many short ones are taken together, a byte of all of them at a time."""
    short = [index for index, message in enumerate(messages) if len(message) < _LONG]
    if len(short) < _MANY:
        return [checksum(message) for message in messages]
    found = [0 if len(message) < _LONG else checksum(message) for message in messages]
    # The longest first: those that have a byte at a place are always the first ones.
    short.sort(key=lambda index: -len(messages[index]))
    lengths = np.array([len(messages[index]) for index in short])
    bytes_ = np.zeros((len(short), int(lengths[0])), np.uint8)
    for row, index in enumerate(short):
        bytes_[row, : lengths[row]] = np.frombuffer(messages[index], np.uint8)
    crc = np.full(len(short), _ONES, np.uint32)
    reaching = np.searchsorted(-lengths, -np.arange(bytes_.shape[1]), side="left")
    for count, column in zip(reaching.tolist(), np.ascontiguousarray(bytes_.T), strict=True):
        crc[:count] = _step(crc[:count], column[:count])
    for index, value in zip(short, (crc ^ np.uint32(_ONES)).tolist(), strict=True):
        found[index] = value
    return found


def checksum(message: bytes) -> int:
    """Return the checksum of one message."""
    if len(message) >= _LONG:
        return _checksum_of_long(message)
    crc = _ONES
    for byte in message:
        crc = _ENTRIES[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ _ONES


def _checksum_of_long(message: bytes) -> int:
    # Without its ones a checksum is linear: rows are summed side by side, then joined in pairs, each left one moved over the
    # length of the right one. Zeros in front change nothing then.
    width = -(-len(message) // _ROWS)
    bytes_ = np.zeros(_ROWS * width, np.uint8)
    bytes_[-len(message) :] = np.frombuffer(message, np.uint8)
    crc = np.zeros(_ROWS, np.uint32)
    for column in np.ascontiguousarray(bytes_.reshape(_ROWS, width).T):
        crc = _step(crc, column)
    while len(crc) > 1:
        crc = _times(_over(width), crc[0::2]) ^ crc[1::2]
        width *= 2
    ones = _times(_over(len(message)), np.array([_ONES], np.uint32))
    return int(crc[0] ^ ones[0]) ^ _ONES


@lru_cache(maxsize=1024)
def _over(zeros: int) -> Words:
    """Return what that many zero bytes do to a checksum, as a matrix over bits [32]: entry i is what becomes of bit i."""
    if zeros == 1:
        return _step(np.uint32(1) << np.arange(32, dtype=np.uint32), 0)
    half = _over(zeros // 2)
    whole = _times(half, half)
    return _times(_over(1), whole) if zeros % 2 else whole


def _times(matrix: Words, values: Words) -> Words:
    found = np.zeros_like(values)
    for bit in range(32):
        found ^= np.where(values >> np.uint32(bit) & np.uint32(1), matrix[bit], np.uint32(0))
    return found
