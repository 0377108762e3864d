"""A second start is short: from the start of a process to the first batch of SST-2, whose words were numbered by an earlier process.

Usage: FLAMBE_DATA=… python benchmarks/first_batch.py [--runs N]

Two ways in turn: a ``flambe-train`` whose only stage draws a batch, and a script that uses the same classes; beside them a process
that imports torch and nothing else. Prints the median seconds to the first batch, by the wall clock and by the processor, and the
processor seconds of a ``flambe-train`` that finds nothing kept.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# Where each process writes the time and its processor seconds.
TOLD = "FIRST_BATCH"
TELL = f"open(os.environ[{TOLD!r}], 'w').write(f'{{time.time()}} {{time.process_time()}}')"
SCRIPT = f"""
import os, time
from flambe.field import LabelField, TextField
from flambe.nlp.classification import SSTDataset
from flambe.sampler import BaseSampler
dataset = SSTDataset(transform={{"text": TextField(), "label": LabelField()}})
next(BaseSampler(batch_size=32, bucket=True).iterate(dataset.train))
{TELL}
"""
STAGE = f"""
import os, time
from typing import Any
from flambe import Component
class First(Component):
    def __init__(self, dataset: Any, sampler: Any) -> None:
        self.dataset, self.sampler = dataset, sampler
    def run(self) -> bool:
        next(self.sampler.iterate(self.dataset.train))
        {TELL}
        return False
"""
BODY = {
    "$new": "first_batch_stage:First",
    "dataset": {
        "$new": "flambe.nlp.classification:SSTDataset",
        "transform": {"text": {"$new": "flambe.field:TextField"}, "label": {"$new": "flambe.field:LabelField"}},
    },
    "sampler": {"$new": "flambe.sampler:BaseSampler", "batch_size": 32, "bucket": True},
}


def start(way: str, folder: Path) -> tuple[float, float]:
    """Start a process: seconds by the wall and by the processor until it has its first batch, or torch."""
    stage = folder / "first_batch_stage.py"
    stage.write_text(STAGE)
    spec = {
        "flambe_spec": "1.0", "name": "first", "seed": 0, "environment": {"extensions": {"first_batch_stage": str(stage)}},
        "stages": [{"name": "first", "body": BODY}],
    }  # fmt: skip
    (folder / "spec.json").write_text(json.dumps(spec))
    command = {
        "flambe_train": ["-m", "flambe.learn.cli", "-q", "--force", "spec.json"],
        "script": ["-c", SCRIPT],
        "import_torch": ["-c", f"import os, time, torch\n{TELL}"],
    }[way]
    told = folder / "told"
    environment = {
        **os.environ, TOLD: str(told), "XDG_CACHE_HOME": str(folder), "OMP_NUM_THREADS": "1",
        "FLAMBE_DATA": os.path.abspath(os.environ["FLAMBE_DATA"]),
    }  # fmt: skip
    began = time.time()
    subprocess.run([sys.executable, "-P", *command], env=environment, cwd=folder, check=True, capture_output=True)
    ended, processor = map(float, told.read_text().split())
    return ended - began, processor


def main() -> None:
    """Measure and print one JSON line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    first: list[float] = []
    second: dict[str, list[tuple[float, float]]] = {"flambe_train": [], "script": [], "import_torch": []}
    for run in range(runs):
        with tempfile.TemporaryDirectory() as folder:
            first.append(start("flambe_train", Path(folder))[1])
            for way in list(second) if run % 2 else list(second)[::-1]:
                second[way].append(start(way, Path(folder)))
    medians = {
        way: {
            kind: round(statistics.median(column), 3)
            for kind, column in zip(("wall", "processor"), zip(*found, strict=True), strict=True)
        }
        for way, found in second.items()
    }
    print(
        json.dumps({"benchmark": "first_batch", **medians, "first_processor": round(statistics.median(first), 3), "runs": runs,
                    "load": round(os.getloadavg()[0], 1)})
    )  # fmt: skip


if __name__ == "__main__":
    main()
