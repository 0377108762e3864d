"""Kill a search over three machines at random moments until it ends: its result is that of a search that nobody has killed.

    python nodes.py [--count 200] [--seed 1]

Each machine is made of namespaces and has its own disk (``ray_nodes``); needs root. A kill is a SIGKILL of

- the command, on machine 1, which is then given again,
- a worker, on any machine,
- any process of the Ray node of machine 2 or 3, or all of them; the node joins again within seconds,
- any process of the Ray's head, or all of them; then the command has to end, and is given again when the Ray is there anew.

After each kill the ledger accounts for every unit. After each end of a command its workers are gone, those that were just starting too,
and whatever else is lost: within 5 s on its own machine, within 15 s on others. Spare workers of Ray are not the command's (``RayNodes.ours``).
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from kills import TOY, children, store
from ray_nodes import WORKER, RayNodes, name_of

from flambe.record.layout import RunPaths
from flambe.record.ledger import LedgerState, fold, read_events
from flambe.spec.nodes import Environment, Spec, Stage

KINDS = {"command": 6, "worker": 14, "part of a node": 5, "node": 6, "part of the head": 1, "head": 1}
"""How often each kill is drawn."""
STUCK_S = 150.0
GONE_S = {"here": 5.0, "elsewhere": 15.0}
QUIET_S = 1.0


def search() -> Spec:
    """Return a search of nine variants with a reduction."""
    walk = {"$new": "killtoy:Walk", "rate": {"$grid": list(range(1, 10))}, "steps": 6, "pause": 0.1}
    look = {"$new": "killtoy:Look", "seen": {"$link": ["walk"], "attr": ["position"]}}
    return Spec(
        name="search",
        stages=[Stage(name="walk", body=walk, reduce=2), Stage(name="look", body=look)],
        max_failures=1000,  # a killed worker is a failed attempt
        environment=Environment(extensions={"killtoy": "/tmp/ext/killtoy.py"}),
    )


class Torture:
    """A search that is killed until it ends, again and again. kills: so far. findings: what was wrong. gone_s: how long workers
    were seen after their command, at most. kinds: how often each kill is drawn."""

    def __init__(self, nodes: RayNodes, chosen: random.Random, kinds: dict[str, int] = KINDS) -> None:
        self.nodes, self.chosen, self.kinds = nodes, chosen, kinds
        self.places = {"here": [1], "elsewhere": nodes.numbers[1:]}
        self.kills: Counter[str] = Counter()
        self.findings: list[str] = []
        self.gone_s = dict.fromkeys(GONE_S, 0.0)
        self.starts = self.looks = 0
        self._known = store()
        self._joining: dict[int, threading.Thread] = {}
        nodes.put("ext/killtoy.py", TOY)
        self._begin("calm", "--runner", "local")
        assert self.process.wait(STUCK_S) == 0, self._words()
        self.right = self._result()
        began = time.monotonic()
        self._begin("timed", "--address", nodes.ray_address)
        assert self.process.wait(STUCK_S) == 0, self._words()
        self.longest_s = time.monotonic() - began

    def round(self, name: str, most: int) -> None:
        """Give the command until it ends, and kill ``most`` times meanwhile."""
        self.done: set[str] = set()
        left = most
        while True:
            self.mend()
            self._begin(name, "--address", self.nodes.ray_address)
            self.starts += 1
            left = self._kill_until_it_ends(left)
            self._see_workers_go()
            if self.process.returncode == 0:
                break
        self._look()
        with self._told():
            result = self._result()
            assert result == self.right, f"another result: {result}, was to be {self.right}"
            state = self._state()
            assert set(state.planned) == set(state.done), f"lost: {set(state.planned) - set(state.done)}"

    def close(self) -> None:
        for thread in self._joining.values():
            thread.join()

    # -- kills --------------------------------------------------------------------------------------------------------

    def _kill_until_it_ends(self, left: int) -> int:
        """Kill while the command lives; returns how many kills are left."""
        quiet_since = time.monotonic()
        while self.process.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(self.chosen.uniform(0.05, self.longest_s / 2) if left else 1.0)
            if self.process.poll() is None and left and self._kill():
                left, quiet_since = left - 1, time.monotonic()
            self._look()
            if self.process.poll() is None and time.monotonic() - quiet_since > STUCK_S:
                with self._told():
                    raise AssertionError(f"nothing for {STUCK_S:g} s")
                self._kill_command()
        return left

    def _kill(self) -> bool:
        """Kill something; returns whether there was something to kill."""
        kind = self.chosen.choices(list(self.kinds), weights=list(self.kinds.values()))[0]
        number = 1 if "head" in kind else self.chosen.choice(self.nodes.numbers[1:])
        parts = sorted(self.nodes.processes(number) - self.nodes.workers(number))
        workers = sorted(pid for one in self.nodes.numbers for pid in self.nodes.workers(one))
        match kind:
            case "command":
                self._kill_command()
            case "worker" if workers:
                _kill(self.chosen.choice(workers))
            case "part of a node" | "part of the head" if self.nodes.is_up(number):
                _kill(self.chosen.choice(parts))
            case "node" | "head" if self.nodes.is_up(number):
                self.nodes.kill_ray(number)
            case _:
                return False
        self.kills[kind] += 1
        if number != 1:
            self._join_again(number)
        return True

    def _kill_command(self) -> None:
        for child in children(self.process.pid):
            _kill(child)
        self.process.wait()

    def _join_again(self, number: int) -> None:
        """Look in a while whether a node is lost, and let it join again."""
        if number in self._joining and self._joining[number].is_alive():
            return
        after_s = self.chosen.uniform(0.5, 4)

        def join() -> None:
            time.sleep(after_s)
            if self.nodes.is_up(number):
                self.nodes.guard(number)
            else:
                self.nodes.kill_ray(number)
                with contextlib.suppress(RuntimeError):  # it finds no head: the whole is begun anew after the command
                    self.nodes.start_ray(number)

        self._joining[number] = threading.Thread(target=join)
        self._joining[number].start()

    def mend(self) -> None:
        """Start the nodes that are lost, all of them if the head is."""
        self.close()
        lost = [number for number in self.nodes.numbers if not self.nodes.is_up(number)]
        if 1 in lost:
            lost = self.nodes.numbers
        for number in lost:
            self.nodes.kill_ray(number)
        if lost:
            self.nodes.start_ray(*lost)
        for number in self.nodes.numbers:
            self.nodes.guard(number)

    # -- what must hold -----------------------------------------------------------------------------------------------

    def _look(self) -> None:
        """Every unit is done or pending, what was done stays so, and nothing is done twice."""
        if not RunPaths(self.run).ledger.exists():
            return
        state = self._state()
        with self._told():
            counts = state.counts()
            assert counts["expected"] == counts["done"] + counts["failed"] + counts["pruned"] + counts["pending"], (
                counts
            )
            assert counts["failed"] == counts["pruned"] == 0, counts
            assert self.done <= set(state.done), f"was done and is not: {self.done - set(state.done)}"
            commits = Counter(event["unit"] for event in state.events if event["event"] == "commit")
            assert set(commits.values()) <= {1}, commits
        self.done = set(state.done)
        self.looks += 1

    def _see_workers_go(self) -> None:
        """Wait until nothing is left of the command, and does not come again."""
        began = seen = time.monotonic()
        late: set[str] = set()
        while time.monotonic() - seen < QUIET_S:
            left = {
                place: [pid for number in at for pid in self.nodes.ours(number)] for place, at in self.places.items()
            }
            left["here"] += self.nodes.commands()
            waited_s = time.monotonic() - began
            for place, pids in left.items():
                if pids and place not in late:
                    seen = time.monotonic()
                    self.gone_s[place] = max(self.gone_s[place], waited_s)
                    if waited_s > GONE_S[place]:
                        late.add(place)
                        with self._told():
                            what = [_described(pid) for pid in pids]
                            raise AssertionError(f"{place} after {GONE_S[place]:g} s: {what}")
            time.sleep(0.05)

    @contextlib.contextmanager
    def _told(self) -> Any:
        """Let what is wrong be a finding."""
        try:
            yield
        except AssertionError as error:
            self.findings.append(f"{self.name}: {error}")
            print(f"FOUND {self.findings[-1]}\n{self._words()}", flush=True)

    # -- the search ---------------------------------------------------------------------------------------------------

    def _begin(self, name: str, *options: str) -> None:
        self.name = name
        log = self.nodes.tmp(1) / f"{name}.log"
        self.process = self.nodes.tune(search(), *options, "--output-dir", f"/tmp/{name}", "-q", said=log)

    @property
    def run(self) -> Path:
        """The newest run directory: there are two where the command was killed between the last word of the run and its own end."""
        runs = (self.nodes.tmp(1) / self.name / "search").glob("exp.*")
        return max(runs, key=lambda path: int(path.name.partition(".")[2]), default=Path("/nowhere"))

    def _state(self) -> LedgerState:
        return fold(read_events(RunPaths(self.run).ledger))

    def _result(self) -> Any:
        return self._known.result_of(self.run)

    def _words(self) -> str:
        return (self.nodes.tmp(1) / f"{self.name}.log").read_text()[-3000:]


def _described(pid: int) -> str:
    """Return what a process is, for which of Ray's jobs (``ffffffff``: for the next that comes), and what it has done."""
    with contextlib.suppress(OSError):
        words = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        job = next((word for word in words if word.startswith(WORKER)), b"")
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        used_s = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return f"{pid} {name_of(pid)} {job.decode()} with {used_s:.2f} s of processors"
    return f"{pid}, gone now"


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    if gone := RayNodes.missing():
        print(f"machines of namespaces need: {', '.join(gone)}")
        return 1
    chosen = random.Random(given.seed)
    nodes = RayNodes()
    try:
        torture = Torture(nodes, chosen)
        rounds = 0
        while (left := given.count - torture.kills.total()) > 0:
            torture.round(f"round{rounds}", min(chosen.randint(1, 20), left))
            rounds += 1
            print(
                f"{torture.kills.total()} kills in {rounds} searches",
                end="\r" if sys.stdout.isatty() else "\n",
                flush=True,
            )
        torture.close()
        print(
            f"{torture.kills.total()} kills {dict(torture.kills)} in {rounds} searches, {torture.starts} commands, "
            f"{torture.looks} looks at the ledger; workers gone after at most "
            + ", ".join(f"{seconds:.1f} s {place}" for place, seconds in torture.gone_s.items())
            + f"; findings: {len(torture.findings)}; load {os.getloadavg()[0]:.0f}"
        )
    finally:
        nodes.close()
    return 1 if torture.findings else 0


if __name__ == "__main__":
    sys.exit(main())
