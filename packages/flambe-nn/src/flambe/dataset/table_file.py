"""Reading CSV and TSV files as text."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from flambe.cli.console import say
from flambe.dataset.encoding import wrong_encoding
from flambe.dataset.location import locate
from flambe.errors import ConfigError, did_you_mean
from flambe.runner.environment import note_input

if TYPE_CHECKING:
    import pandas

Where = Mapping[str | int, Any]
QUOTE = '"'

# What pandas says of a quote without an end, in C and in Python.
_UNCLOSED = ("EOF inside string", "unexpected end of data")
_SIGNS = ((",", "commas", "','"), ("\t", "tabs", '"\\t"'), (";", "semicolons", "';'"), ("|", "bars", "'|'"))


def read_table(
    path: str,
    sep: str | None,
    header: str | int | None,
    columns: list[str] | list[int] | None,
    encoding: str | None,
    where: Where | None = None,
    quotechar: str | None = QUOTE,
) -> tuple[list[tuple[str, ...]], list[str] | None]:
    """Read a file, or the files of a folder (sorted by name, hidden ones left out), as rows of text.

    Nothing is guessed: ``NA``, ``1.50`` and ``007`` stay what is written, and an empty cell is an empty text. A cell that begins
    with ``quotechar`` goes on to the next one, over separators and line ends; where that made one row of several it is said.

    Returns
    -------
    The rows, and the names of the columns (None without a header).

    Raises
    ------
    ValueError: mixed or unknown ``columns`` or ``where``; a ``quotechar`` that is no single character.
    ConfigError: there is no such file, or it is no table in this encoding.
    """
    import pandas

    if columns is not None and not (
        all(isinstance(column, str) for column in columns)
        or all(isinstance(column, int) and not isinstance(column, bool) for column in columns)
    ):
        raise ValueError(f"columns must be all names or all numbers, got {columns}")
    if quotechar is not None and len(quotechar) != 1:
        raise ValueError(f"quotechar must be one character, or null where quotes are plain text, got {quotechar!r}")
    files = files_of(path)
    rows: list[tuple[str, ...]] = []
    names: list[str] | None = None
    for file in files:
        note_input(file)
        try:
            frame = pandas.read_csv(  # type: ignore[call-overload, misc]  # its stubs know the words of header one by one
                file,
                sep=sep,
                header=header,
                index_col=False,
                encoding=encoding,
                dtype=str,
                keep_default_na=False,
                na_filter=False,
                quotechar=quotechar or QUOTE,
                quoting=csv.QUOTE_NONE if quotechar is None else csv.QUOTE_MINIMAL,
                engine="python" if sep is None else "c",
            )
        except pandas.errors.EmptyDataError:
            continue
        except UnicodeError as error:
            raise wrong_encoding(file, encoding) from error
        except pandas.errors.ParserError as error:
            unclosed = any(words in str(error) for words in _UNCLOSED)
            raise ConfigError(
                f"{file} is not a table separated by {sep!r}: {error}",
                hint=f"A cell that begins with {quotechar} is never closed; where quotes are plain text: `quotechar: null`"
                if unclosed
                else "Check sep and header",
            ) from error
        if sep is not None and quotechar is not None:
            _tell_of_joined_rows(file, frame, sep, quotechar)
        found = None if header is None else [str(name) for name in frame.columns]
        for column, wanted in (where or {}).items():
            values = {str(value) for value in (wanted if isinstance(wanted, (list, tuple)) else [wanted])}
            frame = frame[frame.iloc[:, _place(column, found, frame.shape[1], file, sep, encoding)].isin(values)]
        if columns is not None:
            places = [_place(column, found, frame.shape[1], file, sep, encoding) for column in columns]
            frame = frame.iloc[:, places]
            found = None if found is None else [found[each] for each in places]
        if names is not None and found != names:
            raise ConfigError(f"{file} has columns {found}, but {files[0]} has {names}")
        names = found if names is None else names
        rows.extend(zip(*(frame.iloc[:, each].tolist() for each in range(frame.shape[1])), strict=True))
    return rows, names


def numbers_where_possible(
    tables: dict[str, npt.NDArray[np.object_]], text: set[int]
) -> dict[str, npt.NDArray[np.object_]]:
    """Turn columns into numbers where every value of every table is one; columns in ``text`` stay as they are."""
    import pandas

    if not tables or len({table.shape[1] for table in tables.values()}) > 1:
        return tables
    for place in set(range(next(iter(tables.values())).shape[1])) - text:
        values = [value for table in tables.values() for value in table[:, place]]
        if not all(isinstance(value, str) for value in values) or not any(values):
            continue
        try:
            numbers = pandas.to_numeric(pandas.Series(values)).tolist()
        except (ValueError, TypeError):
            continue
        start = 0
        for table in tables.values():
            table[:, place] = numbers[start : start + len(table)]
            start += len(table)
    return tables


def separator_hint(path: str, sep: str | None, encoding: str | None) -> str | None:
    """Return what to say about a file of which ``sep`` makes a single column: the other sign that its first line has."""
    try:
        file = files_of(path)[0]
    except (ConfigError, IndexError):
        return None  # a subclass reads something else
    with file.open(encoding=encoding, errors="replace") as stream:
        line = stream.readline()
    for sign, name, written in _SIGNS:
        if sign in line and sign != sep:
            return f"The first line of {file} has {name}: `sep: {written}`?"
    return None


def _tell_of_joined_rows(file: Path, frame: pandas.DataFrame, sep: str, quotechar: str) -> None:
    """Warn of rows that only a quote makes: without it each of their lines would be a row by itself."""
    columns = [frame.iloc[:, each].tolist() for each in range(frame.shape[1])]
    if not any("\n" in "".join(column) for column in columns):
        return
    lines = [sep.join(row).split("\n") for row in zip(*columns, strict=True)]
    joined = [row for row in lines if len(row) > 1 and all(line.count(sep) == len(columns) - 1 > 0 for line in row)]
    if joined:
        rows = "one row" if len(joined) == 1 else f"{len(joined)} rows"
        say(
            f"warning: {file}: quotes ({quotechar}) make {rows} of {sum(map(len, joined))} lines, of which each could be one; "
            f"the first begins {joined[0][0][:60]!r}. Where quotes are plain text: `quotechar: null`"
        )


def files_of(path: str) -> list[Path]:
    """Return the file at ``path``, or those of the folder there, by name and without hidden ones. Raises as ``locate``."""
    place = locate(path)
    if place.is_dir():
        return sorted(file for file in place.iterdir() if file.is_file() and not file.name.startswith("."))
    return [place]


def _place(
    column: str | int, names: list[str] | None, cols: int, file: Path, sep: str | None, encoding: str | None
) -> int:
    try:
        return _found(column, names, cols, file)
    except ValueError as error:
        hint = separator_hint(str(file), sep, encoding) if cols == 1 else None
        raise ValueError(f"{error}. {hint}") if hint else error from None


def _found(column: str | int, names: list[str] | None, cols: int, file: Path) -> int:
    if isinstance(column, int):
        if not 0 <= column < cols:
            have = "1 column" if cols == 1 else f"{cols} columns"
            raise ValueError(f"{file} has {have}, counted from 0; there is no column {column}")
        return column
    if names is None:
        raise ValueError(f"{file} is read without a header, so there is no column {column!r}; use numbers")
    if column not in names:
        hint = did_you_mean(column, names) or f"There are: {', '.join(names)}"
        raise ValueError(f"{file} has no column {column!r}. {hint}")
    return names.index(column)
