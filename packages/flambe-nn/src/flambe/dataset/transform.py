"""What the ``transform`` of a table says: which field reads which columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flambe.dataset.table_file import separator_hint
from flambe.dataset.view import Hook
from flambe.errors import did_you_mean
from flambe.field.field import Field

Transform = Mapping[str, Field | Mapping[str, Any]]


def hooks_of(transform: Transform | None, names: Sequence[str] | None, cols: int) -> dict[str, Hook]:
    """Return the field of each output and the column (or the columns) that it reads.

    names: of the columns, if they have any. cols: how many there are.

    Raises
    ------
    ValueError: an entry without a field, or with a column that does not exist.
    """
    return {
        name: _hook(name, value, position, names, cols)
        for position, (name, value) in enumerate((transform or {}).items())
    }


def columns_as_text(
    transform: Transform | None,
    names: Sequence[str] | None,
    cols: int,
    path: str,
    sep: str | None,
    encoding: str | None,
) -> set[int]:
    """Return the columns of a file that stay text. Raises ValueError for a transform that does not fit to the file."""
    try:
        text = _text_columns(transform, names, cols)
    except ValueError as error:
        hint = separator_hint(path, sep, encoding) if cols == 1 else None
        if hint is None:
            raise
        raise ValueError(f"{error}. {hint}") from None
    _check_header(transform, names)
    return text


def _text_columns(transform: Transform | None, names: Sequence[str] | None, cols: int) -> set[int]:
    """Return the columns that a text or label field reads. Raises as ``hooks_of``."""
    places: set[int] = set()
    for field, place in hooks_of(transform, names, cols).values():
        if field.reads_text:
            places.update([place] if isinstance(place, int) else place)
    return places


def _check_header(transform: Transform | None, names: Sequence[str] | None) -> None:
    """Refuse a transform that is written as if its names were those of the header, and would read other columns.

    The n-th field takes the n-th column whatever the two are called. When every field that says no column is called like a
    column of the header, that rule is obeyed only as far as it leads to the column of that name: swapped columns train to the
    end and mean nothing.

    Raises
    ------
    ValueError: with what each field would read, and the form that says the column.
    """
    plain = {
        name: position
        for position, (name, value) in enumerate((transform or {}).items())
        if not (isinstance(value, Mapping) and "columns" in value)
    }
    if names is None or not all(name in names and position < len(names) for name, position in plain.items()):
        return
    other = {name: names[position] for name, position in plain.items() if names[position] != name}
    if other:
        reads = ", ".join(f"{name!r} would read the column {column!r}" for name, column in other.items())
        first = next(iter(other))
        raise ValueError(
            f"transform: the n-th field takes the n-th column, so {reads}. "
            f"Say the columns: `{first}: {{field: …, columns: {first}}}`"
        )


def _hook(name: str, value: Any, position: int, names: Sequence[str] | None, cols: int) -> Hook:
    columns: Any = position
    if isinstance(value, Mapping):
        unknown = set(value) - {"field", "columns"}
        if unknown:
            raise ValueError(f"transform {name!r} has {sorted(unknown)}; expected field and columns")
        if "field" not in value:
            raise ValueError(f"transform {name!r} has no `field`")
        columns = value.get("columns", position)
        value = value["field"]
    if not isinstance(value, Field):
        raise ValueError(f"transform {name!r} must be a field or {{field: …, columns: …}}, got {type(value).__name__}")
    several = isinstance(columns, (list, tuple))
    places = [_place(name, column, names, cols) for column in (columns if several else [columns])]
    return value, places if several else places[0]


def _place(output: str, column: Any, names: Sequence[str] | None, cols: int) -> int:
    if isinstance(column, str):
        if names is None:
            raise ValueError(f"transform {output!r} uses column {column!r}, but the columns have no names")
        if column not in names:
            hint = did_you_mean(column, names) or f"There are: {', '.join(names)}"
            raise ValueError(f"transform {output!r}: there is no column {column!r}. {hint}")
        return list(names).index(column)
    if isinstance(column, bool) or not isinstance(column, int):
        raise ValueError(f"transform {output!r}: columns must be numbers or names, got {column!r}")
    if not 0 <= column < cols:
        have = "there is 1 column" if cols == 1 else f"there are {cols} columns"
        raise ValueError(f"transform {output!r} uses column {column}, but {have}, counted from 0")
    return column
