"""Kill a small search at random moments until it ends: its result is that of a search that nobody has killed.

    python kills.py [--count 500] [--seed 1] [--ray 4]

Each kill is a SIGKILL of the command, of one of its workers (or servers of its Ray), or of all of them; then the same command is given again.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from marked import with_mark

from flambe.record.layout import RunPaths
from flambe.record.ledger import fold, read_events
from flambe.spec.codec import dump_spec
from flambe.spec.nodes import Environment, Spec, Stage

_STORE = Path(__file__).resolve().parents[3] / "flambe-config/tests/record/scenario.py"

NO_RAY = 4
"""How a command ends that has lost a server of its Ray, which asks for the same command again."""
RAY_ENDED = (b"The program will terminate.", b"Failed to register worker to Raylet")
"""What Ray says when it ends a command itself that waits for an answer of a server that is gone, as while it starts."""
TOY = """
import pathlib, random, time
import flambe
from flambe import Component


class Walk(Component):
    def __init__(self, rate, steps=3, pause=0.02):
        super().__init__()
        self.rate, self.steps, self.pause, self.position, self.done = rate, steps, pause, 0.0, 0
        self.register_attrs("position", "done")

    def run(self):
        time.sleep(self.pause)
        self.position += random.random() * self.rate
        self.done += 1
        with open(pathlib.Path(flambe.get_trial_dir()) / "log.txt", "a") as stream:
            stream.write(f"{self.done} ")
        flambe.log("walk/position", self.position, self.done)
        return self.done < self.steps

    def metric(self):
        return self.position


class Look(Component):
    def __init__(self, seen):
        super().__init__()
        self.seen, self.total = seen, None
        self.register_attrs("total")

    def run(self):
        self.total = self.seen * 2
        return False

    def metric(self):
        return self.total
"""


def specs(toy: Path) -> dict[str, bytes]:
    """Return a search of six variants with a reduction, and a concrete spec."""

    def spec(name: str, rate: Any) -> bytes:
        look = {"$new": "killtoy:Look", "seen": {"$link": ["walk"], "attr": ["position"]}}
        walk = Stage(
            name="walk", body={"$new": "killtoy:Walk", "rate": rate}, reduce=2 if isinstance(rate, dict) else None
        )
        return dump_spec(
            Spec(
                name=name,
                stages=[walk, Stage(name="look", body=look)],
                max_failures=1000,  # a killed worker is a failed attempt
                environment=Environment(extensions={"killtoy": str(toy)}),
            )
        )

    return {"search": spec("search", {"$grid": [1, 2, 3, 4, 5, 6]}), "one": spec("one", 1)}


def command(name: str, spec: Path, output: Path, runner: str) -> list[str]:
    if name == "one":
        return [sys.executable, "-m", "flambe.cli.umbrella", "exec", str(spec), "-o", str(output), "-q"]
    words = [
        "-m",
        "flambe.experiment.cli",
        str(spec),
        "--runner",
        runner,
        "--workers",
        "2",
        "--output-dir",
        str(output),
        "-q",
    ]
    return [sys.executable, *words]


def children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def store() -> Any:
    """Return the module that knows what a run's result is."""
    sys.path.insert(0, str(_STORE.parent))
    found = importlib.util.spec_from_file_location("scenario", _STORE)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


class Round:
    """One run that is killed until it has ended. longest_s: of a run that nobody kills."""

    def __init__(self, words: list[str], place: Path, chosen: random.Random, longest_s: float) -> None:
        self.words, self.place, self.chosen, self.longest_s = words, place, chosen, longest_s
        self.kills: Counter[str] = Counter()

    def go(self, most: int) -> int:
        """Give the command until it ends; the attempt after ``most`` kills is left alone. Returns its exit code."""
        # A number of a process that has ended may be somebody else's by now: what is left of this round is told by its environment.
        mark = f"FLAMBE_ROUND={self.place}"
        surroundings = dict([*os.environ.items(), mark.split("=", 1)])
        try:
            while True:
                with open(self.place / "words.log", "ab") as words:
                    began = words.tell()
                    process = subprocess.Popen(
                        self.words, stdout=words, stderr=words, env=surroundings, start_new_session=True
                    )
                while self.kills.total() < most:
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(self.chosen.uniform(0.02, self.longest_s))
                    if process.poll() is not None or not self._kill(process):
                        break
                code = process.wait(120)
                said = (self.place / "words.log").read_bytes()[began:]
                if code not in (-signal.SIGKILL, NO_RAY) and not any(words in said for words in RAY_ENDED):
                    return code
        finally:
            for left in with_mark(mark):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(left, signal.SIGKILL)

    def _kill(self, process: subprocess.Popen[bytes]) -> bool:
        """Kill something. Returns whether the command itself goes on."""
        workers = children(process.pid)
        what = self.chosen.choice(["command", "all", *(["worker"] if workers else [])])
        self.kills[what] += 1
        if what == "worker":
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.chosen.choice(workers), signal.SIGKILL)
            return True
        if what == "all":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        return False


def torture(scratch: Path, count: int, seed: int, ray: int) -> int:
    (scratch / "ext/killtoy").mkdir(parents=True)
    (scratch / "ext/killtoy/__init__.py").write_text(TOY)
    known = store()
    chosen = random.Random(seed)
    right: dict[str, Any] = {}
    times: dict[str, float] = {}
    files: dict[str, Path] = {}

    def result(name: str, output: Path) -> Any:
        return known.result_of(max((output / name).glob("exp.*"), key=lambda path: int(path.name.partition(".")[2])))

    for name, spec in specs(scratch / "ext/killtoy").items():
        files[name] = scratch / f"{name}.json"
        files[name].write_bytes(spec)
        began = time.monotonic()
        subprocess.run(command(name, files[name], scratch / "clean", "local"), check=True, stdout=subprocess.DEVNULL)
        times[name] = time.monotonic() - began
        right[name] = result(name, scratch / "clean")
    kills: Counter[str] = Counter()
    rounds = findings = starts = 0
    while kills.total() - kills["ray"] < count or kills["ray"] < ray:
        over_ray = kills.total() - kills["ray"] >= count
        name = "search" if over_ray else chosen.choice(["search", "search", "one"])
        place = scratch / f"round{rounds}"
        place.mkdir()
        words = command(name, files[name], place / "out", "ray" if over_ray else "local")
        one = Round(words, place, chosen, 12.0 if over_ray else times[name])
        most = 2 if over_ray else min(chosen.randint(1, 8), count - kills.total())
        code = one.go(most)
        rounds += 1
        kills.update({"ray": one.kills.total()} if over_ray else one.kills)
        try:
            ends = result(name, place / "out")
        except AssertionError as error:
            ends = f"no result: {error}"
        # Two where the command was killed between the last word of the run and its own end.
        roots = list((place / "out" / name).glob("exp.*"))
        states = [fold(read_events(RunPaths(root).ledger)) for root in roots]
        starts += sum(event["event"] == "open" for state in states for event in state.events)
        lost = [set(state.planned) - set(state.done) - set(state.pruned) for state in states]
        print(f"{kills.total()} kills in {rounds} runs", end="\r" if sys.stdout.isatty() else "\n", flush=True)
        if code != 0 or ends != right[name] or any(lost):
            findings += 1
            print(f"round {rounds} ({name}): exit code {code}, {len(roots)} folders\n{ends}\nwas to be\n{right[name]}")
            print((place / "words.log").read_text()[-2000:], flush=True)
    print(f"{kills.total()} kills {dict(kills)} in {rounds} runs, opened {starts} times; findings: {findings}")
    return findings


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--ray", type=int, default=0, help="kills over Ray, beside the others")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        return 1 if torture(Path(scratch), given.count, given.seed, given.ray) else 0


if __name__ == "__main__":
    sys.exit(main())
