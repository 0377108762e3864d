"""The documented example of expyrun, as written there: the same commands, the same folders."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flambe.record.run import RunRecord, read_record

CONFIGS = {
    "configs/data.yml": """\
data:
    location: $DATA_FOLDER
    train_size: 0.7
""",
    "configs/experiments/first_method.yml": """\
__default__: ../data.yml

__run__:
    __main__: my_code.experiments.first_method:main
    __output_dir__: $OUTPUT_DIR
    __name__: first_method/{model.name}-{training.lr}

seed: 666

model:
    name: MyModel

training:
    seed: "{seed}"  # Have to add "" when starting with { char
    lr: 0.001
    batch_size: 10
""",
    "configs/experiments/second_method.yml": """\
__default__: ./first_method.yml

__run__:
    __main__: my_code.experiments.second_method:main
    __name__: second_method/{model.name}-{training.size}

seed: 777

model:
    name: MyModelBis

training:
    lr: 0.1
    size: [10, 10]
""",
}
METHOD = """\
import json
import os

from my_code import data, utils


def main(name: str, config: dict) -> None:
    print(utils.greeting(), name, "in", os.path.basename(os.getcwd()))
    with open("seen.json", "w") as file:
        json.dump({"config": config, "rows": data.rows(config["data"]["location"]), "from": os.environ["EXPYRUN_CWD"]}, file)
"""
CODE = {
    "my_code/__init__.py": "",
    "my_code/utils.py": "def greeting():\n    return 'this is'\n",
    "my_code/data.py": "def rows(location):\n    with open(location + '/rows.txt') as file:\n        return len(file.readlines())\n",
    "my_code/experiments/__init__.py": "",
    "my_code/experiments/first_method.py": METHOD,
    "my_code/experiments/second_method.py": METHOD,
}
TREE = {"config.yml", "frozen_requirements.txt", "my_code", "outputs.log", "raw_config.yml"}
OURS = {"run.json", "spec.json", "ledger.jsonl", "stages"}


class Project:
    def __init__(self, folder: Path) -> None:
        self.folder = folder / "my_project"
        self.output = folder / "results"
        for name, text in {
            **CONFIGS,
            **CODE,
            "data/rows.txt": "1\n2\n",
            ".gitignore": "*.pyc\n",
            "README.md": "",
        }.items():
            self.write(name, text)
        (self.folder / ".git").mkdir()

    def write(self, name: str, text: str) -> None:
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_text(text)

    def start(self, *words: str, program: str = "expyrun", **variables: str) -> subprocess.CompletedProcess[str]:
        surroundings = {
            **os.environ,
            "DATA_FOLDER": str(self.folder / "data"),
            "OUTPUT_DIR": str(self.output),
            **variables,
        }
        command = [str(Path(sys.executable).parent / program), *words]
        return subprocess.run(command, cwd=self.folder, env=surroundings, capture_output=True, text=True, check=False)

    def expyrun(self, *words: str) -> Path:
        """Run a config and return its run directory, relative to the output folder."""
        done = self.start(*words)
        assert done.returncode == 0, done.stderr
        return Path(json.loads(done.stdout.splitlines()[-1])["run"]).relative_to(self.output)

    def read(self, run: Path, name: str) -> str:
        return (self.output / run / name).read_text()

    def seen(self, run: Path) -> dict[str, Any]:
        return json.loads(self.read(run, "seen.json"))

    def folders(self) -> set[str]:
        return {
            path.parent.relative_to(self.output).as_posix() for path in self.output.rglob("frozen_requirements.txt")
        }


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


FIRST, SECOND = "configs/experiments/first_method.yml", "configs/experiments/second_method.yml"


def test_the_documented_example(project: Project) -> None:
    first = project.expyrun(FIRST)
    second = project.expyrun(SECOND)
    assert project.folders() == {"first_method/MyModel-0.001/exp.0", "second_method/MyModelBis-[10,10]/exp.0"}
    for run in (first, second):
        assert {path.name for path in (project.output / run).iterdir()} == {*TREE, *OURS, "seen.json"}
    assert project.seen(first) == {
        "config": {
            "data": {"location": str(project.folder / "data"), "train_size": 0.7}, "seed": 666, "model": {"name": "MyModel"},
            "training": {"seed": 666, "lr": 0.001, "batch_size": 10},
        },
        "rows": 2, "from": str(project.folder),
    }  # fmt: skip
    assert project.seen(second)["config"]["training"] == {"seed": 777, "lr": 0.1, "batch_size": 10, "size": [10, 10]}
    assert "this is first_method/MyModel-0.001 in exp.0\n" in project.read(first, "outputs.log")
    # The next two commands of the page.
    again = project.expyrun(str(project.output / first / "config.yml"))
    changed = project.expyrun(str(project.output / first / "raw_config.yml"), "--training.lr", "0.01")
    assert (str(again), str(changed)) == ("first_method/MyModel-0.001/exp.1", "first_method/MyModel-0.01/exp.0")
    assert project.read(again, "config.yml") == project.read(first, "config.yml")
    assert project.seen(changed)["config"]["training"]["lr"] == 0.01
    records = [read_record(project.output / run / "run.json", RunRecord) for run in (first, again, changed)]
    assert records[0].spec_digest == records[1].spec_digest != records[2].spec_digest
    assert records[0].result_digest == records[1].result_digest
    assert len({record.code.tree for record in records if record.code is not None}) == 1


def test_the_saved_configs(project: Project) -> None:
    run = project.expyrun(SECOND, "--training.lr", "0.5")
    assert project.read(run, "config.yml") == (
        f"""\
__resolved__: true
__run__:
  __main__: my_code.experiments.second_method:main
  __output_dir__: {project.output}
  __name__: second_method/MyModelBis-[10,10]
  __code__: ./
data:
  location: {project.folder}/data
  train_size: 0.7
seed: 777
model:
  name: MyModelBis
training:
  seed: 777
  lr: 0.5
  batch_size: 10
  size: [10, 10]
"""
    )
    raw = project.read(run, "raw_config.yml")
    for line in ("  __name__: second_method/{model.name}-{training.size}", "  location: $DATA_FOLDER", "  lr: 0.5", f"  __output_dir__: {project.output}", "  __code__: ./"):  # fmt: skip
        assert line in raw.splitlines()
    assert "__default__" not in raw


def test_every_spelling_of_an_override(project: Project) -> None:
    spellings = (
        ["--training.size", "15,15"],
        ["--training.size=15,15"],
        ["training.size=[15,15]"],
        ["+training.size=[15, 15]"],
    )
    runs = [project.expyrun(SECOND, *words) for words in spellings]
    assert [str(run) for run in runs] == [f"second_method/MyModelBis-[15,15]/exp.{index}" for index in range(4)]
    assert len({project.read(run, "config.yml") for run in runs}) == 1


def test_debug_anywhere(project: Project) -> None:
    runs = [
        project.expyrun(*words) for words in (["--debug", FIRST], [FIRST, "--debug"], [FIRST, "--debug", "--seed", "1"])
    ]
    assert [str(run) for run in runs] == [f"DEBUG/first_method/MyModel-0.001/exp.{index}" for index in range(3)]
    for run in runs:
        assert not {"my_code", "frozen_requirements.txt"} & {path.name for path in (project.output / run).iterdir()}
    # From the original place of the code, where a copy is made this time.
    assert project.expyrun(str(project.output / runs[0] / "config.yml")) == Path("first_method/MyModel-0.001/exp.0")


def test_quiet_and_verbose_anywhere(project: Project) -> None:
    project.write(
        "configs/wordy.yml", CONFIGS[FIRST].replace("../data", "./data").replace("seed: 666", "seed: 666\nverbose: 1")
    )
    for words in (["-q", FIRST], [FIRST, "--quiet"], [FIRST, "-q", "--seed", "1"]):
        done = project.start(*words)
        assert (done.returncode, done.stderr) == (0, "")
    assert "this is first_method" in project.start(FIRST, "--verbose").stderr
    assert project.start("configs/wordy.yml", "--verbose=2", "-q").returncode == 0  # a key that is called so


@pytest.mark.parametrize("debug", [[], ["--debug"]])
@pytest.mark.parametrize("written", ["../../code", "code"])
def test_a_relative_code_folder(project: Project, written: str, debug: list[str]) -> None:
    (project.folder / "code").mkdir()
    (project.folder / "my_code").rename(project.folder / "code" / "my_code")
    text = CONFIGS[FIRST].replace("    __name__", f"    __code__: {written}\n    __name__")
    project.write(FIRST, text)
    run = project.expyrun(FIRST, *debug)
    assert project.seen(run)["rows"] == 2


def test_a_moved_run_keeps_its_code(project: Project) -> None:
    first = project.expyrun(FIRST)
    moved = project.folder.parent / "moved elsewhere"
    project.output.rename(moved)
    project.write("my_code/utils.py", "raise RuntimeError('this is the newer code')\n")
    again = project.expyrun(str(moved / first / "config.yml"))
    assert project.read(again, "config.yml") == (moved / first / "config.yml").read_text()
    assert "this is first_method/MyModel-0.001" in project.read(again, "outputs.log")
    assert project.start(FIRST).returncode == 1


def test_failures(project: Project) -> None:
    project.write("my_code/data.py", "def rows(location):\n    raise KeyError('no rows')\n")
    done = project.start(FIRST)
    assert done.returncode == 1
    log = (project.output / "first_method/MyModel-0.001/exp.0/outputs.log").read_text()
    assert "KeyError: 'no rows'" in log
    assert "KeyError: 'no rows'" in done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["status"] == "FAILED"
    nowhere = project.start(FIRST, "--__run__.__main__", "my_code.experiments.third_method:main")
    assert nowhere.returncode == 2
    assert "third_method" in nowhere.stderr
    unknown = project.start(FIRST, "--training.lrr", "1")
    assert unknown.returncode == 2
    assert "training.lr" in unknown.stderr
    assert project.start("nowhere.yml").returncode == 2


def test_many_at_once_get_different_folders(project: Project) -> None:
    surroundings = {**os.environ, "DATA_FOLDER": str(project.folder / "data"), "OUTPUT_DIR": str(project.output)}
    command = [str(Path(sys.executable).parent / "expyrun"), "-q", FIRST]
    started = [
        subprocess.Popen(command, cwd=project.folder, env=surroundings, stdout=subprocess.DEVNULL) for _ in range(6)
    ]
    assert [process.wait(60) for process in started] == [0] * 6
    assert project.folders() == {f"first_method/MyModel-0.001/exp.{index}" for index in range(6)}


def test_the_folder_of_the_command_is_known_to_the_config(project: Project) -> None:
    project.write(
        "here.yml",
        CONFIGS[FIRST]
        .replace("seed: 666", "seed: 666\nhere: [$EXPYRUN_CWD, '${FLAMBE_CWD}/x']")
        .replace("../data", "./configs/data"),
    )
    run = project.expyrun("here.yml")
    assert project.seen(run)["config"]["here"] == [str(project.folder), f"{project.folder}/x"]


def test_flambe_is_the_same(project: Project) -> None:
    done = project.start(FIRST, program="flambe")
    assert done.returncode == 0, done.stderr
    shown = project.start("run", FIRST, "--show", program="flambe")
    assert shown.stdout == f"flambe-compile {FIRST} | flambe exec\n"


ODD = """\
__run__: {__main__: "my_code.odd:main", __output_dir__: $OUTPUT_DIR, __name__: "odd/{a-b}-{list}-{small}-{flag}-{none}"}
a-b: x/y
list: [1, 2.5, text]
small: 1e-5
flag: true
none: null
empty: {}
nothing: []
maps: [{a: 1, b: [2, {c: 3}]}, {}]
1: integer key
"0": text key
price: !P 5$ and {braces}
whole: "{maps}"
inside: "{{literal}} {small} {flag} {list}"
home: ${HOME}/x
missing: ${NOT_THERE_AT_ALL:-else}
long: |
  several
    lines: {a-b}
text: "1e3"
date: 2001-01-01
yes: no
infinite: .inf
METRIC: ARTIFACT
"""


def test_odd_values_come_through_and_back(project: Project) -> None:
    code = "import json\n\n\ndef main(name, config):\n    open('seen.json', 'w').write(json.dumps([[k, v] for k, v in config.items()]))\n"
    project.write("my_code/odd.py", code)
    project.write("odd.yml", ODD)
    first = project.expyrun("odd.yml")
    assert str(first) == "odd/x_y-[1,2.5,text]-1e-05-true-null/exp.0"
    seen = dict(map(tuple, json.loads(project.read(first, "seen.json"))))
    maps = [{"a": 1, "b": [2, {"c": 3}]}, {}]
    assert seen["maps"] == seen["whole"] == maps
    assert (seen["empty"], seen["nothing"], seen[1], seen["0"], seen["METRIC"]) == (
        {},
        [],
        "integer key",
        "text key",
        "ARTIFACT",
    )
    assert seen["price"] == "5$ and {braces}"
    assert seen["inside"] == "{literal} 1e-05 true [1,2.5,text]"
    assert (seen["home"], seen["missing"]) == (f"{os.environ['HOME']}/x", "else")
    assert seen["long"] == "several\n  lines: x/y\n"
    assert (seen["text"], seen["date"], seen["yes"], seen["infinite"]) == ("1e3", "2001-01-01", "no", float("inf"))
    again = project.expyrun(str(project.output / first / "config.yml"))
    assert again == first.with_name("exp.1")
    for name in ("config.yml", "seen.json", "my_code/odd.py"):
        assert project.read(again, name) == project.read(first, name)
    raw = project.expyrun(str(project.output / first / "raw_config.yml"))
    assert project.read(raw, "config.yml") == project.read(first, "config.yml")
