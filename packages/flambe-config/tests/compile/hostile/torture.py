"""Many hostile inputs, each of which may end in an error of ours and in nothing else.

    python torture.py [--count 1000000] [--seed 1] [--only SEED:N]

Every input is made from the seed and its own number, so ``--only`` tries one again. Noted are: any other exception, what PEP 578 tells of
imports, code, writing, processes and sockets, more than a second or 100 MB for one input, and messages with control characters.
Ends with 1 if anything was noted. The process is its own, because an audit hook stays for ever.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any

LONGEST_S = 1.0
LARGEST_MB = 100
LIMIT_MB = 1500
LONGEST_MESSAGE = 3000


class TooSlow(BaseException):
    """An input took far longer than it may."""


def main() -> int:
    """Try the inputs, and print what was found, then the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", metavar="SEED:N", help="Try one input again, and print all of it.")
    options = parser.parse_args()
    resource.setrlimit(
        resource.RLIMIT_AS, (LIMIT_MB * 2**20, LIMIT_MB * 2**20)
    )  # a finding, and not the end of the machine
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = os.path.join(folder, "cache")
        os.chdir(folder)
        if options.only:
            seed, number = map(int, options.only.split(":"))
            return Torture(Path(folder), seed).run(range(number, number + 1), shown=True)
        return Torture(Path(folder), options.seed).run(range(options.count))


class Torture:
    """The doors, the watch and what was found. folder: an empty one."""

    def __init__(self, folder: Path, seed: int) -> None:
        from doors import Doors
        from watch import Watch

        from flambe.cli.console import set_level

        set_level(quiet=True)
        self.seed = seed
        self.doors = Doors(folder)
        self.folder = folder
        self.found: dict[str, str] = {}
        self.times: Counter[str] = Counter()
        self.tried: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.slowest: dict[str, tuple[float, int]] = {}
        _import_all()
        self._warm()
        self.watch = Watch(os.environ["XDG_CACHE_HOME"])
        signal.signal(signal.SIGVTALRM, _too_slow)

    def _warm(self) -> None:
        """Read a few configs: the caches of signatures and of the interpreter's own modules are no part of the figures."""
        for number in range(300):
            _, attempt = self.doors.attempt(random.Random(f"warm:{number}"))
            try:
                attempt.do()
            except Exception:
                continue

    def run(self, numbers: range, *, shown: bool = False) -> int:
        """Try the inputs with these numbers. shown: print each of them."""
        start = time.perf_counter()
        for number in numbers:
            name, attempt = self.doors.attempt(random.Random(f"{self.seed}:{number}"))
            if shown:
                print(name, repr(attempt.shown))
            self._try(number, name, attempt)
        if (self.folder / "sprung").exists():
            self._note("import", "a module of the config was imported", 0, "", "")
        seconds = time.perf_counter() - start
        for text in self.found.values():
            print(text)
        for name, tried in self.tried.most_common():
            slow, number = self.slowest.get(name, (0.0, 0))
            refused = self.errors[name] / tried
            print(
                f"{name:10} {tried:9,} inputs, {refused:4.0%} refused, {1e3 * self.times[name] / tried:6.2f} ms each, slowest {slow:.3f} s ({self.seed}:{number})"
            )
        size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{sum(self.tried.values()):,} inputs in {seconds:.0f} s, {size:.0f} MB, findings: {len(self.found)}")
        return 1 if self.found else 0

    def _try(self, number: int, name: str, attempt: Any) -> None:
        prepare, undo = getattr(attempt.do, "prepare", None), getattr(attempt.do, "undo", None)
        if prepare is not None:
            prepare()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        del self.watch.seen[:]
        fault: BaseException | None = None
        signal.setitimer(signal.ITIMER_VIRTUAL, 10 * LONGEST_S)
        start = time.process_time()
        self.watch.on = True
        try:
            attempt.do()
        except BaseException as error:
            fault = error
        self.watch.on = False
        seconds = time.process_time() - start
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        if undo is not None:
            undo()
        if isinstance(fault, KeyboardInterrupt):
            raise fault
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        self.tried[name] += 1
        self.times[name] += seconds
        self.errors[name] += fault is not None
        if seconds > self.slowest.get(name, (0.0, 0))[0]:
            self.slowest[name] = (seconds, number)
        if fault is not None and not isinstance(fault, attempt.allowed):
            self._note(_place(fault), _last_lines(fault), number, name, attempt.shown)
        elif fault is not None:
            self._read(fault, number, name, attempt.shown)
        for event in self.watch.seen[:1]:
            self._note(f"{name} {event[:20]}", event, number, name, attempt.shown)
        if seconds > LONGEST_S:
            self._note(f"slow {name}", f"took {seconds:.2f} s", number, name, attempt.shown)
        if grown > LARGEST_MB:
            self._note(f"large {name}", f"took {grown:.0f} MB", number, name, attempt.shown)

    def _read(self, error: BaseException, number: int, name: str, shown: Any) -> None:
        """Look at the messages as a terminal would."""
        for fault in getattr(error, "faults", [error]):
            text = str(fault)
            odd = next((one for one in text if unicodedata.category(one) in ("Cc", "Cs", "Cf")), None)
            if odd is not None:
                self._note(
                    f"{odd!r} {fault.what[:12]}", f"a message with {odd!r}: {text[-300:]!r}", number, name, shown
                )
            if len(text) > LONGEST_MESSAGE:
                self._note(
                    f"long {fault.what[:12]}",
                    f"a message of {len(text):,} characters: {text[:200]!r}",
                    number,
                    name,
                    shown,
                )

    def _note(self, kind: str, what: str, number: int, name: str, shown: Any) -> None:
        if kind not in self.found:
            self.found[kind] = f"FOUND {self.seed}:{number} at {name}: {what}\n      {repr(shown)[:400]}"
            print(self.found[kind], file=sys.stderr, flush=True)


def _too_slow(*_: object) -> None:
    raise TooSlow


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "flambe" in frame.filename] or frames
    return f"{type(error).__name__} {ours[-1].filename}:{ours[-1].lineno}"


def _last_lines(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)[-4:]
    where = " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(frames))
    return f"{type(error).__name__}: {str(error)[:200]} ({where})"


def _import_all() -> None:
    """Import what the doors need now and then, so that every import that comes later is one too many."""
    import importlib
    import pkgutil

    import flambe.build
    import flambe.compile
    import flambe.record
    import flambe.runnable
    import flambe.spec

    for room in (flambe.build, flambe.compile, flambe.record, flambe.runnable, flambe.spec):
        for module in pkgutil.iter_modules(room.__path__):
            importlib.import_module(f"{room.__name__}.{module.name}")
    import _sha256
    import ast
    import difflib
    import encodings.idna
    import importlib.metadata
    import urllib.parse

    import platformdirs

    del _sha256, ast, difflib, encodings, platformdirs, urllib


if __name__ == "__main__":
    sys.exit(main())
