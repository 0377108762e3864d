"""Compiling: milliseconds of ``flambe-compile`` with all of its checks, beside Hydra, jsonargparse and expyrun on equal configs.

    uv venv /tmp/peers && uv pip install --python /tmp/peers/bin/python hydra-core==1.3.2 jsonargparse expyrun
    python benchmarks/compile.py --peers /tmp/peers/bin/python [--rounds 15] [--json]

Every command reads the same objects with the same arguments, three of them (a small config) or forty (200 lines), checks what it
checks, and prints the resolved config. Hydra composes and checks no argument; jsonargparse imports the classes and checks types;
expyrun resolves, copies the code, imports it and calls a function; flambe-compile checks names, arguments and types from the source, importing nothing.

Whole processes: wall clock and CPU time (user and system), medians of N rounds in which the commands take turns, and the ratio of each
round's wall clock to that of flambe-compile, as its median. A peer that is not installed is left out, and that is said. Below them the
reviews example (classes that use torch), with ``cold`` reading every signature anew, ``--expand`` of 10,000 variants, and what nobody can
do without: Python itself, and Python with PyYAML and msgspec.
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
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
COMPILE = str(Path(sys.executable).parent / "flambe-compile")
PARTS = "class Part:\n    def __init__(self, size: int, rate: float, name: str, inner: 'Part | None' = None) -> None:\n        self.size = size\n"
MAIN = "def main(*config):\n    print(config)\n"

# How each peer is asked to read its file and print it.
PEERS = {
    "hydra": """
import hydra
from omegaconf import OmegaConf
@hydra.main(version_base=None, config_path={folder!r}, config_name={name!r})
def main(config): print(OmegaConf.to_yaml(config, resolve=True))
main()
""",
    "jsonargparse": """
import sys
sys.path.insert(0, {folder!r})
from jsonargparse import ArgumentParser
from parts import Part
parser = ArgumentParser()
parser.add_argument("--parts", type=dict[str, Part])
print(parser.dump(parser.parse_path({folder!r} + "/" + {name!r} + ".yaml")))
""",
    "expyrun": """
import os, sys
os.chdir({folder!r})
from expyrun.main import entry_point
sys.argv = ["expyrun", {name!r} + ".yml"]
entry_point()
""",
}


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


# Equal configs --------------------------------------------------------------------------------------------------------


def equal_configs(folder: Path, size: str, count: int) -> int:
    """Write a config of ``count`` objects in the form of each tool, and return the lines of flambe's."""
    arguments = "size: {n}\n{i}rate: 0.{n}\n{i}name: part-{n}"

    def parts(tag: str, head: str, indent: str, deeper: str) -> str:
        return "".join(
            f"{indent}p{n}:{tag}\n{head}{deeper}" + arguments.format(n=n, i=deeper) + "\n" for n in range(count)
        )

    ours = "parts: ./parts.py\n---\n!Experiment\nname: x\npipeline:\n" + parts(" !parts.Part", "", "  ", "    ")
    (folder / f"{size}.ours.yaml").write_text(ours, encoding="utf-8")
    (folder / f"{size}_hydra.yaml").write_text(
        "parts:\n" + parts("", "    _target_: parts.Part\n", "  ", "    "), encoding="utf-8"
    )
    typed = parts("", "    class_path: parts.Part\n    init_args:\n", "  ", "      ")
    (folder / f"{size}_jsonargparse.yaml").write_text("parts:\n" + typed, encoding="utf-8")
    told = f"__run__:\n  __main__: calls.call:main\n  __name__: {size}\n  __output_dir__: {folder}/out\n"
    (folder / f"{size}_expyrun.yml").write_text(told + "parts:\n" + parts("", "", "  ", "    "), encoding="utf-8")
    return ours.count("\n")


def has(python: str, peer: str) -> bool:
    """Whether a peer is installed for ``python``."""
    return not subprocess.run([python, "-c", f"import {peer}"], capture_output=True, check=False).returncode


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


# Measuring ------------------------------------------------------------------------------------------------------------


def measure(rows: dict[str, list[str]], rounds: int) -> dict[str, list[Cost]]:
    """Return the costs of each command in every round."""
    for argv in rows.values():  # caches warm, bytecode written
        run(argv)
    costs: dict[str, list[Cost]] = {row: [] for row in rows}
    for _ in range(rounds):
        for row, argv in rows.items():
            costs[row].append(run(argv))
    return costs


def main() -> int:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument(
        "--peers", default=sys.executable, metavar="PYTHON", help="Python that the peers are installed for."
    )
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    # Where bytecode may not be written every start would compile again, and that is not what users have.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    installed = [peer for peer in PEERS if has(options.peers, peer)]
    for peer in PEERS:
        if peer not in installed:
            print(f"NOT INSTALLED, and left out: {peer} (see --help)", file=sys.stderr)
    found: dict[str, dict[str, list[Cost]]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
        (folder / "parts.py").write_text(PARTS, encoding="utf-8")
        (folder / "calls").mkdir()
        (folder / "calls" / "__init__.py").touch()
        (folder / "calls" / "call.py").write_text(MAIN, encoding="utf-8")
        for size, count in (("small", 3), ("large", 48)):
            lines = equal_configs(folder, size, count)
            rows = {"flambe-compile": [COMPILE, str(folder / f"{size}.ours.yaml")]}
            for peer in installed:
                program = PEERS[peer].format(folder=name, name=f"{size}_{peer}")
                rows[peer] = [options.peers, "-c", program]
            found[f"{size}, {lines} lines"] = measure(rows, options.rounds)
        reviews = str(ROOT / "examples" / "reviews.yaml")
        others = {
            "flambe-compile": [COMPILE, reviews],
            "  --check": [COMPILE, reviews, "--check"],
            "python -c pass": [sys.executable, "-c", "pass"],
            "yaml, msgspec": [sys.executable, "-c", "import yaml, msgspec"],
            "click, yaml": [sys.executable, "-c", "import click, yaml"],
        }
        costs = measure(others, options.rounds)
        costs["  cold"] = [run([COMPILE, reviews], XDG_CACHE_HOME=str(folder / f"cold{n}")) for n in range(5)]
        costs["  --expand, 10,000"] = [run([COMPILE, str(many(folder)), "--expand"]) for _ in range(3)]
        found["reviews.yaml"] = costs
    table = {title: {row: summary(row, costs) for row in costs} for title, costs in found.items()}
    if options.json:
        print(json.dumps(table))
        return 0
    for title, rows_ in table.items():
        print(f"{title:24}{'wall ms':>9}{'CPU ms':>9}{'MB':>6}{'x flambe':>10}")
        for row, values in rows_.items():
            ratio = f"{values['ratio']:10.2f}" if "ratio" in values else ""
            print(f"  {row:22}{values['wall_ms']:9.0f}{values['cpu_ms']:9.0f}{values['memory_mb']:6.0f}{ratio}")
    return 0


def summary(row: str, costs: dict[str, list[Cost]]) -> dict[str, float]:
    """Return the medians of a row, and that of its ratios to flambe-compile in the same round."""
    values = dict(zip(Cost._fields, map(statistics.median, zip(*costs[row], strict=True)), strict=True))
    ours = costs["flambe-compile"]
    if len(ours) == len(costs[row]):
        values["ratio"] = statistics.median(
            one.wall_ms / our.wall_ms for one, our in zip(costs[row], ours, strict=True)
        )
    return values


if __name__ == "__main__":
    sys.exit(main())
