"""A trial is cheap: milliseconds a trial that does nothing, ours with all records beside raw Ray Tune and Optuna.

Usage: python benchmarks/tune.py [--trials N] [--workers N] [--only ray|local|tune|function|optuna|shared] [--grow]

Ours: flambe-tune over reused Ray actors, and over one child process; from the first result to the last commit in the
ledger, so every plan, result, metric line and checkpoint is on the disk. Raw Ray Tune: a class Trainable with ``reuse_actors=True``
and one step a trial, and a function, which is a new process for each trial, so that few of them are tried (``--functions``);
the whole ``fit`` without the start of Ray. Optuna: random choices in one process, each trial in a journal on the disk; it runs
nothing and keeps no results. ``shared``: a stage of two seconds and 50 variants of the next, with and without a scheduler, and the
same file again. ``--grow``: instead, ours from 10 to ``--trials`` trials: time of each tenth, memory, bytes of the ledger, files,
and how long the same file takes again. CPU is that of the whole tree of processes. Last line: the ratios, and the load.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from flambe.record.ledger import read_events
from flambe.spec.codec import dump_spec
from flambe.spec.nodes import Environment, Spec, Stage

NOTHING = '''
import time
from flambe.build.component import Component


class Nothing(Component):
    """Returns its number."""

    def __init__(self, number, shared=None):
        super().__init__()
        self.number = number

    def metric(self):
        return self.number


class Heavy(Component):
    """Prepares something for two seconds."""

    def run(self):
        time.sleep(2)
        return False
'''

RAW = """
import sys, tempfile, time, os
os.environ["RAY_AIR_NEW_OUTPUT"] = "0"
import ray
from ray import tune

class Nothing(tune.Trainable):
    def setup(self, config): self.number = config["number"]
    def step(self): return {"metric": self.number, "done": True}
    def save_checkpoint(self, folder): open(folder + "/state.json", "w").write(str(self.number))
    def load_checkpoint(self, folder): pass
    def reset_config(self, config): self.number = config["number"]; return True

def nothing(config): return {"metric": config["number"]}

ray.init(num_cpus=int(sys.argv[2]), include_dashboard=False, log_to_driver=False, logging_level="ERROR")
began = time.time()
tuner = tune.Tuner(
    {"class": Nothing, "function": nothing}[sys.argv[3]],
    param_space={"number": tune.grid_search(list(range(int(sys.argv[1]))))},
    tune_config=tune.TuneConfig(metric="metric", mode="max", reuse_actors=sys.argv[3] == "class"),
    run_config=tune.RunConfig(storage_path=tempfile.mkdtemp(), verbose=0),
)
tuner.fit()
print(time.time() - began)
"""

STUDY = """
import optuna, sys, tempfile, time
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

optuna.logging.set_verbosity(optuna.logging.ERROR)
storage = JournalStorage(JournalFileBackend(tempfile.mkdtemp() + "/journal.log"))
study = optuna.create_study(storage=storage, sampler=optuna.samplers.RandomSampler(seed=0))
began = time.time()
study.optimize(lambda trial: trial.suggest_float("number", 0, 1), n_trials=int(sys.argv[1]))
print(time.time() - began)
"""

ASHA = {"$new": "ray.tune.schedulers:ASHAScheduler", "max_t": 9, "grace_period": 1, "reduction_factor": 3}


_TICKS = os.sysconf("SC_CLK_TCK")


class Cost(NamedTuple):
    """What a command took: seconds on the clock, seconds of processors (all its processes), most memory of its first one, and by how much
    the one of the others that grew most grew in the second half of its life (for each that lived a quarter of the time)."""

    wall_s: float
    cpu_s: float
    rss_mb: float
    other_grew_mb: float
    output: str


def watch(command: list[str]) -> Cost:
    """Run a command to its end, and look at its processes twice a second: those of Ray are nobody's to wait for."""
    seen: dict[tuple[int, float], float] = {}
    sizes: dict[tuple[int, float], list[int]] = {}
    most = 0.0
    page_mb = resource.getpagesize() / 2**20
    ended = threading.Event()
    began = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def look() -> None:
        nonlocal most
        while True:
            last = ended.wait(0.5)
            tree = {process.pid}
            for pid, parent, began_at, seconds, pages in _processes():  # parents come before their children
                if pid in tree or parent in tree:
                    tree.add(pid)
                    seen[pid, began_at] = seconds
                    if pid != process.pid and pages:
                        sizes.setdefault((pid, began_at), []).append(pages)
                if pid == process.pid:
                    most = max(most, pages * page_mb)
            if last:
                return

    looking = threading.Thread(target=look)
    looking.start()
    output = process.stdout.read() if process.stdout is not None else ""
    ended.set()
    looking.join()
    if process.wait():
        raise SystemExit(f"{command[:4]} ended with {process.returncode}")
    wall_s = time.monotonic() - began
    grew = [(lived[-1] - lived[len(lived) // 2]) * page_mb for lived in sizes.values() if len(lived) > wall_s / 2]
    return Cost(wall_s, sum(seen.values()), most, max(grew, default=0.0), output)


def _processes() -> list[tuple[int, int, int, float, int]]:
    """Return the number of each process of this machine, its parent's, when it began, its processor seconds, its memory in pages."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            ticks = int(fields[11]) + int(fields[12])
            found.append((int(folder.name), int(fields[1]), int(fields[19]), ticks / _TICKS, int(fields[21])))
    return sorted(found, key=lambda one: one[2])


def write_spec(folder: Path, stages: list[Stage]) -> Path:
    """Write a spec of stages of ``NOTHING``."""
    module = folder / "nothing.py"
    module.write_text(NOTHING)
    environment = Environment(extensions={"nothing": str(module)})
    path = folder / "spec.json"
    path.write_bytes(
        dump_spec(Spec(name="bench", output_dir=str(folder / "out"), stages=stages, environment=environment))
    )
    return path


def grid(trials: int) -> list[Stage]:
    """Return a stage of ``trials`` variants that do nothing."""
    return [Stage(name="nothing", body={"$new": "nothing:Nothing", "number": {"$grid": list(range(trials))}})]


def tune(spec: Path, *options: str) -> Cost:
    """Run flambe-tune."""
    return watch([sys.executable, "-m", "flambe.experiment.cli", str(spec), "--quiet", *options])


def times_of(run: Path) -> list[float]:
    """Return when each result of a run came, from the first one on: before it, a worker starts and imports."""
    return [
        datetime.datetime.fromisoformat(event["t"]).timestamp()
        for event in read_events(run / "ledger.jsonl")
        if event["event"] == "commit"
    ]


def ours(trials: int, *options: str) -> dict[str, float]:
    """Return what ``trials`` trials of ours cost."""
    with tempfile.TemporaryDirectory() as name:
        cost = tune(write_spec(Path(name), grid(trials)), *options)
        times = times_of(Path(name) / "out/bench/exp.0")
    each = (times[-1] - times[0]) / max(1, len(times) - 1)
    return {"ms_a_trial": each * 1000, **_whole(cost, trials)}


def raw(script: str, trials: int, *options: str) -> dict[str, float]:
    """Return what another tool's trials cost."""
    cost = watch([sys.executable, "-c", script, str(trials), *options])
    return {"ms_a_trial": float(cost.output.split()[-1]) / trials * 1000, **_whole(cost, trials)}


def _whole(cost: Cost, trials: int) -> dict[str, float]:
    return {
        "cpu_ms_a_trial": cost.cpu_s / trials * 1000,
        "whole_s": cost.wall_s,
        "rss_mb": cost.rss_mb,
        "other_grew_mb": cost.other_grew_mb,
    }


def shared() -> dict[str, float]:
    """Return the seconds of a heavy stage with 50 variants of the next, and of the same file again."""
    found = {}
    for name, scheduler in (("plain", None), ("asha", ASHA)):
        body = {"$new": "nothing:Nothing", "number": {"$grid": list(range(50))}, "shared": {"$link": ["heavy"]}}
        stages = [
            Stage(name="heavy", body={"$new": "nothing:Heavy"}),
            Stage(name="nothing", body=body, scheduler=scheduler),
        ]
        with tempfile.TemporaryDirectory() as folder:
            spec = write_spec(Path(folder), stages)
            found[f"{name}_s"] = tune(spec, "--runner", "local").wall_s
            again = sorted((tune(spec, "--runner", "local") for _ in range(5)), key=lambda cost: cost.wall_s)
            found[f"{name}_again_s"], found[f"{name}_again_cpu_s"] = again[2].wall_s, again[2].cpu_s
    return found


def growth(most: int, runner: list[str]) -> Iterator[dict[str, float]]:
    """Yield what runs of 10 trials, and ten times as many each time, cost; the last tenth of each beside the first."""
    trials = 10
    while trials <= most:
        with tempfile.TemporaryDirectory() as name:
            spec = write_spec(Path(name), grid(trials))
            cost = tune(spec, *runner)
            run = Path(name) / "out/bench/exp.0"
            times, tenth = times_of(run), max(1, trials // 10)
            again = tune(spec, *runner)
            yield {
                "trials": trials,
                "ms_a_trial": (times[-1] - times[0]) / (trials - 1) * 1000,
                "first_tenth_ms": (times[tenth] - times[0]) / tenth * 1000,
                "last_tenth_ms": (times[-1] - times[-1 - tenth]) / tenth * 1000,
                **_whole(cost, trials),
                "ledger_kb": (run / "ledger.jsonl").stat().st_size / 1000,
                "files": sum(len(files) for _, _, files in os.walk(run)),
                "again_s": again.wall_s,
                "again_cpu_s": again.cpu_s,
            }
        trials *= 10


def main() -> None:
    """Print one JSON line for each way, and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=300)
    parser.add_argument("--functions", type=int, default=20, help="trials of a function under raw Ray Tune")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", choices=["ray", "local", "tune", "function", "optuna", "shared"])
    parser.add_argument("--grow", action="store_true")
    options = parser.parse_args()
    trials, workers = options.trials, str(options.workers)
    runners = {"ray": ["--runner", "ray", "--workers", workers], "local": ["--runner", "local"]}
    if options.grow:
        for row in growth(trials, runners[options.only or "local"]):
            _print(row)
        _print(_load())
        return
    ways: dict[str, Callable[[], dict[str, float]]] = {
        "ray": lambda: ours(trials, *runners["ray"]),
        "local": lambda: ours(trials, *runners["local"]),
        "tune": lambda: raw(RAW, trials, workers, "class"),
        "function": lambda: raw(RAW, min(trials, options.functions), workers, "function"),
        "optuna": lambda: raw(STUDY, trials),
        "shared": shared,
    }
    found: dict[str, float] = {}
    for name, way in ways.items():
        if options.only in (None, name):
            costs = way()
            found[name] = costs.get("ms_a_trial", 0.0)
            count = {"function": min(trials, options.functions), "shared": 50}.get(name, trials)
            _print({"way": name, "trials": count, **costs})
    ratios = {
        f"{name} / {peer}": found[name] / found[peer]
        for peer in ("tune", "function", "optuna")
        for name in ("ray", "local")
        if name in found and peer in found
    }
    _print({**ratios, **_load()})


def _load() -> dict[str, Any]:
    return {"load": [round(one, 1) for one in os.getloadavg()], "cpus": os.cpu_count()}


def _print(row: dict[str, Any]) -> None:
    print(json.dumps({key: round(value, 3) if isinstance(value, float) else value for key, value in row.items()}))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
