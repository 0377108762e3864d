"""Word vectors from files, only those that are asked for. Nothing in a file is run, and gensim is not needed."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
import numpy.typing as npt

from flambe.errors import ConfigError
from flambe.field.fasttext_file import read_fasttext
from flambe.field.gensim_file import read_gensim
from flambe.runner.environment import note_input

EmbeddingsFormat = Literal["glove", "word2vec", "fasttext", "gensim"]

Vector = npt.NDArray[np.float32]


def read_vectors(path: str, form: EmbeddingsFormat, binary: bool, wanted: Collection[str]) -> dict[str, Vector]:
    """Read the vectors of ``wanted`` words.

    Parameters
    ----------
    path: the file.
    form: ``glove`` (``word 0.1 0.2 …`` a line), ``word2vec`` and ``fasttext`` (the same after a line with count and
        size), ``gensim`` (what ``KeyedVectors.save`` wrote).
    binary: word2vec's binary form: the first line, then each word, a space, and little-endian float32; or a binary model of
        fastText, which a name that ends in ``.bin`` says too.
    wanted: the words.

    Raises
    ------
    ConfigError: no such file, a damaged one, or none of the words is in it.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise ConfigError(
            f"embeddings {path} do not exist",
            hint="None is downloaded; a path written `!file ./…` begins at the YAML file, and is looked for before anything runs",
        )
    note_input(file)
    if form == "gensim":
        words, vectors = read_gensim(file)
        found = {word: np.array(vectors[row], np.float32) for row, word in enumerate(words) if word in wanted}
    elif form == "fasttext" and (binary or file.suffix == ".bin"):
        found = dict(read_fasttext(file, wanted))
    else:
        with file.open("rb") as stream:
            lines = _binary(stream, path) if binary and form == "word2vec" else _text(stream, path, form != "glove")
            found = {word: vector for word, vector in lines if word in wanted}
    if not found:
        raise ConfigError(
            f"embeddings {path} have no vector for any token of the data", hint="Check lower and language"
        )
    sizes = {len(vector) for vector in found.values()}
    if len(sizes) > 1:
        raise ConfigError(f"embeddings {path} have vectors of different sizes: {sorted(sizes)}")
    return found


def _text(stream: BinaryIO, path: str, header: bool) -> Iterator[tuple[str, Vector]]:
    if header:
        count_and_size(stream.readline(), path)
    size = None
    for number, line in enumerate(stream, start=2 if header else 1):
        # From the right, because some words of published files hold spaces.
        parts = line.rstrip(b"\n\r ").split(b" ")
        if size is None:
            size = len(parts) - 1
        if size < 1 or len(parts) < size + 1:
            raise ConfigError(f"embeddings {path}, line {number}: not a word and {size} numbers")
        word = b" ".join(parts[:-size]).decode("utf-8", "replace")
        try:
            yield word, np.array(parts[-size:], dtype=np.float32)
        except ValueError:
            raise ConfigError(f"embeddings {path}, line {number}: not a word and {size} numbers") from None


def _binary(stream: BinaryIO, path: str) -> Iterator[tuple[str, Vector]]:
    count, size = count_and_size(stream.readline(), path)
    for _ in range(count):
        word = bytearray()
        while (letter := stream.read(1)) not in (b" ", b""):
            word += letter
        data = stream.read(4 * size)
        if len(data) < 4 * size:
            raise ConfigError(f"embeddings {path} end too early")
        yield word.lstrip(b"\n").decode("utf-8", "replace"), np.frombuffer(data, dtype="<f4").copy()


def count_and_size(line: bytes, path: str) -> tuple[int, int]:
    """Read the first line of a word2vec file: number of words, size of a vector."""
    try:
        count, size = map(int, line.split())
    except ValueError:
        raise ConfigError(
            f"embeddings {path} do not begin with a count and a size", hint="Is it a glove file? (embeddings_format)"
        ) from None
    return count, size
