"""More machines: what a trial that does nothing costs with the same workers on one, two and three Ray nodes.

Usage: python benchmarks/nodes.py [--trials N] [--workers N] [--nodes 1 2 3]     (Linux, root)

The machines are namespaces of this one, each with an address, processes and a disk of its own; so the figures tell what the way
over the network and without a common disk costs, and nothing of three times as many processors. While the last three
quarters of the trials end: milliseconds on the clock, milliseconds of processors of the command (the driver: loop, keeper, ledger), of
the workers, and of Ray's own processes.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import os
import sys
import time
from bisect import bisect
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "packages/flambe-tune/tests/experiment"))
from ray_nodes import SHARED, RayNodes

from flambe.record.ledger import read_events
from flambe.spec.nodes import Environment, Spec, Stage

_TICK_MS = 1000 / os.sysconf("SC_CLK_TCK")
NOTHING = '''
from flambe.build.component import Component


class Nothing(Component):
    """Returns its number."""

    def __init__(self, number):
        super().__init__()
        self.number = number

    def metric(self):
        return self.number
'''


class Seen(NamedTuple):
    """Milliseconds of processors so far. at: seconds since the epoch."""

    at: float
    driver: float
    workers: float
    ray: float


def processor_ms(pids: set[int], known: dict[int, float]) -> float:
    """Add up processors' time; ``known`` keeps that of processes that have ended."""
    for pid in pids:
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            known[pid] = (int(fields[11]) + int(fields[12])) * _TICK_MS
    return sum(known.values())


def measure(nodes: RayNodes, trials: int, output: str) -> dict[str, float]:
    """Return milliseconds a trial."""
    spec = Spec(
        name="nothing",
        stages=[Stage(name="nothing", body={"$new": "nothing:Nothing", "number": {"$grid": list(range(trials))}})],
        environment=Environment(extensions={"nothing": nodes.put("nothing.py", NOTHING)}),
    )
    process = nodes.tune(
        spec, "--address", nodes.ray_address, "--output-dir", output, "-q", said=nodes.tmp(1) / "words.log"
    )
    known: tuple[dict[int, float], ...] = ({}, {}, {})
    seen: list[Seen] = []
    while process.poll() is None:
        with contextlib.suppress(OSError):
            driver = {int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()}
            workers = set().union(*(nodes.workers(number) for number in nodes.numbers))
            servers = set().union(*(nodes.processes(number) for number in nodes.numbers)) - workers
            each = (processor_ms(pids, held) for pids, held in zip((driver, workers, servers), known, strict=True))
            seen.append(Seen(time.time(), *each))
        time.sleep(0.1)
    if process.returncode:
        raise SystemExit((nodes.tmp(1) / "words.log").read_text())
    root = nodes.shared if output.startswith(SHARED) else nodes.tmp(1)
    events = read_events(root / Path(output).name / "nothing/exp.0/ledger.jsonl")
    commits = [_moment(event) for event in events if event["event"] == "commit"]
    skipped = trials // 4  # until then workers start
    first, last = commits[skipped - 1], commits[-1]
    begun, ended = (seen[min(bisect([one.at for one in seen], moment), len(seen) - 1)] for moment in (first, last))
    names = ("driver", "workers", "ray")
    spent = {name: getattr(ended, name) - getattr(begun, name) for name in names}
    return {name: total / (trials - skipped) for name, total in {"wall": (last - first) * 1000, **spent}.items()}


def _moment(event: dict[str, Any]) -> float:
    return datetime.datetime.fromisoformat(event["t"]).timestamp()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=600)
    parser.add_argument("--workers", type=int, default=6, help="of all nodes together")
    parser.add_argument("--nodes", type=int, nargs="+", default=[1, 2, 3])
    given = parser.parse_args()
    if gone := RayNodes.missing():
        raise SystemExit(f"machines of namespaces need: {', '.join(gone)}")
    print(f"{given.trials} trials, {given.workers} workers; milliseconds a trial")
    print(f"{'nodes':>5} {'disk':>7} {'clock':>7} {'driver':>7} {'workers':>8} {'ray':>7}")
    for count in given.nodes:
        nodes = RayNodes(count, cpus=given.workers // count)
        try:
            for disk, output in {"own": "/tmp/own", "one": f"{SHARED}/one"}.items():
                cost = measure(nodes, given.trials, output)
                print(
                    f"{count:>5} {disk:>7} {cost['wall']:>7.1f} {cost['driver']:>7.1f} {cost['workers']:>8.1f} {cost['ray']:>7.1f}",
                    flush=True,
                )
        finally:
            nodes.close()
    print(f"load of the machine: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
