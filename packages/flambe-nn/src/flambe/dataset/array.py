"""``ArrayDataset``: splits that are arrays already."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Self, overload

import numpy as np
import numpy.typing as npt

from flambe.dataset.column import DenseColumn
from flambe.dataset.dataset import Dataset

Arrays = Sequence[npt.NDArray[Any]]
SPLITS = ("train", "val", "test")


class ArrayView(Sequence[Any]):
    """A split: examples are tuples of tensors, one of each array. Read-only."""

    def __init__(self, columns: list[DenseColumn]) -> None:
        self._columns = columns

    def __len__(self) -> int:
        return len(self._columns[0]) if self._columns else 0

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return (self[index] for index in range(len(self)))

    @overload
    def __getitem__(self, index: int) -> tuple[Any, ...]: ...
    @overload
    def __getitem__(self, index: slice) -> list[tuple[Any, ...]]: ...
    def __getitem__(self, index: int | slice) -> Any:
        """Example at an index; a slice gives a list."""
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"no example {index}: the split has {len(self)}")
        return tuple(column.example(int(index)) for column in self._columns)

    def packed(self) -> list[DenseColumn] | None:
        """The arrays; None of an empty split."""
        return self._columns or None


class ArrayDataset(Dataset):
    """A dataset whose splits are arrays, all of one length in a split.

    Parameters
    ----------
    train, val, test: arrays ``[N, …]``; an example is a tuple with an entry of each.

    Raises
    ------
    ValueError: arrays of one split have different lengths.
    """

    # See TabularDataset: a saved dataset of a class that says this is made without calling its constructor.
    _state_is_all: ClassVar[bool] = True

    def __init__(self, train: Arrays, val: Arrays = (), test: Arrays = ()) -> None:
        self._views: dict[str, ArrayView] = {}
        for split, arrays in zip(SPLITS, (train, val, test), strict=True):
            if len({len(array) for array in arrays}) > 1:
                raise ValueError(f"{split} has arrays of different lengths: {[len(array) for array in arrays]}")
            self._views[split] = ArrayView([DenseColumn(np.asarray(array)) for array in arrays])

    @property
    def train(self) -> ArrayView:
        """Training split."""
        return self._views["train"]

    @property
    def val(self) -> ArrayView:
        """Validation split."""
        return self._views["val"]

    @property
    def test(self) -> ArrayView:
        """Test split."""
        return self._views["test"]

    def saved_arguments(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Leave out the arrays, which are in the state."""
        if not _state_is_all(type(self)):
            return arguments
        return {name: value for name, value in arguments.items() if not _is_array(value)}

    def _state(self, state_dict: Any, prefix: str, local_metadata: dict[str, Any]) -> Any:
        """The arrays."""
        for split, view in self._views.items():
            columns = view.packed() or []
            state_dict[f"{prefix}{split}_columns"] = len(columns)
            for place, column in enumerate(columns):
                state_dict[f"{prefix}{split}_{place}"] = column.values
        return state_dict

    def _load_state(self, state_dict: Any, prefix: str, local_metadata: dict[str, Any], strict: bool,
                    missing_keys: list[Any], unexpected_keys: list[Any], error_msgs: list[Any]) -> None:  # fmt: skip
        """Take the arrays; they stay where they are."""
        for split in SPLITS:
            if f"{prefix}{split}_columns" not in state_dict:
                missing_keys.append(f"{prefix}{split}_columns")
                continue
            count = state_dict[f"{prefix}{split}_columns"]
            columns = [DenseColumn(state_dict[f"{prefix}{split}_{place}"]) for place in range(count)]
            self._views[split] = ArrayView(columns)

    @classmethod
    def restore(cls, arguments: Mapping[str, Any], state: Mapping[str, Any]) -> Self:
        """Make a saved dataset on its saved arrays. No source is read."""
        if not _state_is_all(cls):
            return super().restore(arguments, state)
        made = cls.__new__(cls)
        made._views = {}
        made._load_state(state, "", {}, True, [], [], [])
        return made


def _state_is_all(kind: type[ArrayDataset]) -> bool:
    writer = next(base for base in kind.__mro__ if "__init__" in vars(base))
    return bool(vars(writer).get("_state_is_all", False))


def _is_array(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return any(_is_array(item) for item in value)
    return isinstance(value, np.ndarray) or hasattr(value, "numpy")


def draw(n: int, ratio: float, seed: int | None) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Draw a share of ``n`` places, rounded up: the rest and the drawn, each in random order. A seed of None is 0."""
    if not 0 <= ratio < 1:
        raise ValueError(f"a ratio must be in [0, 1), got {ratio}")
    order = np.random.default_rng(0 if seed is None else seed).permutation(n)
    count = int(np.ceil(n * ratio))
    return order[count:], order[:count]
