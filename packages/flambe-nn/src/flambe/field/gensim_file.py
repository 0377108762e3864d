"""Word vectors that gensim saved, read without gensim and without running what the file says.

``KeyedVectors.save`` writes a pickle, and a pickle names classes and functions to call. Here none of them is imported: an array
becomes numbers by its type, its shape and its bytes, and everything else a heap of attributes.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from flambe.errors import ConfigError
from flambe.runner.environment import note_input

_DAMAGED = (pickle.UnpicklingError, ValueError, TypeError, KeyError, IndexError, AttributeError, EOFError, ImportError)
_HINT = "Save the vectors with `KeyedVectors.save(path)`, or `save_word2vec_format(path, binary=True)` and use word2vec"


def read_gensim(path: Path) -> tuple[list[str], npt.NDArray[Any]]:
    """Read words and vectors ``[words, E]`` that ``KeyedVectors.save`` (or ``save`` of a model that has them) wrote.

    Arrays in files of their own (``<path>.vectors.npy``) are memory-mapped.

    Raises
    ------
    ConfigError: it is no such file, or a part is missing.
    """
    try:
        with path.open("rb") as stream:
            found = _Reader(stream).load()
        words, vectors = _parts(found, path)
    except _DAMAGED as error:
        raise ConfigError(f"embeddings {path} are no file of gensim: {error}", hint=_HINT) from error
    if vectors.ndim != 2 or len(words) > len(vectors):
        raise ConfigError(
            f"embeddings {path} have {len(words)} words and vectors of shape {list(vectors.shape)}", hint=_HINT
        )
    return words, vectors


def _parts(found: Any, path: Path) -> tuple[list[str], npt.NDArray[Any]]:
    prefix = str(path)
    if isinstance(found, _Thing) and isinstance(found.state.get("wv"), _Thing):
        found, prefix = found.state["wv"], prefix + ".wv"
    # Names of version 4 and, second, of version 3.
    words = isinstance(found, _Thing) and (found.state.get("index_to_key") or found.state.get("index2word"))
    if not isinstance(words, list):
        raise ValueError("it has no list of words")
    for name in ("vectors", "syn0"):
        pickled = found.state.get(name)
        if isinstance(pickled, _Thing):
            return list(map(str, words)), _array(pickled)
        beside = Path(f"{prefix}.{name}.npy")
        if beside.is_file():
            note_input(beside)
            return list(map(str, words)), np.load(beside, mmap_mode="r", allow_pickle=False)
    raise ValueError(f"it has no vectors, and there is no {prefix}.vectors.npy")


class _Thing:
    """An object of whatever class: its attributes, and what was put into it."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        self.arguments = arguments
        self.state: dict[Any, Any] = {}

    def __new__(cls, *arguments: Any, **more: Any) -> _Thing:
        thing = super().__new__(cls)
        thing.__init__()  # type: ignore[misc]  # a pickle may make an object without it
        return thing

    def __setstate__(self, state: Any) -> None:
        self.state = state if isinstance(state, dict) else {"state": state}

    def __setitem__(self, key: Any, value: Any) -> None:
        self.state[key] = value

    def append(self, value: Any) -> None:
        """Take what a list would, and drop it."""


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Stand in for every class and function: nothing is looked up, so nothing can be called."""
        if (module, name) == ("collections", "OrderedDict"):
            return dict
        if name == "_reconstruct" and module.endswith("multiarray"):
            return lambda *_: _Thing()
        if name == "encode" and module == "_codecs":
            # How bytes were written for version 2 of Python.
            return lambda text, _: text.encode("latin-1")
        if name in ("_reconstructor", "__newobj__"):
            return lambda *_: _Thing()
        return type(name, (_Thing,), {})

    def persistent_load(self, pid: Any) -> Any:
        """Refuse what lies elsewhere."""
        raise pickle.UnpicklingError("it refers to something outside of it")


def _array(thing: _Thing) -> npt.NDArray[Any]:
    """Return the numbers of a pickled array, of which it keeps version, shape, type, whether in Fortran's order, and bytes."""
    _, shape, kind, is_fortran, data = thing.state["state"]
    (code, *_), order = kind.arguments, kind.state["state"][1]
    if code not in ("f2", "f4", "f8"):
        raise ValueError(f"its vectors are of type {code!r}")
    numbers = np.frombuffer(data, dtype=np.dtype(code).newbyteorder(order))
    return numbers.reshape(shape, order="F" if is_fortran else "C")
