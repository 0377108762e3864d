"""Tear the file of an index, or the list of the runs that have ended, in every way, and ask: the answers are those of the files,
and the next reader has a sound index.

python torn.py [--count 2000] [--seed 1] [--only N]
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "record"))
sys.path.insert(0, str(Path(__file__).parent))
from proof import prove, share
from run_writer import write_run

from flambe.reading.finished import enlist
from flambe.reading.reader import Reader
from flambe.record.layout import FINISHED

_QUESTIONS = (
    "",
    "config.seed == 1 & config.lr > 0.1",
    "min(train.loss) < 3",
    "last(train.n) == 2 | config.name == 'x5'",
)
_PAGE = 4096


def answers(home: Path, cache: Path | None) -> list[Any]:
    """Return everything that a reader says of some runs."""
    reader = Reader(home, index=cache)
    found: list[Any] = [[dict(row.cells) for row in reader.select(question)] for question in _QUESTIONS]
    found += [[row["train.loss"] for row in reader.select()], sorted(reader.fields), sorted(reader.unit_fields())]
    return [*found, [dict(row.cells) for row in reader.select("config.seed == 2", units=True)]]


def write_runs(home: Path, name: str, state: int, count: int) -> None:
    for index in range(count):
        train = [{"step": step, "loss": (index + 1) / (step + 1), "n": step} for step in range(3)]
        config = {"lr": 0.5**index, "seed": (index + state) % 3, "name": f"x{index}"}
        write_run(home, config, {"train": train}, index=index, name=name)
    long_ago = 1_700_000_000 + state  # what is younger is read again in any case
    for path in [*sorted(home.rglob("*"), reverse=True), home]:
        os.utime(path, (long_ago, long_ago))


class Indexed:
    """Runs below ``home`` and their index. states: what the file of the index was, the oldest first. count: half of the runs."""

    def __init__(self, home: Path, cache: Path, count: int) -> None:
        self.home, self.cache = home, cache
        self.states: list[bytes] = []
        for state, name in enumerate(("first", "second")):
            write_runs(home, name, state, count)
            self.right = answers(home, cache)
            (self.file,) = cache.glob("*.sqlite")
            self.states.append(self.file.read_bytes())

    def finding(self, chosen: random.Random) -> str | None:
        """Tear the index and ask, twice. Returns what is wrong."""
        torn = tear(self.file, self.states, chosen)
        for number in (1, 2):
            if wrong := finding(self.home, self.cache, self.right):
                return f"{torn}, question {number}: {wrong}"
        return None


class Listed:
    """Runs below ``home`` that are listed when they have ended, and others before them in the same places. states: what the list was,
    the oldest first. cache: a folder for indices, which are none of them there when somebody asks.
    """

    def __init__(self, home: Path, cache: Path, count: int) -> None:
        self.home, self.cache = home, cache
        self.states: list[bytes] = []
        for state in (0, 1):
            for run in home.glob("first/exp.*"):
                shutil.rmtree(run)
            write_runs(home, "first", state, count)
            for index in range(count):
                enlist(home / "first" / f"exp.{index}")
            self.file = home / "first" / FINISHED
            self.states.append(self.file.read_bytes())
        self.right = answers(home, None)

    def finding(self, chosen: random.Random) -> str | None:
        """Tear the list and ask. Returns what is wrong."""
        torn = tear(self.file, self.states, chosen)
        shutil.rmtree(self.cache, ignore_errors=True)
        if wrong := finding(self.home, self.cache, self.right):
            return f"{torn}: {wrong}"
        return None


def finding(home: Path, cache: Path, right: list[Any]) -> str | None:
    try:
        found = answers(home, cache)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None if found == right else "another answer"


def tear(file: Path, states: list[bytes], chosen: random.Random) -> str:
    """Put something in the place of a file that a disk may have made of it. Returns what."""
    data = bytearray(states[-1])
    at, length = chosen.randrange(len(data)), chosen.randrange(1, 5 * _PAGE)
    how = chosen.choice(["cut", "zeros", "a page of zeros", "garbage", "a bit", "pages of before"])
    match how:
        case "cut":
            del data[at:]
        case "zeros":
            data[at : at + length] = bytes(len(data[at : at + length]))
        case "a page of zeros":
            at -= at % _PAGE
            data[at : at + _PAGE] = bytes(_PAGE)
        case "garbage":
            data[at : at + length] = chosen.randbytes(len(data[at : at + length]))
        case "a bit":
            data[at] ^= 1 << chosen.randrange(8)
        case "pages of before":
            for start in range(0, len(states[0]), _PAGE):
                if chosen.random() < 0.3:
                    data[start : start + _PAGE] = states[0][start : start + _PAGE]
    file.with_name(f"{file.name}-journal").unlink(missing_ok=True)
    file.write_bytes(data)
    return f"{how} at {at:,} of {len(states[-1]):,}"


def torture(toy: Path, place: Path, given: argparse.Namespace) -> Iterator[str]:
    """Tear an index and a list of runs that have ended, in turn, as often as is asked for."""
    kinds = Indexed(place / "home", place / "cache", 40), Listed(place / "listed", place / "other", 40)
    cases = range(given.count) if given.only is None else [int(given.only)]
    for number in share(list(cases), given):
        if wrong := kinds[number % 2].finding(random.Random(f"{given.seed}:{number}")):
            yield f"--only {number}: {wrong}"
    print(f"{len(cases):,} tears", flush=True)


def main(words: list[str] | None = None) -> int:
    return prove(torture, words, about=__doc__, count=2_000, case="N")


if __name__ == "__main__":
    sys.exit(main())
