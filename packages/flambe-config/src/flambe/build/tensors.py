"""Tensors in a safetensors file, and numpy's part of the codecs.

The format (https://github.com/huggingface/safetensors, "Format") is eight bytes of length, a JSON header and the
data. It is written and read here, not by its library, for three reasons: the library's ``serialize_file`` wants copies
in one release and raw pointers in the next; writing in one pass gives the digest without reading the file again; and a
mapped file hands types that numpy lacks (bf16) to the codec as they are.
"""

from __future__ import annotations

import math
import mmap as mapping
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import numpy as np

from flambe.build.digester import Digester
from flambe.errors import FlambeError
from flambe.spec.hooks import Tensor

SIZES = {
    "F64": 8, "I64": 8, "U64": 8, "C64": 8, "F32": 4, "I32": 4, "U32": 4, "F16": 2, "BF16": 2, "I16": 2, "U16": 2,
    "F8_E5M2": 1, "F8_E4M3": 1, "F8_E8M0": 1, "I8": 1, "U8": 1, "BOOL": 1,
}  # fmt: skip
"""Bytes of one element."""

_NUMPY = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "C64": "<c8", "BOOL": "?",
    "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1",
}  # fmt: skip
_NAMES = {np.dtype(code): name for name, code in _NUMPY.items()}
_LONGEST_HEADER = 100_000_000
_STRETCH = 1 << 22


class TornFile(FlambeError):
    """A file that is not whole, or not what it says."""


def array_tensor(array: np.ndarray[Any, Any]) -> Tensor | None:
    """Return the stored form of an array, without a copy where it is contiguous; None for types without one."""
    name = _NAMES.get(array.dtype.newbyteorder("<"))
    if name is None:
        return None
    plain = np.ascontiguousarray(array, dtype=_NUMPY[name])
    # A 0-d array becomes 1-d on the way; the shape is kept beside the data.
    flat = plain.reshape(-1).view(np.uint8) if plain.size else np.empty(0, np.uint8)
    return Tensor(name, tuple(array.shape), flat.data)


def tensor_array(tensor: Tensor) -> np.ndarray[Any, Any]:
    """Return a stored tensor as an array over the same memory. Raises FlambeError for types that numpy lacks."""
    code = _NUMPY.get(tensor.dtype)
    if code is None:
        raise FlambeError(f"numpy has no type {tensor.dtype}")
    return np.frombuffer(tensor.data, dtype=code).reshape(tensor.shape)


def address(tensor: Tensor) -> tuple[int, int]:
    """Return where the data of a tensor lies in memory, and its length in bytes."""
    flat = np.frombuffer(tensor.data, dtype=np.uint8)
    return int(flat.__array_interface__["data"][0]), tensor.data.nbytes


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> str:
    """Write a safetensors file and return its SHA-256. Equal tensors give equal bytes, in whatever order they come.

    Larger elements stand first and names decide among equals, as in the format's own library: all data is aligned.
    """
    with Digester() as digester:
        return begin_tensors(path, tensors, digester)()


def begin_tensors(path: Path, tensors: Mapping[str, Tensor], digester: Digester) -> Callable[[], str]:
    """Write a safetensors file as ``write_tensors`` does; what is returned waits for its SHA-256."""
    names = sorted(tensors, key=lambda name: (-SIZES[tensors[name].dtype], name))
    header: dict[str, Any] = {}
    at = 0
    for name in names:
        tensor = tensors[name]
        header[name] = {"dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": (at, at + tensor.data.nbytes)}
        at += tensor.data.nbytes
    text = msgspec.json.encode(header)
    text += b" " * (-len(text) % 8)
    pieces: list[bytes | memoryview] = [len(text).to_bytes(8, "little") + text]
    pieces += [tensors[name].data for name in names]
    digest = digester.begin(pieces)
    with open(path, "wb") as stream:
        _write(stream, pieces)
    return digest


def _write(stream: BinaryIO, pieces: Iterable[bytes | memoryview]) -> None:
    """Write ``pieces``, and let the disk begin with what is there, so that it works while the rest is copied and digested."""
    begun = 0
    for piece in pieces:
        for begin in range(0, len(piece), _STRETCH):
            stream.write(piece[begin : begin + _STRETCH])
            if (at := stream.tell()) - begun >= _STRETCH and hasattr(os, "posix_fadvise"):
                # Linux begins to write what it is told will not be needed, and keeps it until it is written.
                os.posix_fadvise(stream.fileno(), begun, at - begun, os.POSIX_FADV_DONTNEED)
                begun = at


def read_tensors(path: Path, *, mmap: bool = True) -> dict[str, Tensor]:
    """Read a safetensors file. mmap: tensors are pages of the file, loaded when touched and copied when written.

    Raises ``TornFile`` when the file is not whole or its header is wrong.
    """
    with open(path, "rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        if size < 8:
            raise TornFile(f"{path} is torn: {size} bytes are no safetensors file")
        # Copy on write: a tensor may be changed in place, and the file never is.
        whole: Any = mapping.mmap(stream.fileno(), 0, access=mapping.ACCESS_COPY) if mmap else bytearray(size)
        if not mmap and stream.readinto(whole) != size:
            raise TornFile(f"{path} is torn: it became shorter while it was read")
    data = memoryview(whole)
    length = int.from_bytes(data[:8], "little")
    if length > min(size - 8, _LONGEST_HEADER):
        raise TornFile(f"{path} is torn: its header should have {length} bytes, and {size - 8} are there")
    try:
        header: dict[str, Any] = msgspec.json.decode(data[8 : 8 + length])
        header.pop("__metadata__", None)
        entries = sorted(header.items(), key=lambda item: item[1]["data_offsets"])
        return dict(_entries(path, entries, data[8 + length :]))
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise TornFile(f"{path} is no safetensors file: its header is wrong ({error})") from error


def _entries(path: Path, entries: list[tuple[str, Any]], body: memoryview) -> list[tuple[str, Tensor]]:
    found: list[tuple[str, Tensor]] = []
    at = 0
    for name, entry in entries:
        begin, end = entry["data_offsets"]
        shape = tuple(entry["shape"])
        if begin != at or end - begin != math.prod(shape) * SIZES[entry["dtype"]] or end > body.nbytes:
            raise TornFile(f"{path} is torn: the tensor {name!r} does not lie where it should")
        found.append((name, Tensor(entry["dtype"], shape, body[begin:end])))
        at = end
    if at != body.nbytes:
        raise TornFile(f"{path} is torn: {body.nbytes - at} bytes belong to no tensor")
    return found
