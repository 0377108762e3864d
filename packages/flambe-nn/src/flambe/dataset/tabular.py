"""``TabularDataset``: rows and columns, from Python or from CSV and TSV files."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from flambe.build.input_path import InputPath
from flambe.build.registrable import registrable_factory
from flambe.dataset.column import ListColumn, column_from_state
from flambe.dataset.dataset import Dataset
from flambe.dataset.prepared import set_up
from flambe.dataset.raw import RawTable
from flambe.dataset.table_file import QUOTE, Where, numbers_where_possible, read_table
from flambe.dataset.transform import Transform, columns_as_text, hooks_of
from flambe.dataset.view import DataView, Hook

__all__ = ["DataView", "TabularDataset"]

SPLITS = ("train", "val", "test")


class TabularDataset(Dataset):
    """A table in memory, and fields that make examples of its rows.

    The dataset itself is a sequence over train, val and test, in that order.

    Parameters
    ----------
    train, val, test: rows; each row the same number of columns.
    cache: keep examples once made (and save them with the dataset). What fields of ours make of much text is kept on this
        machine too, for the next time.
    named_columns: names of the columns, for a transform that uses names.
    transform: what an example is made of: output name to field. The n-th field takes the n-th column, unless it is
        written ``{field: …, columns: …}`` with a number, a name, or a list of them. When all fields without ``columns``
        are called like columns of a file's header, each has to stand at the place of its own. Every field becomes an
        attribute of the dataset, and sees the columns of all splits before the first example is made. A field that gives
        several tensors adds several to the example.

    Raises
    ------
    ValueError: rows of different lengths, splits of different widths, wrong number of names, a transform without a
        field, or with a column that does not exist.
    """

    # Whether rows, names and fields are all that the constructor of this class makes, so that a saved dataset needs no
    # call of it. It counts where __init__ is written: a subclass with one of its own is built again unless it says so.
    _state_is_all: ClassVar[bool] = True

    def __init__(
        self,
        train: Iterable[Iterable[Any]],
        val: Iterable[Iterable[Any]] | None = None,
        test: Iterable[Iterable[Any]] | None = None,
        cache: bool = True,
        named_columns: list[str] | None = None,
        transform: Transform | None = None,
    ) -> None:
        tables = {"train": _as_array(train, "train")}
        cols = tables["train"].shape[1]
        for name, rows in (("val", val), ("test", test)):
            table = _as_array(() if rows is None else rows, name)
            if len(table) and len(tables["train"]) and table.shape[1] != cols:
                raise ValueError(f"train has {cols} columns and {name} has {table.shape[1]}")
            tables[name] = table if len(table) else np.empty((0, cols), dtype=object)
        if named_columns is not None and len(named_columns) != cols:
            raise ValueError(f"named_columns has {len(named_columns)} names for {cols} columns")
        self._arrange({name: RawTable(table) for name, table in tables.items()}, cache, named_columns, transform)
        for number, (field, place) in enumerate(self._hooks):
            columns = {split: view.raw[:, place] for split, view in self._views.items() if not view.is_empty()}
            if not cache:
                field.setup(*columns.values())
                continue
            for split, packed in (set_up(field, columns) or {}).items():
                self._views[split].use_column(number, packed)

    def _arrange(
        self,
        tables: dict[str, RawTable],
        cache: bool,
        named_columns: list[str] | None,
        transform: Transform | None,
    ) -> None:
        self.cache = cache
        self.named_columns = None if named_columns is None else list(named_columns)
        hooks: list[Hook] = []
        for name, (field, place) in hooks_of(transform, self.named_columns, tables["train"].cols()).items():
            if hasattr(type(self), name):
                raise ValueError(f"transform: an output cannot be called {name!r}, the dataset uses that name itself")
            hooks.append((field, place))
            setattr(self, name, field)
        # After the fields themselves, so that a saved field is called by its name and not by its place in this list.
        self._hooks = hooks
        self._views = {name: DataView(table, self._hooks, cache) for name, table in tables.items()}

    @registrable_factory
    @classmethod
    def from_path(
        cls,
        train_path: InputPath,
        val_path: InputPath | None = None,
        test_path: InputPath | None = None,
        sep: str | None = "\t",
        header: str | int | None = "infer",
        columns: list[str] | list[int] | None = None,
        encoding: str | None = "utf-8",
        transform: Transform | None = None,
        where: Where | None = None,
        quotechar: str | None = QUOTE,
    ) -> Self:
        """Read files; a folder stands for its files, sorted and joined.

        Columns that a text or label field reads stay the text that is in the file. Others become numbers when every
        value of every split is one (an empty cell is NaN then).

        Parameters
        ----------
        train_path, val_path, test_path: a file or a folder each.
        sep: what separates cells; None guesses.
        header: ``infer`` or 0: the first line has names; None: there are no names.
        columns: names or numbers of the columns to keep, in this order.
        encoding: of the files.
        transform: see the class.
        where: keep only rows with these values: column name (or number) to a value, or to a list of values.
        quotechar: a cell that begins with it ends with the next one, and may hold separators and line ends. None: quotes are
            plain text, as in most TSV files of running text.

        Raises
        ------
        ValueError: no rows, mixed or unknown ``columns``, or fields called like columns that would read others.
        ConfigError: a file is missing or is no table.
        """
        paths = {"train": train_path, "val": val_path, "test": test_path}
        tables, names = _read_all(cls, paths, sep, header, columns, encoding, where, quotechar)
        text = columns_as_text(transform, names, tables["train"].shape[1], train_path, sep, encoding)
        tables = numbers_where_possible(tables, text)
        return cls._from_tables(tables, names, transform)

    @registrable_factory
    @classmethod
    def autogen(
        cls,
        data_path: InputPath,
        test_path: InputPath | None = None,
        seed: int | None = None,
        test_ratio: float | None = 0.2,
        val_ratio: float | None = 0.2,
        sep: str | None = "\t",
        header: str | int | None = "infer",
        columns: list[str] | list[int] | None = None,
        encoding: str | None = "utf-8",
        transform: Transform | None = None,
        where: Where | None = None,
        quotechar: str | None = QUOTE,
    ) -> Self:
        """Read one file and draw test and validation rows from it.

        Parameters
        ----------
        data_path: a file or a folder.
        test_path: test rows; then none are drawn.
        seed: of the draw. None is 0: the same rows in every run, whatever the seed of the run.
        test_ratio: share of all rows that becomes test, rounded up.
        val_ratio: share of the remaining rows that becomes val, rounded up.

        The others are those of ``from_path``.

        Raises
        ------
        ValueError: a ratio outside [0, 1), or no rows are left to train on.
        """
        for name, ratio in (("test_ratio", test_ratio), ("val_ratio", val_ratio)):
            if ratio is not None and not 0 <= ratio < 1:
                raise ValueError(f"{name} must be in [0, 1), got {ratio}")
        paths = {"train": data_path, "test": test_path}
        tables, names = _read_all(cls, paths, sep, header, columns, encoding, where, quotechar)
        text = columns_as_text(transform, names, tables["train"].shape[1], data_path, sep, encoding)
        tables = numbers_where_possible(tables, text)
        rows = tables["train"]
        order = np.random.default_rng(0 if seed is None else seed).permutation(len(rows))
        if test_path is None:
            drawn = math.ceil(len(order) * (test_ratio or 0))
            tables["test"], order = rows[order[:drawn]], order[drawn:]
        drawn = math.ceil(len(order) * (val_ratio or 0))
        tables["val"], order = rows[order[:drawn]], order[drawn:]
        if not len(order):
            raise ValueError(f"{data_path}: of {len(rows)} rows none is left to train on")
        tables["train"] = rows[order]
        return cls._from_tables(tables, names, transform)

    @classmethod
    def _from_tables(
        cls, tables: dict[str, npt.NDArray[np.object_]], names: list[str] | None, transform: Transform | None
    ) -> Self:
        return cls(
            train=tables["train"],
            val=tables.get("val"),
            test=tables.get("test"),
            named_columns=names,
            transform=transform,
        )

    @classmethod
    def _load_file(
        cls,
        path: str,
        sep: str | None = "\t",
        header: str | int | None = "infer",
        columns: list[str] | list[int] | None = None,
        encoding: str | None = "utf-8",
        where: Where | None = None,
        quotechar: str | None = QUOTE,
    ) -> tuple[list[tuple[Any, ...]], list[str] | None]:
        """Read a file or a folder of them; a subclass with another form of file overrides this.

        Returns
        -------
        Rows of text, and the names of the columns or None.
        """
        return read_table(path, sep, header, columns, encoding, where, quotechar)

    @property
    def train(self) -> DataView:
        """Training split."""
        return self._views["train"]

    @property
    def val(self) -> DataView:
        """Validation split."""
        return self._views["val"]

    @property
    def test(self) -> DataView:
        """Test split."""
        return self._views["test"]

    @property
    def raw(self) -> npt.NDArray[np.object_]:
        """All rows of all splits, untransformed, ``[N, C]``."""
        return np.concatenate([view.raw for view in self._views.values()])

    @property
    def cols(self) -> int:
        """Number of raw columns."""
        return self.train.cols()

    def __len__(self) -> int:
        """Examples in all splits together."""
        return sum(map(len, self._views.values()))

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        """Examples of train, val and test."""
        return chain.from_iterable(self._views.values())

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        """Example at an index over train, val and test.

        Raises
        ------
        IndexError: there is no such example.
        """
        place = index + len(self) if index < 0 else index
        if place >= 0:
            for view in self._views.values():
                if place < len(view):
                    return view[place]
                place -= len(view)
        raise IndexError(f"no example {index}: the dataset has {len(self)}")

    def packed(self) -> Any:
        """All examples as columns when there is only one split; else None."""
        filled = [view for view in self._views.values() if not view.is_empty()]
        return filled[0].packed() if len(filled) == 1 else None

    def _state(self, state_dict: Any, prefix: str, local_metadata: dict[str, Any]) -> Any:
        """Rows, and ready examples when they are kept, as arrays."""
        state_dict[prefix + "named_columns"] = self.named_columns
        for split, view in self._views.items():
            for key, value in view._table.state().items():
                state_dict[f"{prefix}{split}_raw_{key}"] = value
            columns = view.packed()
            if columns is None or any(isinstance(column, ListColumn) for column in columns):
                continue  # made again from the rows
            state_dict[f"{prefix}{split}_outputs"] = len(columns)
            for place, column in enumerate(columns):
                assert not isinstance(column, ListColumn)
                for key, value in column.state().items():
                    state_dict[f"{prefix}{split}_{place}_{key}"] = value
        return state_dict

    def saved_arguments(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Leave out the rows, which are in the state."""
        if not _state_is_all(type(self)):
            return arguments
        return {name: value for name, value in arguments.items() if name not in SPLITS}

    def _load_state(self, state_dict: Any, prefix: str, local_metadata: dict[str, Any], strict: bool,
                    missing_keys: list[Any], unexpected_keys: list[Any], error_msgs: list[Any]) -> None:  # fmt: skip
        """Take rows and examples. The arrays stay where they are, so processes that map one file share its pages."""
        self.named_columns = state_dict.get(prefix + "named_columns")
        for split in SPLITS:
            if f"{prefix}{split}_raw_columns" not in state_dict:
                missing_keys.append(f"{prefix}{split}_raw_columns")
                continue
            table = RawTable.from_state(_below(state_dict, f"{prefix}{split}_raw_"))
            view = DataView(table, self._hooks, self.cache)
            outputs = state_dict.get(f"{prefix}{split}_outputs")
            if outputs is not None:
                view.use_packed(
                    [column_from_state(_below(state_dict, f"{prefix}{split}_{place}_")) for place in range(outputs)]
                )
            self._views[split] = view

    @classmethod
    def restore(cls, arguments: Mapping[str, Any], state: Mapping[str, Any]) -> Self:
        """Make a saved dataset on its saved arrays. No source file is read and no field is set up."""
        if not _state_is_all(cls):
            return super().restore(arguments, state)
        made = cls.__new__(cls)
        tables = {split: RawTable.from_state(_below(state, f"{split}_raw_")) for split in SPLITS}
        names = state.get("named_columns")
        made._arrange(tables, bool(arguments.get("cache", True)), names, arguments.get("transform"))
        missing: list[Any] = []
        made._load_state(state, "", {}, True, missing, [], [])
        return made


def _state_is_all(kind: type[TabularDataset]) -> bool:
    writer = next(base for base in kind.__mro__ if "__init__" in vars(base))
    return bool(vars(writer).get("_state_is_all", False))


def _below(state: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)}


def _as_array(rows: Iterable[Iterable[Any]], split: str) -> npt.NDArray[np.object_]:
    if isinstance(rows, np.ndarray) and rows.ndim == 2 and rows.dtype == object:
        return rows
    if isinstance(rows, np.ndarray):
        rows = rows.tolist()  # Python numbers and text, which compare and save as themselves
    listed: list[Any] = list(rows)
    if set(map(type, listed)) != {tuple}:
        for row in listed:
            if isinstance(row, (str, bytes)) or not isinstance(row, Iterable):
                raise ValueError(f"{split}: a row must be a sequence of columns, got {row!r:.60}")
        listed = [tuple(row) for row in listed]
    widths = set(map(len, listed))
    if len(widths) > 1:
        raise ValueError(f"{split}: rows have different numbers of columns: {sorted(widths)}")
    array = np.empty((len(listed), widths.pop() if widths else 0), dtype=object)
    for place, column in enumerate(zip(*listed, strict=True)):
        array[:, place] = np.fromiter(column, dtype=object, count=len(listed))
    return array


def _read_all(
    cls: type[TabularDataset],
    paths: dict[str, str | None],
    sep: str | None,
    header: str | int | None,
    columns: list[str] | list[int] | None,
    encoding: str | None,
    where: Where | None,
    quotechar: str | None,
) -> tuple[dict[str, npt.NDArray[np.object_]], list[str] | None]:
    tables: dict[str, npt.NDArray[np.object_]] = {}
    names: list[str] | None = None
    for split, path in paths.items():
        if path is None:
            continue
        # What came later is given only where it is used, so that subclasses written against the first signature work.
        options: dict[str, Any] = {} if where is None else {"where": where}
        if quotechar != QUOTE:
            options["quotechar"] = quotechar
        rows, found = cls._load_file(path, sep=sep, header=header, columns=columns, encoding=encoding, **options)
        if not rows:
            raise ValueError(f"{path} has no rows" + (" that `where` keeps" if where else ""))
        if names is not None and found is not None and names != found:
            raise ValueError(f"{path} has columns {found}, but {paths['train']} has {names}")
        names = names or found
        tables[split] = _as_array(rows, split)
    return tables, names
