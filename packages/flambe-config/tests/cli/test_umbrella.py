"""The flambe command: it becomes the tool that fits, with the spec on stdin."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TRAIN = "!Experiment\nname: t\nseed: 3\npipeline:\n  a: !msgspec.Raw {{msg: {value}}}\n"
FAKE = """#!{python}
import json, os, sys
print("a person reads this", file=sys.stderr)
print(json.dumps({{"argv": [os.path.basename(sys.argv[0]), *sys.argv[1:]], "pid": os.getpid(), "spec": sys.stdin.read()}}))
sys.exit(7)
"""


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A folder with a program in place of every tool; each says how it was called."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("train", "tune", "build", "cluster", "report"):
        path = folder / f"flambe-{name}"
        path.write_text(FAKE.format(python=sys.executable))
        path.chmod(0o755)
    program = folder / "flambe"
    program.write_text(f"#!{sys.executable}\nimport sys\nfrom flambe.cli.umbrella import main\nsys.exit(main())\n")
    program.chmod(0o755)
    return folder


def flambe(tools: Path, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(tools / "flambe"), *words], input=stdin, capture_output=True, text=True, cwd=tools.parent, check=False, timeout=60
    )  # fmt: skip


def write(tools: Path, name: str, text: str) -> str:
    (tools.parent / name).write_text(text)
    return name


def experiment(tools: Path, value: str = "1") -> str:
    return write(tools, "x.yaml", "msgspec: msgspec\n---\n" + TRAIN.format(value=value))


@pytest.mark.parametrize("words", [[], ["run"]])
def test_a_concrete_experiment_becomes_train(tools: Path, words: list[str]) -> None:
    done = flambe(tools, *words, experiment(tools), "seed=9", "--verbose")
    assert done.returncode == 7, done.stderr
    answer = json.loads(done.stdout)
    assert answer["argv"] == ["flambe-train", "-", "--verbose"]
    spec = json.loads(answer["spec"])
    assert spec["seed"] == 9
    assert spec["stages"][0]["body"] == {"$new": "msgspec:Raw", "msg": 1}
    assert done.stderr == "a person reads this\n"


def test_the_process_itself_becomes_the_tool(tools: Path) -> None:
    with subprocess.Popen(
        [str(tools / "flambe"), experiment(tools)], cwd=tools.parent, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        out, _ = process.communicate(timeout=60)
    assert json.loads(out)["pid"] == process.pid


def test_search_becomes_tune_with_its_options(tools: Path) -> None:
    done = flambe(tools, experiment(tools, "!g [1, 2]"), "-o", "out", "-d", "--num-cpus", "2")
    answer = json.loads(done.stdout)
    assert answer["argv"] == ["flambe-tune", "-", "--output-dir", "out"]
    spec = json.loads(answer["spec"])
    assert spec["debug"] is True
    assert spec["devices"] == {"cpus": 2.0}


def test_cluster_and_submit(tools: Path) -> None:
    name = experiment(tools)
    for words in (["-c", "c.yaml"], ["submit", "--cluster", "c.yaml"]):
        flags = words[1:] if words[0] == "submit" else words
        done = flambe(tools, *(["submit"] if words[0] == "submit" else []), name, *flags, "--force")
        assert json.loads(done.stdout)["argv"] == ["flambe-cluster", "submit", "c.yaml", "--force"]
    alone = flambe(tools, "submit", name)
    assert alone.returncode == 2
    assert alone.stderr == "flambe submit: error: no cluster is named. Add --cluster FILE.\n"


def test_show_prints_the_pipe_and_runs_nothing(tools: Path) -> None:
    done = flambe(tools, "run", experiment(tools, "!g [1, 2]"), "seed=2", "--show", "-q")
    assert (done.returncode, done.stdout) == (0, "flambe-compile x.yaml seed=2 | flambe-tune --quiet\n")


def test_a_word_starts_its_tool(tools: Path) -> None:
    done = flambe(tools, "report", "ls", "--where", "x>1", stdin="{}")
    assert json.loads(done.stdout) == {
        "argv": ["flambe-report", "ls", "--where", "x>1"], "pid": json.loads(done.stdout)["pid"], "spec": "{}",
    }  # fmt: skip
    assert json.loads(flambe(tools, "up", "c.yaml").stdout)["argv"] == ["flambe-cluster", "up", "c.yaml"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trian"], "flambe: error: there is no tool and no file called 'trian'. Did you mean 'train'?"),
        (["x.yaml", "-d", "-c", "c"], "flambe: error: --debug works on this machine only. Leave out --cluster."),
        (["x.yaml", "sed=1"], "flambe: error: override 'sed=1': there is no key 'sed'. Did you mean 'seed'?"),
        (["run", "nowhere.yaml"], "flambe run: error: cannot read nowhere.yaml: No such file or directory"),
    ],
)  # fmt: skip
def test_faults(tools: Path, words: list[str], message: str) -> None:
    experiment(tools)
    done = flambe(tools, *words)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", message + "\n")


def test_a_missing_tool_names_its_package(tools: Path) -> None:
    (tools / "flambe-tune").unlink()
    program = (
        "import sys; sys.executable = '/nowhere/python'\nfrom flambe.cli.umbrella import find_tool\nfind_tool('tune')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env={**os.environ, "PATH": str(tools)}, check=False
    )  # fmt: skip
    assert "flambe-tune is not installed. pip install flambe-tune." in done.stderr


def test_help_names_every_tool(tools: Path) -> None:
    done = flambe(tools, "--help")
    assert done.returncode == 0
    assert all(f"flambe {name}" in done.stdout for name in ("compile", "train", "tune", "cluster", "report", "build"))
    nothing = flambe(tools)
    assert nothing.returncode == 2
    assert "Usage: flambe" in nothing.stderr
