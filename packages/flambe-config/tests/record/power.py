"""Cut the power at random moments of a run, lose or reorder what was not synced, and look at what comes of the same command.

    python power.py [--count 1000] [--seed 1] [--only SCENARIO:N]

The model is that of journalling file systems with delayed allocation (XFS, ext4 with data=writeback): names change in order, up to
some moment after the last fsync of anything; of what was written to files and not synced, each write may have reached the disk,
be missing, or be zeros.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import pickle
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from disk import Change, Disk
from faults import Scenario, apart, runs, spec_of, stopped_after, toy_at

from flambe.errors import FlambeError
from flambe.record import run
from flambe.record.layout import RunPaths
from flambe.record.ledger import read_events
from flambe.record.run import RunRecord, read_record

KEPT, LOST, ZEROS = "kept", "lost", "zeros"


def scenarios(toy: Path) -> dict[str, Scenario]:
    spec = spec_of(toy)
    return {
        "run": runs(spec),
        "continued": runs(spec, stopped_after(spec, 2)),
        "reused": runs(spec, lambda place: runs(spec).act(place) and None),
    }


def record_changes(scenario: Scenario, place: Path) -> list[Change]:
    """Run a scenario, whose folder is prepared, and return what it changed."""
    told = place.with_suffix(".changes")

    def work() -> int:
        disk = Disk(place, record=True)
        with disk.watch():
            scenario.act(place)
        told.write_bytes(pickle.dumps([tuple(change) for change in disk.changes]))
        return 0

    assert apart(work, place.with_suffix(".words")) == 0, place.with_suffix(".words").read_text()
    return [Change(*fields) for fields in pickle.loads(told.read_bytes())]


def cut(changes: list[Change], was: Path, now: Path, chosen: random.Random) -> str:
    """Replay into ``now`` what a power cut at a random moment may have left of ``changes`` in ``was``. Returns what was lost."""
    end = chosen.randint(1, len(changes))
    syncs = [index for index in range(end) if changes[index].kind == "fsync"]
    names_end = chosen.randint(syncs[-1] + 1 if syncs else 0, end)
    last_sync = {changes[index].path: index for index in syncs}
    everywhere = chosen.choice([KEPT, LOST, ZEROS, None, None])
    fates: dict[str, str] = {}
    for index, change in enumerate(changes[:end]):
        path = str(now) + change.path[len(str(was)) :]
        if change.kind != "write":
            if index < names_end:
                with contextlib.suppress(OSError):
                    _replay(change, path, str(was), str(now))
            continue
        at, data = change.more
        fate = KEPT
        if index > last_sync.get(change.path, -1):
            fate = everywhere or fates.setdefault(change.path, chosen.choice([KEPT, LOST, ZEROS]))
        if fate != LOST and os.path.exists(path):
            with open(path, "r+b") as stream:
                stream.seek(at)
                stream.write(data if fate == KEPT else b"\0" * len(data))
    return f"cut before change {end} of {len(changes)}, names as of {names_end}, data {everywhere or 'mixed'}"


def _replay(change: Change, path: str, was: str, now: str) -> None:
    def there(other: Any) -> str:
        text = os.fsdecode(other)
        return now + text[len(was) :] if text.startswith(was + "/") else text

    match change.kind:
        case "open":
            os.close(os.open(path, change.more, 0o644))
        case "ftruncate" | "truncate":
            os.truncate(path, change.more)
        case "rename" | "replace":
            os.replace(there(change.more), path)
        case "link":
            os.link(there(change.more), path)
        case "symlink":
            os.symlink(change.more, path)
        case "mkdir":
            os.mkdir(path)
        case "rmdir":
            os.rmdir(path)
        case "unlink" | "remove":
            os.unlink(path)
        case "chmod" | "fsync":
            pass
        case other:
            raise AssertionError(other)


def after_the_cut(scenario: Scenario, place: Path, words: Path) -> int:
    """Give the same command on a machine that has booted again."""

    def work() -> int:
        here = run.this_host()
        here.boot = "the next one"
        run.this_host = lambda: here
        seconds = run.seconds_since
        run.seconds_since = lambda stamp: seconds(stamp) + 1000
        return scenario.act(place)

    return apart(work, words)


def look_at(place: Path) -> None:
    """Whatever is torn is told as such."""
    for root in (place / "toy").glob("exp.*"):
        for read in (
            lambda root=root: read_events(RunPaths(root).ledger),
            lambda root=root: read_record(root / "run.json", RunRecord),
        ):
            with contextlib.suppress(FlambeError, FileNotFoundError):
                read()


def torture(toy: Path, place: Path, count: int, seed: int, only: str | None = None) -> Iterator[str]:
    known = scenarios(toy)
    prepared: dict[str, tuple[Path, list[Change], Any]] = {}
    for name, scenario in known.items():
        base, acted = place / name / "base", place / name / "acted"
        base.mkdir(parents=True)
        acted.mkdir()
        scenario.prepare(acted)
        shutil.copytree(acted, base, symlinks=True, dirs_exist_ok=True)
        prepared[name] = (base, record_changes(scenario, acted), scenario.result(acted))
    cases = [(name, number) for number in range(count // len(known) + 1) for name in known][:count]
    if only is not None:
        name, _, number = only.partition(":")
        cases = [(name, int(number))]
    for name, number in cases:
        base, changes, right = prepared[name]
        here = place / name / f"cut{number}"
        shutil.copytree(base, here, symlinks=True)
        lost = cut(changes, base.with_name("acted"), here, random.Random(f"{seed}:{name}:{number}"))
        words = here.with_suffix(".words")
        try:
            look_at(here)
            code = after_the_cut(known[name], here, words)
            if code != 0:
                yield f"--only '{name}:{number}': {lost}: exit code {code}\n{words.read_text(errors='replace')}"
            elif (found := known[name].result(here)) != right:
                yield f"--only '{name}:{number}': {lost}: the result is {found}, and was to be {right}\n{words.read_text(errors='replace')}"
        except Exception as error:
            yield f"--only '{name}:{number}': {lost}: {type(error).__name__}: {error}"
        if only is None:
            shutil.rmtree(here)
    print(f"{len(cases):,} power cuts in {len(known)} scenarios", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", metavar="SCENARIO:N")
    given = parser.parse_args()
    began = time.monotonic()
    findings = 0
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as scratch:
        toy = toy_at(Path(scratch) / "ext")
        importlib.import_module("toyext")
        for finding in torture(toy, Path(scratch) / "places", given.count, given.seed, given.only):
            findings += 1
            print(finding, flush=True)
    print(f"findings: {findings} ({time.monotonic() - began:.0f} s)")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
