"""A trial is cheap: milliseconds a trial that does nothing, ours with all records beside raw Ray Tune.

Usage: python benchmarks/tune.py [--trials N] [--workers N] [--only ray|local|tune|optuna]

Ours: flambe-tune over reused Ray actors, and over one child process; from the first start to the last commit in the
ledger, so every plan, result, metric line and checkpoint is on the disk. Raw Ray Tune: a class Trainable with
``reuse_actors=True`` and one step a trial, its whole ``fit`` without the start of Ray. Optuna: random choices in one process,
each trial in a journal on the disk; it runs nothing and keeps no results. Last line: the ratios, and the load of the machine.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from flambe.record.ledger import read_events
from flambe.spec.codec import dump_spec
from flambe.spec.nodes import Environment, Spec, Stage

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

ray.init(num_cpus=int(sys.argv[2]), include_dashboard=False, log_to_driver=False, logging_level="ERROR")
began = time.time()
tuner = tune.Tuner(
    Nothing,
    param_space={"number": tune.grid_search(list(range(int(sys.argv[1]))))},
    tune_config=tune.TuneConfig(metric="metric", mode="max", reuse_actors=True),
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


def spec_of(folder: Path, trials: int) -> Path:
    """Write a spec with ``trials`` variants that do nothing."""
    module = folder / "nothing.py"
    module.write_text(NOTHING)
    body = {"$new": "nothing:Nothing", "number": {"$grid": list(range(trials))}}
    spec = Spec(
        name="bench",
        output_dir=str(folder / "out"),
        stages=[Stage(name="nothing", body=body)],
        environment=Environment(extensions={"nothing": str(module)}),
    )
    path = folder / "spec.json"
    path.write_bytes(dump_spec(spec))
    return path


def ours(trials: int, *options: str) -> tuple[float, float]:
    """Return milliseconds a trial, and seconds of the whole command."""
    with tempfile.TemporaryDirectory() as name:
        spec = spec_of(Path(name), trials)
        began = time.monotonic()
        subprocess.run(
            [sys.executable, "-m", "flambe.experiment.cli", str(spec), "--quiet", *options],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        whole = time.monotonic() - began
        events = read_events(Path(name) / "out/bench/exp.0/ledger.jsonl")
    times = [
        datetime.datetime.fromisoformat(event["t"]).timestamp()
        for event in events
        if event["event"] in ("report", "commit")
    ]
    # From the first result on: before it, a worker starts and imports.
    return (max(times) - min(times)) / max(1, trials - 1) * 1000, whole


def raw(script: str, trials: int, workers: int) -> tuple[float, float]:
    """Return milliseconds a trial of another tool, and the seconds of its whole process."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", script, str(trials), str(workers)], check=True, capture_output=True, text=True
    )
    return float(done.stdout.split()[-1]) / trials * 1000, time.monotonic() - began


def main() -> None:
    """Print one JSON line for each way, and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=300)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", choices=["ray", "local", "tune", "optuna"])
    options = parser.parse_args()
    ways = {
        "ray": lambda: ours(options.trials, "--runner", "ray", "--workers", str(options.workers)),
        "local": lambda: ours(options.trials, "--runner", "local"),
        "tune": lambda: raw(RAW, options.trials, options.workers),
        "optuna": lambda: raw(STUDY, options.trials, options.workers),
    }
    found = {}
    for name, way in ways.items():
        if options.only in (None, name):
            each, whole = way()
            found[name] = each
            print(
                json.dumps(
                    {"way": name, "trials": options.trials, "ms_a_trial": round(each, 2), "whole_s": round(whole, 2)}
                ),
                flush=True,
            )
    ratios = {
        f"{name} / raw {peer}": round(found[name] / found[peer], 3)
        for peer in ("tune", "optuna")
        for name in ("ray", "local")
        if name in found and peer in found
    }
    print(json.dumps({**ratios, "load": [round(one, 1) for one in os.getloadavg()], "cpus": os.cpu_count()}))


if __name__ == "__main__":
    main()
