"""What functions of both predecessors have to pass. Each test has the number of its check (C9.xx).

C9.01 is test_quickstart.py here and tests/cli/test_expyrun.py; C9.05 is test_provenance.py (edits are in the snapshot, absent or refused).
tests/record/test_logger.py is C9.09, of tests/reading test_reader.py too; there test_query.py is C9.14, test_runs.py C9.15, test_index.py C9.16 (with
benchmarks/reader.py) and test_hostile_runs.py C9.18; /tests/test_moved_run.py is C9.17 of experiments. What needs a scheduler of clusters
is not here yet: 13, 19, and the jobs of 03, 04 and 06, of which there is what runs without one.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from typing import Any

import pytest

from flambe import Reader
from flambe.record.ledger import fold, read_events
from flambe.record.run import LOST, status_of

SLOW = "import time\nprint('it began', flush=True)\ntime.sleep(60)"


def flambe(project: Any, *words: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-m", "flambe.cli.umbrella", *words]
    return subprocess.run(program, cwd=project.folder, capture_output=True, text=True, check=True)


def wait_for(project: Any, text: str, number: int = 0) -> None:
    log, until = project.root(number) / "outputs.log", time.monotonic() + 60
    while time.monotonic() < until:
        if log.exists() and text in log.read_text():
            return
        time.sleep(0.02)
    raise AssertionError(f"{log} has no {text!r}")


def test_c9_02_three_spellings_are_one_override(project: Any) -> None:
    project.main("pass", config="training: {lr: 0.001, size: [10, 10]}\n")
    spellings = [("training.lr=0.1", "training.size=[15,15]"), ("--training.lr", "0.1", "--training.size", "15,15"),
                 ("+training.lr=0.1", "--training.size=15,15")]  # fmt: skip
    for words in spellings:
        project.start(*words)
    configs = [(project.root(number) / "config.yml").read_bytes() for number in range(3)]
    assert configs[0] == configs[1] == configs[2]
    assert len({project.record(number).spec_digest for number in range(3)}) == 1


def test_c9_03_options_that_are_called_like_ours_reach_the_function(project: Any) -> None:
    config = "lr_scheduler: {gamma: 0.9}\nlogger: {parent_log_dir: a}\nscheduler: 1\ninteractive_mode: 1\n"
    project.main("import json\nprint(json.dumps(ctx.config))", config=config)
    words = ["lr_scheduler.gamma=0.1", "logger.parent_log_dir=b", "scheduler=2", "interactive_mode=3"]
    seen = {"lr_scheduler": {"gamma": 0.1}, "logger": {"parent_log_dir": "b"}, "scheduler": 2, "interactive_mode": 3}
    logs = []
    for number, (first, last, unit) in enumerate(
        [((), (), "."), (("--jobs", "2"), ("+seed=1,2",), "stages/main/seed=1")]
    ):
        project.start(*first, *words, *last)  # in this process, and in others that are given what was prepared
        logs.append((project.root(number) / unit / "outputs.log").read_text())
    for log in logs:
        (printed,) = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
        assert {key: printed[key] for key in seen} == seen


def test_c9_04_a_prepared_spec_runs_what_was_recorded(project: Any) -> None:
    project.main("print('x is', ctx.config.x)", config="x: 1\n")
    project.write(
        "exp.yml", "__run__: {__main__: 'main:my_task', __name__: job, __output_dir__: out}\n__default__: ./more.yml\n"
    )
    project.write("more.yml", "x: 1\nhome: $PLACE\n")
    compile_it = [sys.executable, "-m", "flambe.compile.cli", "exp.yml", "x=5"]
    run_it = [sys.executable, "-m", "flambe.cli.umbrella", "exec", "-"]
    environment = {**os.environ, "PLACE": "here"}
    spec = subprocess.run(compile_it, cwd=project.folder, env=environment, capture_output=True, check=True).stdout
    # What somebody does while a job waits.
    project.write("more.yml", "x: 7\nhome: $NOWHERE\n")
    project.write("exp.yml", "x: 8\n")
    done = subprocess.run(run_it, cwd=project.folder, input=spec, capture_output=True, check=True)
    assert b"x is 5\n" in done.stderr
    config = (project.folder / "out/job/exp.0/config.yml").read_text()
    assert config.endswith("x: 5\nhome: here\n")


@pytest.mark.slow
def test_c9_07_many_at_once_have_folders_of_their_own(project: Any) -> None:
    project.main("return ctx.logger.log_id")
    processes = [project.begin() for _ in range(32)]
    said = [process.communicate(timeout=300) for process in processes]
    assert [process.returncode for process in processes] == [0] * 32, said
    assert sorted(int(out.split()[1]) for out, _ in said) == list(range(32))
    assert {project.record(number).status for number in range(32)} == {"COMPLETE"}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_c9_08_a_signal_cancels(project: Any, number: signal.Signals, code: int) -> None:
    project.main(SLOW)
    process = project.begin()
    wait_for(project, "it began")
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert (process.returncode, said) == (code, "main.py: interrupted\n")
    record = project.record()
    assert (record.status, record.exit.signal, record.exit.code) == ("CANCELLED", number.name, code)


def test_c9_08_a_variant_that_is_ended_is_cancelled_and_the_sweep_goes_on(project: Any) -> None:
    body = "import os, sys, time\nhow = ctx.config.how\nif how == 'exit': sys.exit(3)\nif how == 'raise': raise OSError('it broke')\n"
    body += "if how.isdigit():\n    os.kill(os.getpid(), int(how))\n    time.sleep(60)"
    project.main(body, config="how: ok\n")
    said = project.start("how=15,2,exit,raise,9,ok", "__run__.__retries__=1", code=1).stderr
    assert (
        said.count("\nOSError: it broke\n")
        == said.count("main/how=raise: failed, is tried again: OSError: it broke")
        == 1
    )
    assert "main/how=raise: failed: as before\n" in said
    units = {how: project.unit(variant=f"how={how}") for how in (15, 2, "exit", "raise", 9, "ok")}
    assert {how: unit.status for how, unit in units.items()} == {
        15: "CANCELLED", 2: "CANCELLED", "exit": "FAILED", "raise": "FAILED", 9: "FAILED", "ok": "COMPLETE",
    }  # fmt: skip
    ends = {how: (unit.exit.code, unit.exit.signal) for how, unit in units.items() if unit.exit is not None}
    assert ends == {
        15: (143, "SIGTERM"),
        2: (130, "SIGINT"),
        "exit": (3, None),
        "raise": (1, None),
        9: (137, "SIGKILL"),
    }
    # What somebody has ended is not tried again, what may have been the memory is.
    assert (units[15].attempt, units[9].attempt) == (1, 2)
    state = fold(read_events(project.root() / "ledger.jsonl"))
    assert {unit: event.get("signal") for unit, event in state.failed.items()} == {
        "main/how=15": "SIGTERM", "main/how=2": "SIGINT", "main/how=exit": None, "main/how=raise": None, "main/how=9": None,
    }  # fmt: skip
    assert state.counts()["expected"] == 6 == state.counts()["failed"] + state.counts()["done"]


def test_c9_08_what_is_killed_or_loses_its_machine_is_lost(project: Any) -> None:
    project.main(SLOW)
    process = project.begin()
    wait_for(project, "it began")
    process.kill()
    process.communicate(timeout=30)
    record = project.record()
    assert (record.status, status_of(record)) == ("RUNNING", LOST)
    # Another boot of the machine, long ago.
    record.host.boot, record.time.heartbeat = "another", "2026-01-01T00:00:00.000Z"
    assert status_of(record) == LOST


@pytest.mark.slow
def test_c9_10_artifacts_of_every_kind_load_in_another_process(project: Any) -> None:
    project.write(
        "kinds.py",
        "from pathlib import Path\n\ndef save(value, path):\n    Path(path).write_text(value.upper())\n\ndef load(path):\n    return Path(path).read_text()\n",
    )
    project.main(
        """
import numpy as np, torch
log = ctx.logger.log_artifact
seed = ctx.config.seed
log(torch.rand(3).tolist(), "drawn.json", "json")
log(np.full(3, seed), "array.npy", "numpy")
log(np.zeros((8, 9, 3), dtype="uint8") + seed, "image.png", "image")
log({"weight": torch.full((2,), float(seed))}, "net.pt", "torch")
log({"seed": seed}, "plain.json", "json")
log(f"seed {seed}", "note.txt", "text")
log({"seed", seed}, "any.pkl", "pickle", allow_pickle=True)
ctx.logger.register_type("shout", save="kinds:save", load="kinds:load")
log(f"seed {seed}", "loud", "shout")
""",
        top="import kinds\n",
    )
    project.start("seed=1,2")
    program = """
import flambe, json, sys, torch
torch.manual_seed(2)
row = next(row for row in flambe.Reader("logs").filter("config.seed == 2", units=True))
take = lambda name, **how: row.artifact(name).load(**how)
print(json.dumps([
    take("array.npy").tolist(), take("image.png").shape, take("net.pt")["weight"].tolist(), take("plain.json"), take("note.txt"),
    sorted(map(str, take("any.pkl", allow_pickle=True))), take("loud", extensions=["kinds"]),
    take("drawn.json") == torch.rand(3).tolist(),
]))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=project.folder, capture_output=True, text=True, check=True
    )
    expected = [[2, 2, 2], [8, 9, 3], [2.0, 2.0], {"seed": 2}, "seed 2", ["2", "seed"], "SEED 2", True]
    assert json.loads(done.stdout) == expected


def test_c9_11_odd_values_are_written_repeated_and_queried(project: Any) -> None:
    config = "a: METRIC\nb: ARTIFACT\nempty: {}\nmaps: [{x: 1}, {y: []}]\n3: three\nkey-0: 1\nprice: '$$HOME {{lr}} !P'\nlr: 1\n"
    project.main("import json\nprint(json.dumps(list(ctx.config.items())))", config=config)
    seen = [["a", "METRIC"], ["b", "ARTIFACT"], ["empty", {}], ["maps", [{"x": 1}, {"y": []}]], [3, "three"], ["key-0", 1],
            ["price", "$HOME {lr} !P"], ["lr", 1]]  # fmt: skip
    assert json.loads(project.start().stdout.splitlines()[0]) == seen
    again = flambe(project, "run", str(project.root() / "config.yml"))
    assert json.dumps(seen) in again.stderr
    one, two = ((project.root(number) / "config.yml").read_bytes() for number in (0, 1))
    assert one == two
    for query in (
        "config.a == 'METRIC' & config.b == 'ARTIFACT'", "config.lr == 1", "`config.key-0` == 1", "config.price == '$HOME {lr} !P'",
        "config.3 == 'three'", "has(config.empty) & config.maps is not null & ~config.maps == 1",
    ):  # fmt: skip
        rows = Reader(project.folder / "logs").filter(query)
        assert len(rows) == 2, query
    assert (rows[0]["config.empty"], rows[0]["config.maps"]) == ({}, [{"x": 1}, {"y": []}])


def test_c9_12_an_exponent_is_a_number_everywhere(project: Any) -> None:
    project.main("print(type(ctx.config.lr).__name__, ctx.config.lr)", config="lr: 1e-3\n")
    for words in ("", "lr=1e-3", "--lr 1e-3", "--lr=1e-3", "+lr=1e-3", "++lr=1e-3"):
        assert project.start(*words.split(), "__run__.__name__=r-{lr}").stdout == "float 0.001\nreturned None\n"
    names = [path.name for path in (project.folder / "logs").iterdir()]
    assert names == ["r-0.001"]
    assert len(list(Reader(str(project.folder / "logs")).rows("config.lr == 1e-3 & config.lr < 1e-2"))) == 6


def test_c9_17_a_moved_output_folder_is_as_good(project: Any) -> None:
    project.main(
        "ctx.logger.log_metrics({'loss': 0.5}, log_name='train')\nctx.logger.log_artifact([1], 'one.json', 'json')\nprint('lr', ctx.config.lr)",
        config="lr: 1\n",
    )
    project.start("lr=2")
    project.start("lr=3,4")
    project.write("main.py", "raise SystemExit('the project has changed')")
    moved = project.folder / "far away/moved"
    moved.parent.mkdir()
    (project.folder / "logs").rename(moved)
    assert [row["status"] for row in Reader(str(moved)).rows("config.lr == 2")] == ["COMPLETE"]
    assert len(list(Reader(str(moved)).unit_rows())) == 3
    # What a function that runs alone logs is beside its record, and that of a variant in its own folder.
    (run,) = Reader(moved, index=None).filter("config.lr == 2 & train.loss < 1")
    assert (run["train.loss"], run["artifact.json.one.json"].load()) == ([0.5], [1])
    assert [unit.series("train")["loss"] for unit in list(Reader(moved, index=None))[1].units()] == [[0.5], [0.5]]
    for config in ("my_task/exp.0/config.yml", "my_task/exp.1/stages/main/lr=4/config.yml"):
        said = flambe(project, "run", str(moved / config), f"__run__.__output_dir__={moved}").stderr
        assert "lr 2\n" in said or "lr 4\n" in said
    project.main("print('changed')", config="lr: 1\n")
    done = project.start("--resume", str(moved / "my_task/exp.0"), "--output-dir", str(moved), "lr=2")
    assert done.stdout == "lr 2\nreturned None\n"


def test_c9_20_what_is_shown_is_what_a_run_writes(project: Any) -> None:
    project.main("pass", config="lr: 1\nwarmup: '{lr}'\nhome: $HOME\n")
    shown = project.start("--dry-run", "lr=2").stdout
    project.start("lr=2")
    written = (project.root() / "config.yml").read_text()
    # The code of a run is beside its config.
    assert re.sub("__code__: .*", "__code__: ./", shown) == written
    raw = project.root() / "raw_config.yml"
    program = [sys.executable, "-m", "flambe.compile.cli", str(raw), "--stage", "resolved"]
    compiled = subprocess.run(program, cwd=project.folder, capture_output=True, text=True, check=True).stdout
    assert re.sub("__code__: .*", "__code__: ./", compiled) == written
    assert f"home: {os.environ['HOME']}\n" in written
