"""Let every change of the disk fail, one at a time, in every way it commits, and look at what is left.

    python faults.py [--count 100000] [--seed 1] [--only SCENARIO,…|SCENARIO:N:FAULT]

After each fault the store opens to the old or the new state, the error has been told once, and the same command, given again,
ends with the result of a disk that never failed.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from disk import FAULTS, Disk
from experiments import experiments
from functions import functions
from outside import outside
from proof import apart, prove, share, undisturbed
from scenario import Scenario


def scenarios(toy: Path) -> dict[str, Scenario]:
    return {**experiments(toy), **functions(), **outside(toy)}


class Finding(Exception):
    pass


class Prepared:
    """A scenario that was prepared once, and what it comes to when nothing fails."""

    def __init__(self, scenario: Scenario, place: Path) -> None:
        self.scenario = scenario
        self._base, acted = place / "base", place / "undisturbed"
        self._base.mkdir(parents=True)
        words = place / "undisturbed.words"

        def prepare() -> int:
            scenario.prepare(self._base)
            return 0

        undisturbed(prepare, words)
        shutil.copytree(self._base, acted, symlinks=True)
        count = place / "undisturbed.count"

        def work() -> int:
            disk = Disk(acted)
            with disk.watch():
                scenario.act(acted)
            count.write_text(str(disk.count))
            return 0

        undisturbed(work, words)
        self.right = scenario.result(acted)
        self.changes = int(count.read_text())

    def meet(self, place: Path, number: int, fault: str) -> bool:
        """Let change ``number`` fail. Returns whether that met a change. Raises Finding."""
        scenario = self.scenario
        words, told = place.with_suffix(".words"), place.with_suffix(".failed")
        shutil.copytree(self._base, place, symlinks=True)

        def work() -> int:
            disk = Disk(place, fail_at=number, fault=fault)
            try:
                with disk.watch():
                    return scenario.act(place)
            finally:
                told.write_text(f"{disk.count} {disk.failed.kind + ' ' + disk.failed.path if disk.failed else ''}")

        code = apart(work, words)
        count, _, failed = told.read_text().partition(" ")
        said = words.read_text(errors="replace")
        where = f"{failed or 'nothing'} of {count} changes"
        if code not in (0, 1) or ("Traceback" in said and not scenario.own):
            raise Finding(f"{where}: exit code {code}\n{said}")
        errors = [line for line in said.splitlines() if line.startswith("flambe exec: error:")]
        if len(errors) > 1 or (code == 1 and not errors and "failed" not in said and not scenario.own):
            raise Finding(f"{where}: told {len(errors)} times\n{said}")
        try:
            scenario.between(place)
        except Exception as error:
            raise Finding(f"{where}: what is left cannot be read: {type(error).__name__}: {error}\n{said}") from error
        if apart(lambda: scenario.act(place), words) not in (0, 1):
            again = words.read_text(errors="replace")
            raise Finding(f"{where}: the same command does not go on\n{said}\n-- then --\n{again}")
        try:
            found = scenario.result(place)
        except Exception as error:
            raise Finding(f"{where}: the result cannot be read: {type(error).__name__}: {error}\n{said}") from error
        if found != self.right:
            raise Finding(f"{where}: the result is {found}, and was to be {self.right}\n{said}")
        return bool(failed) and int(count) >= number


def torture(toy: Path, place: Path, given: argparse.Namespace) -> Iterator[str]:
    """Let changes fail, every one there is if the count allows, and yield what is wrong."""
    only = given.only
    known = scenarios(toy)
    if only is not None:
        known = {name: known[name] for name in only.partition(":")[0].split(",")}
    prepared = {name: Prepared(scenario, place / name) for name, scenario in known.items()}
    cases: list[tuple[str, int, str]] = [
        (name, number, fault)
        for name, one in prepared.items()
        for number in range(1, one.changes + 1)
        for fault in FAULTS
    ]
    if only is not None and ":" in only:
        name, number, fault = only.split(":")
        cases = [(name, int(number), fault)]
    # In any order: a run that nobody waits for to the end has tried some of everything.
    cases = random.Random(given.seed).sample(cases, min(given.count, len(cases)))
    print(f"{len(cases):,} faults in {len(known)} scenarios", flush=True)
    met: dict[str, int] = dict.fromkeys(known, 0)
    for name, number, fault in share(cases, given):
        here = place / name / f"{number}-{fault.replace(' ', '_')}"
        try:
            met[name] += prepared[name].meet(here, number, fault)
        except Finding as finding:
            yield f"--only '{name}:{number}:{fault}': {finding}"
        if only is None or ":" not in only:
            for left in (here, here.with_suffix(".words"), here.with_suffix(".failed")):
                shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)
    shown = ", ".join(f"{name} {number:,}" for name, number in met.items())
    print(f"{sum(met.values()):,} of them met a change ({shown})", flush=True)


def main(words: list[str] | None = None) -> int:
    return prove(torture, words, about=__doc__, count=100_000, case="SCENARIO:N:FAULT")


if __name__ == "__main__":
    sys.exit(main())
