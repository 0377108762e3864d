"""Cut the power at random moments of a run, lose or reorder what was not synced, and look at what comes of the same command.

    python power.py [--count 1000] [--seed 1] [--only SCENARIO:N]

The model is that of journalling file systems with delayed allocation (XFS, ext4 with data=writeback): names change in order, up to
some moment after the last fsync of anything; of what was written to files and not synced, each write may have reached the disk,
be missing, or be zeros. What programs write beside us (git its trees) is not in it.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pickle
import random
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from disk import Change, Disk
from experiments import runs, stopped_after
from functions import SWEEP, failing, gone_on_with, launched
from proof import apart, prove, share, undisturbed
from scenario import Scenario, look_at_torn
from store_toys import spec_of

from flambe.record import run

KEPT, LOST, ZEROS = "kept", "lost", "zeros"


def scenarios(toy: Path) -> dict[str, Scenario]:
    spec = spec_of(toy)
    return {
        "run": runs(spec),
        "continued": runs(spec, stopped_after(spec, 2)),
        "reused": runs(spec, lambda place: runs(spec).act(place)),
        "function resumed": gone_on_with(["steps=2"]),
        "sweep resumed": launched([SWEEP, "--debug", "--resume", "exp.0"], failing([SWEEP, "--debug"], 2.0)),
    }


class Recorded:
    """A scenario that was prepared once, what it changed, and what it came to."""

    def __init__(self, scenario: Scenario, place: Path) -> None:
        self.scenario = scenario
        self.base, self.acted = place / "base", place / "acted"
        self.base.mkdir(parents=True)
        words, told = place / "acted.words", place / "acted.changes"

        def prepare() -> int:
            scenario.prepare(self.base)
            return 0

        undisturbed(prepare, words)
        shutil.copytree(self.base, self.acted, symlinks=True)

        def work() -> int:
            disk = Disk(self.acted, record=True)
            with disk.watch():
                scenario.act(self.acted)
            told.write_bytes(pickle.dumps([tuple(change) for change in disk.changes]))
            return 0

        undisturbed(work, words)
        self.right = scenario.result(self.acted)
        self.changes = [Change(*fields) for fields in pickle.loads(told.read_bytes())]

    def cut(self, now: Path, chosen: random.Random) -> str:
        """Replay into ``now`` what a power cut at a random moment may have left. Returns what was lost."""
        changes, was = self.changes, str(self.acted)
        end = chosen.randint(1, len(changes))
        syncs = [index for index in range(end) if changes[index].kind == "fsync"]
        names_end = chosen.randint(syncs[-1] + 1 if syncs else 0, end)
        last_sync = {changes[index].path: index for index in syncs}
        everywhere = chosen.choice([KEPT, LOST, ZEROS, None, None])
        fates: dict[str, str] = {}
        for index, change in enumerate(changes[:end]):
            path = str(now) + change.path[len(was) :]
            if change.kind != "write":
                if index < names_end:
                    with contextlib.suppress(OSError):
                        _replay(change, path, was, str(now))
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


def torture(toy: Path, place: Path, given: argparse.Namespace) -> Iterator[str]:
    known, only = scenarios(toy), given.only
    if only is not None:
        known = {name: known[name] for name in only.partition(":")[0].split(",")}
    recorded = {name: Recorded(scenario, place / name) for name, scenario in known.items()}
    cases = [(name, number) for number in range(given.count // len(known) + 1) for name in known][: given.count]
    if only is not None and ":" in only:
        cases = [(only.partition(":")[0], int(only.partition(":")[2]))]
    for name, number in share(cases, given):
        one, here = recorded[name], place / name / f"cut{number}"
        shutil.copytree(one.base, here, symlinks=True)
        lost = f"--only '{name}:{number}': {one.cut(here, random.Random(f'{given.seed}:{name}:{number}'))}"
        words = here.with_suffix(".words")
        try:
            look_at_torn(here)
            code = after_the_cut(one.scenario, here, words)
            said = words.read_text(errors="replace")
            if code != 0:
                yield f"{lost}: exit code {code}\n{said}"
            elif (found := one.scenario.result(here)) != one.right:
                yield f"{lost}: the result is {found}, and was to be {one.right}\n{said}"
        except Exception as error:
            yield f"{lost}: {type(error).__name__}: {error}"
        if only is None or ":" not in only:
            shutil.rmtree(here)
    print(f"{len(cases):,} power cuts in {len(known)} scenarios", flush=True)


def main(words: list[str] | None = None) -> int:
    return prove(torture, words, about=__doc__, count=1_000, case="SCENARIO:N")


if __name__ == "__main__":
    sys.exit(main())
