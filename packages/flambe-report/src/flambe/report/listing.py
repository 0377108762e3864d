"""What ``flambe-report ls`` shows: rows of runs or units, chosen, grouped, sorted and cut to columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from flambe.errors import UsageError, did_you_mean
from flambe.reading.column_names import is_detail
from flambe.reading.operand import AGE, ALIASES
from flambe.reading.query import Query, parse
from flambe.reading.reader import RUN_COLUMNS, UNIT_COLUMNS, Reader
from flambe.reading.row import Row
from flambe.reading.runs import Cells, Runs, counted
from flambe.report.expression import Expression, read_best, read_expressions
from flambe.report.rows import RUN_TABLE, UNIT_TABLE, columns_of, sorted_rows

if TYPE_CHECKING:
    from flambe.reading.grouped import Label

_FEW = 12
"""Columns that a message names."""


class Request(NamedTuple):
    """The options of ``ls``, as they were written. units: a row for each unit."""

    where: str = ""
    sort: str = ""
    columns: str = ""
    group: str = ""
    agg: str = ""
    best: str = ""
    per: str = ""
    diff: bool = False
    units: bool = False


class Listing(NamedTuple):
    """rows: what was found. columns: all there are, in order. table: those that a table shows. matched: how many runs, or
    units, the query is true of."""

    rows: list[dict[str, Any]]
    columns: list[str]
    table: Sequence[str]
    matched: int


def words(text: str) -> list[str]:
    """Return the words of a list with commas between; old names of columns as they are now."""
    return [_now(word.strip()) for word in text.split(",") if word.strip()]


def _now(word: str) -> str:
    sign = "-" if word.startswith("-") else ""
    name = word.removeprefix("-").strip("`")
    return sign + ALIASES.get(name, name)


def listing(reader: Reader, request: Request) -> Listing:
    """Return what a request asks for. Raises UsageError and ConfigError for columns that nothing has."""
    query = parse(request.where)
    if not request.agg and (request.group or (request.per and not request.best)):
        raise UsageError("--group without --agg", hint="Say what to show of a group: --agg 'mean(last(train.loss))'.")
    rows = reader.select(query, units=request.units)
    _check(reader, query, request)
    matched = len(rows)
    if request.agg:
        return _aggregated(rows, request)
    if request.best:
        rows = [row for row in _best(rows, read_best(request.best), words(request.per)) if isinstance(row, Row)]
    return _plain(rows, request, matched)


def no_match(reader: Reader, where: str, *, units: bool) -> str:
    """Return what to say where there are runs and a query is true of none of them, or of their units."""
    count = len(reader.select(units=True)) if units else len(reader)
    if not count:
        return "no unit is recorded yet"
    said = f"0 of {counted(count, 'unit' if units else 'run')} match"
    meant = 0 if units else len(reader.select(where, units=True))
    return f"{said}, but {counted(meant, 'unit')} {'does' if meant == 1 else 'do'}: add --units" if meant else said


def _plain(rows: list[Row], request: Request, matched: int) -> Listing:
    keys, chosen = words(request.sort), words(request.columns)
    varied = Runs(rows).diff() if request.diff else []
    if request.diff:
        chosen = chosen or [*(("run", "unit") if request.units else ("run",)), *varied]
    wanted = [*chosen, *(key.removeprefix("-") for key in keys)]
    wanted += [read_best(request.best).cell] if request.best else []
    extra = [name for name in wanted if is_detail(name) or name.startswith(("config.", "info."))]
    cells = [_cells(row, extra) for row in rows]
    known = columns_of(cells, [*(UNIT_COLUMNS if request.units else RUN_COLUMNS)])
    cells = sorted_rows(cells, keys)
    if chosen:
        cells = [{name: row[name] for name in chosen if name in row} for row in cells]
    shown: Sequence[str] = UNIT_TABLE if request.units else RUN_TABLE
    if request.units and len({row.cells.get("run") for row in rows}) < 2:
        shown = shown[2:]
    return Listing(cells, chosen or known, chosen or [*shown, *extra], matched)


def _cells(row: Row, extra: Sequence[str]) -> dict[str, Any]:
    """Return the plain columns of a row, and those of the others that were asked for."""
    answers = row.answers(extra)
    plain = {name: value for name, value in row.cells.items() if not name.startswith(("config.", "info."))}
    more = {name: answers[name] for name in extra if name in answers}
    if AGE in extra:
        more[AGE] = row.get(AGE)
    return plain | more


def _aggregated(found: Sequence[Row], request: Request) -> Listing:
    expressions, by = read_expressions(request.agg, "--agg"), words(request.group)
    rows: list[dict[str, Any]] = [
        dict(zip(by, label, strict=True)) | {one.name: one.of(group) for one in expressions}
        for label, group in _groups(found, by)
    ]
    names = [*by, *(one.name for one in expressions)]
    keys, chosen, per = words(request.sort), words(request.columns), words(request.per)
    best = [read_best(request.best)] if request.best else []
    asked = {"--sort": [key.removeprefix("-") for key in keys], "--columns": chosen, "--per": per}
    for option, wanted in (asked | {"--best": [one.cell for one in best]}).items():
        _check_known(wanted, names, option)
    for one in best:
        rows = [dict(row) for row in _best(rows, one, per)]
    rows = sorted_rows(rows, keys)
    if chosen:
        rows = [{name: row[name] for name in chosen if name in row} for row in rows]
    return Listing(rows, chosen or names, chosen or names, len(found))


def _groups(rows: Sequence[Cells], by: Sequence[str]) -> list[tuple[Label, list[Cells]]]:
    """Return the rows by their values in some columns; None where a row has none, also where none of them has."""
    if not by or not rows:
        return [((), list(rows))] if rows else []
    # The row itself goes along as a column without a name.
    labels = Runs({name: row.get(name) for name in by} | {"": row} for row in rows)
    return [(label, group[""]) for label, group in labels.groupby(by).items()]


def _best(rows: Sequence[Cells], best: Expression, per: Sequence[str]) -> list[Any]:
    found = [best.best(group) for _, group in _groups(rows, per)]
    return [row for row in found if row is not None]


def _check(reader: Reader, query: Query, request: Request) -> None:
    """Raise for columns that were asked for and that nothing has: a misspelt name is no empty result."""
    asked = {
        "--sort": [key.removeprefix("-") for key in words(request.sort)] if not request.agg else [],
        "--columns": words(request.columns) if not request.agg else [],
        "--group": words(request.group),
        "--per": words(request.per) if not request.agg else [],
        "--agg": [one.column for one in read_expressions(request.agg, "--agg")] if request.agg else [],
        "--best": [read_best(request.best).column] if request.best and not request.agg else [],
    }
    if (unknown := reader.unknown(query, units=request.units)) is not None:
        raise unknown
    lacking = reader.lacking((name for names in asked.values() for name in names), units=request.units)
    known = reader.known(units=request.units) if lacking else []
    for option, wanted in asked.items():
        _check_known([name for name in wanted if name in lacking], known, option)


def _check_known(names: Iterable[str], known: Sequence[str], option: str) -> None:
    for name in names:
        base = name[name.find("(") + 1 : -1] if name.endswith(")") else name
        if name not in known and base not in known:
            ends = [other for other in known if other.endswith("." + name)]
            hint = f"Did you mean {ends[0]!r}?" if ends else did_you_mean(name, known)
            few = len(known) <= _FEW
            all_known = f"Known are {', '.join(known)}." if few else "`flambe-report fields PATH` lists them all."
            raise UsageError(f"{option}: unknown column {name!r}", hint=hint or all_known)


__all__ = ["Listing", "Request", "listing", "no_match", "words"]
