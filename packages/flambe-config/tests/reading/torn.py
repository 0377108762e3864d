"""Tear the file of an index in every way, and ask: the answers are those of the files, and the next reader has a sound index.

python torn.py [--count 2000] [--seed 1] [--only N]
"""

from __future__ import annotations

import argparse
import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "record"))
sys.path.insert(0, str(Path(__file__).parent))
from proof import prove, share
from run_writer import write_run

from flambe.reading.reader import Reader

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


class Indexed:
    """Runs below ``home`` and their index. states: what the file of the index was, the oldest first. count: half of the runs."""

    def __init__(self, home: Path, cache: Path, count: int) -> None:
        self.home, self.cache = home, cache
        self.states: list[bytes] = []
        for state, name in enumerate(("first", "second")):
            long_ago = 1_700_000_000 + state  # what is younger is read again in any case
            for index in range(count):
                train = [{"step": step, "loss": (index + 1) / (step + 1), "n": step} for step in range(3)]
                write_run(
                    home,
                    {"lr": 0.5**index, "seed": index % 3, "name": f"x{index}"},
                    {"train": train},
                    index=index,
                    name=name,
                )
            for path in sorted(home.rglob("*"), reverse=True):
                os.utime(path, (long_ago, long_ago))
            os.utime(home, (long_ago, long_ago))
            self.right = answers(home, cache)
            (self.file,) = cache.glob("*.sqlite")
            self.states.append(self.file.read_bytes())

    def tear(self, chosen: random.Random) -> str:
        """Put something in the place of the index that a disk may have made of it. Returns what."""
        data = bytearray(self.states[-1])
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
                for start in range(0, len(self.states[0]), _PAGE):
                    if chosen.random() < 0.3:
                        data[start : start + _PAGE] = self.states[0][start : start + _PAGE]
        self.file.with_name(f"{self.file.name}-journal").unlink(missing_ok=True)
        self.file.write_bytes(data)
        return f"{how} at {at:,} of {len(self.states[-1]):,}"

    def finding(self, chosen: random.Random) -> str | None:
        """Tear the index and ask, twice. Returns what is wrong."""
        torn = self.tear(chosen)
        for number in (1, 2):
            try:
                found = answers(self.home, self.cache)
            except Exception as error:
                return f"{torn}, question {number}: {type(error).__name__}: {error}"
            if found != self.right:
                return f"{torn}, question {number}: another answer"
        return None


def torture(toy: Path, place: Path, given: argparse.Namespace) -> Iterator[str]:
    """Tear an index as often as is asked for."""
    indexed = Indexed(place / "home", place / "cache", 40)
    cases = range(given.count) if given.only is None else [int(given.only)]
    for number in share(list(cases), given):
        if wrong := indexed.finding(random.Random(f"{given.seed}:{number}")):
            yield f"--only {number}: {wrong}"
    print(f"{len(cases):,} tears", flush=True)


def main(words: list[str] | None = None) -> int:
    return prove(torture, words, about=__doc__, count=2_000, case="N")


if __name__ == "__main__":
    sys.exit(main())
