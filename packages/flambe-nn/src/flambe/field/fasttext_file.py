"""fastText's binary models (Bojanowski et al. 2017, https://arxiv.org/abs/1607.04606), which have a vector for any word.

The vector of a word is the mean of a row of its own, when training has seen it, and of the rows of its runs of letters; those
are found by a hash. The format is that of https://github.com/facebookresearch/fastText (``FastText::saveModel``, version 12).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from flambe.errors import ConfigError

_MAGIC, _VERSION = 793712314, 12
_WORD = 0
_END_OF_TEXT = "</s>"


def read_fasttext(path: Path, wanted: Iterable[str]) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
    """Give the vectors of ``wanted`` words, those that training never saw among them; the matrix is memory-mapped.

    A word in angle brackets that training never saw gets none: brackets are how fastText marks where words end, so runs
    of ``<pad>`` mean nothing.

    Raises
    ------
    ConfigError: it is no such model, or a compressed one.
    """
    try:
        with path.open("rb") as stream:
            model = _Model(stream, path)
    except struct.error as error:
        raise ConfigError(f"embeddings {path} end too early") from error
    for word in wanted:
        vector = model.vector(word)
        if vector is not None:
            yield word, vector


class _Model:
    def __init__(self, stream: BinaryIO, path: Path) -> None:
        magic, version = _read(stream, "<2i")
        if (magic, version) != (_MAGIC, _VERSION):
            raise ConfigError(
                f"embeddings {path} are no binary model of fastText (version {_VERSION})",
                hint="Text (.vec) is read without embeddings_binary",
            )
        # dim ws epoch minCount neg wordNgrams loss model bucket minn maxn lrUpdateRate t
        settings = _read(stream, "<12id")
        self.size, self.buckets, self.shortest, self.longest = settings[0], settings[8], settings[9], settings[10]
        entries, self.n_words, _, _, pruned = _read(stream, "<3i2q")
        self.places: dict[str, int] = {}
        for place in range(entries):
            word = bytearray()
            while (letter := stream.read(1)) not in (b"\0", b""):
                word += letter
            _, kind = _read(stream, "<qb")
            if kind == _WORD:
                self.places[word.decode("utf-8", "replace")] = place
        stream.seek(8 * max(0, pruned), 1)
        (is_compressed,) = _read(stream, "<?")
        if is_compressed:
            raise ConfigError(
                f"embeddings {path} are a compressed model (.ftz), which is not read", hint="Use the .bin file"
            )
        rows, columns = _read(stream, "<2q")
        if columns != self.size or rows < self.n_words:
            raise ConfigError(
                f"embeddings {path} are damaged: a matrix of {rows} × {columns} for {self.n_words} words of {self.size}"
            )
        offset = stream.tell()
        if offset + 4 * rows * columns > path.stat().st_size:
            raise ConfigError(f"embeddings {path} end too early")
        self.matrix = np.memmap(path, dtype="<f4", mode="r", offset=offset, shape=(rows, columns))

    def vector(self, word: str) -> npt.NDArray[np.float32] | None:
        place = self.places.get(word)
        if place is None and word.startswith("<") and word.endswith(">"):
            return None
        rows = [] if place is None else [place]
        if word != _END_OF_TEXT and self.buckets > 0:
            rows += [self.n_words + _hash(run) % self.buckets for run in self._runs(f"<{word}>")]
        return np.asarray(self.matrix[rows].mean(axis=0), dtype=np.float32) if rows else None

    def _runs(self, marked: str) -> Iterator[str]:
        for start in range(len(marked)):
            for length in range(max(1, self.shortest), self.longest + 1):
                end = start + length
                if end > len(marked):
                    break
                # A bracket alone is no run.
                if length > 1 or 0 < start < len(marked) - 1:
                    yield marked[start:end]


def _hash(run: str) -> int:
    """FNV-1a of 32 bits, with bytes taken as signed, as fastText does."""
    value = 2166136261
    for byte in run.encode():
        value = ((value ^ (byte if byte < 128 else byte | 0xFFFFFF00)) * 16777619) & 0xFFFFFFFF
    return value


def _read(stream: BinaryIO, layout: str) -> tuple[int, ...]:
    return struct.unpack(layout, stream.read(struct.calcsize(layout)))
