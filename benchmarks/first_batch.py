"""A second start is short: from the start of a process to the first batch of SST-2, whose words were numbered by an earlier process.

Usage: FLAMBE_DATA=… python benchmarks/first_batch.py [--runs N]

Prints the median seconds to the first batch, by the wall clock and by the processor, those of ``import torch`` in it, and those of a
process that finds nothing kept.
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

CHILD = """
import sys, time
import torch
imported = time.clock_gettime(time.CLOCK_PROCESS_CPUTIME_ID), time.time()
from flambe.field import LabelField, TextField
from flambe.nlp.classification import SSTDataset
from flambe.sampler import BaseSampler
dataset = SSTDataset(transform={"text": TextField(), "label": LabelField()})
next(BaseSampler(batch_size=32, bucket=True).iterate(dataset.train))
print(imported[1], imported[0], time.time(), time.process_time())
"""


def start(cache: str) -> list[float]:
    """Start a process: seconds by the wall and the processor, to the end of ``import torch`` and to the first batch."""
    began = time.time()
    environment = os.environ | {"XDG_CACHE_HOME": cache, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", CHILD], env=environment, check=True, capture_output=True, text=True)
    torch_wall, torch_cpu, wall, cpu = map(float, done.stdout.split())
    return [torch_wall - began, torch_cpu, wall - began, cpu]


def main() -> None:
    """Measure and print one JSON line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    first, second = [], []
    for _ in range(runs):
        with tempfile.TemporaryDirectory() as cache:
            first.append(start(cache))
            second.append(start(cache))
    torch_wall, torch_cpu, wall, cpu = (round(statistics.median(column), 3) for column in zip(*second, strict=True))
    print(
        json.dumps({"benchmark": "first_batch", "wall": wall, "processor": cpu, "import_torch_wall": torch_wall,
                    "import_torch_processor": torch_cpu, "first_processor": round(statistics.median(run[3] for run in first), 3),
                    "runs": runs})
    )  # fmt: skip


if __name__ == "__main__":
    main()
