"""Rows of runs and units: sorted, and written as a table, as JSON lines or as CSV."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from flambe.cli.streams import data_is_terminal, emit
from flambe.errors import UsageError, did_you_mean

Row = dict[str, Any]

TABLE, JSON, CSV, MARKDOWN = "table", "json", "csv", "md"
FORMATS = (TABLE, JSON, CSV, MARKDOWN)

RUN_TABLE = ("run", "status", "done", "failed", "pruned", "metric", "best", "seconds", "started")
UNIT_TABLE = ("name", "index", "stage", "variant", "status", "metric", "metric_name", "step", "seconds", "error")

_STYLES = {
    "COMPLETE": "green", "RUNNING": "blue", "FAILED": "red", "LOST": "red", "CANCELLED": "yellow", "PRUNED": "dim",
    "PAUSED": "cyan",
}  # fmt: skip
_TITLES = {"metric_name": "of", "seconds": "time", "index": "exp"}
_NARROW = 110
_WIDEST = 120
"""What a table off a terminal is cut to, where an error makes it wider."""
_SHORTEST_ERROR = 40
_SHOWN = 8
"""Values of a list in a cell for people."""
_FOLDED = frozenset({"run", "best", "variant", "unit", "path", "metric_name", "error", "status_reason"})


def columns_of(rows: Sequence[Mapping[str, Any]], first: Sequence[str]) -> list[str]:
    """Return ``first``, then every other column that a row has, in order of appearance."""
    return list(dict.fromkeys([*first, *(name for row in rows for name in row)]))


def check_columns(names: Iterable[str], known: Sequence[str], *, option: str) -> None:
    """Raise UsageError for the first of ``names`` that is no column."""
    for name in names:
        if name not in known:
            ends = [other for other in known if other.endswith("." + name)]
            hint = f"Did you mean {ends[0]!r}?" if ends else did_you_mean(name, known)
            raise UsageError(f"{option}: unknown column {name!r}", hint=hint or "Known are " + ", ".join(known) + ".")


def sorted_rows(rows: Sequence[Row], keys: Sequence[str]) -> list[Row]:
    """Sort by columns, ``-name`` downwards; rows that lack a value come last either way."""
    result = list(rows)
    for key in reversed(keys):
        name = key.removeprefix("-")
        have = [row for row in result if row.get(name) is not None]
        lack = [row for row in result if row.get(name) is None]
        have.sort(key=lambda row: _order(row[name]), reverse=key.startswith("-"))
        result = have + lack
    return result


def _order(value: Any) -> tuple[int, Any]:
    # Columns may mix kinds ("auto" beside 3): numbers first, then text.
    if isinstance(value, int | float):
        return (0, -math.inf if math.isnan(value) else value)
    return (1, str(value))


def write_rows(
    rows: Sequence[Row], columns: Sequence[str], form: str | None, *, table: Sequence[str], whole: bool = False
) -> bool:
    """Write rows to the data stream. Returns whether a table came of it.

    form: ``table``, ``json``, ``csv``, ``md``, or None: a table on a terminal, else JSON lines. columns: all there are;
    table: those that a table shows. whole: that a table cuts no cell.
    """
    form = form or (TABLE if data_is_terminal() else JSON)
    if form == TABLE:
        if rows:
            emit(render_table(rows, table, whole=whole))
    elif form == MARKDOWN:
        for line in markdown_lines(rows, [name for name in table if any(row.get(name) is not None for row in rows)]):
            emit(line)
    elif form == CSV:
        for line in csv_lines(rows, columns):
            emit(line)
    else:
        for row in rows:
            emit(json_line(row, columns))
    return form == TABLE


def json_line(row: Mapping[str, Any], columns: Sequence[str]) -> str:
    """Return a row as one line of JSON: unknown values are null, but parameters of other stages are left out."""
    whole = {name: row.get(name) for name in columns if name in row or not name.startswith("params.")}
    return json.dumps(
        {name: finite(value) for name, value in whole.items()},
        ensure_ascii=False,
        allow_nan=False,
        separators=(",", ":"),
    )


def finite(value: Any) -> Any:
    """Return plain data with NaN and infinities as metric files write them: JSON has no such numbers."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    return [finite(item) for item in value] if isinstance(value, list | tuple) else value


def csv_lines(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> Iterator[str]:
    """Yield the header and a line for each row (RFC 4180); lists are JSON, booleans ``true`` and ``false``."""
    import csv

    for values in (columns, *([row.get(name) for name in columns] for row in rows)):
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow([_csv_cell(value) for value in values])
        yield line.getvalue()


def markdown_lines(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> Iterator[str]:
    """Yield a table of Markdown, for a page or a pull request."""
    if columns:
        yield "| " + " | ".join(map(_markdown, columns)) + " |"
        yield "|" + "---|" * len(columns)
    for row in rows if columns else ():
        yield "| " + " | ".join(_markdown(cell(name, row.get(name))) for name in columns) + " |"


def _markdown(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|")


def _csv_cell(value: Any) -> Any:
    return json.dumps(finite(value)) if isinstance(value, bool | list | dict) else finite(value)


def render_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], *, whole: bool = False) -> str:
    """Return a table for people; columns that no row fills are left out. Coloured on a terminal only.

    whole: an error is cut nowhere; else it is, where there is no terminal whose width would fold it.
    """
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    terminal = data_is_terminal()
    out = io.StringIO()
    # Off a terminal there is no width to keep: lines are for grep and less -S.
    console = Console(file=out, force_terminal=terminal, width=None if terminal else 10_000, highlight=False)
    if console.width < _NARROW:
        columns = [name for name in columns if name != "metric_name"]
    columns = [name for name in columns if any(_is_worth_a_column(name, row.get(name)) for row in rows)]
    texts = {name: [_starred(name, row) for row in rows] for name in columns}
    if "error" in texts and not (terminal or whole):
        others = sum(
            2 + max(len(_TITLES.get(name, name)), *map(len, texts[name])) for name in columns if name != "error"
        )
        room = max(_SHORTEST_ERROR, _WIDEST - others)
        texts["error"] = [text if len(text) <= room else text[: room - 1] + "…" for text in texts["error"]]
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, collapse_padding=True)
    for name in columns:
        numeric = all(isinstance(row.get(name), int | float | None) for row in rows)
        # Where a terminal is narrow, long names and words are folded, the longest most, and the rest stays whole.
        table.add_column(
            _TITLES.get(name, name),
            justify="right" if numeric else "left",
            no_wrap=name not in _FOLDED,
            overflow="fold",
            max_width=24 if name == "error" and console.width < _NARROW else None,
            min_width=None if name in _FOLDED else max(map(len, texts[name])),
        )
    for place, row in enumerate(rows):
        best = row.get("best") is True
        cells = []
        for name in columns:
            style = _STYLES.get(str(row.get(name)), "") if name == "status" else "bold" if best else ""
            cells.append(Text(texts[name][place], style=style))
        table.add_row(*cells)
    console.print(table)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def _is_worth_a_column(name: str, value: Any) -> bool:
    return bool(value) if name in ("failed", "pruned", "error") else value not in (None, "")


def _starred(name: str, row: Mapping[str, Any]) -> str:
    return ("* " if name == "metric" and row.get("best") is True else "") + _shown(name, row)


def _shown(name: str, row: Mapping[str, Any]) -> str:
    """Return a cell of a table: cell(), but for what is shorter beside its neighbours."""
    value = row.get(name)
    if name == "done" and "expected" in row:
        return f"{value}/{row['expected']}"
    if name == "run" and value and (place := Path(str(value))).is_relative_to(Path.cwd()):
        return cell(name, place.relative_to(Path.cwd()))
    if name in ("created", "started", "ended"):
        return cell(name, value)[:16]
    return cell(name, value)


def cell(name: str, value: Any) -> str:
    """Return a value as people read it: short numbers, durations, no control characters."""
    if value is None:
        return ""
    if name == "seconds":
        return duration(float(value))
    if name in ("created", "started", "ended"):
        return str(value)[:19].replace("T", " ")
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return "[" + ", ".join(cell("", item) for item in value[:_SHOWN]) + (", …]" if len(value) > _SHOWN else "]")
    # Names come from files that anybody may have written: they must not steer the terminal.
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in str(value))


def duration(seconds: float) -> str:
    """Return ``3.1 s``, ``4 min 02 s``, ``2 h 05 min`` or ``3 d 04 h``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    for limit, big, small, names in ((3600, 60, 1, ("min", "s")), (86400, 3600, 60, ("h", "min"))):
        if seconds < limit:
            return f"{int(seconds // big)} {names[0]} {int(seconds % big // small):02d} {names[1]}"
    return f"{int(seconds // 86400)} d {int(seconds % 86400 // 3600):02d} h"
