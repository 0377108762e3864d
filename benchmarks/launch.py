"""Launching: what a decorator adds to ``python main.py``, beside mlxp and expyrun.

    uv venv /tmp/peers && uv pip install --python /tmp/peers/bin/python mlxp==1.0.4 expyrun==0.2.1 "setuptools<81"
    python benchmarks/launch.py [--peers /tmp/peers/bin/python] [--rounds 15] [--json]

Every program does the same: it imports numpy, as they all do, and prints three values of the same config. ``plain`` reads it with PyYAML and is not recorded at all; ``flambe``
copies the code, lists what is installed, records command, host and result; mlxp records config and host, expyrun copies the code
and asks pip what is installed. ``flambe sweep`` is four runs in four processes, ``mlxp sweep`` four in one.

Whole processes, wall clock and CPU time (user and system, of all processes), the median of N rounds in which the programs take turns. The
promise is at most 0.25 s of wall clock over ``plain``. A peer that is not installed is left out, and that is said.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CONFIG = "seed: 0\nmodel:\n  num_layers: 4\noptimizer:\n  lr: 0.001\n"
SHOW = "    print(config['seed'], config['model']['num_layers'], config['optimizer']['lr'])\n"
TASK = "def my_task(ctx):\n    config = ctx.config\n" + SHOW + "\nif __name__ == '__main__':\n    my_task()\n"
PROGRAMS = {
    "plain": "import numpy\nimport yaml\n\ndef my_task(config):\n" + SHOW + "\nif __name__ == '__main__':\n"
    "    with open('configs/config.yaml') as file:\n        my_task(yaml.safe_load(file))\n",
    "flambe": "import flambe\nimport numpy\n\n@flambe.launch()\n" + TASK,
    "mlxp": "import mlxp\nimport numpy\n\n@mlxp.launch(config_path='./configs')\n" + TASK,
    "expyrun": "import numpy\n\ndef my_task(name, config):\n" + SHOW,
}
EXPYRUN = "__run__:\n  __main__: main:my_task\n  __output_dir__: logs\n  __name__: my_task\n"
PACKAGE = EXPYRUN.replace("main:my_task", "lab.main:my_task")
SWEEP = ["optimizer.lr=0.1,0.2", "seed=1,2"]
PROMISE_S = 0.25


def prepare(folder: Path, name: str) -> None:
    """Write the program ``name`` and its config. expyrun copies packages only."""
    (folder / "configs").mkdir(parents=True)
    (folder / "configs/config.yaml").write_text(CONFIG)
    (folder / "main.py").write_text(PROGRAMS[name])
    (folder / "first.yml").write_text(PACKAGE + CONFIG)
    (folder / "lab").mkdir()
    (folder / "lab/__init__.py").write_text("")
    (folder / "lab/main.py").write_text(PROGRAMS[name])


def seconds(argv: list[str], folder: Path) -> tuple[float, float]:
    """Run a program to its end and return its wall time and CPU time. Raises RuntimeError with what it said when it fails."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    took, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(f"{argv}: {done.stdout}{done.stderr}")
    return took, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def programs(folder: Path, peers: str | None) -> dict[str, tuple[list[str], Path]]:
    """Return name → (command, folder) of what is installed."""
    commands = {"plain": [sys.executable, "main.py"], "flambe": [sys.executable, "main.py"],
                "flambe sweep": [sys.executable, "main.py", *SWEEP]}  # fmt: skip
    if peers is not None:
        expyrun = "import sys; from expyrun.main import entry_point; sys.path.insert(0, ''); entry_point()"
        commands |= {"mlxp": [peers, "main.py"], "mlxp sweep": [peers, "main.py", *SWEEP],
                     "expyrun": [peers, "-c", expyrun, "first.yml"]}  # fmt: skip
    found = {}
    for name, command in commands.items():
        place = folder / name.replace(" ", "-")
        prepare(place, name.partition(" ")[0])
        try:
            seconds(command, place)  # writes bytecode
        except RuntimeError as error:
            print(f"left out: {name} ({str(error).splitlines()[-1]})", file=sys.stderr)
        else:
            found[name] = (command, place)
    return found


def main() -> int:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", help="a Python that has mlxp and expyrun")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    # Where bytecode may not be written every start would compile again, and that is not what users have.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryDirectory() as name:
        commands = programs(Path(name), options.peers)
        times: dict[str, list[tuple[float, float]]] = {each: [] for each in commands}
        for _ in range(options.rounds):
            for each, (command, place) in commands.items():
                times[each].append(seconds(command, place))
    rows = {each: row(values, times["plain"]) for each, values in times.items()}
    if options.json:
        print(json.dumps({"seconds": rows, "promise_s": PROMISE_S}))
    else:
        print(f"{'milliseconds':<14}" + "".join(f"{name:>16}" for name in rows["plain"]))
        for each, found in rows.items():
            print(f"{each:<14}" + "".join(f"{value * 1000:>16.0f}" for value in found.values()))
    return int(rows["flambe"]["wall over plain"] > PROMISE_S)


def row(values: list[tuple[float, float]], plain: list[tuple[float, float]]) -> dict[str, float]:
    """Return the medians of a program, and of what it takes more than ``plain`` in the same round."""
    found = {}
    for index, name in enumerate(("wall", "CPU")):
        found[name] = statistics.median(value[index] for value in values)
        found[f"{name} over plain"] = statistics.median(v[index] - p[index] for v, p in zip(values, plain, strict=True))
    return found


if __name__ == "__main__":
    sys.exit(main())
