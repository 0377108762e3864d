"""Logging is cheap: microseconds a call of ``flambe.log`` and ``Logger.log_metrics``, beside tensorboardX and a line a call.

    python benchmarks/log.py [--calls N] [--rounds N] [--json]

Each way logs the same N numbers, in turns; medians of the rounds. ``call``: what the loop waits for. ``whole``: until everything is
in its files, closing included; ``CPU``: the time of this process for that, which a busy machine changes little. The peers:
``SummaryWriter.add_scalar`` of tensorboardX, where it is installed, and what MLXP does: open the file, append one line of JSON,
close it. ``flambe.log`` gives metric lines and event files (``FLAMBE_TENSORBOARD=0``: lines alone), and a checkpoint knows how far
they were; its peers give one of the two.
"""

# The name of this file is that of a module of Python, which its folder must not hide.
import sys

sys.path.pop(0)

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from flambe.logging import log
from flambe.logging.buffer import use_buffer
from flambe.logging.folder import FolderLog
from flambe.record.logger import Logger

Log = Callable[[int, float], None]


@contextmanager
def in_a_unit(folder: Path) -> Iterator[Log]:
    """As in a step of a unit: buffered, and handed over at its end."""
    unit = FolderLog(folder)
    use_buffer(unit.buffer)
    yield lambda step, value: log("Training/Loss", value, step)
    use_buffer(None)
    unit.close()


@contextmanager
def without_events(folder: Path) -> Iterator[Log]:
    os.environ["FLAMBE_TENSORBOARD"] = "0"
    with in_a_unit(folder) as each:
        yield each
    del os.environ["FLAMBE_TENSORBOARD"]


@contextmanager
def by_hand(folder: Path) -> Iterator[Log]:
    """In its files when the call returns."""
    logger = Logger(folder)
    yield lambda step, value: logger.log_metrics({"step": step, "loss": value}, log_name="train")
    logger.close()


@contextmanager
def line_a_call(folder: Path) -> Iterator[Log]:
    path = folder / "train.json"

    def append(step: int, value: float) -> None:
        with path.open("a") as stream:
            stream.write(json.dumps({"step": step, "loss": value}) + "\n")

    yield append


@contextmanager
def tensorboardx(folder: Path) -> Iterator[Log]:
    from tensorboardX import SummaryWriter

    writer = SummaryWriter(str(folder))
    yield lambda step, value: writer.add_scalar("Training/Loss", value, step)
    writer.close()


WAYS = {
    "flambe.log": in_a_unit,
    "flambe.log, no events": without_events,
    "Logger.log_metrics": by_hand,
    "a line a call": line_a_call,
    "tensorboardX": tensorboardx,
}


def measure(way: str, calls: int) -> tuple[float, float, float]:
    """Return microseconds a call: of the loop, until all of it is in its files, and of CPU time for all of it."""
    with tempfile.TemporaryDirectory() as folder:
        with WAYS[way](Path(folder)) as each:
            each(0, 0.0)  # what the first one opens and imports is no part of a call
            began, used = time.perf_counter(), time.process_time()
            for step in range(1, calls):
                each(step, 1.0 / step)
            looped = time.perf_counter() - began
        whole, cpu = time.perf_counter() - began, time.process_time() - used
    return looped / calls * 1e6, whole / calls * 1e6, cpu / calls * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", action="store_true", help="One JSON object in place of the table.")
    given = parser.parse_args()
    try:
        began = time.perf_counter()
        import tensorboardX  # noqa: F401

        imported = time.perf_counter() - began
    except ModuleNotFoundError:
        WAYS.pop("tensorboardX")
        imported = None
    times = {way: [] for way in WAYS}
    for _ in range(given.rounds):
        for way, found in times.items():
            found.append(measure(way, given.calls))
    names = ("call_us", "whole_us", "cpu_us")
    result = {
        way: {name: statistics.median(column) for name, column in zip(names, zip(*found, strict=True), strict=True)}
        for way, found in times.items()
    }
    if given.json:
        print(json.dumps({"ways": result, "import_tensorboardX_s": imported}))
        return
    print(f"{'microseconds':24}{'call':>8}{'whole':>8}{'CPU':>8}")
    for way, row in result.items():
        print(f"{way:24}" + "".join(f"{row[name]:8.1f}" for name in names))
    if imported is not None:
        print(f"import tensorboardX: {imported:.2f} s")


if __name__ == "__main__":
    main()
