"""An unchanged program as a stage, and alone: its arguments, what it writes and says, how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flambe.errors import ConfigError, FlambeError, RunFailed
from flambe.runnable import Script
from flambe.runner.execute import execute
from flambe.spec.nodes import Environment, Spec, Stage

PROGRAM = """
import argparse
import os
import signal
import sys
import time

from my_project.model import NAME

parser = argparse.ArgumentParser()
parser.add_argument("files", nargs="*")
parser.add_argument("--lr", type=float)
parser.add_argument("--layers", nargs="+", type=int)
parser.add_argument("--fast", action="store_true")
parser.add_argument("--out", default=".")
parser.add_argument("--how")
given = parser.parse_args()
print("given", sorted(vars(given).items()), NAME, __name__)
print("a word about it", file=sys.stderr)

if given.how == "log":
    import flambe
    flambe.log("loss", given.lr, 1)
    flambe.log("loss", given.lr / 2, 2)
    assert str(flambe.get_trial_dir()) == flambe.get_env().output_path == given.out
with open(os.path.join(given.out, "score.txt"), "a") as file:
    file.write(f"{given.lr or 0}\\n")
if given.how == "raise":
    raise ValueError("the program broke")
if given.how == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
if given.how == "sleep":
    open(os.path.join(given.out, "pid"), "w").write(str(os.getpid()))
    time.sleep(60)
"""
SCORE = "def score(folder):\n    return sum(map(float, open(f'{folder}/score.txt')))\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    package = tmp_path / "installable" / "my_project"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "model.py").write_text("NAME = 'm'\n")
    (package / "train.py").write_text(PROGRAM)
    (package / "scores.py").write_text(SCORE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    for module in [m for m in sys.modules if m.partition(".")[0] == "my_project"]:
        del sys.modules[module]


def spec(folder: Path, *stages: dict[str, Any], **fields: Any) -> Spec:
    return Spec(
        name="s", output_dir=str(folder / "out"), max_failures=0, environment=Environment(extensions={"my_project": str(folder / "installable")}),
        stages=[Stage(name=f"stage_{n}", body={"$new": "flambe.runnable:Script", **stage}) for n, stage in enumerate(stages)], **fields,
    )  # fmt: skip


def run(given: Spec) -> tuple[Path, list[dict[str, Any]]]:
    rows: list[dict[str, Any]] = []
    root, _ = execute(given, tool="flambe exec", on_unit=rows.append)
    return root, rows


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, []),
        ({"args": {"arg1": 1, "arg2": "foo"}}, ["--arg1", "1", "--arg2", "foo"]),
        ({"args": ["a.csv", 2]}, ["a.csv", "2"]),
        ({"args": ["a.csv"], "kwargs": {"lr": 1e-05}}, ["a.csv", "--lr", "1e-05"]),
        ({"pos_args": ["a b"], "keyword_args": {"x_y": ""}}, ["a b", "--x_y", ""]),
        ({"kwargs": {"on": True, "set": None, "off": False, "-v": True, "-n": 3}}, ["--on", "--set", "-v", "-n", "3"]),
        ({"kwargs": {"layers": [1, 2], "none": []}}, ["--layers", "1", "2", "--none"]),
        ({"args": ["--flag"], "kwargs": {"path": Path("x/y")}}, ["--flag", "--path", "x/y"]),
    ],
)
def test_arguments(arguments: dict[str, Any], words: list[str]) -> None:
    assert Script("train.py", **arguments).words == words


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"args": {"a": 1}, "kwargs": {"b": 2}}, "a mapping as args and kwargs too. Write all in kwargs."),
        ({"args": [1], "pos_args": [2]}, "a Script got args and pos_args, which are two names of one thing"),
        ({"args": "a b"}, "the args of a Script are 'a b'; expected a list or a mapping"),
        ({"args": [True]}, "True is no positional argument. Write flags with their name: kwargs: {verbose: true}."),
        ({"kwargs": {"a": {"b": 1}}}, "the value of --a is a dict; expected text, a number, or a list of these"),
        ({"kwargs": {"a": [[1]]}}, "a value of --a is a list; expected text"),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Script("train.py", **arguments)
    assert said in str(caught.value)


def test_a_module_of_an_extension(folder: Path) -> None:
    root, rows = run(
        spec(
            folder,
            {"script": "my_project.train", "args": {"lr": 0.5, "how": "log", "fast": True}, "output_dir_arg": "out"},
        )
    )
    assert rows[-1]["status"] == "COMPLETE"
    unit = root / "stages/stage_0/0"
    log = (unit / "outputs.log").read_text()
    assert "('fast', True), ('files', []), ('how', 'log'), ('layers', None), ('lr', 0.5)" in log
    assert "m __main__\n" in log
    assert log.index("given ") < log.index("a word about it\n")
    assert (unit / "artifacts/score.txt").read_text() == "0.5\n"
    lines = [json.loads(line) for line in (unit / "metrics/stage_0.jsonl").read_text().splitlines()]
    assert [(line["step"], line["loss"]) for line in lines] == [(1, 0.5), (2, 0.25)]
    assert not (unit / "artifacts/program.jsonl").exists()


def test_a_file_and_values_of_other_stages(folder: Path) -> None:
    (folder / "alone.py").write_text("import sys\nprint('alone', sys.argv)\n")
    score = {
        "script": "my_project.train",
        "kwargs": {"lr": 0.25},
        "output_dir_arg": "out",
        "metric_fn": "my_project.scores:score",
        "max_steps": 3,
    }
    after = {"script": "alone.py", "args": [{"$link": ["stage_0"], "attr": ["metric"], "call": True}]}
    root, rows = run(spec(folder, score, after))
    assert [(row["metric"], row["step"]) for row in rows[:2]] == [(0.75, 3), (None, 1)]
    assert "alone ['alone.py', '0.75']" in (root / "stages/stage_1/0/outputs.log").read_text()


def test_what_reads_the_metric_is_found_before_the_program_runs(folder: Path) -> None:
    root, rows = run(
        spec(folder, {"script": "my_project.train", "output_dir_arg": "out", "metric_fn": "my_project.scores:scor"})
    )
    assert "my_project.scores has no scor. Did you mean 'score'?" in rows[0]["error"]
    assert "given" not in (root / "stages/stage_0/0/outputs.log").read_text()


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("    raise ValueError('no score')", "ValueError: no score"),
        ("    return '0.5'", "metric_fn returned '0.5', a str; expected a number or None"),
    ],
    ids=["raises", "text"],
)
def test_what_a_program_wrote_stays_when_its_metric_cannot_be_read(folder: Path, source: str, said: str) -> None:
    (folder / "installable/my_project/scores.py").write_text(f"def score(folder):\n{source}\n")
    root, rows = run(
        spec(folder, {"script": "my_project.train", "output_dir_arg": "out", "metric_fn": "my_project.scores:score"})
    )
    assert rows[0]["status"] == "FAILED"
    assert said in rows[0]["error"]
    assert (root / "stages/stage_0/0/artifacts/score.txt").read_text() == "0\n"


def test_a_metric_that_is_text_is_refused(folder: Path) -> None:
    source = "class Teller:\n    def run(self): return False\n    def metric(self): return '0.5'\n"
    (folder / "installable/my_project/scores.py").write_text(source)
    given = spec(folder, {})
    given.stages[0].body = {"$new": "my_project.scores:Teller"}
    root, rows = run(given)
    assert (root / "ledger.jsonl").read_text().count('"event":"fail"') == 1  # it is not tried again
    assert "metric() of Teller returned '0.5', a str; expected a number or None" in rows[0]["error"]


def test_a_program_gets_the_seed_of_its_unit(folder: Path) -> None:
    (folder / "seeded.py").write_text("import os\nimport sys\nprint('seed', os.environ['FLAMBE_SEED'], sys.argv[1:])\n")
    seeds = []
    for seed in (1, 2):
        root, _ = run(spec(folder, {"script": "seeded.py", "seed_arg": "seed"}, seed=seed))
        unit = json.loads((root / "stages/stage_0/0/run.json").read_text())
        seeds.append(unit["seed"] % 2**32)
        log = (root / "stages/stage_0/0/outputs.log").read_text()
        assert log.startswith(f"seed {seeds[-1]} ['--seed', '{seeds[-1]}']\n")
    assert seeds[0] != seeds[1]


def test_a_result_is_taken_again_until_the_program_or_a_file_changes(folder: Path) -> None:
    (folder / "data.csv").write_text("1")
    given = spec(folder, {"script": "my_project.train", "args": ["data.csv"], "output_dir_arg": "out"})
    assert [run(given)[1][0]["reused"] for _ in range(2)] == [False, True]
    (folder / "data.csv").write_text("22")
    assert [run(given)[1][0]["reused"] for _ in range(2)] == [False, True]
    (folder / "installable/my_project/model.py").write_text("NAME = 'another'\n")
    assert [run(given)[1][0]["reused"] for _ in range(2)] == [False, True]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            {"script": "my_project.train", "args": {"how": "raise", "out": "."}},
            "my_project.train ended with exit code 1: ",
        ),
        (
            {"script": "my_project.train", "args": {"how": "kill", "out": "."}},
            "my_project.train was ended by SIGKILL: a word about it",
        ),
        (
            {"script": "my_project.train", "args": {"nonsense": 3}},
            "train.py: error: unrecognized arguments: --nonsense",
        ),
        ({"script": "nowhere.py"}, "there is no program nowhere.py in "),
        ({"script": "nowhere.train"}, "`nowhere: path/to/folder`."),
        ({"script": "my_project.nothing"}, "No module named my_project.nothing"),
    ],
)
def test_how_it_fails(folder: Path, arguments: dict[str, Any], said: str) -> None:
    root, rows = run(spec(folder, arguments))
    assert rows[-1]["status"] == "FAILED"
    assert said in rows[0]["error"]
    if "raise" in str(arguments):
        assert rows[0]["error"].endswith("| ValueError: the program broke")
        assert "Traceback" in (root / "stages/stage_0/0/outputs.log").read_text()


def test_from_python(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    script = Script("installable/my_project/scores.py", seed_arg="seed", max_steps=2, metric_fn=lambda output: 7)
    assert (script.run(), script.run()) == (True, False)
    assert script.metric() == 7.0
    with pytest.raises(RunFailed, match="ended with exit code 2"):
        Script("json.tool", args=["nowhere.json", "x", "y"]).run()
    with pytest.raises(FlambeError):
        Script("installable/my_project/scores.py", metric_fn="os:system").run()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_program_ends_with_the_run(folder: Path, number: int) -> None:
    (folder / "sleep.yaml").write_text(
        "my_project: installable\n---\n!Script\nscript: my_project.train\nargs: {how: sleep, out: .}\n"
    )
    from flambe.compile import compile_file
    from flambe.spec.codec import dump_spec

    given = compile_file("sleep.yaml")
    assert (given.stages[0].reuse, given.max_failures) == (False, 0)
    process = subprocess.Popen(
        [sys.executable, "-m", "flambe.cli.umbrella", "exec"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdin is not None
    process.stdin.write(dump_spec(given))
    process.stdin.close()
    limit = time.monotonic() + 30
    while not (folder / "pid").exists() or not (folder / "pid").read_text():
        assert time.monotonic() < limit
        time.sleep(0.02)
    pid = int((folder / "pid").read_text())
    assert alive(pid)
    os.kill(process.pid, number)
    assert process.wait(30) == (143 if number == signal.SIGTERM else -9)
    while alive(pid):
        assert time.monotonic() < limit
        time.sleep(0.02)


COUNTER = """
import os
import sys

import flambe

os.chdir(flambe.get_env().output_path)
with open("kept.txt", "a") as file:
    file.write("x")
if os.path.getsize("kept.txt") == 3 and os.path.exists(sys.argv[1]):
    os.remove(sys.argv[1])
    sys.exit(5)
"""


def test_a_step_goes_on_from_what_the_last_one_wrote(folder: Path) -> None:
    (folder / "counter.py").write_text(COUNTER)
    (folder / "stop").touch()
    given = spec(folder, {"script": "counter.py", "args": [str(folder / "stop")], "max_steps": 4})
    given.max_failures = 1
    root, rows = run(given)
    assert (rows[0]["status"], rows[0]["step"]) == ("COMPLETE", 4)
    assert not (folder / "stop").exists()
    assert (root / "stages/stage_0/0/artifacts/kept.txt").read_text() == "xxxx"
