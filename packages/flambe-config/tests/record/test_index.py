"""The index of a reader: it makes questions quick, and never answers them otherwise."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from run_writer import unit_of, write_metrics, write_run

from flambe.record.index import cache_folder
from flambe.record.reader import Reader

COUNT = 12


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "out"
    for index in range(COUNT):
        lines = [{"step": step, "loss": (index + 1) / (step + 1)} for step in range(3)]
        write_run(home, {"lr": 10.0**-index, "seed": index % 3}, {"train": lines}, index=index)
    settle(home)
    return home


def settle(home: Path) -> None:
    """Let what is written be of some time ago: what is younger than the clocks of file systems are fine is read again."""
    for path in home.rglob("exp.*/run.json"):
        stat = path.stat()
        if time.time_ns() - stat.st_mtime_ns < 60_000_000_000:
            os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns - 60_000_000_000))


def reader(home: Path, cache: Path) -> Reader:
    return Reader(home, index=cache)


def names(found: Reader, query: str = "", *, units: bool = False) -> list[int]:
    return [row["index"] for row in found.select(query, units=units)]


def read(found: Reader) -> int:
    return sum(catalog.read for catalog in found._catalogs)


def file_of(cache: Path) -> Path:
    [path] = cache.glob("*.sqlite")
    return path


@pytest.mark.parametrize(
    "query", ["", "config.seed == 1", "min(train.loss) < 1.5", "info.status == 'COMPLETE' & config.lr < 1e-3"]
)
@pytest.mark.parametrize("units", [False, True])
def test_an_index_changes_no_answer(home: Path, tmp_path: Path, query: str, units: bool) -> None:
    plain = [dict(row.cells) for row in Reader(home, index=None).select(query, units=units)]
    first, second = reader(home, tmp_path / "cache"), reader(home, tmp_path / "cache")
    assert [dict(row.cells) for row in first.select(query, units=units)] == plain
    assert read(first) == COUNT
    assert [dict(row.cells) for row in second.select(query, units=units)] == plain
    assert read(second) == 0
    assert [row["train.loss"] for row in second.select(query, units=units)] == [
        row["train.loss"] for row in first.select(query, units=units)
    ]


def test_only_the_run_that_changed_is_read_again(home: Path, tmp_path: Path) -> None:
    reader(home, tmp_path / "cache").select()
    shutil.rmtree(home / "first" / "exp.3")
    write_run(home, {"lr": 5.0, "seed": 9}, index=3)
    settle(home)
    again = reader(home, tmp_path / "cache")
    assert names(again, "config.seed == 9") == [3]
    assert read(again) == 1
    third = reader(home, tmp_path / "cache")
    assert names(third, "config.seed == 9") == [3]
    assert read(third) == 0


def test_runs_that_come_and_go_are_noticed_by_a_reader_that_stays(home: Path, tmp_path: Path) -> None:
    found = reader(home, tmp_path / "cache")
    assert len(found) == COUNT
    write_run(home, {"lr": 1.0, "seed": 0}, index=99)
    shutil.rmtree(home / "first" / "exp.0")
    write_run(home / "deeper" / "still", {"lr": 1.0, "seed": 0}, index=1)
    assert names(found) == [1, *range(1, COUNT), 99]
    assert names(reader(home, tmp_path / "cache")) == [1, *range(1, COUNT), 99]


def test_a_folder_that_becomes_a_run_is_one(home: Path, tmp_path: Path) -> None:
    claimed = home / "first" / "exp.50"
    claimed.mkdir()
    found = reader(home, tmp_path / "cache")
    assert len(found) == COUNT
    shutil.rmtree(claimed)
    write_run(home, {"lr": 1.0}, index=50)
    assert len(found) == COUNT + 1


def test_a_run_that_goes_on_is_read_each_time(home: Path, tmp_path: Path) -> None:
    path = write_run(home, {"lr": 1.0}, {"val": [{"loss": 1.0}]}, index=70, status="PAUSED")
    found = reader(home, tmp_path / "cache")
    assert names(found, "val.loss == 1.0") == [70]
    with (path / "ledger.jsonl").open("a") as stream:
        stream.write(
            '{"n": 2, "t": "2026-03-01T10:00:01.000Z", "event": "start", "unit": "main/0", "attempt": 4, "from_step": 0}\n'
        )
    write_metrics(unit_of(path), "val", [{"loss": 1.0}, {"loss": 0.5}])
    assert names(found, "attempt == 4", units=True) == [70]
    assert names(found, "val.loss == 0.5") == [70]
    other = reader(home, tmp_path / "cache")
    write_metrics(unit_of(path), "val", [{"loss": 0.25}])
    assert names(other, "val.loss == 0.25") == [70]


def test_a_folder_may_be_moved(home: Path, tmp_path: Path) -> None:
    reader(home, tmp_path / "cache").select("train.loss > 0")
    moved = home.rename(tmp_path / "elsewhere")
    found = reader(moved, tmp_path / "cache")
    rows = found.select("min(train.loss) < 0.5")
    assert [row["run"] for row in rows] == [str(moved / "first" / "exp.0")]
    assert rows[0]["train.loss"] == [1.0, 0.5, 1 / 3]
    assert rows[0].run.units()[0].path == unit_of(moved / "first" / "exp.0")


def test_two_spellings_of_one_folder_share_an_index(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader(home, tmp_path / "cache").select()
    (tmp_path / "link").symlink_to(home)
    monkeypatch.chdir(tmp_path)
    linked = reader(Path("link"), tmp_path / "cache")
    assert linked.select("config.seed == 1")[0]["run"] == str(tmp_path / "link" / "first" / "exp.1")
    assert read(linked) == 0


@pytest.mark.parametrize("damage", [b"", b"no database at all" * 100, None])
def test_a_broken_index_is_made_again(home: Path, tmp_path: Path, damage: bytes | None) -> None:
    reader(home, tmp_path / "cache").select()
    path = file_of(tmp_path / "cache")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2] if damage is None else damage)
    assert len(reader(home, tmp_path / "cache").select()) == COUNT
    third = reader(home, tmp_path / "cache")
    assert len(third.select()) == COUNT
    assert read(third) == 0


def test_an_index_of_another_version_is_made_again(home: Path, tmp_path: Path) -> None:
    reader(home, tmp_path / "cache").select()
    with sqlite3.connect(file_of(tmp_path / "cache")) as connection:
        connection.execute("PRAGMA user_version = 999")
    connection.close()
    assert len(reader(home, tmp_path / "cache").select()) == COUNT


def test_what_cannot_be_kept_is_done_without(home: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    found = reader(home, tmp_path / "file" / "cache")
    assert len(found.select("train.loss > 0")) == COUNT
    assert len(found.select("train.loss > 0")) == COUNT
    assert found.problems == []


def test_a_locked_index_is_done_without(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flambe.record.index._WAIT_S", 0.05)
    reader(home, tmp_path / "cache").select()
    holder = sqlite3.connect(file_of(tmp_path / "cache"), isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    try:
        assert len(reader(home, tmp_path / "cache").select("train.loss > 0")) == COUNT
    finally:
        holder.close()


def test_several_readers_at_once(home: Path, tmp_path: Path) -> None:
    answers: list[int] = []
    threads = [
        threading.Thread(target=lambda: answers.append(len(reader(home, tmp_path / "cache").select("train.loss > 0"))))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [COUNT] * 6


def test_a_reader_that_does_not_look_again(home: Path, tmp_path: Path) -> None:
    found = Reader(home, index=tmp_path / "cache", refresh=False)
    assert len(found) == COUNT
    write_run(home, {"lr": 1.0}, index=99)
    assert len(found) == COUNT
    assert len(Reader(home, index=tmp_path / "cache", refresh=False)) == COUNT
    assert len(Reader(home, index=tmp_path / "cache")) == COUNT + 1


def test_the_index_lies_in_the_users_cache_and_nothing_in_the_folder(home: Path, tmp_path: Path) -> None:
    before = sorted(str(path) for path in home.rglob("*"))
    code = f"import flambe; print(len(flambe.Reader({str(home)!r})))"
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == f"{COUNT}\n"
    assert len(list((tmp_path / "cache" / "flambe" / "index").iterdir())) == 1
    assert sorted(str(path) for path in home.rglob("*")) == before


def test_indices_of_folders_that_nobody_reads_any_more_go(home: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "old.sqlite").write_bytes(b"")
    os.utime(cache / "old.sqlite", (0, 0))
    (cache / "young.sqlite").write_bytes(b"")
    reader(home, cache).select()
    assert {path.name for path in cache.glob("*.sqlite")} >= {"young.sqlite"}
    assert not (cache / "old.sqlite").exists()


def test_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    if sys.platform.startswith("linux"):
        assert cache_folder() == Path("/somewhere/flambe/index")
