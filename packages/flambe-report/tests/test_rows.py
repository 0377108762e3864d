"""Rows as people and as programs read them."""

from __future__ import annotations

import csv
import json

import pytest

from flambe.errors import UsageError
from flambe.report.rows import cell, check_columns, columns_of, csv_lines, duration, json_line, sorted_rows

ROWS = [
    {"name": "a", "metric": 0.5, "params.n": 10},
    {"name": "b", "params.n": "auto"},
    {"name": "c", "metric": 0.9, "params.n": 9},
]


def names(rows: list) -> str:
    return "".join(row["name"] for row in rows)


def test_rows_without_a_value_sort_last_either_way() -> None:
    assert names(sorted_rows(ROWS, ["metric"])) == "acb"
    assert names(sorted_rows(ROWS, ["-metric"])) == "cab"


def test_numbers_sort_as_numbers_and_before_text() -> None:
    assert names(sorted_rows(ROWS, ["params.n"])) == "cab"


def test_the_first_key_weighs_most() -> None:
    rows = [{"name": "a", "x": 1, "y": 2}, {"name": "b", "x": 0, "y": 9}, {"name": "c", "x": 1, "y": 1}]
    assert names(sorted_rows(rows, ["-x", "y"])) == "cab"


def test_json_fills_the_known_columns_and_writes_no_nan() -> None:
    line = json.loads(json_line({"a": float("nan"), "b": [float("inf")]}, ["a", "b", "c", "params.x"]))
    assert line == {"a": "NaN", "b": ["Infinity"], "c": None}


def test_csv_keeps_commas_quotes_and_empties() -> None:
    rows = [{"variant": 'n=1,"x"', "best": True, "sizes": [1, 2]}, {"variant": "line\nbreak"}]
    lines = "".join(csv_lines(rows, columns_of(rows, ["variant"])))
    assert list(csv.reader(lines.splitlines(keepends=True))) == [
        ["variant", "best", "sizes"], ['n=1,"x"', "true", "[1, 2]"], ["line\nbreak", "", ""]
    ]  # fmt: skip


def test_a_name_cannot_steer_the_terminal() -> None:
    assert cell("name", "a\x1b[2Jb\rc") == "a\\x1b[2Jb\\x0dc"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(3.14, "3.1 s"), (62, "1 min 02 s"), (3599, "59 min 59 s"), (7500, "2 h 05 min"), (90000, "1 d 01 h")],
)
def test_durations_are_short(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_an_unknown_column_is_named() -> None:
    with pytest.raises(UsageError, match=r"--sort: unknown column 'metrc'\. Did you mean 'metric'\?"):
        check_columns(["metrc"], ["name", "metric"], option="--sort")


def test_a_bar_shows_after_a_while_and_goes_when_all_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    from rich.console import Console

    from flambe.report import reading_bar

    screen = Console(file=io.StringIO(), force_terminal=True, width=80)
    monkeypatch.setattr("flambe.cli.console.rich_console", lambda: screen)
    monkeypatch.setattr("flambe.cli.console.stderr_is_terminal", lambda: True)
    clock = iter([0.0, 0.4, 0.6, 0.7, 0.8])
    monkeypatch.setattr(reading_bar.time, "monotonic", lambda: next(clock))
    bar = reading_bar.ReadingBar()
    for done in (1, 2):
        bar(done, 5)
    assert screen.file.getvalue() == ""
    for done in (3, 4):
        bar(done, 5)
    assert bar._bar is not None
    bar(5, 5)
    assert bar._bar is None
    assert "reading runs" in screen.file.getvalue()
