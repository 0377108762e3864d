"""A dataset is in memory once: processes that load the same saved one share its pages.

Usage: python benchmarks/dataset_pages.py [--processes N] [--examples N]

One process, and then N at once, load a saved dataset of text and draw an epoch of batches of it, twice. While they wait, Linux is
asked (/proc/PID/smaps) for the resident pages of the dataset's files, each divided by the number of those who have it (PSS), and
for what each process holds alone beside that: its growth since before it loaded the dataset.

Prints ``pages``: the pages of N processes / those of one; ``copied_mb``: pages of the files that a process made its own;
``own_mb``: the mean growth of a process; and ``pickled_own_mb``, that of a process which unpickles a list of the same examples.
"""

from __future__ import annotations

import argparse
import json
import pickle
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import flambe
from flambe.dataset import TabularDataset
from flambe.field import LabelField, TextField
from flambe.tokenizer import NGramsTokenizer

CHILD = """
import pickle, sys
from pathlib import Path
import torch, flambe
from flambe.sampler import BaseSampler

def own():
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty"))

torch.set_num_threads(1)
warm = [(torch.ones(60, dtype=torch.long), torch.ones((), dtype=torch.long))] * 256
for _ in BaseSampler(256).sample(warm): pass
before = own()
place = Path(sys.argv[1])
if place.is_dir():
    data = flambe.load(place).train
else:
    data = pickle.loads(place.read_bytes())
for batch in BaseSampler(256).sample(data, n_epochs=2): pass
del batch
print(own() - before, flush=True)
sys.stdin.read()
"""


def pages(pid: int, folder: Path) -> tuple[int, int]:
    """Return KiB of the resident pages of the files in ``folder`` that count for a process, and of its copies of them."""
    counts, inside = {"Pss:": 0, "Anonymous:": 0}, False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        words = line.split()
        if not words[0].endswith(":"):
            inside = len(words) > 5 and words[5].startswith(str(folder))
        elif inside and words[0] in counts:
            counts[words[0]] += int(words[1])
    return counts["Pss:"], counts["Anonymous:"]


def measured(count: int, place: Path) -> dict[str, Any]:
    """Let ``count`` processes read what is at ``place``: MiB of its pages in all, of copies, and the growth of each."""
    running: list[subprocess.Popen[str]] = []
    try:
        for _ in range(count):
            command = [sys.executable, "-c", CHILD, str(place)]
            running.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        grown = [int(process.stdout.readline()) for process in running if process.stdout]
        found = [pages(process.pid, place) for process in running]
    finally:
        for process in running:
            process.communicate()
    return {
        "pages": sum(one for one, _ in found) / 1024,
        "copied": sum(one for _, one in found) / 1024,
        "own": statistics.mean(grown) / 1024,
    }


def main() -> None:
    """Measure and print one JSON line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--processes", type=int, default=16)
    parser.add_argument("--examples", type=int, default=100_000)
    arguments = parser.parse_args()
    draw = random.Random(0)
    words = [f"w{number}" for number in range(5_000)]
    rows = [
        (" ".join(draw.choices(words, k=draw.randint(5, 60))), str(draw.randint(0, 1)))
        for _ in range(arguments.examples)
    ]
    dataset = TabularDataset(rows, transform={"text": TextField(NGramsTokenizer()), "label": LabelField()})
    with tempfile.TemporaryDirectory() as folder:
        saved, pickled = Path(folder, "saved"), Path(folder, "pickled")
        flambe.save(dataset, saved)
        pickled.write_bytes(pickle.dumps([tuple(example) for example in dataset.train]))
        one, many = measured(1, saved), measured(arguments.processes, saved)
        plain = measured(1, pickled)
    print(
        json.dumps({"benchmark": "dataset_pages", "processes": arguments.processes, "pages": round(many["pages"] / one["pages"], 3),
                    "one_mb": round(one["pages"], 1), "all_mb": round(many["pages"], 1), "copied_mb": round(many["copied"], 1),
                    "own_mb": round(many["own"], 1), "pickled_own_mb": round(plain["own"], 1)})
    )  # fmt: skip


if __name__ == "__main__":
    main()
