"""Untransformed rows of a split, as they came or as they were saved."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from flambe.dataset.column import offsets_of
from flambe.errors import FlambeError

Objects = npt.NDArray[np.object_]


class TextArray:
    """Texts as one utf-8 array: ``bytes[offsets[i]:offsets[i + 1]]`` is text i. May lie in a memory-mapped file."""

    def __init__(self, data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64]) -> None:
        self.data = data
        self.offsets = offsets

    @classmethod
    def of(cls, texts: Sequence[str]) -> TextArray:
        """Encode texts. Lone surrogates (from undecodable file names and the like) survive."""
        joined = "".join(texts)
        if joined.isascii():  # a byte for each character: encoded at once
            return cls(np.frombuffer(joined.encode(), dtype=np.uint8), offsets_of(list(map(len, texts))))
        pieces = [text.encode("utf-8", "surrogatepass") for text in texts]
        data = np.frombuffer(b"".join(pieces), dtype=np.uint8)
        return cls(data, offsets_of([len(piece) for piece in pieces]))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> str:
        return self.data[self.offsets[index] : self.offsets[index + 1]].tobytes().decode("utf-8", "surrogatepass")

    def tolist(self) -> list[str]:
        """Decode all of them."""
        return [self[index] for index in range(len(self))]


class RawTable:
    """Rows of a split: an array of objects ``[N, C]``, or saved columns that are decoded when asked for."""

    def __init__(self, array: Objects | None, columns: list[TextArray | npt.NDArray[Any]] | None = None) -> None:
        self._array = array
        self._columns = columns

    def __len__(self) -> int:
        if self._array is not None:
            return len(self._array)
        return len(self._columns[0]) if self._columns else 0

    def cols(self) -> int:
        """Number of columns."""
        if self._array is not None:
            return int(self._array.shape[1])
        return len(self._columns or ())

    def array(self) -> Objects:
        """All rows ``[N, C]``."""
        if self._array is None:
            array = np.empty((len(self), self.cols()), dtype=object)
            for place, column in enumerate(self._columns or ()):
                array[:, place] = column.tolist()
            self._array = array
        return self._array

    def row(self, index: int) -> tuple[Any, ...]:
        """One row."""
        if self._array is not None:
            return tuple(self._array[index])
        return tuple(
            column[index] if isinstance(column, TextArray) else column[index].item() for column in self._columns or ()
        )

    def state(self) -> dict[str, Any]:
        """Arrays from which ``from_state`` makes it again.

        Raises
        ------
        FlambeError: a column holds neither text nor numbers.
        """
        columns = self._columns
        if columns is None:
            assert self._array is not None
            columns = [_encode(self._array[:, place], place) for place in range(self.cols())]
        state: dict[str, Any] = {"columns": len(columns)}
        for place, column in enumerate(columns):
            if isinstance(column, TextArray):
                state[f"text_{place}"] = column.data
                state[f"offsets_{place}"] = column.offsets
            else:
                state[f"numbers_{place}"] = column
        return state

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> RawTable:
        """Make a table on saved arrays. Nothing is decoded yet."""
        columns: list[TextArray | npt.NDArray[Any]] = []
        for place in range(int(state["columns"])):
            if f"numbers_{place}" in state:
                columns.append(state[f"numbers_{place}"])
            else:
                columns.append(TextArray(state[f"text_{place}"], state[f"offsets_{place}"]))
        return cls(None, columns)


def _encode(values: Objects, place: int) -> TextArray | npt.NDArray[Any]:
    items = values.tolist()
    kinds = {type(item) for item in items}
    if kinds <= {str}:
        return TextArray.of(items)
    if kinds <= {bool} or kinds <= {int} or kinds <= {float}:
        return np.array(items)
    if kinds <= {int, float}:
        # Ints among floats come back as floats, which compare equal.
        return np.array(items, dtype=np.float64)
    if all(issubclass(kind, np.generic) for kind in kinds):
        return np.array(items)
    names = ", ".join(sorted(kind.__name__ for kind in kinds))
    raise FlambeError(
        f"column {place} of the dataset holds {names} and cannot be saved",
        expected="text, or numbers of one kind",
        hint="Put values of other types into the dataset as text, or make them in a field",
    )
