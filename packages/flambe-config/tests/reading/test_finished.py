"""The list of the runs that have ended: who comes for the first time reads one file, and is told what the runs say."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import stat
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from run_writer import write_run
from torn import Listed, answers

from flambe.errors import FlambeError
from flambe.reading.finished import _MARK, Finished, enlist
from flambe.reading.reader import Reader
from flambe.reading.runs import Runs
from flambe.reading.seal import seal
from flambe.record.layout import FINISHED

COUNT = 12


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "out"
    for index in range(COUNT):
        end(home, index)
    return home


def end(home: Path, index: int, **config: Any) -> Path:
    """Write a run, and list it as a run that ends does."""
    lines = [{"step": step, "loss": (index + 1) / (step + 1)} for step in range(3)]
    path = write_run(home, {"lr": 10.0**-index, "seed": index % 3, **config}, {"train": lines}, index=index)
    minute_ago = time.time() - 60  # what is younger than a few seconds is looked at again in any case
    os.utime(path / "run.json", (minute_ago, minute_ago))
    enlist(path)
    return path


def stranger(home: Path) -> Reader:
    """Return a reader that knows nothing yet."""
    return Reader(home, index=tempfile.mkdtemp(dir=home.parent))


def anew(home: Path) -> list[Any]:
    return answers(home, Path(tempfile.mkdtemp(dir=home.parent)))


def read(home: Path) -> int:
    """Return of how many runs the files are read by somebody who knows nothing yet, and asks everything."""
    reader = stranger(home)
    reader.select("min(train.loss) < 100 & config.seed >= 0")
    return sum(catalog.read for catalog in reader._catalogs)


def test_no_run_is_read_and_the_answers_are_those_of_the_runs(home: Path, tmp_path: Path) -> None:
    assert read(home) == 0
    assert anew(home) == answers(home, None)
    assert answers(home, tmp_path / "cache") == answers(home, None)
    for number in range(2):  # from an index that was made of the list
        reader = Reader(home, index=tmp_path / "cache")
        assert reader.filter("min(train.loss) < 1.5").sort("index")["config.seed"] == [0, 1, 2, 0], number
        assert sum(catalog.read for catalog in reader._catalogs) == 0


@pytest.mark.parametrize("name", ["moved", "copied"])
def test_a_folder_that_was_moved_or_copied_with_its_times_has_its_list(home: Path, tmp_path: Path, name: str) -> None:
    other = tmp_path / name
    if name == "moved":
        home.rename(other)
    else:
        shutil.copytree(home, other, copy_function=shutil.copy2)
    assert read(other) == 0
    assert anew(other) == answers(other, None)
    assert {Path(run).parts[-3] for run in stranger(other).filter("")["run"]} == {name}


def go_on(home: Path) -> None:
    """Let a run be gone on with that has ended."""
    path = home / "first/exp.3/run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"status": "FAILED"}))


def replace(home: Path) -> None:
    shutil.rmtree(home / "first/exp.3")
    write_run(home, {"lr": 7.0}, {"train": [{"step": 1, "loss": 0.5}]}, index=3)


def swap(home: Path) -> None:
    (home / "first/exp.3").rename(home / "aside")
    (home / "first/exp.4").rename(home / "first/exp.3")
    (home / "aside").rename(home / "first/exp.4")


@pytest.mark.parametrize(
    ("change", "count"),
    [
        (go_on, 1),
        (replace, 1),
        (swap, 2),
        (lambda home: shutil.rmtree(home / "first/exp.3"), 0),
        (lambda home: (home / "first/exp.3").rename(home / "first/exp.77"), 1),
        (lambda home: write_run(home, {"lr": 3.0}, {"train": [{"step": 1, "loss": 0.5}]}, index=50), 1),
    ],
    ids=["gone on with", "replaced", "swapped", "deleted", "renamed", "new"],
)
def test_runs_that_are_no_more_what_is_listed_are_read(home: Path, change: Callable[[Path], Any], count: int) -> None:
    change(home)
    assert read(home) == count
    assert anew(home) == answers(home, None)


def test_the_last_end_of_a_run_counts(home: Path) -> None:
    shutil.rmtree(home / "first/exp.3")
    end(home, 3, lr=0.75)
    assert read(home) == 0
    assert stranger(home).filter("index == 3")["config.lr"] == [0.75]


def test_what_goes_on_or_is_broken_is_not_listed(home: Path) -> None:
    before = (home / "first" / FINISHED).read_bytes()
    enlist(write_run(home, {"lr": 1.0}, index=50, status="RUNNING"))
    broken = write_run(home, {"lr": 1.0}, index=51)
    (broken / "spec.json").write_text("{")
    enlist(broken)
    (broken / "run.json").write_text("{")
    enlist(broken)
    enlist(home)  # no run
    assert (home / "first" / FINISHED).read_bytes() == before


def test_few_new_runs_are_read_without_a_long_list(home: Path, tmp_path: Path) -> None:
    with (home / "first" / FINISHED).open("ab") as stream:
        stream.truncate(10_000_000)
    assert read(home) == COUNT
    assert anew(home) == answers(home, None)


def test_a_list_does_not_grow_with_what_is_gone(tmp_path: Path) -> None:
    home = tmp_path / "out"
    text = "x" * 200_000
    for number in range(40):
        shutil.rmtree(home / "first/exp.0", ignore_errors=True)
        end(home, 0, text=f"{number}{text}")
    assert (home / "first" / FINISHED).stat().st_size < 2_500_000
    assert sorted(os.listdir(home / "first")) == [FINISHED, "exp.0"]
    assert "39xxx" in stranger(home).select()[0]["config.text"]


@pytest.mark.parametrize("what", ["folder", "link", "pipe"])
def test_what_is_no_list_is_left_alone(home: Path, tmp_path: Path, what: str) -> None:
    path, outside = home / "first" / FINISHED, tmp_path / "outside"
    path.rename(outside)
    before = outside.read_bytes()
    {"folder": path.mkdir, "link": lambda: path.symlink_to(outside), "pipe": lambda: os.mkfifo(path)}[what]()
    kind = stat.S_IFMT(path.lstat().st_mode)
    end(home, COUNT)
    assert read(home) == COUNT + 1
    assert stat.S_IFMT(path.lstat().st_mode) == kind
    assert outside.read_bytes() == before


def test_a_torn_list_gives_no_other_answer(tmp_path: Path) -> None:
    """A share of ``torn.py``, which nox runs whole."""
    listed = Listed(tmp_path / "home", tmp_path / "cache", 3)
    assert [listed.finding(random.Random(seed)) for seed in range(40)] == [None] * 40


ODD: list[Any] = [
    None,
    True,
    -1,
    2.5,
    float("nan"),
    "x",
    "",
    [],
    [[1], {"a": [None]}],
    {},
    {"b": 1},
    "\0",
    1 << 63,
    b"b",
]


@pytest.mark.parametrize("seed", range(8))
def test_whatever_somebody_has_written_into_a_list_is_shown_or_read_anew(home: Path, seed: int) -> None:
    chosen = random.Random(seed)
    encode = msgspec.msgpack.encode

    def odd(cells: dict[str, Any]) -> dict[str, Any]:
        first = dict(chosen.choices([("", 1), ("run", [2]), ("config", {}), ("info.path", 3), ("config.lr", "x")]))
        return first | {name: chosen.choice(ODD) if chosen.random() < 0.04 else cell for name, cell in cells.items()}

    pieces = [encode(["../../x", 1, 2, b"\x90", [], b"", b""]), encode(["exp.0", 1]), b"\x91" * 100_000, b""]
    asked = Reader(home, index=None)
    for run, unit in zip(asked.select(), asked.select(units=True), strict=True):
        path = Path(run["run"])
        record = (path / "run.json").stat()
        row = odd(dict(run.cells))
        units = chosen.choice([b"", b"\xc1", encode([odd(dict(unit.cells))]), encode([{"unit": 3}, 4])])
        detail = chosen.choice([b"", b"\xff", encode([{"train.loss": ["u", "l", "k", []]}, {}, []])])
        one = Finished(path.name, record.st_mtime_ns, record.st_size, encode(list(row)), [*row.values()], units, detail)
        pieces.append(encode(one))
    (home / "first" / FINISHED).write_bytes(b"".join(_MARK + seal(piece, "") for piece in pieces))
    for units_too in (False, True):
        reader = Reader(home, index=home / "cache")
        for question in ("", "config.lr > 0", "min(train.loss) < 2", "info.status == 'COMPLETE'", "info.age > 0"):
            rows = reader.filter(question, units=units_too)
            assert {Path(one["run"]).parent for one in rows} <= {home / "first"}
            for one in rows:
                for name in list(one):
                    whatever(lambda one=one, name=name: one[name])
            for ask in (repr, Runs.diff, lambda rows: rows.groupby("status"), lambda rows: rows.sort("index")):
                whatever(lambda rows=rows, ask=ask: ask(rows))
        assert reader.fields
        assert reader.unit_fields()
        whatever(lambda reader=reader: reader.sql("SELECT * FROM runs, params"))


def whatever(ask: Callable[[], Any]) -> None:
    with contextlib.suppress(FlambeError):
        ask()
