"""Compiling: milliseconds of ``flambe-compile`` with all of its checks, beside Python itself.

    python benchmarks/compile.py [--rounds 9] [--json]

Whole processes: the CPU time (user and system) and the wall clock, medians of N rounds in which the commands take turns.
The peers are ``python -c pass`` and Python with click and PyYAML, which no command here can do without; Hydra, expyrun and
jsonargparse are measured on an equal file where they are installed. ``cold`` reads every signature anew, with an empty
cache, and ``expand`` writes 10,000 variants, with the largest memory of the process.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
COMPILE = str(Path(sys.executable).parent / "flambe-compile")
PEERS = {
    "hydra": """
import hydra
@hydra.main(version_base=None, config_path={folder!r}, config_name="plain")
def main(config): print(config.train.max_steps)
main()
""",
    "jsonargparse": """
from jsonargparse import ArgumentParser
parser = ArgumentParser()
parser.add_argument("--train.max_steps", type=int)
parser.add_argument("--train.lr", type=float)
parser.add_argument("--config", action="config")
print(parser.parse_args(["--config", {folder!r} + "/plain.yaml"]))
""",
    "expyrun": """
import sys
from expyrun.__main__ import main
sys.argv = ["expyrun", {folder!r} + "/expyrun.yml"]
main()
""",
}
PLAIN = "train:\n  max_steps: 3\n  lr: 0.1\n"
EXPYRUN = "__run__:\n  __main__: platform:python_version\n  __name__: x\n  __output_dir__: {folder}/out\n" + PLAIN


class Cost(NamedTuple):
    """Of one process. cpu_ms: user and system time. wall_ms: to its end. memory_mb: the most it held."""

    cpu_ms: float
    wall_ms: float
    memory_mb: float


def run(argv: list[str], **more: str) -> Cost:
    """Run a command to its end. Raises RuntimeError when it fails."""
    null = [(os.POSIX_SPAWN_OPEN, stream, os.devnull, os.O_RDWR, 0) for stream in (0, 1, 2)]
    start = time.perf_counter()
    pid = os.posix_spawn(argv[0], argv, {**os.environ, **more}, file_actions=null)
    _, status, used = os.wait4(pid, 0)
    wall = time.perf_counter() - start
    if status:
        raise RuntimeError(f"{' '.join(argv)} ended with {os.waitstatus_to_exitcode(status)}")
    return Cost(1000 * (used.ru_utime + used.ru_stime), 1000 * wall, used.ru_maxrss / 1024)


def large(folder: Path) -> Path:
    """Write a config of 200 lines: the reviews example with ten models."""
    text = (ROOT / "examples" / "reviews.yaml").read_text(encoding="utf-8")
    start, end = text.index("  model: !TextClassifier"), text.index("  # stage 2")
    model = text[start:end]
    more = "".join(model.replace("model:", f"model{n}:", 1).replace("model[", f"model{n}[") for n in range(8))
    path = folder / "large.yaml"
    path.write_text(text[:end] + more + text[end:], encoding="utf-8")
    return path


def many(folder: Path) -> Path:
    """Write a config with 10,000 variants."""
    text = (ROOT / "examples" / "reviews.yaml").read_text(encoding="utf-8")
    path = folder / "many.yaml"
    grid = f"!g {list(range(1, 101))}"
    text = text.replace("hidden_size: !g [128, 64, 32]", f"hidden_size: {grid}").replace(
        "max_steps: 8", f"max_steps: {grid}"
    )
    path.write_text(text, encoding="utf-8")
    return path


def main() -> int:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    # Where bytecode may not be written every start would compile again, and that is not what users have.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "plain.yaml").write_text(PLAIN, encoding="utf-8")
        (folder / "expyrun.yml").write_text(EXPYRUN.format(folder=folder), encoding="utf-8")
        os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
        reviews, long = str(ROOT / "examples" / "reviews.yaml"), large(folder)
        lines = len(long.read_text(encoding="utf-8").splitlines())
        rows = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "click, yaml": [sys.executable, "-c", "import click, yaml"],
            "flambe-compile reviews.yaml": [COMPILE, reviews],
            f"flambe-compile ({lines} lines)": [COMPILE, str(long)],
            "flambe-compile --schema": [COMPILE, "--schema"],
        }
        for peer, program in PEERS.items():
            if importlib.util.find_spec(peer) is not None:
                rows[peer] = [sys.executable, "-c", program.format(folder=str(folder))]
        for argv in rows.values():  # caches warm, bytecode written
            run(argv)
        costs: dict[str, list[Cost]] = {row: [] for row in rows}
        for _ in range(options.rounds):
            for row, argv in rows.items():
                costs[row].append(run(argv))
        costs["flambe-compile reviews.yaml, cold"] = [
            run([COMPILE, reviews], XDG_CACHE_HOME=str(folder / f"cold{n}")) for n in range(3)
        ]
        costs["flambe-compile --expand, 10,000"] = [run([COMPILE, str(many(folder)), "--expand"]) for _ in range(3)]
    medians = {row: Cost(*map(statistics.median, zip(*found, strict=True))) for row, found in costs.items()}
    missing = [peer for peer in PEERS if peer not in medians]
    if options.json:
        print(json.dumps({row: cost._asdict() for row, cost in medians.items()}))
        return 0
    print(f"{'command':36}{'CPU ms':>8}{'wall ms':>9}{'MB':>6}")
    for row, cost in medians.items():
        print(f"{row:36}{cost.cpu_ms:8.0f}{cost.wall_ms:9.0f}{cost.memory_mb:6.0f}")
    if missing:
        print(f"not installed: {', '.join(missing)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
