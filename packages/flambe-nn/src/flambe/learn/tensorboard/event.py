"""Events as TensorBoard reads them: protocol buffers, framed as records.

Written here and not by tensorboardX, which imports torch and boto3 to write a float; see docs/decisions. The messages are
``Event`` and ``Summary`` of https://github.com/tensorflow/tensorboard (``compat/proto/event.proto``, ``summary.proto``), the
wire format is https://protobuf.dev/programming-guides/encoding, the framing that of ``TFRecord``. Tests read all of it back with
tensorboardX's own classes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from functools import cache, lru_cache

import numpy as np

from flambe.learn.tensorboard.crc32c import checksums

_VARINT, _DOUBLE, _BYTES, _FLOAT = 0, 1, 2, 5
_DT_FLOAT, _DT_STRING = 1, 7


# -- the wire format: a field is its number and kind, then its value --------------------------------------------------


@cache
def _key(number: int, kind: int) -> bytes:
    return _varint(number << 3 | kind)


def _varint(value: int) -> bytes:
    if 0 <= value < 128:
        return bytes((value,))
    value &= (1 << 64) - 1  # negative numbers are ten bytes long
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    found.append(value)
    return bytes(found)


def integer(number: int, value: int) -> bytes:
    """Return a field with an integer, an enum or a boolean."""
    return _key(number, _VARINT) + _varint(int(value))


def double(number: int, value: float) -> bytes:
    """Return a field with 64 bits of a number."""
    return _key(number, _DOUBLE) + struct.pack("<d", value)


def single(number: int, value: float) -> bytes:
    """Return a field with 32 bits of a number; what is larger is infinite."""
    try:
        return _key(number, _FLOAT) + struct.pack("<f", value)
    except OverflowError:
        return _key(number, _FLOAT) + struct.pack("<f", float("inf") if value > 0 else float("-inf"))


def block(number: int, *parts: bytes | str) -> bytes:
    """Return a field with text, bytes, or another message of these parts."""
    body = b"".join(part.encode() if isinstance(part, str) else part for part in parts)
    return _key(number, _BYTES) + _varint(len(body)) + body


def doubles(number: int, values: Sequence[float]) -> bytes:
    """Return a field with several numbers of 64 bits, packed."""
    return block(number, np.asarray(values, "<f8").tobytes())


# -- the messages -----------------------------------------------------------------------------------------------------


def event(wall_time: float, step: int, *values: bytes) -> bytes:
    """Return an Event of a step, with what is seen at it: values as below."""
    # As double(1, …) + integer(2, …) + block(5, block(1, …), …), in a third of the time: each logged number comes here.
    seen = b"".join([_SEEN + _varint(len(value)) + value for value in values])
    return b"".join([_TIME, _pack_double(wall_time), _STEP, _varint(int(step)), _SUMMARY, _varint(len(seen)), seen])


_TIME, _STEP, _SUMMARY, _SEEN = _key(1, _DOUBLE), _key(2, _VARINT), _key(5, _BYTES), _key(1, _BYTES)
_pack_double, _pack_single = struct.Struct("<d").pack, struct.Struct("<f").pack


def file_version(wall_time: float) -> bytes:
    """Return the first Event of a file."""
    return double(1, wall_time) + block(3, "brain.Event:2")


def scalar(tag: str, value: float) -> bytes:
    """Return a number."""
    try:
        return _tagged(tag) + _pack_single(value)
    except OverflowError:
        return block(1, tag) + single(2, value)


@lru_cache(maxsize=4096)
def _tagged(tag: str) -> bytes:
    return block(1, tag) + _key(2, _FLOAT)


def image(tag: str, height: int, width: int, channels: int, png: bytes) -> bytes:
    """Return an image that is a PNG file."""
    return block(1, tag) + block(4, integer(1, height), integer(2, width), integer(3, channels), block(4, png))


def audio(tag: str, rate: float, channels: int, frames: int, wav: bytes) -> bytes:
    """Return sound that is a WAV file."""
    described = single(1, rate), integer(2, channels), integer(3, frames)
    return block(1, tag) + block(6, *described, block(4, wav), block(5, "audio/wav"))


def histogram(
    tag: str,
    edges: Sequence[float],
    counts: Sequence[float],
    *,
    low: float,
    high: float,
    sums: tuple[float, float, float],
) -> bytes:
    """Return a histogram. edges [B + 1], counts [B]; low, high: of the values; sums: their number, sum and sum of squares."""
    # A bucket is known by its right edge; the first, which is empty, says where the next begins.
    limits, filled = doubles(6, edges), doubles(7, [0, *counts])
    return block(1, tag) + block(5, double(1, low), double(2, high), *map(double, (3, 4, 5), sums), limits, filled)


def text(tag: str, value: str) -> bytes:
    """Return a text, for the text page."""
    tensor = block(8, integer(1, _DT_STRING), block(2, block(2, integer(1, 1))), block(8, value))
    return block(1, f"{tag}/text_summary") + tensor + _plugin("text", b"")


def pr_curve(tag: str, rows: Sequence[Sequence[float]]) -> bytes:
    """Return a precision-recall curve. rows [6, T]: true and false positives, true and false negatives, precision, recall."""
    count = len(rows[0])
    shape = block(2, block(2, integer(1, len(rows))), block(2, integer(1, count)))
    tensor = block(8, integer(1, _DT_FLOAT), shape, block(5, np.asarray(rows, "<f4").tobytes()))
    return block(1, tag) + tensor + _plugin("pr_curves", integer(2, count))


def hparams(params: dict[str, float | str | bool], metrics: Iterable[str]) -> tuple[bytes, bytes]:
    """Return what the HParams page needs: which parameters and metrics there are, and the values of this variant."""
    kinds = {
        name: 2 if isinstance(value, bool) else 3 if isinstance(value, int | float) else 1
        for name, value in params.items()
    }
    infos = [block(4, block(1, name), integer(4, kind)) for name, kind in kinds.items()]
    names = [block(5, block(1, block(2, tag))) for tag in metrics]
    values = [block(1, block(1, name), block(2, _value(value))) for name, value in params.items()]
    experiment, session = block(2, *infos, *names), block(3, *values)
    return (
        block(1, "_hparams_/experiment") + _plugin("hparams", experiment),
        block(1, "_hparams_/session_start_info") + _plugin("hparams", session),
    )


def _value(value: float | str | bool) -> bytes:
    if isinstance(value, bool):
        return integer(4, value)
    return double(2, value) if isinstance(value, int | float) else block(3, value)


def _plugin(name: str, content: bytes) -> bytes:
    return block(9, block(1, block(1, name), block(2, content)))


# -- the framing ------------------------------------------------------------------------------------------------------


def frame(messages: Iterable[bytes]) -> bytes:
    """Return messages as records of a file: length, its checksum, the message, its checksum."""
    messages = list(messages)
    sums = checksums(messages)
    return b"".join(
        _header(len(message)) + message + struct.pack("<I", _masked(sum_))
        for message, sum_ in zip(messages, sums, strict=True)
    )


@lru_cache(maxsize=4096)
def _header(length: int) -> bytes:
    packed = struct.pack("<Q", length)
    return packed + struct.pack("<I", _masked(checksums([packed])[0]))


def _masked(crc: int) -> int:
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
