"""A trial is cheap: milliseconds a trial that does nothing, ours with all records beside raw Ray Tune.

Usage: python benchmarks/tune.py [--trials N] [--workers N] [--only ray|local|tune]

Ours: flambe-tune over reused Ray actors, and over one child process; from the first start to the last commit in the
ledger, so every plan, result, metric line and checkpoint is on the disk. Raw Ray Tune: a class Trainable with
``reuse_actors=True`` and one step a trial, its whole ``fit`` without the start of Ray. Last line: the ratios.
"""

from __future__ import annotations

import argparse
import datetime
import json
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


def raw(trials: int, workers: int) -> tuple[float, float]:
    """Return milliseconds a trial of raw Ray Tune, and the seconds of its whole process."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", RAW, str(trials), str(workers)], check=True, capture_output=True, text=True
    )
    return float(done.stdout.split()[-1]) / trials * 1000, time.monotonic() - began


def main() -> None:
    """Print one JSON line for each way, and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=300)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", choices=["ray", "local", "tune"])
    options = parser.parse_args()
    ways = {
        "ray": lambda: ours(options.trials, "--runner", "ray", "--workers", str(options.workers)),
        "local": lambda: ours(options.trials, "--runner", "local"),
        "tune": lambda: raw(options.trials, options.workers),
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
    if "tune" in found:
        print(
            json.dumps(
                {f"{name} / raw tune": round(found[name] / found["tune"], 3) for name in found if name != "tune"}
            )
        )


if __name__ == "__main__":
    main()
