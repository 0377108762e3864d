"""The index of a reader: it makes questions quick, and never answers them otherwise."""

from __future__ import annotations

import os
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from run_writer import unit_of, write_metrics, write_run
from torn import Indexed

from flambe.reading.index import cache_folder
from flambe.reading.reader import Reader

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
    monkeypatch.setattr("flambe.reading.index._WAIT_S", 0.05)
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


class Asked(NamedTuple):
    """A reader that stays, and what a change of a finished run looks like to it."""

    home: Path
    reader: Reader

    def seeds(self) -> list[int]:
        return [row["config.seed"] for row in self.reader.select()]

    def reads(self, act: Callable[[Path], None]) -> int:
        """Return how many runs are read because of a change."""
        before = read(self.reader)
        act(self.home / "first")
        self.reader.select()
        return read(self.reader) - before


@pytest.fixture(params=["looking", "watching"])
def asked(request: pytest.FixtureRequest, home: Path, monkeypatch: pytest.MonkeyPatch) -> Asked:
    """As on a network drive, where each record is looked at, and as on a local disk, where Linux tells."""
    monkeypatch.setattr("flambe.reading.catalog._FEW", 0 if request.param == "watching" else 1 << 30)
    for folder in (home, home / "first"):
        os.utime(folder, (1_700_000_000, 1_700_000_000))  # what is younger is listed again, and watches anew
    found = Reader(home, index=None)
    for _ in range(3):
        found.select()
    [catalog] = found._catalogs
    if request.param == "watching" and not catalog._watched:
        pytest.skip("the folder of this test is on no disk whose changes Linux tells")
    assert len(catalog._watched) == (COUNT if request.param == "watching" else 0)
    return Asked(home, found)


def with_seed(path: Path, seed: int) -> bytes:
    return re.sub(rb'"seed":\d', b'"seed":%d' % seed, (path / "spec.json").read_bytes())


def touch_record(path: Path) -> None:
    """Replace the record by an equal one, as whoever goes on with a run does."""
    (path / ".new").write_bytes((path / "run.json").read_bytes())
    os.replace(path / ".new", path / "run.json")


def test_a_changed_run_alone_is_read_again(asked: Asked) -> None:
    def change(home: Path) -> None:
        (home / "exp.4" / "spec.json").write_bytes(with_seed(home / "exp.4", 8))
        touch_record(home / "exp.4")

    assert asked.reads(change) == 1
    assert asked.seeds()[4] == 8


def test_a_record_that_is_written_in_its_place_is_noticed(asked: Asked) -> None:
    text = (asked.home / "first/exp.5/run.json").read_bytes()
    assert b'"COMPLETE"' in text

    def change(home: Path) -> None:
        (home / "exp.5/run.json").write_bytes(text.replace(b"COMPLETE", b"FAILED"))

    assert asked.reads(change) == 1
    assert [row["status"] for row in asked.reader.select()][5] == "FAILED"


def test_runs_that_went_or_were_renamed_or_swapped_are_noticed(asked: Asked) -> None:
    assert asked.reads(lambda home: shutil.rmtree(home / "exp.0")) == 0
    assert len(asked.reader) == COUNT - 1
    assert asked.reads(lambda home: (home / "exp.1").rename(home / "exp.77") and None) == 1
    assert asked.seeds()[-1] == 1

    def swap(home: Path) -> None:
        (home / "exp.2").rename(home / "aside")
        (home / "exp.3").rename(home / "exp.2")
        (home / "aside").rename(home / "exp.3")

    assert asked.reads(swap) == 2
    assert asked.seeds()[:2] == [0, 2]


def test_a_folder_that_another_takes_the_place_of_is_noticed(asked: Asked, tmp_path: Path) -> None:
    other = tmp_path / "other" / "first"
    shutil.copytree(asked.home / "first", other)
    for index in range(COUNT):
        (other / f"exp.{index}" / "spec.json").write_bytes(with_seed(other / f"exp.{index}", 7))
    (asked.home / "first").rename(tmp_path / "away")
    other.rename(asked.home / "first")
    assert asked.seeds() == [7] * COUNT
    # What it watches now is the new one.
    assert asked.reads(lambda home: touch_record(home / "exp.1")) == 1


def test_two_changes_within_one_tick_of_the_clock_are_noticed(asked: Asked) -> None:
    """The record has the same inode, time and size after the second as after the first, which was read."""
    path = asked.home / "first" / "exp.6"

    def write(seed: int) -> None:
        (path / "spec.json").write_bytes(with_seed(path, seed))
        text = (path / "run.json").read_bytes()
        (path / "run.json").write_bytes(text)
        os.utime(path / "run.json", ns=(now, now))

    now = time.time_ns()
    write(7)
    assert asked.seeds()[6] == 7
    write(8)
    assert asked.seeds()[6] == 8


def test_a_run_that_is_half_written_is_read_when_it_is_whole(asked: Asked) -> None:
    path = write_run(asked.home, {"lr": 1.0, "seed": 5}, index=90)
    text = (path / "run.json").read_bytes()
    (path / "run.json").write_bytes(text[: len(text) // 2])
    assert len(asked.reader) == COUNT
    assert [problem for problem in asked.reader.problems if "exp.90" in problem]
    (path / "run.json").write_bytes(text)
    assert asked.seeds()[-1] == 5
    assert asked.reader.problems == []


def test_more_changes_than_the_system_can_tell_are_looked_for(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    [catalog] = asked.reader._catalogs
    if catalog._watch is None:
        pytest.skip("nothing is watched")
    monkeypatch.setattr(type(catalog._watch), "changed", lambda self: None)
    assert asked.reads(lambda home: touch_record(home / "exp.1")) == 1


def test_a_child_after_a_fork_hears_for_itself(asked: Asked) -> None:
    [catalog] = asked.reader._catalogs
    if catalog._watch is None:
        pytest.skip("nothing is watched")
    watch = catalog._watch
    touch_record(asked.home / "first" / "exp.1")
    child = os.fork()
    if child == 0:
        before = read(asked.reader)
        asked.reader.select()
        os._exit(0 if read(asked.reader) == before + 1 and catalog._watch is not watch else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert asked.reads(lambda home: None) == 1  # the child has not taken the news away


def test_an_index_of_many_runs_is_put_together_again_and_loses_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flambe.reading.index.MOST", 4)
    monkeypatch.setattr("flambe.reading.index._SMALL", 2)
    home, cache, chance = tmp_path / "out", tmp_path / "cache", random.Random(5)
    for _ in range(16):
        index = chance.randrange(14)
        shutil.rmtree(home / "first" / f"exp.{index}", ignore_errors=True)
        if chance.random() < 0.7:
            write_run(home, {"seed": chance.randrange(9), "only": {f"k{index}": None}}, index=index)
        home.mkdir(exist_ok=True)
        settle(home)
        for root in (home, home / "first"):
            if root.exists():
                os.utime(root, ns=(time.time_ns(), time.time_ns() - 60_000_000_000 + chance.randrange(1 << 30)))
        plain = [dict(row.cells) for row in Reader(home, index=None).select()]
        assert [dict(row.cells) for row in reader(home, cache).select("has(config.seed)")] == plain
        again = reader(home, cache)
        assert [row["config.seed"] for row in again.select("config.seed >= 0")] == [row["config.seed"] for row in plain]
        assert [dict(row.cells) for row in again.select()] == plain
        assert read(again) == 0
    if plain:
        with sqlite3.connect(file_of(cache)) as connection:
            [(size, chunks)] = connection.execute("SELECT sum(size), count(*) FROM chunks")
        connection.close()
        assert size <= 2 * len(plain) + 4
        assert chunks <= len(plain) + 1


def test_a_chunk_that_another_process_has_put_elsewhere_is_read_from_the_files(home: Path, tmp_path: Path) -> None:
    reader(home, tmp_path / "cache").select()
    late = reader(home, tmp_path / "cache")
    late.select()
    with sqlite3.connect(file_of(tmp_path / "cache")) as connection:
        connection.execute("DELETE FROM chunks")
        connection.execute("DELETE FROM columns")
    connection.close()
    assert [row["config.seed"] for row in late.select("config.lr > 0")] == [index % 3 for index in range(COUNT)]


def test_a_torn_index_gives_no_other_answer(tmp_path: Path) -> None:
    """A share of ``torn.py``, which nox runs whole."""
    indexed = Indexed(tmp_path / "home", tmp_path / "cache", 3)
    assert [indexed.finding(random.Random(seed)) for seed in range(20)] == [None] * 20


def test_what_is_lost_of_an_index_is_read_from_the_files_and_then_it_is_made_again(home: Path, tmp_path: Path) -> None:
    plain = Reader(home, index=None).select("config.lr > 0 & train.loss > 0")
    for table in ("columns", "details", "units", "folders"):
        reader(home, tmp_path / "cache").select("train.loss > 0")
        with sqlite3.connect(file_of(tmp_path / "cache")) as connection:
            connection.execute(f"DELETE FROM {table} WHERE rowid IN (SELECT rowid FROM {table} ORDER BY rowid LIMIT 3)")
        connection.close()
        for _ in range(2):
            found = reader(home, tmp_path / "cache").select("config.lr > 0 & train.loss > 0")
            assert [dict(row.cells) for row in found] == [dict(row.cells) for row in plain], table
            assert [row["train.loss"] for row in found] == [row["train.loss"] for row in plain], table
        # Two that stand in each other's place are told by what they are about.
        if table != "columns":
            key = "place"
            with sqlite3.connect(file_of(tmp_path / "cache")) as connection:
                pairs = connection.execute(f"SELECT {key} FROM {table} LIMIT 2").fetchall()
                if len(pairs) == 2:
                    column = "names" if table == "folders" else "data"
                    connection.execute(
                        f"UPDATE {table} SET {column} = (SELECT {column} FROM {table} WHERE {key} = ?) WHERE {key} = ?",
                        (*pairs[0], *pairs[1]),
                    )
            connection.close()
            found = reader(home, tmp_path / "cache").select("config.lr > 0 & train.loss > 0")
            assert [row["train.loss"] for row in found] == [row["train.loss"] for row in plain], table


def test_a_reader_tells_how_far_it_is(home: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    Reader(home, index=tmp_path / "cache", tell=lambda done, of: told.append((done, of))).select()
    assert [done for done, _ in told] == list(range(COUNT + 1))
    assert all(done < of for done, of in told[:-1])
    assert told[-1] == (COUNT, COUNT)
    told.clear()
    Reader(home, index=tmp_path / "cache", tell=lambda done, of: told.append((done, of))).select()
    assert told == []
