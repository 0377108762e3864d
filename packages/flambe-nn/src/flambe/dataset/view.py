"""``DataView``: one split of a table, with fields applied."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, overload

import numpy as np
import numpy.typing as npt
from torch import Tensor

from flambe.dataset.column import DenseColumn, ListColumn, RaggedColumn, pack
from flambe.dataset.raw import RawTable
from flambe.field.field import Field, packs

Columns = list[DenseColumn | RaggedColumn | ListColumn]
Hook = tuple[Field, int | list[int]]


class DataView(Sequence[Any]):
    """A split: rows ``[N, C]`` outside, examples inside. Read-only.

    An example is made when it is asked for. Whoever wants many (a sampler, saving) calls ``packed``, which makes all
    of them at once.

    Parameters
    ----------
    data: the rows.
    transform_hooks: each field with its column, or columns.
    cache: keep what was made. False makes an example anew each time and never packs: for data whose examples do not
        fit into memory.
    """

    def __init__(self, data: npt.NDArray[Any] | RawTable, transform_hooks: list[Hook], cache: bool) -> None:
        self._table = data if isinstance(data, RawTable) else RawTable(data)
        self._hooks = transform_hooks
        self._cache = cache
        self._made: dict[int, tuple[Any, ...]] = {}
        self._packed: Columns | None = None
        self._known: dict[int, Columns] = {}

    @property
    def raw(self) -> npt.NDArray[np.object_]:
        """The rows, untransformed, ``[N, C]``."""
        return self._table.array()

    def is_empty(self) -> bool:
        """Whether there are no rows."""
        return len(self) == 0

    def cols(self) -> int:
        """Number of raw columns."""
        return self._table.cols()

    def __len__(self) -> int:
        return len(self._table)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return (self[index] for index in range(len(self)))

    @overload
    def __getitem__(self, index: int) -> tuple[Any, ...]: ...
    @overload
    def __getitem__(self, index: slice) -> list[tuple[Any, ...]]: ...
    def __getitem__(self, index: int | slice) -> Any:
        """Example at an index, as a tuple; without a transform the raw row. A slice gives a list.

        Raises
        ------
        IndexError: there is no such example.
        """
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        place = int(index)
        if not -len(self) <= place < len(self):
            what = "the split is empty" if self.is_empty() else f"the split has {len(self)} examples"
            raise IndexError(f"no example {index}: {what}")
        place %= len(self)
        if not self._hooks:
            return self._table.row(place)
        if self._packed is not None:
            return tuple(column.example(place) for column in self._packed)
        example = self._made.get(place)
        if example is None:
            example = self._make(self._table.row(place))
            if self._cache:
                self._made[place] = example
        return example

    def __setitem__(self, index: Any, value: Any) -> None:
        """Refuse: a view is read-only."""
        raise ValueError("a split of a dataset cannot be changed")

    def __delitem__(self, index: Any) -> None:
        """Refuse: a view is read-only."""
        raise ValueError("a split of a dataset cannot be changed")

    def packed(self) -> Columns | None:
        """All examples as columns; None without a transform or a cache."""
        if self._packed is None and self._hooks and self._cache:
            columns: Columns = []
            for number, (field, place) in enumerate(self._hooks):
                columns.extend(self._known[number] if number in self._known else self._pack(field, place))
            self._packed = columns
            self._made, self._known = {}, {}
        return self._packed

    def use_column(self, number: int, columns: Sequence[DenseColumn | RaggedColumn]) -> None:
        """Take what the field of that number gives for all examples, which is known already."""
        self._known[number] = list(columns)

    def use_packed(self, columns: Columns) -> None:
        """Take columns that were packed before (and saved)."""
        self._packed = columns

    def _make(self, row: tuple[Any, ...]) -> tuple[Any, ...]:
        outputs: list[Any] = []
        for field, place in self._hooks:
            made = field.process(*_pick(row, place))
            outputs.extend(made if isinstance(made, tuple) else (made,))
        return tuple(outputs)

    def _pack(self, field: Field, place: int | list[int]) -> Columns:
        if isinstance(place, int) and packs(field):
            columns = field.pack(self.raw[:, place])
            if columns is not None:
                return list(columns)
        made: list[tuple[Tensor, ...]] = []
        for row in self.raw:
            outputs = field.process(*_pick(tuple(row), place))
            made.append(outputs if isinstance(outputs, tuple) else (outputs,))
        if len({len(outputs) for outputs in made}) > 1:
            raise ValueError(f"{type(field).__name__} gives different numbers of tensors for different examples")
        return [pack(outputs) for outputs in zip(*made, strict=True)]


def _pick(row: tuple[Any, ...], place: int | list[int]) -> list[Any]:
    return [row[place]] if isinstance(place, int) else [row[each] for each in place]
