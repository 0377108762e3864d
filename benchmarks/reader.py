"""Asking runs: our reader beside mlxp's Reader and MLflow's search_runs, over the same runs written as each of them writes them.

    python benchmarks/reader.py                        ours, 10,000 runs
    python benchmarks/reader.py --peers PYTHON         and the peers over --few runs; PYTHON: of an environment with mlxp and mlflow

The environment of the peers: ``uv venv peers && uv pip install --python peers mlxp mlflow``.

Each run has 10 options, a state and 20 values of a metric. The question: the finished runs with a rate of at most 0.01. Printed are
seconds: *absent*: nothing is known of the folder, but what the runs have left in the list beside them when they ended; *no list*: not
that either, as of the runs of other tools; *new process*: an index is there; *again*: asked once more in the same process
(median of nine; from the third on Linux tells which runs have changed); *changed*: again, after one run has changed; *command*: the whole of
``flambe-report ls --where``, with an index. *CPU* is what of it the process worked, which other work on the machine disturbs less.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from flambe.reading.finished import enlist

QUESTION = "info.status == 'COMPLETE' & config.optimizer.lr <= 0.01"
STEPS = 20
T = "2026-03-01T10:00:00.000Z"


def config(index: int) -> dict[str, dict[str, object]]:
    choose = random.Random(index)
    return {
        "model": {
            "name": "mlp",
            "num_units": choose.choice([10, 20, 30]),
            "layers": [1, 2],
            "act": "relu",
            "drop": 0.1,
        },
        "optimizer": {"name": "sgd", "lr": choose.choice([0.1, 0.01, 0.001]), "momentum": 0.9},
        "data": {"size": 100, "shuffle": True},
    }


def status(index: int) -> str:
    return "COMPLETE" if index % 10 else "FAILED"


def losses(index: int) -> list[float]:
    return [1.0 / (step + 1) + index % 7 for step in range(STEPS)]


def write_ours(home: Path, index: int) -> Path:
    """Write a run as ``flambe exec`` of a function leaves it."""
    path = home / "logs" / f"exp.{index}"
    unit = path / "stages" / "main" / "0"
    (unit / "metrics").mkdir(parents=True)
    counts = {"expected": 1, "done": 1, "reused": 0, "failed": 0, "pruned": 0, "pending": 0}
    record = {
        "flambe_record": "1.0", "id": f"01M{index:023}", "kind": "function", "name": "logs", "index": index, "status": status(index),
        "exit": {"code": 0}, "time": {"created": T, "started": T, "ended": T, "heartbeat": T},
        "tool": {"name": "flambe exec", "version": "0.1.0"}, "command": {"argv": ["flambe", "exec", "-"], "cwd": "/x", "user": "u"},
        "spec_digest": "a" * 64, "python": {"version": "3.11.7"}, "host": {"name": "vm", "os": "Linux", "pid": 1, "cpus": 2},
        "counts": counts, "result_digest": "d" * 64, "entry": "my_code.first:main",
        "code": {"mode": "copy", "path": "my_code", "tree": "e" * 64, "files": 2, "source": "/x"},
    }  # fmt: skip
    body = {"$new": "flambe.runnable:Function", "main": "my_code.first:main", "name": "logs", "config": config(index)}
    spec = {"flambe_spec": "1.0", "kind": "function", "name": "logs", "stages": [{"name": "main", "body": body}]}
    commit = {
        "unit": "main/0",
        "attempt": 1,
        "key": "k" * 64,
        "step": 1,
        "complete": True,
        "metric": None,
        "digest": "f" * 64,
    }
    events = [
        {"event": "open", "spec": "a" * 64, "tool": "flambe exec", "pid": 1},
        {
            "event": "plan",
            "unit": "main/0",
            "stage": "main",
            "variant": "0",
            "params": {},
            "key": "k" * 64,
            "needs": {},
        },
        {"event": "start", "unit": "main/0", "attempt": 1, "worker": "main", "from_step": 0},
        {"event": "commit", **commit},
        {"event": "close", "status": status(index), "counts": counts, "result_digest": "d" * 64},
    ]
    part = {"flambe_record": "1.0", "kind": "stage", "stage": "main", "variant": "0", "key": "k" * 64, "status": status(index),
            "step": 1, "complete": True, "time": {"started": T, "ended": T}}  # fmt: skip
    (path / "run.json").write_text(json.dumps(record, indent=1))
    (path / "spec.json").write_text(json.dumps(spec))
    (path / "ledger.jsonl").write_text(
        "".join(json.dumps({"n": n, "t": T, **event}) + "\n" for n, event in enumerate(events))
    )
    (unit / "run.json").write_text(json.dumps(part))
    lines = (json.dumps({"step": step, "loss": loss, "_t": 0.1}) + "\n" for step, loss in enumerate(losses(index)))
    (unit / "metrics" / "train.jsonl").write_text("".join(lines))
    enlist(path)  # as each run does when it ends
    return path


def ours(count: int) -> dict[str, float]:
    """Return the seconds of our reader over ``count`` runs."""
    with tempfile.TemporaryDirectory() as folder:
        home, cache = Path(folder, "runs"), Path(folder, "cache")
        paths = [write_ours(home, index) for index in range(count)]
        time.sleep(2.1)  # a folder that is younger than this is looked into again
        environment = {**os.environ, "XDG_CACHE_HOME": str(cache)}
        code = f"""if True:
            import json, os, sys, time
            begin, work = time.perf_counter(), time.process_time()
            import flambe
            reader = flambe.Reader({str(home)!r})
            found = len(reader.filter({QUESTION!r}))
            first, work = time.perf_counter() - begin, time.process_time() - work
            again = []
            for _ in range(9):
                begin = time.perf_counter(); reader.filter({QUESTION!r}); again.append(time.perf_counter() - begin)
            path = {str(paths[1])!r} + "/run.json"
            text = open(path).read().replace("COMPLETE", "FAILED")
            open(path + ".new", "w").write(text); os.replace(path + ".new", path)
            begin = time.perf_counter(); now = len(reader.filter({QUESTION!r})); changed = time.perf_counter() - begin
            begin, busy = time.perf_counter(), time.process_time(); reader.filter("min(train.loss) < 0.5")
            metric, busy = time.perf_counter() - begin, time.process_time() - busy
            begin = time.perf_counter(); reader.filter("min(train.loss) < 0.5"); metrics = time.perf_counter() - begin
            print(json.dumps([found, now, first, sorted(again)[4], changed, metric, metrics, work, busy]))
        """

        def apart() -> list[float]:
            done = subprocess.run(
                [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
            )
            found: list[float] = json.loads(done.stdout)
            return found

        [listed] = home.rglob(".finished")
        listed.rename(listed.with_name("aside"))
        no_list = apart()
        shutil.rmtree(cache)
        listed.with_name("aside").rename(listed)
        time.sleep(2.1)
        strangers = []
        for _ in range(3):
            shutil.rmtree(cache, ignore_errors=True)
            strangers.append(apart())
        absent = sorted(strangers, key=lambda one: one[2])[1]
        present = [apart() for _ in range(3)]
        command, cpu = [], []
        words = [sys.executable, "-m", "flambe.report.cli", "ls", str(home), "-w", f"{QUESTION} & index < 20"]
        time.sleep(2.1)  # what has just changed is read again, until its disk's clock would show another change
        subprocess.run(words, env=environment, capture_output=True, check=True)
        for _ in range(9):
            begin = time.perf_counter()
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run(words, env=environment, capture_output=True, check=True)
            command.append(time.perf_counter() - begin)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        return {
            "found": absent[0], "no list": no_list[2], "no list, CPU": no_list[7], "absent": absent[2], "absent, CPU": absent[7], "new process": statistics.median(one[2] for one in present),
            "again": statistics.median(one[3] for one in present), "changed": statistics.median(one[4] for one in present),
            "command": statistics.median(command), "command, CPU": statistics.median(cpu),
            "metric, no list": no_list[5], "metric, absent": absent[5], "metric, again": present[0][6],
        }  # fmt: skip


PEERS = r"""
import contextlib, io, json, logging, os, sys, time
from pathlib import Path
home, rows = Path(sys.argv[1]), json.load(sys.stdin)
seconds = {}

def timed(name, act):
    begin = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        found = act()
    seconds[name] = time.perf_counter() - begin
    return found

try:
    import mlxp, yaml
except ImportError:
    mlxp = None
if mlxp:
    for number, row in enumerate(rows, 1):
        path = home / "mlxp" / str(number)
        for name in ("metadata", "metrics/.keys", "artifacts/.keys"):
            (path / name).mkdir(parents=True)
        info = {"status": row["status"], "hostname": "vm", "process_id": 1, "start_date": "01/03/2026", "start_time": "10:00:00",
                "end_date": "01/03/2026", "end_time": "10:00:00", "work_dir": "/x", "scheduler": None, "version_manager": None,
                "logger": {"log_id": number, "log_dir": str(path)}}
        (path / "metadata/config.yaml").write_text(yaml.safe_dump(row["config"]))
        (path / "metadata/info.yaml").write_text(yaml.safe_dump(info))
        (path / "metrics/train.json").write_text("".join(json.dumps({"loss": loss}) + "\n" for loss in row["losses"]))
        (path / "metrics/.keys/train.yaml").write_text("loss: ''\n")
    reader = timed("mlxp absent", lambda: mlxp.Reader(str(home / "mlxp")))
    seconds["mlxp found"] = len(timed("mlxp again", lambda: reader.filter(sys.argv[2])))
    timed("mlxp new process", lambda: mlxp.Reader(str(home / "mlxp")))
try:
    import mlflow
    from mlflow.entities import Metric, Param
except ImportError:
    mlflow = None
if mlflow:
    logging.disable(logging.CRITICAL)
    uri = f"sqlite:///{home}/mlflow.db" if os.environ.get("STORE") == "sqlite" else f"file://{home}/mlflow"
    os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
    client = mlflow.MlflowClient(uri)
    experiment = client.create_experiment("logs")
    for row in rows:
        run = client.create_run(experiment)
        flat = {f"{a}.{b}": value for a, part in row["config"].items() for b, value in part.items()}
        client.log_batch(run.info.run_id, [Metric("loss", loss, 0, step) for step, loss in enumerate(row["losses"])],
                         [Param(name, str(value)) for name, value in flat.items()])
        client.log_metric(run.info.run_id, "lr", row["config"]["optimizer"]["lr"])
        client.set_terminated(run.info.run_id, "FINISHED" if row["status"] == "COMPLETE" else "FAILED")
    # Its parameters are texts, so the rate is asked for as a metric.
    ask = lambda: client.search_runs([experiment], "attributes.status = 'FINISHED' and metrics.lr <= 0.01", max_results=50000)
    seconds["mlflow found"] = len(timed("mlflow first", ask))
    timed("mlflow again", ask)
print(json.dumps(seconds))
"""


def peers(python: str, count: int) -> dict[str, float]:
    """Return the seconds of mlxp and MLflow over the same runs."""
    rows = [{"config": config(index), "status": status(index), "losses": losses(index)} for index in range(count)]
    home = Path(tempfile.mkdtemp())
    try:
        done = subprocess.run(
            [python, "-c", PEERS, str(home), QUESTION], input=json.dumps(rows), capture_output=True, text=True
        )
        if done.returncode:
            sys.exit(done.stderr[-2000:])
        found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
        return found
    finally:
        shutil.rmtree(home, ignore_errors=True)


def show(title: str, seconds: dict[str, float]) -> None:
    print(title)
    for name, value in seconds.items():
        print(f"  {name:20} {value:9.0f} runs" if "found" in name else f"  {name:20} {value * 1000:9.1f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--peers", metavar="PYTHON")
    parser.add_argument(
        "--few", type=int, default=200, help="runs for the comparison; mlxp's time grows with their square"
    )
    options = parser.parse_args()
    show(f"flambe, {options.runs:,} runs", ours(options.runs))
    if options.peers:
        mine, theirs = ours(options.few), peers(options.peers, options.few)
        show(f"flambe, {options.few:,} runs", mine)
        show(f"peers, {options.few:,} runs", theirs)
        for name, of in (("mlxp again", "again"), ("mlxp absent", "absent"), ("mlflow again", "again")):
            if name in theirs:
                print(f"  {name} / ours: {theirs[name] / mine[of]:.1f} x")


if __name__ == "__main__":
    main()
