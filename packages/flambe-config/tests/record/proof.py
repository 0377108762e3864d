"""The shape of a proof: a command that does harm ``--count`` times, prints what it finds, and ends with 1 when that is anything."""

from __future__ import annotations

import argparse
import functools
import gc
import importlib
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import click
from store_toys import toys_at

from flambe.cli.door import enter
from flambe.record import provenance

_installed = functools.cache(provenance.installed_requirements)

Case = TypeVar("Case")
Torture = Callable[[Path, Path, argparse.Namespace], Iterator[str]]
"""toy, an empty folder, and what was given: count, seed, part, only → what is wrong."""


def prove(torture: Torture, words: list[str] | None = None, *, about: str | None, count: int, case: str) -> int:
    """Do what ``torture`` does and return the exit code. count: the default. case: how one of them is named."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=count)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--part", metavar="N/M", default="1/1", help="the N-th of M shares, for M processes at once")
    parser.add_argument("--only", metavar=case, help="this one alone, whose folder can be looked at before it goes")
    given = parser.parse_args(words)
    began = time.monotonic()
    findings = 0
    # A disk in memory where there is one: it is the harm that is looked at, not the speed.
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as scratch:
        os.environ["XDG_CACHE_HOME"] = f"{scratch}/cache"
        toy = toys_at(Path(scratch) / "toys")
        for finding in torture(toy, Path(scratch) / "places", given):
            findings += 1
            print(finding, flush=True)
        if given.only and sys.stdin.isatty():
            input(f"Look at {scratch}, then press enter. ")
    print(f"findings: {findings} ({time.monotonic() - began:.0f} s)")
    return 1 if findings else 0


def share(cases: Sequence[Case], given: argparse.Namespace) -> Iterator[Case]:
    """Yield the part of the cases that is asked for, and say from time to time how far it is."""
    first, _, of = given.part.partition("/")
    mine = cases[int(first) - 1 :: int(of)]
    for number, case in enumerate(mine):
        if number and not number % 500:
            print(f"{number:,} of {len(mine):,}", flush=True)
        yield case


def apart(work: Callable[[], int], words: Path) -> int:
    """Call ``work`` as a command in a fork of this process. What it says goes to a file."""
    child = os.fork()
    if child == 0:
        try:
            signal.alarm(60)
            out = os.open(words, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            os.dup2(out, 1)
            os.dup2(out, 2)
            os._exit(enter(click.Command("flambe exec", callback=work), "flambe exec", []))
        except BaseException:
            import traceback

            os.write(2, traceback.format_exc().encode())
            os._exit(70)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def undisturbed(work: Callable[[], int], words: Path) -> None:
    """Call ``work`` apart, where it has to go well, and import here what it needed: the next forks have it."""
    told = words.with_suffix(".modules")

    def telling() -> int:
        code = work()
        told.write_text(" ".join(name for name in sys.modules if name.partition(".")[0] in ("flambe", "numpy", "yaml")))
        return code

    assert apart(telling, words) == 0, words.read_text()
    for name in told.read_text().split():
        importlib.import_module(name)
    _installed()
    provenance.installed_requirements = _installed  # it stays the same, and 140 files are read for it
    gc.collect()
    gc.freeze()  # else each fork would copy what the collector writes to
